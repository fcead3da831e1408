/*
 * src/engine/model/frozen.c
 *
 * Rows of a frozen base go in and are kept in a type of blocks; a layer of floats comes out.
 */
#include "kernels/pieces.h"
#include "model/frozen.h"

#define ALIGN_FLOATS 16 /* as in a block of parameters */
#define ALIGN_BYTES 64

/* A layer that is becoming floats. */
typedef struct Expansion
{
	const LmFrozen *frozen;
	int layer;
	size_t rows[LM_FROZEN_MATRICES]; /* of a piece */
} Expansion;

static bool add_matrix(LmFrozen *frozen, LmFrozenMatrix *matrix);
static const LmFrozenMatrix *find(const LmFrozen *frozen, const LmParam *param);
static void expand_piece(void *work, int piece, int thread);

bool
lm_frozen_plan(LmFrozen *frozen, size_t *count, const LmConfig *base, int type, LmError *error)
{
	size_t C = (size_t) base->channels, L = (size_t) lm_config_blocks(base);
	const LmFrozenMatrix matrices[] = {
		{LM_ATTENTION_WEIGHT, (size_t) lm_config_qkv_channels(base), C, 0, 0, 0},
		{LM_PROJECTION_WEIGHT, C, (size_t) lm_config_query_channels(base), 0, 0, 0},
		{LM_UP_WEIGHT, (size_t) lm_config_up_channels(base), C, 0, 0, 0},
		{LM_DOWN_WEIGHT, C, (size_t) base->mlp_channels, 0, 0, 0},
	};
	bool fits = lm_param_total(count, base);

	*frozen = (LmFrozen){.type = lm_block_type_numbered(type), .layer = -1};
	if (!frozen->type || !frozen->type->encode)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a base cannot be kept in type %d", type);
	for (int i = 0; i < LM_FROZEN_MATRICES; i++)
	{
		frozen->matrices[i] = matrices[i];
		if (matrices[i].columns % (size_t) frozen->type->elements != 0)
			return lm_fail(error, LM_ERR_ARGUMENT, -1,
						   "rows of %zu weights are no whole blocks of type %s",
						   matrices[i].columns, frozen->type->name);
		fits = fits && add_matrix(frozen, &frozen->matrices[i]);
	}
	fits = fits && lm_size_multiply(&frozen->size, frozen->layer_size, L);
	if (!fits)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "the base would need more memory than the address space has");
	*count = *count - L * frozen->scratch_count + frozen->scratch_count;
	return true;
}

/* Gives a matrix its place in a layer and in scratch. */
static bool
add_matrix(LmFrozen *frozen, LmFrozenMatrix *matrix)
{
	size_t floats, bytes;

	matrix->place = frozen->layer_size;
	matrix->offset = frozen->scratch_count;
	if (!lm_size_multiply(&floats, matrix->rows, matrix->columns) ||
		!lm_size_add(&floats, floats, ALIGN_FLOATS - 1) ||
		!lm_block_size(&matrix->row_size, frozen->type, matrix->columns) ||
		!lm_size_multiply(&bytes, matrix->rows, matrix->row_size) ||
		!lm_size_add(&bytes, bytes, ALIGN_BYTES - 1))
		return false;
	return lm_size_add(&frozen->scratch_count, frozen->scratch_count,
					   floats - floats % ALIGN_FLOATS) &&
		   lm_size_add(&frozen->layer_size, frozen->layer_size, bytes - bytes % ALIGN_BYTES);
}

void
lm_frozen_lay_out(const LmFrozen *frozen, LmParamTable *table)
{
	size_t next = 0;

	for (int i = 0; i < table->n_params; i++)
	{
		LmParam *param = &table->params[i];

		if (find(frozen, param))
			continue;
		param->offset = next;
		next += param->count + ALIGN_FLOATS - 1;
		next -= next % ALIGN_FLOATS;
	}
	for (int i = 0; i < table->n_params; i++)
	{
		const LmFrozenMatrix *matrix = find(frozen, &table->params[i]);

		if (matrix)
			table->params[i].offset = next + matrix->offset;
	}
	table->total = next + frozen->scratch_count;
}

static const LmFrozenMatrix *
find(const LmFrozen *frozen, const LmParam *param)
{
	for (int i = 0; i < LM_FROZEN_MATRICES; i++)
		if (frozen->matrices[i].kind == param->kind)
			return &frozen->matrices[i];
	return NULL;
}

bool
lm_frozen_put(LmFrozen *frozen, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	const LmFrozenMatrix *matrix = find(frozen, param);

	if (!matrix)
		return false;
	lm_block_encode(frozen->bytes + (size_t) param->layer * frozen->layer_size + matrix->place +
						(size_t) first_row * matrix->row_size,
					frozen->type, rows, (size_t) n_rows * matrix->columns);
	frozen->layer = -1;
	return true;
}

void
lm_frozen_expand(LmFrozen *frozen, LmEngine *engine, int layer)
{
	Expansion expansion = {.frozen = frozen, .layer = layer};
	int n_pieces = 0;

	if (frozen->layer == layer)
		return;
	for (int i = 0; i < LM_FROZEN_MATRICES; i++)
	{
		const LmFrozenMatrix *matrix = &frozen->matrices[i];

		expansion.rows[i] = (size_t) lm_piece_rows((int) matrix->columns);
		n_pieces += lm_divide_up(matrix->rows, expansion.rows[i]);
	}
	lm_engine_run(engine, expand_piece, &expansion, n_pieces);
	frozen->layer = lm_engine_stopped(engine) ? -1 : layer;
}

/* The pieces of the first matrix come first, then those of the second, ... */
static void
expand_piece(void *work, int piece, int thread)
{
	const Expansion *expansion = work;
	const LmFrozen *frozen = expansion->frozen;
	const LmFrozenMatrix *matrix = frozen->matrices;
	const size_t *rows = expansion->rows;
	size_t first, n;

	(void) thread;
	for (; piece >= lm_divide_up(matrix->rows, *rows); matrix++, rows++)
		piece -= lm_divide_up(matrix->rows, *rows);
	first = (size_t) piece * *rows;
	n = lm_piece_size(first, matrix->rows, *rows);
	lm_block_decode(frozen->scratch + matrix->offset + first * matrix->columns, frozen->type,
					frozen->bytes + (size_t) expansion->layer * frozen->layer_size + matrix->place +
						first * matrix->row_size,
					n * matrix->columns);
}

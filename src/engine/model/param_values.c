/*
 * src/engine/model/param_values.c
 *
 * The values of parameters: their initialisation, and the passage between the order of the engine's
 * block and that of a file.
 */
#include <math.h>
#include <string.h>

#include "engine/params.h"
#include "engine/random.h"

#define INIT_PIECE ((size_t) 1 << 17) /* draws: a few ms; even */
#define INIT_DEVIATION 0.02f /* Radford et al. 2018, section 4.1 */

/* Values of one parameter that are being drawn. */
typedef struct Init
{
	float *values;
	size_t count;
	LmInit rule;
	float deviation;
	LmKey key;
} Init;

static void init_piece(void *work, int piece, int thread);

void
lm_params_init(LmEngine *engine, float *block, const LmParamTable *table, uint64_t seed)
{
	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		Init init = {.values = block + param->offset, .count = param->count, .rule = param->init};
		size_t end = i + 1 < table->n_params ? table->params[i + 1].offset : table->total;

		init.key =
			lm_key(seed, LM_RANDOM_INIT, (uint64_t) param->kind, (uint32_t) (param->layer + 1));
		init.deviation = INIT_DEVIATION;
		if (param->init == LM_INIT_RESIDUAL)
			init.deviation /= sqrtf(2.0f * (float) table->config.layers);
		if (param->init == LM_INIT_FAN_IN)
			init.deviation = 1 / sqrtf(3.0f * (float) param->columns);
		lm_engine_run(engine, init_piece, &init,
					  (int) ((param->count + INIT_PIECE - 1) / INIT_PIECE));
		memset(block + param->offset + param->count, 0,
			   (end - param->offset - param->count) * sizeof(float));
	}
}

static void
fill(float *values, size_t count, float value)
{
	for (size_t i = 0; i < count; i++)
		values[i] = value;
}

/* Fills one piece by its rule: normal numbers, functions of their place alone, or ones or zeros. */
static void
init_piece(void *work, int piece, int thread)
{
	const Init *init = work;
	size_t first = (size_t) piece * INIT_PIECE;
	size_t count = init->count - first < INIT_PIECE ? init->count - first : INIT_PIECE;
	float *values = init->values + first;

	(void) thread;
	switch (init->rule)
	{
		case LM_INIT_NORMAL:
		case LM_INIT_RESIDUAL:
		case LM_INIT_FAN_IN:
			lm_random_normal_from(values, first, count, init->deviation, init->key);
			break;
		case LM_INIT_ZERO:
			fill(values, count, 0);
			break;
		case LM_INIT_ONE:
			fill(values, count, 1);
			break;
	}
}

/*
 * The place in the engine's matrix of an element of the file; returns how many further ones, itself
 * included, follow each other in both.
 */
static size_t
run_at(size_t *place, const LmParam *param, size_t index)
{
	size_t rows = (size_t) param->rows, columns = (size_t) param->columns;
	size_t width = param->vector ? 1 : columns, run;

	if (param->transposed)
	{
		*place = index % rows * columns + index / rows;
		return 1;
	}
	*place = index;
	if (param->parts[0].order == LM_ROWS_IN_ORDER)
		return param->count - index;
	/* [head][which of three][element] to [which of three][head][element] */
	run = (size_t) param->head_size * width;
	*place = index / run % 3 * (param->count / 3) + index / (3 * run) * run + index % run;
	return run - index % run;
}

void
lm_param_get(float *values, const float *block, const LmParam *param, size_t first, size_t count)
{
	for (size_t i = 0, run; i < count; i += run)
	{
		size_t place;

		run = run_at(&place, param, first + i);
		run = run < count - i ? run : count - i;
		memcpy(values + i, block + param->offset + place, run * sizeof(float));
	}
	for (size_t i = 0; param->file_offset != 0 && i < count; i++)
		values[i] -= param->file_offset;
}

void
lm_param_set(float *block, const float *values, const LmParam *param, size_t first, size_t count)
{
	for (size_t i = 0, run; i < count; i += run)
	{
		size_t place;

		run = run_at(&place, param, first + i);
		run = run < count - i ? run : count - i;
		memcpy(block + param->offset + place, values + i, run * sizeof(float));
		for (size_t j = 0; param->file_offset != 0 && j < run; j++)
			block[param->offset + place + j] += param->file_offset;
	}
}

long
lm_param_unsound(int *limit, const LmParam *param, const LmConfig *config, const float *values)
{
	*limit = param->kind == LM_NGRAM_WEIGHTING ? 0
			 : param->kind == LM_NGRAM_TOKENS  ? config->vocabulary
											   : config->ngram_tokens;
	for (size_t i = 0; i < param->count; i++)
		if (*limit == 0 ? !isfinite(values[i]) : !(values[i] >= 0 && values[i] < (float) *limit))
			return (long) i;
	return -1;
}

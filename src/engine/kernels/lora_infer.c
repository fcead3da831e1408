/*
 * src/engine/kernels/lora_infer.c
 *
 * Products of low-rank adapters in inference: groups of rows, each with an adapter, go in; the rows
 * are cut into pieces over threads. A product of a few microseconds stays on the calling thread.
 */
#include "kernels/bf16.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"

#define PREFETCHED 4096 /* bytes, as LORA_AHEAD of vector_lora.h */
#define PIECE_WORK 131072.0 /* weights times rows, as LEAST_WORK of linear_infer.c */

typedef struct GroupsWork
{
	const LmLoraRows *groups;
	int n_groups;
	int n_rows; /* in a piece */
} GroupsWork;

static void rows_piece(void *work, int piece, int thread);

size_t
lm_lora_packed(int rank, int n, bool is_bfloat16)
{
	return (size_t) lm_divide_up((size_t) n, LM_LORA_BLOCK) * LM_LORA_BLOCK * (size_t) rank *
		   (is_bfloat16 ? sizeof(uint16_t) : sizeof(float));
}

/* The place of an element in a packed matrix. */
static size_t
place_of(int rank, int row, int column)
{
	return ((size_t) (column / LM_LORA_BLOCK) * (size_t) rank + (size_t) row) * LM_LORA_BLOCK +
		   (size_t) (column % LM_LORA_BLOCK);
}

static void
put(void *packed, size_t place, float value, bool is_bfloat16)
{
	if (is_bfloat16)
		((uint16_t *) packed)[place] = lm_bf16_from_float(value);
	else
		((float *) packed)[place] = value;
}

static float
value_at(const void *packed, size_t place, bool is_bfloat16)
{
	return is_bfloat16 ? lm_bf16_to_float(((const uint16_t *) packed)[place])
					   : ((const float *) packed)[place];
}

/* Clears the columns beyond n. */
static void
pad(void *packed, int rank, int n, bool is_bfloat16)
{
	for (int row = 0; row < rank; row++)
		for (int column = n; column % LM_LORA_BLOCK != 0; column++)
			put(packed, place_of(rank, row, column), 0, is_bfloat16);
}

void
lm_lora_pack_a(void *packed, const float *a, int rank, int n, bool is_bfloat16)
{
	for (int row = 0; row < rank; row++)
		for (int column = 0; column < n; column++)
			put(packed, place_of(rank, row, column), a[(size_t) row * (size_t) n + (size_t) column],
				is_bfloat16);
	pad(packed, rank, n, is_bfloat16);
}

void
lm_lora_pack_b(void *packed, const float *b, int rank, int n, float scale, bool is_bfloat16)
{
	for (int column = 0; column < n; column++)
		for (int row = 0; row < rank; row++)
			put(packed, place_of(rank, row, column),
				scale * b[(size_t) column * (size_t) rank + (size_t) row], is_bfloat16);
	pad(packed, rank, n, is_bfloat16);
}

void
lm_lora_add_weights(float *w, const void *a, const void *b, int rank, int row, int n_in,
					bool is_bfloat16)
{
	for (int r = 0; r < rank; r++)
	{
		float factor = value_at(b, place_of(rank, r, row), is_bfloat16);

		for (int i = 0; i < n_in; i++)
			w[i] += factor * value_at(a, place_of(rank, r, i), is_bfloat16);
	}
}

void
lm_lora_infer(LmEngine *engine, const LmLoraRows *groups, int n_groups)
{
	GroupsWork work = {groups, n_groups, 0};
	int n_rows = 0;
	double row_work = 0;

	for (int i = 0; i < n_groups; i++)
	{
		double one = ((double) groups[i].n_in + groups[i].n_out) * groups[i].rank;

		n_rows += groups[i].n_rows;
		row_work = one > row_work ? one : row_work;
	}
	if (n_rows == 0)
		return;
	work.n_rows = n_rows;
	if (lm_engine_threads(engine) > 1 && PIECE_WORK / row_work < n_rows)
		work.n_rows = (int) (PIECE_WORK / row_work) + 1;
	lm_engine_run(engine, rows_piece, &work, lm_divide_up((size_t) n_rows, (size_t) work.n_rows));
}

/* The beginning of the next adapter's matrix. */
static void
prefetch(const char *a)
{
	for (int i = 0; i < PREFETCHED; i += 64)
		__builtin_prefetch(a + i);
}

/* Rows are counted through all groups. */
static void
rows_piece(void *argument, int piece, int thread)
{
	const GroupsWork *work = argument;
	int first = piece * work->n_rows, end = first + work->n_rows, begin = 0;

	for (int i = 0; i < work->n_groups && begin < end; i++)
	{
		LmLoraRows rows = work->groups[i];
		int skipped = first > begin ? first - begin : 0, last = begin + rows.n_rows;

		begin = last;
		if (last <= first)
			continue;
		if (i + 1 < work->n_groups)
			prefetch(work->groups[i + 1].a);
		rows.rows += skipped;
		rows.n_rows = lm_smaller(last, end) - (last - rows.n_rows) - skipped;
		lm_simd()->lora(&rows);
	}
}

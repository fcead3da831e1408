/*
 * src/engine/model/bulk.c
 *
 * Clears and copies large arrays, and rows of them, on all threads.
 */
#include <string.h>

#include "model/network.h"

#define PIECE ((size_t) 1 << 18) /* floats: a megabyte, well below 10 ms */

typedef struct Bulk
{
	float *y;
	const float *x; /* NULL: zeros */
	size_t count;
} Bulk;

/* Rows of two arrays, of which one has gaps. */
typedef struct RowCopies
{
	float *y;
	const float *x;
	const int32_t *rows;
	size_t columns;
	int n;
	bool scatters;
} RowCopies;

#define ROWS 256 /* in a piece */

static void
bulk_piece(void *work, int piece, int thread)
{
	const Bulk *bulk = work;
	size_t first = (size_t) piece * PIECE;
	size_t count = bulk->count - first < PIECE ? bulk->count - first : PIECE;

	(void) thread;
	if (bulk->x)
		memcpy(bulk->y + first, bulk->x + first, count * sizeof(float));
	else
		memset(bulk->y + first, 0, count * sizeof(float));
}

void
lm_zero(LmEngine *engine, float *y, size_t count)
{
	Bulk bulk = {y, NULL, count};

	lm_engine_run(engine, bulk_piece, &bulk, (int) ((count + PIECE - 1) / PIECE));
}

void
lm_copy(LmEngine *engine, float *y, const float *x, size_t count)
{
	Bulk bulk = {y, x, count};

	lm_engine_run(engine, bulk_piece, &bulk, (int) ((count + PIECE - 1) / PIECE));
}

static void
rows_piece(void *work, int piece, int thread)
{
	const RowCopies *copies = work;
	int first = piece * ROWS, last = copies->n - first < ROWS ? copies->n : first + ROWS;

	(void) thread;
	for (int i = first; i < last; i++)
	{
		size_t apart = (size_t) copies->rows[i] * copies->columns;
		size_t packed = (size_t) i * copies->columns;

		memcpy(copies->y + (copies->scatters ? apart : packed),
			   copies->x + (copies->scatters ? packed : apart), copies->columns * sizeof(float));
	}
}

void
lm_gather_rows(LmEngine *engine, float *y, const float *x, const int32_t *rows, int n, int C)
{
	RowCopies copies = {y, x, rows, (size_t) C, n, false};

	lm_engine_run(engine, rows_piece, &copies, (n + ROWS - 1) / ROWS);
}

void
lm_scatter_rows(LmEngine *engine, float *y, const float *x, const int32_t *rows, int n, int C)
{
	RowCopies copies = {y, x, rows, (size_t) C, n, true};

	lm_engine_run(engine, rows_piece, &copies, (n + ROWS - 1) / ROWS);
}

/*
 * src/engine/model/bulk.c
 *
 * Clears and copies large arrays on all threads.
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

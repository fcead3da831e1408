/*
 * src/engine/model/bulk.c
 *
 * Clears large arrays on all threads.
 */
#include <string.h>

#include "model/network.h"

#define PIECE ((size_t) 1 << 18) /* floats: a megabyte, well below 10 ms */

typedef struct Bulk
{
	float *y;
	size_t count;
} Bulk;

static void
bulk_piece(void *work, int piece, int thread)
{
	const Bulk *bulk = work;
	size_t first = (size_t) piece * PIECE;
	size_t count = bulk->count - first < PIECE ? bulk->count - first : PIECE;

	(void) thread;
	memset(bulk->y + first, 0, count * sizeof(float));
}

void
lm_zero(LmEngine *engine, float *y, size_t count)
{
	Bulk bulk = {y, count};

	lm_engine_run(engine, bulk_piece, &bulk, (int) ((count + PIECE - 1) / PIECE));
}

/*
 * src/engine/train/batch.c
 *
 * The arrays of a batch, in one block of memory.
 */
#include <string.h>

#include "engine/batch.h"
#include "base/arena.h"

static void
lay_out(LmBatch *batch, LmArena *arena, size_t capacity)
{
	batch->tokens = lm_arena_take(arena, capacity, sizeof(int32_t));
	batch->targets = lm_arena_take(arena, capacity, sizeof(int32_t));
	batch->weights = lm_arena_take(arena, capacity, sizeof(float));
	batch->positions = lm_arena_take(arena, capacity, sizeof(int32_t));
	batch->starts = lm_arena_take(arena, capacity, sizeof(int32_t));
	batch->prefixes = lm_arena_take(arena, capacity, sizeof(int32_t));
	batch->examples = lm_arena_take(arena, capacity, sizeof(int32_t));
	batch->values = lm_arena_take(arena, capacity, sizeof(float));
}

bool
lm_batch_create(LmBatch *batch, const LmHost *host, int capacity, LmError *error)
{
	LmArena arena = {0};

	memset(batch, 0, sizeof *batch);
	if (capacity < 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a batch of %d tokens is not possible",
					   capacity);
	lay_out(batch, &arena, (size_t) capacity);
	arena.base = lm_allocate(host, arena.used);
	if (!arena.base)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a batch of %d tokens",
					   capacity);
	arena.used = 0;
	lay_out(batch, &arena, (size_t) capacity);
	batch->capacity = capacity;
	batch->group = 1;
	return true;
}

/* The tokens are the first slice, so they bear the block's address. */
void
lm_batch_free(LmBatch *batch, const LmHost *host)
{
	lm_free(host, batch->tokens);
	memset(batch, 0, sizeof *batch);
}

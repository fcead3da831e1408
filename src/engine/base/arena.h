/*
 * src/engine/base/arena.h
 *
 * Cuts one block of memory into 64-byte aligned slices. Without a block it only adds up, so that
 * the same function gives the size of a layout and makes it: there is no second formula.
 */
#ifndef LM_ARENA_H
#define LM_ARENA_H

#include "engine/host.h"

/*
 * A block that is being cut, or counted. Once overflow is set, slices are NULL and used is of no
 * use.
 */
typedef struct LmArena
{
	char *base; /* NULL: count only */
	size_t used;
	bool overflow;
} LmArena;

/* count elements of size bytes each; NULL while counting */
static inline void *
lm_arena_take(LmArena *arena, size_t count, size_t size)
{
	size_t begin = arena->used, bytes;

	if (!lm_size_multiply(&bytes, count, size) || !lm_size_add(&bytes, bytes, 63) ||
		!lm_size_add(&arena->used, arena->used, bytes / 64 * 64))
	{
		arena->overflow = true;
		return NULL;
	}
	return arena->base ? arena->base + begin : NULL;
}

/* rows x columns floats */
static inline float *
lm_arena_floats(LmArena *arena, size_t rows, size_t columns)
{
	size_t count;

	if (!lm_size_multiply(&count, rows, columns))
	{
		arena->overflow = true;
		return NULL;
	}
	return lm_arena_take(arena, count, sizeof(float));
}

#endif /* LM_ARENA_H */

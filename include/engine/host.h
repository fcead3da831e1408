/*
 * include/engine/host.h
 *
 * The services that the caller of the engine provides: memory, whether to stop, and a secret. Both
 * functions are called on the thread that called the engine, never on a thread of the pool, and
 * neither may jump out of the engine.
 */
#ifndef LM_HOST_H
#define LM_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/hash.h"

/* Copied by the objects that keep it; context must outlive them. */
typedef struct LmHost
{
	/*
	 * Like realloc: pointer NULL allocates, size 0 frees and returns NULL, otherwise the block
	 * moves. NULL for a size above 0 means that there is no memory; the old block then stays. Not
	 * zeroed.
	 */
	void *(*reallocate)(void *context, void *pointer, size_t size);
	/*
	 * True when the caller of the engine wants it to return soon with LM_ERR_STOPPED. May be NULL.
	 */
	bool (*should_stop)(void *context);
	void *context;
	LmHashKey hash_key; /* of tables over what users give; results do not depend on it */
} LmHost;

/*
 * Allocates size bytes on a 64-byte boundary, zeroed; NULL when there is no memory. Freed by
 * lm_free.
 */
void *lm_allocate(const LmHost *host, size_t size);
/* The same, not zeroed: for large blocks that are written before they are read. */
void *lm_allocate_unset(const LmHost *host, size_t size);
/*
 * The same in huge pages where the system gives them and the block has LM_LEAST_HUGE bytes: for
 * blocks that are read and written all over, again and again. A touched huge page takes all of its
 * memory. The block itself is aligned to 64 bytes only. Not zeroed.
 */
#define LM_HUGE_PAGE ((size_t) 2 << 20)
#define LM_LEAST_HUGE (2 * LM_HUGE_PAGE)
void *lm_allocate_huge(const LmHost *host, size_t size);
void lm_free(const LmHost *host, void *pointer);

/* Product of two sizes, and *sum = a + b; false on overflow. */
bool lm_size_multiply(size_t *product, size_t a, size_t b);
bool lm_size_add(size_t *sum, size_t a, size_t b);

#endif /* LM_HOST_H */

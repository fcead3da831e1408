/*
 * src/engine/base/region.h
 *
 * Allocation inside one block of memory, for a thread that must not ask the host. Made for a few
 * live blocks: the first free place that is large enough is taken, in a walk over all.
 *
 *   block  | size | used | bytes ... | size | used | bytes ... |    sizes are multiples of 16
 */
#ifndef LM_REGION_H
#define LM_REGION_H

#include <stddef.h>

/* The block of memory, which is the caller's. */
typedef struct LmRegion
{
	char *base; /* aligned to 16 */
	size_t size;
} LmRegion;

/* base is aligned to 16; size bytes, rounded down to a multiple of 16, are free at first. */
void lm_region_init(LmRegion *region, void *base, size_t size);

/* As LmHost.reallocate; NULL where the region is too small. */
void *lm_region_reallocate(LmRegion *region, void *pointer, size_t size);

#endif /* LM_REGION_H */

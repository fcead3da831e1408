/*
 * src/engine/base/region.c
 *
 * A block of memory goes in, smaller blocks come out; neighbours that are free become one when a
 * walk meets them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/region.h"

#define UNIT 16

typedef struct Header
{
	size_t size; /* of the bytes after it */
	size_t used; /* 0: free */
} Header;

_Static_assert(sizeof(Header) == UNIT, "a header keeps the data after it aligned");

static Header *next_header(const LmRegion *region, Header *header);
static void merge_free(const LmRegion *region, Header *header);
static void split(Header *header, size_t size);

void
lm_region_init(LmRegion *region, void *base, size_t size)
{
	Header *first = base;

	region->base = base;
	region->size = size / UNIT * UNIT;
	*first = (Header){region->size - sizeof(Header), 0};
}

void *
lm_region_reallocate(LmRegion *region, void *pointer, size_t size)
{
	Header *old = pointer ? (Header *) pointer - 1 : NULL;
	size_t wanted = (size + UNIT - 1) / UNIT * UNIT;

	if (size == 0)
	{
		if (old)
			old->used = 0;
		return NULL;
	}
	if (size > region->size)
		return NULL;
	if (old)
	{
		merge_free(region, old);
		if (old->size >= wanted)
		{
			split(old, wanted);
			return pointer;
		}
	}
	for (Header *header = (Header *) region->base; header; header = next_header(region, header))
	{
		if (header->used)
			continue;
		merge_free(region, header);
		if (header->size < wanted)
			continue;
		split(header, wanted);
		header->used = 1;
		if (old)
		{
			memcpy(header + 1, pointer, old->size);
			old->used = 0;
		}
		return header + 1;
	}
	return NULL;
}

static Header *
next_header(const LmRegion *region, Header *header)
{
	char *next = (char *) (header + 1) + header->size;

	return next < region->base + region->size ? (Header *) next : NULL;
}

/* Joins the free blocks after a block to it. */
static void
merge_free(const LmRegion *region, Header *header)
{
	for (Header *next = next_header(region, header); next && !next->used;
		 next = next_header(region, header))
		header->size += sizeof(Header) + next->size;
}

/* Gives back the bytes after the first size ones. */
static void
split(Header *header, size_t size)
{
	Header *rest;

	if (header->size < size + 2 * UNIT)
		return;
	rest = (Header *) ((char *) (header + 1) + size);
	*rest = (Header){header->size - size - sizeof(Header), 0};
	header->size = size;
}

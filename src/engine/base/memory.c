/*
 * src/engine/base/memory.c
 *
 * Aligned, zeroed blocks on top of the host's allocator, and checked arithmetic of sizes.
 *
 * A block is  | slack | pointer that the host gave | 64-byte aligned memory ... |
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/host.h"

#define ALIGNMENT 64

bool
lm_size_multiply(size_t *product, size_t a, size_t b)
{
	return !__builtin_mul_overflow(a, b, product);
}

bool
lm_size_add(size_t *sum, size_t a, size_t b)
{
	return !__builtin_add_overflow(a, b, sum);
}

void *
lm_allocate(const LmHost *host, size_t size)
{
	void *block = lm_allocate_unset(host, size);

	if (block)
		memset(block, 0, size);
	return block;
}

void *
lm_allocate_unset(const LmHost *host, size_t size)
{
	size_t total;
	char *block, *aligned;

	if (!lm_size_add(&total, size ? size : 1, ALIGNMENT + sizeof(void *)))
		return NULL;
	block = host->reallocate(host->context, NULL, total);
	if (!block)
		return NULL;
	aligned = block + sizeof(void *);
	aligned += -(uintptr_t) aligned & (ALIGNMENT - 1);
	memcpy(aligned - sizeof(void *), &block, sizeof block);
	return aligned;
}

/* The advice has no effect where the system has no huge pages, or none left. */
void *
lm_allocate_huge(const LmHost *host, size_t size)
{
	void *block = lm_allocate_unset(host, size);

#ifdef MADV_HUGEPAGE
	if (block && size >= LM_LEAST_HUGE)
	{
		uintptr_t begin = ((uintptr_t) block + LM_HUGE_PAGE - 1) / LM_HUGE_PAGE * LM_HUGE_PAGE;

		(void) madvise((void *) begin,
					   ((uintptr_t) block + size - begin) / LM_HUGE_PAGE * LM_HUGE_PAGE,
					   MADV_HUGEPAGE);
	}
#endif
	return block;
}

void
lm_free(const LmHost *host, void *pointer)
{
	void *block;

	if (!pointer)
		return;
	memcpy(&block, (char *) pointer - sizeof(void *), sizeof block);
	host->reallocate(host->context, block, 0);
}

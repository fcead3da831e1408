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
#include <unistd.h>

#include "engine/host.h"

#define ALIGNMENT 64
#define LEAST_HUGE ((size_t) 4 << 20)

static void advise_huge(void *block, size_t size);

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

void *
lm_allocate_huge(const LmHost *host, size_t size)
{
	void *block = lm_allocate_unset(host, size);

	if (block && size >= LEAST_HUGE)
		advise_huge(block, size);
	return block;
}

/* Of no consequence where the system has no huge pages, or none left. */
static void
advise_huge(void *block, size_t size)
{
#ifdef MADV_HUGEPAGE
	uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
	uintptr_t begin = ((uintptr_t) block + page - 1) / page * page;

	(void) madvise((void *) begin, ((uintptr_t) block + size - begin) / page * page, MADV_HUGEPAGE);
#endif
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

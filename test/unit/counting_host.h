/*
 * test/unit/counting_host.h
 *
 * A host that knows how many bytes are in use, and that says stop after a number of questions.
 */
#ifndef TEST_COUNTING_HOST_H
#define TEST_COUNTING_HOST_H

#include "tap.h"

/*
 * A host that counts live bytes and can stop after a number of questions. New memory is full of
 * NaNs: what is not written must not be read.
 */
typedef struct CountingHost
{
	size_t live;
	size_t peak;
	long questions; /* until it says stop; -1: never */
} CountingHost;

static inline void *
counting_reallocate(void *context, void *pointer, size_t size)
{
	CountingHost *host = context;
	size_t *block = pointer ? (size_t *) pointer - 2 : NULL;

	host->live -= block ? block[0] : 0;
	if (size == 0)
	{
		free(block);
		return NULL;
	}
	block = realloc(block, size + 2 * sizeof(size_t));
	if (!pointer)
		memset(block + 2, 0xff, size);
	block[0] = size;
	host->live += size;
	host->peak = host->live > host->peak ? host->live : host->peak;
	return block + 2;
}

static inline bool
counting_should_stop(void *context)
{
	CountingHost *host = context;

	if (host->questions > 0)
		host->questions--;
	return host->questions == 0;
}

static inline LmHost
counting_host(CountingHost *state)
{
	*state = (CountingHost){.questions = -1};
	return (LmHost){
		.reallocate = counting_reallocate, .should_stop = counting_should_stop, .context = state};
}

#endif /* TEST_COUNTING_HOST_H */

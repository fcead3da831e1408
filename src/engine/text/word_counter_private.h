/*
 * src/engine/text/word_counter_private.h
 *
 * What counting (word_counter.c) and spilling (word_spill.c) know of a counter.
 */
#ifndef LM_TEXT_WORD_COUNTER_PRIVATE_H
#define LM_TEXT_WORD_COUNTER_PRIVATE_H

#include "base/region.h"
#include "text/normalize.h"
#include "text/split.h"
#include "text/word_counter.h"

#define LM_COUNT_SEGMENTS 256 /* of a run */
#define LM_COUNT_BATCH 256 /* words */

/* Whole texts, or a part of one. */
typedef struct LmCountSegment
{
	int text, n; /* the first one, and how many */
	size_t begin, end; /* of one text */
	int next; /* the text to go on with, ... */
	size_t counted; /* ... how many bytes of it, in the normal form, are counted, ... */
	size_t piece; /* ... and where the piece begins that has the first other one */
	bool done;
	bool alone; /* for the caller's thread */
} LmCountSegment;

/* Of one thread; the context of its split's host. */
typedef struct LmCountWorker
{
	LmWordCounter *counter;
	int thread;
	LmRegion region;
	LmSplit split;
	LmText normalized; /* scratch, kept between texts */
	LmPieces pieces;
	LmWords words;
	LmBytes batch[LM_COUNT_BATCH]; /* words of the text to count at once */
	int n_batch;
	size_t batch_size;
	bool wants_room;
} LmCountWorker;

struct LmWordCounter
{
	LmHost host;
	LmCounterOptions options; /* without the pattern */
	bool cuts; /* a text may be cut between two words */
	int n_workers;
	/*
	 * one for each thread; then one more for the caller's thread, which asks the host, and adds to
	 * the first one's table
	 */
	LmCountWorker *workers;
	LmCountWorker *alone;
	void *memory; /* of all regions */

	const LmBytes *texts; /* of the call */
	int n_texts;
	int text; /* the next segment begins here ... */
	size_t position; /* ... at this byte */
	LmCountSegment segments[LM_COUNT_SEGMENTS];
	int n_segments;
	int failed; /* the text that an error is about */
	bool full;

	LmWordCursor cursor; /* of a spill */
	int spilling; /* the table that it stands in */
	char *buffers; /* [LM_SPILL_PARTS] of LM_SPILL_BLOCK bytes */
	size_t filled[LM_SPILL_PARTS];
};

#endif /* LM_TEXT_WORD_COUNTER_PRIVATE_H */

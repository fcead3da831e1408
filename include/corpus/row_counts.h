/*
 * include/corpus/row_counts.h
 *
 * How often each row of a query occurs, in a bounded memory: while rows are read they are counted
 * by the hash of what they hold. Where too many differ, only those with a small hash are counted,
 * which is a fair sample of them. Neither depends on the order of the rows.
 */
#ifndef GPT_ROW_COUNTS_H
#define GPT_ROW_COUNTS_H

#include "engine/held_out.h"

typedef struct GptRowCounts
{
	const LmHost *host;
	LmRowGroup *groups; /* after gpt_row_counts_finish in the order of keys, each key once */
	size_t n;
	size_t capacity;
	size_t most; /* groups that the memory is for */
	uint64 below; /* this key and smaller ones are counted; PG_UINT64_MAX: all */
	int64 n_rows; /* all of them, counted or not */
	int64 n_bytes;
} GptRowCounts;

/*
 * In the current memory context; takes an eighth of gpt.max_memory at most, and half as much again
 * while it grows.
 */
extern GptRowCounts *gpt_row_counts_create(void);
extern void gpt_row_counts_free(GptRowCounts *counts);

/* A row whose key is a well mixed hash; prompt and label are those of LmRowGroup. */
extern void gpt_row_counts_add(GptRowCounts *counts, uint64 key, uint64 prompt, uint32 size,
							   uint32 label);

/* After the last row. */
extern void gpt_row_counts_finish(GptRowCounts *counts);

/* Groups without a flag of these go, and the memory with them. */
extern void gpt_row_counts_keep(GptRowCounts *counts, uint32 flags);

#endif /* GPT_ROW_COUNTS_H */

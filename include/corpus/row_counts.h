/*
 * include/corpus/row_counts.h
 *
 * Counts how often each row of a query occurs, in bounded memory. Rows are counted by the hash of
 * their content while they are read. If there are too many different rows, only those with a small
 * hash are counted, which is a fair sample. The result does not depend on the order of the rows.
 */
#ifndef GPT_ROW_COUNTS_H
#define GPT_ROW_COUNTS_H

#include "engine/held_out.h"

/* Counts of equal rows, by a hash of their text. When memory runs out, only small keys are kept. */
typedef struct GptRowCounts
{
	const LmHost *host;
	LmRowGroup *groups; /* after gpt_row_counts_finish in the order of keys, each key once */
	size_t n;
	size_t capacity;
	size_t most; /* groups that fit into the memory limit */
	uint64 below; /* this key and smaller ones are counted; PG_UINT64_MAX: all */
	int64 n_rows; /* all of them, counted or not */
	int64 n_bytes;
} GptRowCounts;

/*
 * In the current memory context. Uses at most an eighth of gpt.max_memory, and half as much again
 * while it grows.
 */
extern GptRowCounts *gpt_row_counts_create(void);
extern void gpt_row_counts_free(GptRowCounts *counts);

/* Counts a row. key: a well-mixed hash; prompt, size and label: as in LmRowGroup. */
extern void gpt_row_counts_add(GptRowCounts *counts, uint64 key, uint64 prompt, uint32 size,
							   uint32 label);

/* After the last row: merges and sorts the groups. */
extern void gpt_row_counts_finish(GptRowCounts *counts);

/* Removes groups that have none of these flags, and frees their memory. */
extern void gpt_row_counts_keep(GptRowCounts *counts, uint32 flags);

#endif /* GPT_ROW_COUNTS_H */

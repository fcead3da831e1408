/*
 * src/corpus/replay.h
 *
 * Rows that are drawn from many, as the old ones that a fine-tune learns again: exactly as many as
 * are wanted, wherever there are so many, and the same ones in whatever order they are read. Rows
 * are read twice: counted, then drawn.
 */
#ifndef GPT_REPLAY_H
#define GPT_REPLAY_H

#include "corpus/row_counts.h"
#include "corpus/source.h"

/* A draw without replacement; equal rows are interchangeable. */
typedef struct GptReplay
{
	uint64 seed;
	/* after _choose, n_rows of a group is the number of its rows that are not drawn yet */
	GptRowCounts *counts;
	int64 chosen; /* rows in total */
} GptReplay;

/* In the current memory context. */
extern GptReplay *gpt_replay_create(uint64 seed);
extern void gpt_replay_free(GptReplay *replay);

/* The key of a row; hash: two hashes of its texts. */
extern uint64 gpt_replay_key(const GptSourceRow *row, const uint64 *hash);

/* Counts a row on the first reading; equal rows have equal keys. */
extern void gpt_replay_count(GptReplay *replay, uint64 key);

/*
 * _choose, after the last row, decides how many rows of each key are drawn. _draw, on the second
 * reading, returns whether this row is drawn.
 */
extern void gpt_replay_choose(GptReplay *replay, int64 wanted);
extern bool gpt_replay_draw(GptReplay *replay, uint64 key);

#endif /* GPT_REPLAY_H */

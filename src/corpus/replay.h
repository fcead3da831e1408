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

typedef struct GptReplay
{
	uint64 seed;
	/* once it is chosen: n_rows of a group are those that are still to be drawn */
	GptRowCounts *counts;
	int64 chosen;
} GptReplay;

/* In the current memory context. */
extern GptReplay *gpt_replay_create(uint64 seed);
extern void gpt_replay_free(GptReplay *replay);

/* The identity of an old row; hash: of its texts. */
extern uint64 gpt_replay_key(const GptSourceRow *row, const uint64 *hash);

/* key: equal for equal rows. */
extern void gpt_replay_count(GptReplay *replay, uint64 key);

/* After the last row has been counted: of which rows how many are drawn. */
extern void gpt_replay_choose(GptReplay *replay, int64 wanted);
extern bool gpt_replay_draw(GptReplay *replay, uint64 key);

#endif /* GPT_REPLAY_H */

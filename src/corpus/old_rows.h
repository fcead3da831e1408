/*
 * src/corpus/old_rows.h
 *
 * Rows up to a watermark, in a temporary file of the server, until it is known how many of them a
 * fine-tune learns again. So the query runs once.
 */
#ifndef GPT_OLD_ROWS_H
#define GPT_OLD_ROWS_H

#include "corpus/replay.h"

/* Rows below the watermark in a temporary file, from which a share is replayed. */
typedef struct GptOldRows GptOldRows;

/* In the current memory context, which must outlive the query. */
extern GptOldRows *gpt_old_rows_create(uint64 seed);
extern void gpt_old_rows_free(GptOldRows *rows);

/*
 * Keeps a row; hash: two hashes of its texts, as in GptDocument. Raises an error if texts and
 * labels have more than gpt.max_corpus_size.
 */
extern void gpt_old_rows_keep(GptOldRows *rows, const GptSourceRow *row, const uint64 *hash);

/*
 * Draws `wanted` of the rows, or all if there are fewer, and calls back for each in the order of
 * the query, without its watermark. Returns their number. Called once.
 */
extern int64 gpt_old_rows_draw(GptOldRows *rows, int64 wanted, GptSourceCallback callback,
							   void *context);

#endif /* GPT_OLD_ROWS_H */

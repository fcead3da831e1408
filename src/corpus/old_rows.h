/*
 * src/corpus/old_rows.h
 *
 * Rows up to a watermark, in a temporary file of the server, until it is known how many of them a
 * fine-tune learns again. So the query runs once.
 */
#ifndef GPT_OLD_ROWS_H
#define GPT_OLD_ROWS_H

#include "corpus/replay.h"

typedef struct GptOldRows GptOldRows;

/* In the current memory context, which must outlive the query. */
extern GptOldRows *gpt_old_rows_create(uint64 seed);
extern void gpt_old_rows_free(GptOldRows *rows);

/*
 * Keeps a row. hash: of its texts. Error when the rows have more text than gpt.max_corpus_size.
 */
extern void gpt_old_rows_keep(GptOldRows *rows, const GptSourceRow *row, const uint64 *hash);

/*
 * Draws so many of the rows that were kept, or all, and calls back for each in the order of the
 * query, without its watermark. Returns how many there were. Once.
 */
extern int64 gpt_old_rows_draw(GptOldRows *rows, int64 wanted, GptSourceCallback callback,
							   void *context);

#endif /* GPT_OLD_ROWS_H */

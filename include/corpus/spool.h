/*
 * include/corpus/spool.h
 *
 * The documents of a corpus in the order in which the query gave them, in a temporary file of the
 * server, so that the query's snapshot can end before the work begins. Read as often as wanted.
 */
#ifndef GPT_SPOOL_H
#define GPT_SPOOL_H

#include "corpus/held_out.h"
#include "corpus/label_table.h"

typedef enum GptSide
{
	GPT_SIDE_TRAIN,
	GPT_SIDE_VALIDATION,
	GPT_N_SIDES
} GptSide;

typedef struct GptDocument
{
	const char *text; /* lives until the next one is read */
	size_t size;
	/* of the row's text alone: its prompt's and its completion's, where it has a prompt */
	uint64 hash[2];
	GptSide side;
	bool is_prompt; /* of the next document, which has the same hash, side and weight */
	uint64 row; /* number of its row in the order of ... */
	const char *query; /* ... "query" or "validation_query" */
	float weight;
	uint32 label; /* number among gpt_spool_labels, or among its sets */
} GptDocument;

typedef struct GptSpool GptSpool;

#define GPT_WATERMARK_SIZE 400 /* bytes of a watermark's text, at most */

/*
 * How the side of a document is decided: a column of the query, a query of its own, or the rule of
 * held_out.h.
 */
typedef struct GptSpoolOptions
{
	const char *query;
	const char *validation_query; /* or NULL */
	double validation_fraction;
	bool joined; /* prompts and weights are refused */
	const char *watermark; /* column whose largest value is wanted, or NULL */
	const char *since; /* only rows whose column is greater than this are read, and ... */
	double replay; /* ... so large a share of documents from the others; or NULL */
	uint64 seed; /* of their choice */
	char **labels; /* the only ones that rows may have, or NULL */
	int n_labels;
	bool multi_label; /* of those: rows have arrays */
	bool normalize_nfc; /* labels, as the tokenizer will do with texts */
} GptSpoolOptions;

/*
 * Runs the queries in the current transaction, under the active snapshot. Rows whose text is null
 * or empty, whose prompt or label is null or whose weight is 0 are skipped and counted. NULL where
 * there is nothing beyond options->since. Error when there is no document, or more text than
 * gpt.max_corpus_size. The spool lives in the current memory context and outlasts the transaction;
 * the file ends with the process, or by _free.
 */
extern GptSpool *gpt_spool_read(const GptSpoolOptions *options);
extern void gpt_spool_free(GptSpool *spool);

/*
 * The largest value of the watermark's column, which also reads back as text; options->since where
 * no row had one; or NULL.
 */
extern const char *gpt_spool_watermark(const GptSpool *spool);

/* Documents from rows up to options->since, and how many of them were wanted. */
extern int64 gpt_spool_replayed(const GptSpool *spool, int64 *wanted);

extern int64 gpt_spool_documents(const GptSpool *spool);
extern int64 gpt_spool_skipped(const GptSpool *spool);
/* Whether something is held out, or the query says what. */
extern bool gpt_spool_holds_out(const GptSpool *spool);
/* Whether the query has a column of prompts. */
extern bool gpt_spool_prompted(const GptSpool *spool);
/*
 * How it was chosen; NULL: the query chooses the validation rows, or there are none. Lives as long
 * as the spool.
 */
extern const GptHeldOut *gpt_spool_held_out(const GptSpool *spool);
/* Whole ones: a text that is cut is learnt. */
extern int64 gpt_spool_side_documents(const GptSpool *spool, GptSide side);
extern int64 gpt_spool_bytes(const GptSpool *spool, GptSide side);

/*
 * The labels of the options, or all that rows have; NULL where there is no column of labels. They
 * live as long as the spool.
 */
extern const GptLabels *gpt_spool_labels(const GptSpool *spool);

/* From the first document on; false after the last. Checks for interrupts. */
extern void gpt_spool_rewind(GptSpool *spool);
extern bool gpt_spool_next(GptDocument *document, GptSpool *spool);

#endif /* GPT_SPOOL_H */

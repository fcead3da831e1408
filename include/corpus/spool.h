/*
 * include/corpus/spool.h
 *
 * The documents of a corpus in the order in which the query gave them, in a temporary file of the
 * server, so that the query's snapshot can end before the work begins. Read as often as wanted.
 */
#ifndef GPT_SPOOL_H
#define GPT_SPOOL_H

#include "core/option_words.h"
#include "corpus/held_out.h"
#include "corpus/label_table.h"
#include "corpus/numbers.h"
#include "corpus/source.h"
#include "store/progress.h"

/* The two parts of a corpus. */
typedef enum GptSide
{
	GPT_SIDE_TRAIN,
	GPT_SIDE_VALIDATION,
	GPT_N_SIDES
} GptSide;

/*
 * A text to encode: a row, one of its texts, or one part of a text that is cut. The documents of a
 * row follow each other, those of a part too; each part becomes a window (or windows).
 */
typedef struct GptDocument
{
	const char *text; /* lives until the next one is read */
	size_t size;
	int part; /* from 0; the task says how many (gpt_task_group) */
	/* of the row: of its prompt (or text), and of all its text */
	uint64 hash[2];
	GptSide side;
	bool is_prompt; /* of the next document, which has the same hash, side, weight and part */
	bool is_pair; /* the next document, for which the same holds, is the other text of a pair */
	bool marked; /* a marked text (engine/marked_text.h): part of a conversation */
	uint64 row; /* number of its row in the order of ... */
	const char *query; /* ... "query" or "validation_query" */
	float weight;
	/* number among gpt_spool_labels, or among its sets; of regression the bits of the ... */
	uint32 label;
	double target; /* ... standardised number */
} GptDocument;

/* The rows of a job in a temporary file. */
typedef struct GptSpool GptSpool;

#define GPT_ENDING_SIZE 64 /* bytes in which all prompts end, at most */
#define GPT_WATERMARK_SIZE 400 /* bytes of a watermark's text, at most */

/*
 * The queries to read. A column, validation_query, or else the rule of held_out.h puts a document
 * on the validation side.
 */
typedef struct GptSpoolOptions
{
	const char *query;
	const char *validation_query; /* or NULL */
	bool texts_only; /* the query has one column of text, to train a tokenizer on */
	double validation_fraction;
	bool joined; /* prompts and weights are refused */
	const char *watermark; /* column whose largest value is wanted, or NULL */
	const char *since; /* reads rows whose column is greater than this; NULL: all rows */
	double replay; /* share of documents that come from the other rows, with since */
	uint64 seed; /* of the choice of these */
	char **labels; /* [n_labels] the only ones that rows may have, or NULL */
	int n_labels;
	/* the spool is one of several: it may have one label alone, and gpt_spool_agree follows */
	bool is_part;
	bool multi_label; /* of those: rows have arrays */
	GptNumbers numbers; /* of those: the label is a number */
	bool pair; /* of those: rows have two texts */
	bool normalize_nfc; /* labels, as the tokenizer will do with texts */
	const struct GptChatTemplate *chat; /* of rows that are conversations; NULL: not known */
	GptDedup dedup; /* repeated rows that are no documents */
	/* rows that are counted, if more than those; near ones only where they are not too many */
	GptDedup compare;
	bool list; /* gpt_spool_repeat will be called */
	bool in_transaction; /* the spool ends with the current transaction, not with the process */
	GptCleaner *cleaner; /* of the rows of both queries, which it counts; NULL: none */
} GptSpoolOptions;

/*
 * Runs the queries in the current transaction, under the active snapshot. Rows are skipped and
 * counted if their text is null or empty, their prompt or label is null, or their weight is 0.
 * Returns NULL if there are no rows beyond options->since. Errors: there is no document, or more
 * text than gpt.max_corpus_size. The spool lives in the current memory context and outlasts the
 * transaction; _free, or the end of the process, removes its file.
 */
extern GptSpool *gpt_spool_read(const GptSpoolOptions *options);
extern void gpt_spool_free(GptSpool *spool);

/*
 * A spool of that share of the training rows, at least one; of a long text the beginning. It is
 * drawn by the texts of the rows alone. Of an in_transaction spool, which outlives it.
 */
extern GptSpool *gpt_spool_sample(GptSpool *spool, double share, GptProgress *progress);

/*
 * The largest value of the watermark column, as text that reads back; options->since if all values
 * were null; NULL without such a column.
 */
extern const char *gpt_spool_watermark(const GptSpool *spool);

/* Counts of what option "clean" did to all rows that were read; NULL: there was no cleaner. */
extern const GptCleanCounts *gpt_spool_cleaned(const GptSpool *spool);

/* The number of replayed documents, and in *wanted how many there should be. */
extern int64 gpt_spool_replayed(const GptSpool *spool, int64 *wanted);

/* Numbers of repeated rows. What the spool was not asked to compare is 0. */
typedef struct GptDuplicates
{
	/* rows besides another one that ... */
	int64 exact; /* ... is equal in all learnt columns, or ... */
	int64 near; /* ... has nearly the same text, and the same label */
	/* those of them that are no documents, as options->dedup says */
	int64 dropped;
	/* documents that validation_query or is_validation holds out, though a document that is
	 * trained on repeats them */
	int64 leaked;
} GptDuplicates;

extern const GptDuplicates *gpt_spool_duplicates(const GptSpool *spool);

/* The repeated rows that were counted. */
extern GptDedup gpt_spool_comparison(const GptSpool *spool);

/*
 * src/corpus/duplicates.c: a remark for the job's note if many rows were dropped or any were
 * leaked, palloc'd; NULL: nothing to say.
 */
extern char *gpt_duplicates_note(const GptSpool *spool);

/* A row, and the row that is used instead. */
typedef struct GptRepeat
{
	uint64 row; /* their numbers in the order of the query */
	uint64 kept; /* 0: the row itself is used */
	double similarity; /* share of the characters that need no edit; 1: the rows are equal */
} GptRepeat;

/* The repeat of record number 0 to n - 1; false beyond the last. With options->list only. */
extern bool gpt_spool_repeat(GptRepeat *repeat, const GptSpool *spool, int64 number);

/*
 * Numbers of rows that became documents, and of rows that were skipped; gpt_spool_duplicates counts
 * the others.
 */
extern int64 gpt_spool_documents(const GptSpool *spool);
extern int64 gpt_spool_skipped(const GptSpool *spool);

/* The latter by reason, of all queries. */
extern const GptSkipped *gpt_spool_why_skipped(const GptSpool *spool);

/* Whether anything is held out, by the rule or by the query. */
extern bool gpt_spool_holds_out(const GptSpool *spool);

/* The task of the rows. */
extern const GptTask *gpt_spool_task(const GptSpool *spool);

/* Whether the query has a column of prompts, or of conversations, whose first part is a prompt. */
extern bool gpt_spool_prompted(const GptSpool *spool);

/* The bytes in which all prompts end, of validation rows too; they live as long as the spool. */
extern LmBytes gpt_spool_ending(const GptSpool *spool);

/* Whether the rows are conversations: their documents are marked. */
extern bool gpt_spool_marked(const GptSpool *spool);

/*
 * The choice by the rule, which lives as long as the spool; NULL if the query chooses the
 * validation rows or nothing is held out.
 */
extern const GptHeldOut *gpt_spool_held_out(const GptSpool *spool);

/* Documents and bytes of a side. A text that is cut counts as a training document. */
extern int64 gpt_spool_side_documents(const GptSpool *spool, GptSide side);
extern int64 gpt_spool_bytes(const GptSpool *spool, GptSide side);

/*
 * The labels of the options, or else of the rows; NULL if the query has no column "label". They
 * live as long as the spool.
 */
extern const GptLabels *gpt_spool_labels(const GptSpool *spool);

/* Of regression; otherwise its scale is 0. */
extern GptNumbers gpt_spool_numbers(const GptSpool *spool);

/* Of regression: the moments of the numbers of all training rows. Reads the spool. */
extern GptMoments gpt_spool_moments(GptSpool *spool);

/*
 * What several servers have agreed on: the labels of all of them, among which are the spool's, in
 * the order of the agreement, and the mean and scale of all numbers (scale 0: there are none).
 * Documents have these from here on. What it needs of names is copied.
 */
extern void gpt_spool_agree(GptSpool *spool, char *const *names, int n, GptNumbers numbers);

/*
 * From here on conversations are read as the contents of their messages, or as marked texts again:
 * a tokenizer is trained on what people wrote.
 */
extern void gpt_spool_read_contents(GptSpool *spool, bool plain);

/*
 * _rewind goes back to the first document; _next reads one, and returns false after the last.
 * Checks for interrupts.
 */
extern void gpt_spool_rewind(GptSpool *spool);
extern bool gpt_spool_next(GptDocument *document, GptSpool *spool);

#endif /* GPT_SPOOL_H */

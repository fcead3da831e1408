/*
 * src/jobs/maintain_batch.h
 *
 * One batch of a maintained column: some rows, read in one short transaction, computed and written
 * in another (src/jobs/maintain_batch.c).
 */
#ifndef GPT_MAINTAIN_BATCH_H
#define GPT_MAINTAIN_BATCH_H

#include "store/maintained_table.h"
#include "store/mark.h"

typedef enum GptBatchKind
{
	GPT_BATCH_FRESH, /* rows that were changed */
	GPT_BATCH_DUE, /* rows that are tried again */
	GPT_BATCH_FILL, /* the next existing rows */
} GptBatchKind;

/* A row of a batch. */
typedef struct GptBatchItem
{
	char *key;
	const GptMarked *marked; /* NULL: a row of before */
	MinimalTuple row; /* as `columns`; NULL: it does not exist any more */
	bool locked; /* by this transaction, and its inputs are those that were read */
	bool moved; /* a trigger of the table has changed its inputs when it was written */
} GptBatchItem;

typedef struct GptBatch
{
	MemoryContext context; /* of all that it holds */
	GptMaintenance *maintenance;
	const GptTrainOptions *options;
	GptBatchKind kind;
	GptMaintainedTable table;
	const char *prefix; /* of names that no column of the expression begins with */
	TupleDesc columns; /* number of the item from 1, whether the column is null, keys, reads */
	GptBatchItem *items;
	int n;
	int n_read; /* rows of the table, of a filling */
	char *end_key; /* of a filling: the last key that was read; NULL: none */
	bool ends; /* there is none after it */
} GptBatch;

/*
 * Inside a transaction: reads at most `most` rows into the batch, whose context, maintenance,
 * options and kind are set.
 */
extern void gpt_batch_read(GptBatch *batch, int most);

/*
 * Inside a transaction: computes the values of items [from, to), writes those whose rows are
 * neither changed nor locked, and settles their marks and the position of the filling.
 */
extern void gpt_batch_write(GptBatch *batch, int from, int to);

/* Inside a transaction: records that the try on an item failed. */
extern void gpt_batch_fail_item(GptBatch *batch, int item, const char *error);

/* Inside a transaction: the position of a filling after item `to` - 1, with n values written. */
extern void gpt_batch_record(const GptBatch *batch, int to, int n);

/* ---- src/jobs/maintain_statement.c: the SQL of a batch ------------------------ */

/* Reads marked rows: $1 is their keys as text[]. */
extern char *gpt_batch_marked_statement(const GptBatch *batch);

/* Reads the next existing rows: $1 is the last key, if there is one, and $2 the number. */
extern char *gpt_batch_next_statement(const GptBatch *batch);

/* Computes: gpt_rows has the columns of the batch; the result has these and the value. */
extern char *gpt_batch_compute_statement(const GptBatch *batch);

/* Locks the rows that are as they were; gpt_values is what _compute gave. */
extern char *gpt_batch_lock_statement(const GptBatch *batch);

/* Writes: $1 is the numbers of the items; returns those whose inputs a trigger has changed. */
extern char *gpt_batch_update_statement(const GptBatch *batch, bool same_type);

/* Removes the value of the row with the key $1. */
extern char *gpt_batch_clear_statement(const GptBatch *batch);

#endif /* GPT_MAINTAIN_BATCH_H */

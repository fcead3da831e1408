/*
 * include/source.h
 *
 * The query that gives the rows of a corpus: checked when it is submitted, read once as a stream.
 */
#ifndef GPT_SOURCE_H
#define GPT_SOURCE_H

/* What a query is used for: names the query in messages, and says which columns it may have. */
typedef enum GptSourceKind
{
	GPT_SOURCE_TRAIN, /* one text column, and a boolean column is_validation if wanted */
	GPT_SOURCE_VALIDATION, /* one text column */
	GPT_SOURCE_TOKENIZER, /* one text column */
} GptSourceKind;

typedef struct GptSourceShape
{
	int text_column; /* counted from 1 */
	int validation_column; /* 0: none */
	bool ordered; /* ORDER BY at the top level */
} GptSourceShape;

/*
 * Parses, analyses, rewrites and plans the query as the current role, without running it. Error unless it is
 * one plain SELECT of permanent relations, without parameters and row locks, whose columns are named, not
 * twice the same, and of an accepted shape. Needs an active snapshot.
 */
extern void gpt_source_check(GptSourceShape *shape, const char *query, GptSourceKind kind);

/* One row; the text lives until the callback returns. */
typedef struct GptSourceRow
{
	const char *text; /* NULL for a null */
	size_t size;
	bool validation; /* false for a null */
} GptSourceRow;

typedef void (*GptSourceCallback)(void *context, const GptSourceRow *row);

/*
 * Checks the query again, runs it read-only under the active snapshot and calls back for each row, in a
 * memory context that is reset after each. Error when it takes longer than gpt.read_timeout, which is looked at
 * between rows: who cannot rely on statement_timeout arms a timeout of his own.
 */
extern void gpt_source_read(const char *query, GptSourceKind kind, GptSourceCallback callback, void *context);

#endif /* GPT_SOURCE_H */

/*
 * src/sql/comparison.h
 *
 * Completions that a model generates, beside those that rows have: measures of all of them
 * together. Rows wait until there are enough of them to be answered together.
 */
#ifndef GPT_COMPARISON_H
#define GPT_COMPARISON_H

#include "core/options.h"
#include "corpus/row_scores.h"
#include "corpus/source.h"
#include "engine/overlap.h"
#include "serve/call.h"

/* Sums over rows by their weights; those of rows that wait are missing. */
typedef struct GptComparison
{
	const GptServed *served;
	const GptTrainOptions *options;
	bool chats; /* prompts are conversations as marked texts */
	double exact; /* rows whose completion is theirs */
	double rouge;
	LmOverlap overlap;
	GptRowScores *scores; /* of rows in their order */

	MemoryContext context; /* of the rows that wait */
	struct GptWaiting *waiting;
	int n_waiting;
	size_t size; /* of their texts */
} GptComparison;

/* In the current memory context, where it stays. */
extern GptComparison *gpt_comparison_create(const GptServed *served, const GptTrainOptions *options,
											bool chats);

/*
 * Copies a row's prompt, and the completion that is wanted, of n_tokens. _finish answers those that
 * wait. Errors name the row.
 */
extern void gpt_comparison_add(GptComparison *comparison, const GptSourceRow *row, LmBytes prompt,
							   LmBytes wanted, int64 n_tokens);
extern void gpt_comparison_finish(GptComparison *comparison);

#endif /* GPT_COMPARISON_H */

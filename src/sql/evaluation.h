/*
 * src/sql/evaluation.h
 *
 * A model that is measured on the rows of a query: the common part of gpt_evaluate and gpt_compare.
 */
#ifndef GPT_EVALUATION_H
#define GPT_EVALUATION_H

#include "fmgr.h"

#include "core/options.h"
#include "corpus/classification.h"
#include "corpus/regression.h"
#include "corpus/source.h"
#include "serve/cache.h"
#include "sql/comparison.h"
#include "sql/evaluate_preference.h"
#include "sql/evaluate_retrieval.h"

/* Sums over rows. Every row counts with its weight but in the numbers of rows and tokens. */
typedef struct GptEvaluation
{
	const GptServed *served; /* until _finish */
	const GptTrainOptions *options;
	const GptTask *task;
	bool prompted;
	bool chats; /* rows are conversations */
	bool include_end;
	bool language; /* texts or completions are scored */
	GptClassification *classification; /* NULL: rows have no labels */
	GptRegression *regression; /* NULL: rows have no numbers */
	GptPreferences *preferences; /* NULL: rows are no pairs of answers */
	GptRetrieval *retrieval; /* NULL: rows are not texts to find */
	GptComparison *comparison; /* NULL: nothing is generated */
	int64 documents;
	int64 skipped;
	GptSkipped why_skipped;
	int64 tokens;
	double weight; /* of documents */
	double sums[4]; /* GptEvaluationColumn, of a language model */
	double row[4]; /* the same of the present row */
	GptRowScores *scores; /* of a language model */
} GptEvaluation;

typedef enum GptEvaluationColumn
{
	GPT_COLUMN_WEIGHT,
	GPT_COLUMN_TOKENS,
	GPT_COLUMN_BYTES,
	GPT_COLUMN_LOSS, /* nats */
} GptEvaluationColumn;

/* The argument "options" of a call, which may be NULL. */
extern GptTrainOptions *gpt_evaluation_options(FunctionCallInfo fcinfo, int number,
											   GptTrainFunction function);

/*
 * Takes a model for rows of that shape into use, in the current memory context. Raises an error if
 * the model is not one for such rows.
 */
extern void gpt_evaluation_begin(GptEvaluation *evaluation, const char *model,
								 const GptSourceShape *shape, const GptTrainOptions *options);

/* How the query's rows are read for the model. */
extern GptCleaner *gpt_evaluation_cleaner(const GptEvaluation *evaluation);
extern const struct GptChatTemplate *gpt_evaluation_chat(const GptEvaluation *evaluation);

/* Whether a row can be measured; counts it if not. */
extern bool gpt_evaluation_takes(GptEvaluation *evaluation, const GptSourceRow *row);

/* Measures a row that _takes. */
extern void gpt_evaluation_add(GptEvaluation *evaluation, const GptSourceRow *row);

/* After the last row; the model leaves. Raises an error if no row was measured. */
extern void gpt_evaluation_finish(GptEvaluation *evaluation);

/* What rows add to the measures, in at most two parts; returns how many. */
extern int gpt_evaluation_scores(GptRowScores *scores[2], const GptEvaluation *evaluation);

#endif /* GPT_EVALUATION_H */

/*
 * src/sql/evaluate_preference.c
 *
 * Pairs of answers go in; reward margin, preference accuracy and the divergence from the base come
 * out. engine/model/preference.h has the equations. The divergence is
 *
 *   KL(model || base) = the mean, over completions that the model draws, of log p - log p of the
 * base
 *
 * estimated from one completion for each row, of temperature 1, whose seed is the row's number.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/statement.h"
#include "serve/call.h"
#include "sql/call_kinds.h"
#include "sql/evaluate_preference.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/model_extras.h"
#include "train/train_objective.h"

#define DRAWN_FACTOR 2 /* times the tokens of the longer answer ... */
#define DRAWN_MORE 16 /* ... and so many are drawn at most, unless the options say otherwise */

/* Columns of a row's scores. */
enum
{
	WEIGHT,
	LOSS,
	MARGIN,
	RIGHT,
	DRAWN,
	DIVERGENCE,
	N_COLUMNS
};

static const LmMetric metrics[] = {{"loss", LM_METRIC_RATIO, LOSS, WEIGHT, 0},
								   {"reward_margin", LM_METRIC_RATIO, MARGIN, WEIGHT, 0},
								   {"preference_accuracy", LM_METRIC_SHARE, RIGHT, WEIGHT, 0},
								   {"kl", LM_METRIC_RATIO, DIVERGENCE, WEIGHT, 0},
								   {"kl_per_token", LM_METRIC_RATIO, DIVERGENCE, DRAWN, 0}};
#define N_JUDGED 3 /* of the rows' own answers */

struct GptPreferences
{
	const GptServed *served;
	const GptServed *base; /* NULL: there is none */
	const GptTrainOptions *options;
	double beta;
	/* sums: DRAWN is of tokens of completions that the model has drawn, DIVERGENCE the difference
	   of their logarithms */
	double sums[N_COLUMNS];
	GptRowScores *scores;
};

/* The log-likelihood of a text. */
typedef struct Likelihood
{
	double sum;
	int64 n_tokens;
} Likelihood;

/* ---- The base ----------------------------------------------------------- */

/* The reference of the version that the model's job started from; NULL if it is not known. */
static char *
base_of(const GptVersion *version)
{
	GptStatement statement;
	char *reference = NULL;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, version->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->version));
	if (gpt_statement_run(&statement,
						  "SELECT j.base || '@' || j.base_version FROM %1$s.gpt_version "
						  "v JOIN %1$s.gpt_job j ON j.job = v.job WHERE v.model = $1 "
						  "AND v.version = $2 AND j.base_version IS NOT NULL") > 0)
		reference = MemoryContextStrdup(CurrentMemoryContext, gpt_statement_text(&statement, 0, 1));
	gpt_statement_end(&statement);
	if (reference == NULL && version->base != NULL)
		reference = psprintf("%s@%d", version->base, version->base_version);
	return reference;
}

/* One that is not given may be gone, or another role's. */
static const GptServed *
acquire_base(const char *model, const GptTrainOptions *options)
{
	const GptVersion *version = gpt_catalog_version(model, false);
	const char *reference = options->base != NULL ? options->base : base_of(version);
	const GptVersion *base;

	if (reference == NULL)
		return NULL;
	base = gpt_catalog_version(reference, options->base == NULL);
	if (options->base == NULL && (base == NULL || !gpt_blob_can_use(base->weights)))
	{
		ereport(NOTICE, (errmsg("the base \"%s\" of model \"%s\" cannot be used: preferences are "
								"measured without it",
								reference, version->model),
						 errhint("Name another one in option \"base\".")));
		return NULL;
	}
	if (memcmp(base->tokenizer, version->tokenizer, GPT_SHA256_SIZE) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" cannot be the base of model \"%s\"", reference,
							   version->model),
						errdetail("They have different tokenizers.")));
	return gpt_cache_acquire(reference, GPT_SERVED_LANGUAGE_MODEL);
}

/* That of the options, or of the version's training if it had this objective, or its default. */
static double
beta_of(const GptServed *served, LmObjectiveKind objective, const GptTrainOptions *options)
{
	double kept = gpt_extras_beta(served->extras, gpt_objective_preference(objective));

	return isnan(options->beta) && !isnan(kept) ? kept : gpt_objective_beta(options, objective);
}

GptPreferences *
gpt_preferences_create(const GptServed *served, const char *model, const GptTrainOptions *options)
{
	GptPreferences *preferences = palloc0(sizeof(GptPreferences));

	preferences->served = served;
	preferences->options = options;
	preferences->base = acquire_base(model, options);
	preferences->beta =
		beta_of(served, preferences->base != NULL ? LM_OBJECTIVE_DPO : LM_OBJECTIVE_ORPO, options);
	/* Only a model with a base draws completions. */
	preferences->scores = gpt_row_scores_create(
		metrics, preferences->base != NULL && options->generate ? lengthof(metrics) : N_JUDGED,
		N_COLUMNS, 0);
	return preferences;
}

GptRowScores *
gpt_preferences_scores(const GptPreferences *preferences)
{
	return preferences->scores;
}

void
gpt_preferences_free(GptPreferences *preferences)
{
	if (preferences->base != NULL)
		gpt_cache_release(preferences->base);
	preferences->base = NULL;
}

/* ---- Rows --------------------------------------------------------------- */

static void
ask(GptAnswer *answer, const GptServed *served, const GptCallKind *kind, GptCall *call,
	const GptSourceRow *row)
{
	call->cleaning = GPT_CALL_CLEANED; /* with the row */
	gpt_call_answer(answer, kind, served, call, 1, 0, NULL);
	if (answer->error != NULL)
		gpt_bridge_raise_row(answer->error, "query", row->number);
}

static Likelihood
likelihood_of(const GptServed *served, const GptSourceRow *row, LmBytes text, bool with_end)
{
	GptAnswer answer;
	GptCall call;

	gpt_score_of_text(&call, text);
	if (row->prompt != NULL)
		call.request.prompt = (LmBytes){row->prompt, row->prompt_size};
	call.request.include_end = with_end;
	call.request.bare = true; /* as in training, where there are no n-grams */
	ask(&answer, served, &gpt_logprob_call, &call, row);
	return (Likelihood){answer.is_null ? 0 : DatumGetFloat8(answer.value), answer.n_tokens};
}

/* log sigmoid(x), without overflow */
static double
log_sigmoid(double x)
{
	return x > 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static double
log_odds(double mean)
{
	return mean - log(fmax(-expm1(mean), 1e-7));
}

/* A completion that the model draws, as both models see it. */
static void
add_divergence(double *columns, const GptPreferences *preferences, const GptSourceRow *row,
			   int64 longest)
{
	GptCall call = {.request = {.task = LM_TASK_GENERATE,
								.sampling = {.temperature = 1,
											 .top_p = 1,
											 .repetition_penalty = 1,
											 .seed = (uint64) row->number}}};
	int64 most = Min(DRAWN_FACTOR * longest + DRAWN_MORE, PG_INT32_MAX);
	Likelihood found;
	GptAnswer answer;
	LmBytes text;
	bool ended = true;

	if (preferences->options->max_tokens != GPT_CHOSEN)
		most = preferences->options->max_tokens;
	call.request.prompt = (LmBytes){row->prompt != NULL ? row->prompt : "", row->prompt_size};
	call.request.sampling.max_tokens = (int) most;
	ask(&answer, preferences->served, &gpt_generate_call, &call, row);
	text = (LmBytes){VARDATA_ANY(DatumGetPointer(answer.value)),
					 VARSIZE_ANY_EXHDR(DatumGetPointer(answer.value))};
	found = likelihood_of(preferences->served, row, text, true);
	if (found.n_tokens > most)
	{
		ended = false;
		found = likelihood_of(preferences->served, row, text, false);
	}
	columns[DRAWN] = row->weight * (double) found.n_tokens;
	columns[DIVERGENCE] =
		row->weight * (found.sum - likelihood_of(preferences->base, row, text, ended).sum);
}

int64
gpt_preferences_add(GptPreferences *preferences, const GptSourceRow *row)
{
	LmBytes chosen_text = {row->text, row->size};
	LmBytes rejected_text = {row->other, row->other_size};
	Likelihood chosen = likelihood_of(preferences->served, row, chosen_text, true);
	Likelihood rejected = likelihood_of(preferences->served, row, rejected_text, true);
	double c = chosen.sum / (double) Max(chosen.n_tokens, 1);
	double r = rejected.sum / (double) Max(rejected.n_tokens, 1);
	double beta = preferences->beta;
	double margin = beta * (c - r);
	double columns[N_COLUMNS] = {row->weight};
	double loss = -c - beta * log_sigmoid(log_odds(c) - log_odds(r));

	if (preferences->base != NULL)
	{
		margin = beta *
				 ((chosen.sum - likelihood_of(preferences->base, row, chosen_text, true).sum) -
				  (rejected.sum - likelihood_of(preferences->base, row, rejected_text, true).sum));
		loss = -log_sigmoid(margin);
		if (preferences->options->generate)
			add_divergence(columns, preferences, row, Max(chosen.n_tokens, rejected.n_tokens));
	}
	columns[LOSS] = row->weight * loss;
	columns[MARGIN] = row->weight * margin;
	columns[RIGHT] = margin > 0 ? row->weight : 0;
	for (int i = 0; i < N_COLUMNS; i++)
		preferences->sums[i] += columns[i];
	gpt_row_scores_add(preferences->scores, columns);
	return chosen.n_tokens + rejected.n_tokens;
}

void
gpt_preferences_measure(const GptPreferences *preferences,
						void (*put)(void *context, const char *metric, double value), void *context)
{
	const double *sums = preferences->sums;

	put(context, "beta", preferences->beta);
	put(context, "loss", sums[LOSS] / sums[WEIGHT]);
	put(context, "reward_margin", sums[MARGIN] / sums[WEIGHT]);
	put(context, "preference_accuracy", sums[RIGHT] / sums[WEIGHT]);
	if (sums[DRAWN] > 0)
	{
		put(context, "kl", sums[DIVERGENCE] / sums[WEIGHT]);
		put(context, "kl_per_token", sums[DIVERGENCE] / sums[DRAWN]);
	}
}

/*
 * src/sql/sql_score.c
 *
 * gpt_score and gpt_logprob: the likelihood of a text under a model, alone or after a prompt.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "core/compat.h"
#include "core/words.h"
#include "serve/cache.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

#define SLACK 1e-9 /* relative, of a bound */

typedef enum Metric
{
	METRIC_PERPLEXITY,
	METRIC_LOGPROB,
	METRIC_MEAN_LOGPROB,
	METRIC_BITS_PER_BYTE,
	METRIC_MAX_SURPRISE,
	METRIC_TOKENS,
} Metric;

static GPT_WORDS(metric_name, [METRIC_PERPLEXITY] = "perplexity", [METRIC_LOGPROB] = "logprob",
				 [METRIC_MEAN_LOGPROB] = "mean_logprob", [METRIC_BITS_PER_BYTE] = "bits_per_byte",
				 [METRIC_MAX_SURPRISE] = "max_surprise", [METRIC_TOKENS] = "tokens");

PG_FUNCTION_INFO_V1(gpt_score);
PG_FUNCTION_INFO_V1(gpt_logprob);

static Metric read_metric(FunctionCallInfo fcinfo);
static bool read_score(GptCall *call, FunctionCallInfo fcinfo);
static bool read_logprob(GptCall *call, FunctionCallInfo fcinfo);
static void bound_score(GptCall *call);
static Datum result_of(const GptCall *call, const GptServed *served, bool *is_null);
static double metric_value(Metric metric, const LmScore *score, size_t size);

const GptCallKind gpt_score_call = {.name = "gpt_score",
									.function = gpt_score,
									.result_type = FLOAT8OID,
									.task = LM_TASK_SCORE,
									.served = GPT_SERVED_LANGUAGE_MODEL,
									.read = read_score,
									.result = result_of,
									.bound = bound_score};
const GptCallKind gpt_logprob_call = {.name = "gpt_logprob",
									  .function = gpt_logprob,
									  .result_type = FLOAT8OID,
									  .task = LM_TASK_SCORE,
									  .served = GPT_SERVED_LANGUAGE_MODEL,
									  .read = read_logprob,
									  .result = result_of,
									  .bound = bound_score};

static LmBytes
bytes_argument(FunctionCallInfo fcinfo, int number)
{
	text *value = PG_GETARG_TEXT_PP(number);

	return (LmBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

/*
 * gpt_score(model text, input text, metric text DEFAULT 'perplexity', include_end boolean DEFAULT
 * false) RETURNS float8
 *
 * NULL model or input gives NULL, NULL elsewhere means the default. A text without a scored token
 * gives NULL. With input text[] it returns float8[]: the score of each element.
 */
Datum
gpt_score(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return gpt_call(&gpt_score_call, fcinfo);
}

/*
 * gpt_logprob(model text, prompt text, completion text, include_end boolean DEFAULT true) RETURNS
 * float8
 *
 * The sum of the natural logarithms of the probabilities of the completion's tokens after the
 * prompt. NULL model, prompt or completion gives NULL, and so does a completion without a scored
 * token; NULL include_end means the default.
 */
Datum
gpt_logprob(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return gpt_call_one(&gpt_logprob_call, fcinfo);
}

static bool
read_score(GptCall *call, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		return false;
	gpt_score_of_text(call, bytes_argument(fcinfo, 1));
	call->detail = read_metric(fcinfo);
	call->request.include_end = gpt_argument_boolean(fcinfo, 3, false);
	return true;
}

void
gpt_score_of_text(GptCall *call, LmBytes input)
{
	memset(call, 0, sizeof(GptCall));
	call->request.task = LM_TASK_SCORE;
	call->request.prompt = (LmBytes){NULL, 0};
	call->request.text = input;
	call->detail = METRIC_LOGPROB;
}

static bool
read_logprob(GptCall *call, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return false;
	gpt_score_of_text(call, bytes_argument(fcinfo, 2));
	call->request.prompt = bytes_argument(fcinfo, 1);
	call->cleaning = LM_CLEAN_KEEP_START;
	call->request.include_end = gpt_argument_boolean(fcinfo, 3, true);
	return true;
}

static Datum
result_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	const LmScore *score = &call->request.score;

	/* An end has no bytes. */
	*is_null = score->n_tokens == 0 ||
			   (call->detail == METRIC_BITS_PER_BYTE && call->request.text.size == 0);
	return *is_null ? (Datum) 0
					: Float8GetDatum(
						  metric_value((Metric) call->detail, score, call->request.text.size));
}

/* Reads the argument "metric": NULL means perplexity. */
static Metric
read_metric(FunctionCallInfo fcinfo)
{
	char *name;
	int metric;

	if (PG_ARGISNULL(2))
		return METRIC_PERPLEXITY;
	name = gpt_argument_text(fcinfo, 2);
	metric = gpt_word_find(metric_name, name, strlen(name));
	if (metric < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("metric \"%s\" does not exist", name),
						errhint("Metrics are %s.", gpt_words_list(metric_name, " and "))));
	return (Metric) metric;
}

/* The sum is of natural logarithms; size counts the bytes of the text. */
static double
metric_value(Metric metric, const LmScore *score, size_t size)
{
	double mean = score->logprob / (double) score->n_tokens;

	switch (metric)
	{
		case METRIC_PERPLEXITY:
			return exp(-mean);
		case METRIC_LOGPROB:
			return score->logprob;
		case METRIC_MEAN_LOGPROB:
			return mean;
		case METRIC_BITS_PER_BYTE:
			return -score->logprob / (M_LN2 * (double) size);
		case METRIC_MAX_SURPRISE:
			return -score->min_logprob;
		case METRIC_TOKENS:
			return (double) score->n_tokens;
	}
	return 0;
}

/*
 * What a metric says of a text only grows (perplexity, surprise) or only falls with each token that
 * is read, so it can pass a bound on one side. The slack is far above the rounding of metric_value.
 */
static void
bound_score(GptCall *call)
{
	const GptNeed *need = &call->need;
	LmBound *bound = &call->request.bound;
	double above = need->above + SLACK * (1 + fabs(need->above));
	double below = need->below - SLACK * (1 + fabs(need->below));

	switch ((Metric) call->detail)
	{
		case METRIC_PERPLEXITY:
			if (need->has_above && above > 0)
				*bound = (LmBound){LM_BOUND_MEAN, -log(above)};
			break;
		case METRIC_LOGPROB:
			if (need->has_below)
				*bound = (LmBound){LM_BOUND_SUM, below};
			break;
		case METRIC_MEAN_LOGPROB:
			if (need->has_below)
				*bound = (LmBound){LM_BOUND_MEAN, below};
			break;
		case METRIC_BITS_PER_BYTE:
			if (need->has_above)
				*bound = (LmBound){LM_BOUND_SUM, -above * M_LN2 * (double) call->request.text.size};
			break;
		case METRIC_MAX_SURPRISE:
			if (need->has_above)
				*bound = (LmBound){LM_BOUND_LEAST, -above};
			break;
		case METRIC_TOKENS:
			break;
	}
}

/*
 * src/sql/sql_classify.c
 *
 * gpt_classify and gpt_classify_probs: which of its labels a classifier gives to a text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "core/bridge.h"
#include "serve/cache.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

PG_FUNCTION_INFO_V1(gpt_classify);
PG_FUNCTION_INFO_V1(gpt_classify_probs);

/* A label, and how probable it is. */
typedef struct Answer
{
	const char *label;
	float probability;
	int number;
} Answer;

/* All labels of a text; a value of the server's type internal. */
typedef struct Answers
{
	int n;
	Answer answers[FLEXIBLE_ARRAY_MEMBER];
} Answers;

static Answers *answers_of(const GptCall *call, const GptServed *served);
static char *probable_labels(const Answers *found, double threshold);
static int compare_answers(const void *a, const void *b);
static Datum label_of(const GptCall *call, const GptServed *served, bool *is_null);
static Datum probabilities_of(const GptCall *call, const GptServed *served, bool *is_null);

const GptCallKind gpt_classify_call = {.name = "gpt_classify",
									   .function = gpt_classify,
									   .result_type = TEXTOID,
									   .task = LM_TASK_CLASSIFY,
									   .served = GPT_SERVED_CLASSIFIER,
									   .read = gpt_judged_read,
									   .result = label_of,
									   .prepare = gpt_judged_prepare};
static const GptCallKind probabilities_call = {.name = "gpt_classify_probs",
											   .function = gpt_classify_probs,
											   .result_type = INTERNALOID,
											   .task = LM_TASK_CLASSIFY,
											   .served = GPT_SERVED_CLASSIFIER,
											   .read = gpt_judged_read,
											   .result = probabilities_of,
											   .prepare = gpt_judged_prepare};

/*
 * gpt_classify(model text, input text) RETURNS text
 * gpt_classify(model text, input text, other text) RETURNS text
 *
 * The most probable label; the first one, in the order of bytes, of equals. Of a model of several
 * labels a text, all whose probability is at least 0.5, as the text of a text[] in the order of
 * their bytes: a set has one text, whatever the probabilities. NULL gives NULL. With input text[]
 * it returns text[]: that of each element.
 *
 * gpt_classify(model text, input text, threshold float8) RETURNS text
 *
 * NULL where the most probable label has a lower probability; of several labels those whose
 * probability is at least the threshold. text[] as above.
 */
Datum
gpt_classify(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return gpt_call(&gpt_classify_call, fcinfo);
}

/*
 * gpt_classify_probs(model text, input text) -> setof (label text, probability real)
 * gpt_classify_probs(model text, input text, other text)
 *
 * All labels, the most probable first; where a text has several, each with its own probability.
 * NULL gives no rows.
 */
Datum
gpt_classify_probs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Answers *found;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	found = (Answers *) DatumGetPointer(gpt_call_one(&probabilities_call, fcinfo));
	if (fcinfo->isnull)
	{
		fcinfo->isnull = false;
		return (Datum) 0;
	}
	qsort(found->answers, found->n, sizeof(Answer), compare_answers);
	for (int i = 0; i < found->n; i++)
	{
		Datum values[2] = {CStringGetTextDatum(found->answers[i].label),
						   Float4GetDatum(found->answers[i].probability)};
		bool nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Labels stand in the order of bytes: of equals the first one wins. */
static Datum
label_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	int n = served->config->labels;
	int best = 0;

	*is_null = false;
	if (served->config->multi_label)
		return CStringGetTextDatum(
			probable_labels(answers_of(call, served), call->threshold > 0 ? call->threshold : 0.5));
	for (int i = 1; i < n; i++)
		if (call->request.vector[i] > call->request.vector[best])
			best = i;
	*is_null = (double) call->request.vector[best] < call->threshold;
	return *is_null ? (Datum) 0 : CStringGetTextDatum(served->labels[best]);
}

static Datum
probabilities_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	*is_null = false;
	return PointerGetDatum(answers_of(call, served));
}

/* All labels of the model in its order, palloc'd: they outlast it. */
static Answers *
answers_of(const GptCall *call, const GptServed *served)
{
	int n = served->config->labels;
	Answers *found = palloc(offsetof(Answers, answers) + n * sizeof(Answer));

	found->n = n;
	for (int i = 0; i < n; i++)
		found->answers[i] = (Answer){pstrdup(served->labels[i]), call->request.vector[i], i};
	return found;
}

/* The labels with a probability of at least the threshold, as the text of an array. */
static char *
probable_labels(const Answers *found, double threshold)
{
	Datum *labels = palloc(found->n * sizeof(Datum));
	int n_labels = 0;

	for (int i = 0; i < found->n; i++)
	{
		if (found->answers[i].probability >= threshold)
			labels[n_labels++] = CStringGetTextDatum(found->answers[i].label);
	}
	return OidOutputFunctionCall(
		F_ARRAY_OUT,
		PointerGetDatum(construct_array(labels, n_labels, TEXTOID, -1, false, TYPALIGN_INT)));
}

static int
compare_answers(const void *a, const void *b)
{
	const Answer *first = a;
	const Answer *second = b;

	if (first->probability != second->probability)
		return first->probability > second->probability ? -1 : 1;
	return first->number - second->number;
}

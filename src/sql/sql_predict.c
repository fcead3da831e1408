/*
 * src/sql/sql_predict.c
 *
 * gpt_predict: the number that a model gives to a text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "corpus/numbers.h"
#include "serve/cache.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

PG_FUNCTION_INFO_V1(gpt_predict);

static Datum number_of(const GptCall *call, const GptServed *served, bool *is_null);

const GptCallKind gpt_predict_call = {.name = "gpt_predict",
									  .function = gpt_predict,
									  .result_type = FLOAT8OID,
									  .task = LM_TASK_CLASSIFY,
									  .served = GPT_SERVED_NUMBER,
									  .read = gpt_judged_read,
									  .result = number_of,
									  .prepare = gpt_judged_prepare};

/*
 * gpt_predict(model text, input text) RETURNS float8
 * gpt_predict(model text, input text, other text) RETURNS float8
 *
 * Of a model that was trained on texts with a real number as "label": the number that it expects of
 * the text, or of two texts together. NULL gives NULL. With input text[] it returns float8[]: that
 * of each element.
 */
Datum
gpt_predict(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return gpt_call(&gpt_predict_call, fcinfo);
}

static Datum
number_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	GptNumbers numbers = gpt_numbers_of(served->config);

	*is_null = false;
	return Float8GetDatum(gpt_number_restore(&numbers, call->request.vector[0]));
}

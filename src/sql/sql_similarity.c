/*
 * src/sql/sql_similarity.c
 *
 * gpt_similarity: how alike a model finds two texts.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/cache.h"
#include "serve/call_try.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

PG_FUNCTION_INFO_V1(gpt_similarity);

static void embed(GptCall *call, Datum value);
static double product(Datum a, Datum b);

/*
 * gpt_similarity(model text, a text, b text) RETURNS float8
 *
 * The cosine of the angle between the embeddings of two texts, as gpt_embed makes them by default:
 * 1 for texts with the same one. NULL gives NULL, as does a text without an embedding.
 */
Datum
gpt_similarity(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	GptAnswer answers[2];
	GptCall calls[2];
	bool nulls;
	bool good;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	embed(&calls[0], PG_GETARG_DATUM(1));
	embed(&calls[1], PG_GETARG_DATUM(2));
	nulls = gpt_try_nulls(fcinfo, NULL);
	served = gpt_try_acquire(fcinfo, "gpt_similarity", text_to_cstring(PG_GETARG_TEXT_PP(0)),
							 GPT_SERVED_ANY, nulls);
	if (served == NULL)
		PG_RETURN_NULL();

	/* Now do the work. */
	gpt_call_answer(answers, &gpt_embed_call, served, calls, 2, 0, NULL);
	good = gpt_try_error(answers[0].error, "gpt_similarity", served->model, nulls) &&
		   gpt_try_error(answers[1].error, "gpt_similarity", served->model, nulls);
	gpt_cache_release(served);
	if (!good || answers[0].is_null || answers[1].is_null)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(product(answers[0].value, answers[1].value));
}

static void
embed(GptCall *call, Datum value)
{
	text *input = DatumGetTextPP(value);

	gpt_embed_of_text(call, (LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)});
}

void
gpt_embed_of_text(GptCall *call, LmBytes text)
{
	memset(call, 0, sizeof(GptCall));
	call->request.task = LM_TASK_EMBED;
	call->request.prompt = (LmBytes){"", 0};
	call->request.text = text;
	call->request.pooling = LM_POOL_AUTO;
	call->detail = true;
}

/* Of two arrays of real of the same length, each of length 1 as a vector. */
static double
product(Datum a, Datum b)
{
	ArrayType *arrays[] = {DatumGetArrayTypeP(a), DatumGetArrayTypeP(b)};
	const float4 *x = (const float4 *) ARR_DATA_PTR(arrays[0]);
	const float4 *y = (const float4 *) ARR_DATA_PTR(arrays[1]);
	int n = ArrayGetNItems(ARR_NDIM(arrays[0]), ARR_DIMS(arrays[0]));
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) x[i] * y[i];
	return Max(-1, Min(1, sum));
}

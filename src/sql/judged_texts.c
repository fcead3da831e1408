/*
 * src/sql/judged_texts.c
 *
 * The texts that a model with a head judges: one, or a pair. The arguments of gpt_classify and its
 * kind go in, a request comes out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "core/argument_type.h"
#include "core/compat.h"
#include "sql/call_kinds.h"

static LmBytes
text_of(FunctionCallInfo fcinfo, int number)
{
	text *input = PG_GETARG_TEXT_PP(number);

	return (LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};
}

void
gpt_judge_texts(GptCall *call, LmBytes first, LmBytes second)
{
	memset(call, 0, sizeof(GptCall));
	call->request.task = LM_TASK_CLASSIFY;
	call->request.prompt = first;
	call->request.text = second;
}

/* 0 where the call has none. */
static double
threshold_of(FunctionCallInfo fcinfo)
{
	double threshold;

	if (PG_NARGS() < 3 || gpt_argument_type(fcinfo, 2) != FLOAT8OID)
		return 0;
	threshold = PG_GETARG_FLOAT8(2);
	if (!(threshold >= 0 && threshold <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("threshold %g is outside 0 .. 1", threshold)));
	return threshold;
}

bool
gpt_judged_read(GptCall *call, FunctionCallInfo fcinfo)
{
	static const LmBytes none = {NULL, 0};

	for (int i = 1; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			return false;
	}
	if (PG_NARGS() > 2 && gpt_argument_type(fcinfo, 2) != FLOAT8OID)
		gpt_judge_texts(call, text_of(fcinfo, 1), text_of(fcinfo, 2));
	else
		gpt_judge_texts(call, none, text_of(fcinfo, 1));
	call->threshold = threshold_of(fcinfo);
	return true;
}

bool
gpt_judged_prepare(GptCall *call, const GptServed *served, LmError *error)
{
	bool has_pair = call->request.prompt.data != NULL;

	if (has_pair == served->config->pair)
		return true;
	return lm_fail(
		error, LM_ERR_ARGUMENT, -1,
		has_pair
			? "the model judges one text, not two; a threshold is a number, as in threshold => 0.9"
			: "the model judges two texts together, not one: give both");
}

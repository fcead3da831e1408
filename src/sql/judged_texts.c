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

/* Whether a text is a number that could be a threshold, such as '0.8' in quotes. */
static bool
is_threshold(LmBytes text)
{
	char digits[16];
	char *end;
	double number;

	if (text.size == 0 || text.size >= sizeof(digits))
		return false;
	memcpy(digits, text.data, text.size);
	digits[text.size] = '\0';
	number = strtod(digits, &end);
	return *end == '\0' && number >= 0 && number <= 1;
}

bool
gpt_judged_prepare(GptCall *call, const GptServed *served, LmError *error)
{
	bool has_pair = call->request.prompt.data != NULL;

	if (has_pair == served->config->pair)
		return true;
	if (!has_pair)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "model \"%s\" judges two texts together, not one: give both", served->model);
	if (served->config->number || !is_threshold(call->request.text))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "model \"%s\" judges one text, not two",
					   served->model);
	return lm_fail(error, LM_ERR_ARGUMENT, -1,
				   "model \"%s\" judges one text, and '%.*s' is a second text: write threshold => "
				   "%.*s",
				   served->model, (int) call->request.text.size, call->request.text.data,
				   (int) call->request.text.size, call->request.text.data);
}

/*
 * src/sql/sql_generate.c
 *
 * gpt_generate: a prompt in, its continuation out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/sampling.h"

PG_FUNCTION_INFO_V1(gpt_generate);

static bool read_call(GptCall *call, FunctionCallInfo fcinfo);
static Datum result_of(const GptCall *call, const GptServed *served, bool *is_null);

static const char *const arguments[] = {"model",
										"prompt",
										"max_tokens",
										"temperature",
										"top_k",
										"top_p",
										"min_p",
										"repetition_penalty",
										"stop",
										"seed",
										"beams",
										"length_penalty",
										"presence_penalty",
										"frequency_penalty",
										"logit_bias",
										"banned",
										"choices",
										"pattern",
										"schema",
										"draft",
										"on_error",
										NULL};

const GptCallKind gpt_generate_call = {.name = "gpt_generate",
									   .function = gpt_generate,
									   .result_type = TEXTOID,
									   .task = LM_TASK_GENERATE,
									   .served = GPT_SERVED_LANGUAGE_MODEL,
									   .read = read_call,
									   .prepare = gpt_sampling_prepare,
									   .arguments = arguments,
									   .result = result_of};

/*
 * gpt_generate(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT
 * 0.8, top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty
 *     float8 DEFAULT 1, stop gpt_texts DEFAULT NULL, seed bigint DEFAULT NULL, beams integer
 * DEFAULT 1, length_penalty float8 DEFAULT 0.6, presence_penalty float8 DEFAULT 0,
 *     frequency_penalty float8 DEFAULT 0, logit_bias jsonb DEFAULT NULL, banned gpt_texts DEFAULT
 * NULL, choices text[] DEFAULT NULL, pattern text DEFAULT NULL, schema jsonb DEFAULT NULL, draft
 *     text DEFAULT NULL, on_error text DEFAULT NULL) RETURNS text
 *
 * NULL model or prompt gives NULL; NULL elsewhere means the default, and a NULL seed draws one.
 * With beams above 1 nothing is drawn: temperature and seed are not used, and top_k, top_p and
 * min_p, which limit a draw, are errors.
 * With prompt text[] it returns text[]: each element continued as by a call of its own, with the
 * same seed.
 */
Datum
gpt_generate(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return gpt_call(&gpt_generate_call, fcinfo);
}

static bool
read_call(GptCall *call, FunctionCallInfo fcinfo)
{
	text *prompt;

	if (PG_ARGISNULL(1))
		return false;
	memset(call, 0, sizeof(GptCall));
	prompt = PG_GETARG_TEXT_PP(1);
	call->request.task = LM_TASK_GENERATE;
	call->request.prompt = (LmBytes){VARDATA_ANY(prompt), VARSIZE_ANY_EXHDR(prompt)};
	gpt_sampling_read(call, fcinfo, arguments, false);
	return true;
}

static Datum
result_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	*is_null = false;
	return PointerGetDatum(
		cstring_to_text_with_len(call->request.output.data, call->request.output.size));
}

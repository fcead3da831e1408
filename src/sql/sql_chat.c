/*
 * src/sql/sql_chat.c
 *
 * gpt_chat: a conversation in, the model's answer out; gpt_chat_tokens: the tokens that it reads;
 * gpt_chat_template: the form in which it reads them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "core/bridge.h"
#include "core/chat.h"
#include "engine/marked_text.h"
#include "serve/call.h"
#include "serve/call_try.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/sampling.h"
#include "store/model_extras.h"

PG_FUNCTION_INFO_V1(gpt_chat);
PG_FUNCTION_INFO_V1(gpt_chat_tokens);
PG_FUNCTION_INFO_V1(gpt_chat_template);

static bool read_call(GptCall *call, FunctionCallInfo fcinfo);
static void check(const GptCall *call, const GptServed *served, const char *model);
static bool prepare(GptCall *call, const GptServed *served, LmError *error);
static const GptChatTemplate *template_of(const GptServed *served, const char *model);
static void add_stops(LmSampling *sampling, const GptChatTemplate *template);
static Datum result_of(const GptCall *call, const GptServed *served, bool *is_null);

static const char *const arguments[] = {"model",
										"messages",
										"max_tokens",
										"temperature",
										"top_k",
										"top_p",
										"min_p",
										"repetition_penalty",
										"stop",
										"seed",
										"reasoning",
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

const GptCallKind gpt_chat_call = {.name = "gpt_chat",
								   .function = gpt_chat,
								   .result_type = TEXTOID,
								   .task = LM_TASK_GENERATE,
								   .served = GPT_SERVED_LANGUAGE_MODEL,
								   .read = read_call,
								   .prepare = prepare,
								   .arguments = arguments,
								   .checks_text = true,
								   .result = result_of};

/*
 * gpt_chat(model text, messages jsonb, max_tokens integer DEFAULT 64, temperature float8 DEFAULT
 *     NULL, top_k integer DEFAULT NULL, top_p float8 DEFAULT NULL, min_p float8 DEFAULT NULL,
 *     repetition_penalty float8 DEFAULT NULL, stop gpt_texts DEFAULT NULL, seed bigint DEFAULT
 * NULL, reasoning boolean DEFAULT false, beams integer DEFAULT 1, length_penalty float8 DEFAULT
 *     0.6, presence_penalty ... as gpt_generate) RETURNS text
 *
 * NULL model or messages gives NULL. NULL elsewhere means the model's own default, where it was
 * imported with one, or else that of gpt_generate.
 */
Datum
gpt_chat(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	GptAnswer answer;
	GptCall call;
	char *model;
	bool nulls;

	gpt_argument_check_call(fcinfo);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	gpt_bridge_check_encoding();
	model = gpt_argument_text(fcinfo, 0);
	nulls = gpt_try_nulls(fcinfo, arguments);
	if (!gpt_try_read(&call, &gpt_chat_call, fcinfo, nulls))
		PG_RETURN_NULL();
	served = gpt_try_acquire(fcinfo, gpt_chat_call.name, model, GPT_SERVED_LANGUAGE_MODEL, nulls);
	if (served == NULL)
		PG_RETURN_NULL();
	if (!nulls)
		check(&call, served, model);

	/* Now do the work. */
	gpt_call_answer(&answer, &gpt_chat_call, served, &call, 1, 0, NULL);
	if (gpt_try_error(answer.error, gpt_chat_call.name, served->model, nulls))
		gpt_call_notice(fcinfo, answer.notices, served);
	gpt_cache_release(served);
	if (answer.is_null)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(answer.value);
}

/*
 * The sampling that the caller does not choose waits for the model, which `prepare` knows.
 */
static bool
read_call(GptCall *call, FunctionCallInfo fcinfo)
{
	GptChat *chat;

	if (PG_ARGISNULL(1))
		return false;
	chat = palloc(sizeof(GptChat));
	memset(call, 0, sizeof(GptCall));
	gpt_chat_read_jsonb(chat, PG_GETARG_JSONB_P(1), "");
	call->chat = chat;
	call->detail = gpt_argument_boolean(fcinfo, gpt_argument_number(arguments, "reasoning"), false);
	call->request.task = LM_TASK_GENERATE;
	gpt_sampling_read(call, fcinfo, arguments, true);
	if (call->constraint != NULL && call->detail != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("reasoning cannot be used with choices, pattern or schema"),
						errdetail("All of the answer follows them, so nothing is thought aloud.")));
	call->request.sampling.marked = true;
	return true;
}

/* Raises the errors that `prepare` returns without their details. */
static void
check(const GptCall *call, const GptServed *served, const char *model)
{
	StringInfoData prompt;

	initStringInfo(&prompt);
	gpt_chat_prompt(&prompt, call->chat, template_of(served, model), call->detail != 0);
}

/* Writes the conversation by the model's template, and takes the model's own sampling. */
static bool
prepare(GptCall *call, const GptServed *served, LmError *error)
{
	const GptChatTemplate *template = gpt_extras_chat(served->extras);
	StringInfoData prompt;
	LmCleaned cleaned;
	GptChat chat;

	if (template == NULL)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "model \"%s\" has no chat template",
					   served->model);
	if (!gpt_chat_fits(call->chat, template))
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "the conversation does not follow the model's chat template");
	chat = *call->chat;
	chat.messages = palloc(chat.n * sizeof(GptChatMessage));
	memcpy(chat.messages, call->chat->messages, chat.n * sizeof(GptChatMessage));
	gpt_chat_clean(&cleaned, &chat, served->cleaner);
	initStringInfo(&prompt);
	gpt_chat_prompt(&prompt, &chat, template, call->detail != 0);
	call->request.prompt = (LmBytes){prompt.data, prompt.len};
	gpt_sampling_complete(&call->request.sampling, served->extras);
	/* A constraint says itself where an answer ends. */
	if (call->constraint == NULL)
		add_stops(&call->request.sampling, template);
	return gpt_sampling_prepare(call, served, error);
}

/*
 * gpt_chat_tokens(model text, messages jsonb, reasoning boolean DEFAULT false) RETURNS integer[]
 *
 * What gpt_chat gives the model to read. NULL model or messages gives NULL.
 */
Datum
gpt_chat_tokens(PG_FUNCTION_ARGS)
{
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	const GptServed *served;
	StringInfoData prompt;
	LmCleaned cleaned;
	LmTokens tokens = {0};
	LmError error;
	Datum *values;
	GptChat chat;
	char *model;
	int n;

	gpt_argument_check_call(fcinfo);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	gpt_bridge_check_encoding();
	model = gpt_argument_text(fcinfo, 0);
	gpt_chat_read_jsonb(&chat, PG_GETARG_JSONB_P(1), "");
	served = gpt_cache_acquire(model, GPT_SERVED_LANGUAGE_MODEL);
	gpt_chat_clean(&cleaned, &chat, served->cleaner);
	initStringInfo(&prompt);
	gpt_chat_prompt(&prompt, &chat, template_of(served, model),
					gpt_argument_boolean(fcinfo, 2, false));

	/* Now do the work. */
	while (!lm_marked_encode(served->tokenizer, &tokens, prompt.data, prompt.len, false, &error))
		gpt_bridge_retry(&error);
	n = (int) tokens.count;
	values = palloc(Max(n, 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
		values[i] = Int32GetDatum(tokens.ids[i]);
	lm_tokens_free(host, &tokens);
	gpt_cache_release(served);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/*
 * gpt_chat_template(model text) RETURNS text    STRICT
 *
 * In Jinja. NULL for a model without one.
 */
Datum
gpt_chat_template(PG_FUNCTION_ARGS)
{
	const GptVersion *version;
	char *chat;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	version = gpt_catalog_version(gpt_argument_text(fcinfo, 0), false);
	gpt_catalog_check_use(version);
	chat = gpt_extras_chat_json(version->extras);
	if (chat == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(gpt_chat_to_jinja(gpt_chat_template_parse(chat), chat)));
}

static const GptChatTemplate *
template_of(const GptServed *served, const char *model)
{
	const GptChatTemplate *template = gpt_extras_chat(served->extras);

	if (template == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no chat template", model),
				 errdetail("It was not trained to answer in conversations."),
				 errhint("Fine-tune it on a column \"messages\" with gpt_finetune and its option "
						 "\"chat_template\", or use gpt_generate.")));
	return template;
}

/* What ends an answer, should the model write it as text. */
static void
add_stops(LmSampling *sampling, const GptChatTemplate *template)
{
	LmBytes *stops = palloc((sampling->n_stops + GPT_CHAT_ENDS) * sizeof(LmBytes));

	if (sampling->n_stops > 0)
		memcpy(stops, sampling->stops, sampling->n_stops * sizeof(LmBytes));
	for (int i = 0; i < GPT_CHAT_ENDS && template->ends[i] != NULL; i++)
		stops[sampling->n_stops++] = (LmBytes){template->ends[i], strlen(template->ends[i])};
	sampling->stops = stops;
}

static Datum
result_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	LmBytes output = call->request.output;

	*is_null = false;
	if (call->constraint != NULL)
		return PointerGetDatum(cstring_to_text_with_len(output.data, output.size));
	return CStringGetTextDatum(gpt_chat_answer(output.data, output.size,
											   gpt_extras_chat(served->extras), call->detail != 0));
}

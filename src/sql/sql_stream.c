/*
 * src/sql/sql_stream.c
 *
 * gpt_stream: a prompt in, its continuation out, a token at a time as they are made.
 *
 * Each row is a call of gpt_generate's kind, for the next piece. Between two rows the caller may do
 * anything, also end early or use the same model. So the model and the generation, which belongs to
 * the engine, hang on a memory context, whose end releases them. When the engine was started again
 * in between, for other settings, the generation begins anew and passes over what was given: the
 * tokens are the same.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/call.h"
#include "serve/call_draft.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/sampling.h"

PG_FUNCTION_INFO_V1(gpt_stream);

typedef struct Stream
{
	MemoryContext held; /* of the model and the generation */
	MemoryContextCallback release;
	const GptServed *served;
	LmGeneration *generation; /* NULL: none */
	uint64 engine; /* generation of the engine that it belongs to */
	char *model;
	GptCall call;
	int n_given;
	bool done;
} Stream;

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

static Stream *begin(FunctionCallInfo fcinfo, MemoryContext context);
static void start(Stream *stream, FunctionCallInfo fcinfo);
static Datum next(Stream *stream);
static void note_end(const Stream *stream);
static void release(void *arg);
static Datum row_of(const Stream *stream, Datum piece, TupleDesc descriptor);

/*
 * gpt_stream(model text, prompt text, ... as gpt_generate) -> setof (position integer, token
 * integer, text text)
 *
 * A row for each token: its number from 1, its id, and the text that is certain with it, which may
 * be empty while a character or a stop string is undecided. All texts together are what
 * gpt_generate returns. Where text is left when the end comes without a token, a last row has it,
 * with a NULL token. NULL model or prompt gives no rows.
 */
Datum
gpt_stream(PG_FUNCTION_ARGS)
{
	MemoryContext caller;
	FuncCallContext *set;
	TupleDesc descriptor;
	Stream *stream;
	Datum piece;

	gpt_argument_check_call(fcinfo);
	if (SRF_IS_FIRSTCALL())
	{
		set = SRF_FIRSTCALL_INIT();
		if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		caller = MemoryContextSwitchTo(set->multi_call_memory_ctx);
		set->tuple_desc = BlessTupleDesc(CreateTupleDescCopy(descriptor));
		MemoryContextSwitchTo(caller);
		if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
			set->user_fctx = begin(fcinfo, set->multi_call_memory_ctx);
	}
	set = SRF_PERCALL_SETUP();
	stream = set->user_fctx;
	if (stream == NULL || stream->done)
		SRF_RETURN_DONE(set);
	/* Settings may have changed since the last row: that starts the engine anew. */
	(void) gpt_cache_session(stream->served);
	if (stream->engine != gpt_bridge_generation())
		start(stream, fcinfo);

	/* Now do the work. */
	piece = next(stream);
	if (stream->done && VARSIZE_ANY_EXHDR(DatumGetPointer(piece)) == 0 &&
		lm_generation_token(stream->generation) < 0)
	{
		if (stream->n_given == 0)
			note_end(stream);
		SRF_RETURN_DONE(set);
	}
	stream->n_given++;
	SRF_RETURN_NEXT(set, row_of(stream, piece, set->tuple_desc));
}

/* Notes that the text ended without a token. */
static void
note_end(const Stream *stream)
{
	LmRequest ended = stream->call.request;
	int notices = gpt_call_notices(&ended, stream->served);

	gpt_call_raise_notices(notices & GPT_NOTICE_ENDED_AT_ONCE, stream->served);
}

/* Everything that lives from row to row. */
static Stream *
begin(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	Stream *stream = palloc0(sizeof(Stream));
	text *prompt = PG_GETARG_TEXT_P_COPY(1);

	gpt_bridge_check_encoding();
	stream->model = gpt_argument_text(fcinfo, 0);
	stream->call.request.task = LM_TASK_GENERATE;
	gpt_sampling_read(&stream->call, fcinfo, arguments, false);
	stream->call.request.prompt = (LmBytes){VARDATA_ANY(prompt), VARSIZE_ANY_EXHDR(prompt)};
	gpt_call_check_prompt(VARSIZE_ANY_EXHDR(prompt));
	stream->held = AllocSetContextCreate(context, "gpt stream", ALLOCSET_SMALL_SIZES);
	stream->release.func = release;
	stream->release.arg = stream;
	MemoryContextSwitchTo(caller);
	start(stream, fcinfo);
	return stream;
}

/*
 * Starts the generation, or starts it again after the engine did and skips the tokens given so far.
 */
static void
start(Stream *stream, FunctionCallInfo fcinfo)
{
	LmRequest *request = &stream->call.request;
	List *drafts = NIL;
	bool truncated;
	LmError error;
	MemoryContext caller;
	LmBytes prompt;

	MemoryContextReset(stream->held);
	caller = MemoryContextSwitchTo(stream->held);
	stream->served = gpt_cache_acquire(stream->model, GPT_SERVED_LANGUAGE_MODEL);
	if (stream->call.draft != NULL)
		request->sampling.draft = gpt_draft_session(&drafts, stream->call.draft, stream->served);
	prompt = gpt_cleaner_text(NULL, stream->served->cleaner, request->prompt, LM_CLEAN_KEEP_END);
	if (!gpt_sampling_prepare(&stream->call, stream->served, &error))
		gpt_bridge_raise(&error);
	MemoryContextSwitchTo(caller);
	MemoryContextRegisterResetCallback(stream->held, &stream->release);
	stream->engine = gpt_bridge_generation();
	request->sampling.heal = stream->served->heals;
	if (stream->n_given == 0)
	{
		LmRequest known = {.task = LM_TASK_GENERATE, .prompt = prompt, .n_tokens = 1};

		gpt_call_raise_notices(gpt_call_notices(&known, stream->served), stream->served);
	}
	while (stream->generation == NULL)
	{
		stream->generation =
			lm_generation_start(gpt_cache_session(stream->served), prompt.data, prompt.size,
								&request->sampling, &truncated, &error);
		if (stream->generation == NULL)
			gpt_bridge_retry(&error);
	}
	for (int i = 0; i < stream->n_given && !stream->done; i++)
		(void) next(stream);
	if (truncated && stream->n_given == 0)
		gpt_call_raise_notices(GPT_NOTICE_TRUNCATED, stream->served);
}

/* The next piece, a text. */
static Datum
next(Stream *stream)
{
	GptCall call = {.request = {.task = LM_TASK_GENERATE, .generation = stream->generation}};
	GptAnswer answer;

	gpt_call_answer(&answer, &gpt_generate_call, stream->served, &call, 1, 0, NULL);
	if (answer.error != NULL)
		gpt_bridge_raise(answer.error);
	stream->done = lm_generation_finished(stream->generation);
	return answer.value;
}

/* Called at the end of the set, however it comes. */
static void
release(void *arg)
{
	Stream *stream = arg;

	if (stream->generation != NULL && stream->engine == gpt_bridge_generation())
		lm_generation_free(stream->generation);
	stream->generation = NULL;
}

static Datum
row_of(const Stream *stream, Datum piece, TupleDesc descriptor)
{
	int32 token = lm_generation_token(stream->generation);
	Datum values[3] = {Int32GetDatum(stream->n_given), Int32GetDatum(token), piece};
	bool nulls[3] = {false, token < 0, false};

	return HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls));
}

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
#include "serve/call_try.h"
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
	bool nulls; /* an error ends the set ... */
	bool failed; /* ... and has */
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

static bool read_call(GptCall *call, FunctionCallInfo fcinfo);

static const GptCallKind stream_call = {.name = "gpt_stream", .read = read_call};

static Stream *begin(FunctionCallInfo fcinfo, MemoryContext context);
static bool start(Stream *stream, FunctionCallInfo fcinfo);
static bool start_generation(Stream *stream, LmBytes prompt);
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
 * with a NULL token. NULL model or prompt gives no rows; an error that gives NULL ends the rows.
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
	if (stream == NULL || stream->done || stream->failed)
		SRF_RETURN_DONE(set);
	/* Settings may have changed since the last row: that starts the engine anew. */
	(void) gpt_cache_session(stream->served);
	if (stream->engine != gpt_bridge_generation() && !start(stream, fcinfo))
		SRF_RETURN_DONE(set);

	/* Now do the work. */
	piece = next(stream);
	if (stream->failed)
		SRF_RETURN_DONE(set);
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

static bool
read_call(GptCall *call, FunctionCallInfo fcinfo)
{
	memset(call, 0, sizeof(GptCall));
	call->request.task = LM_TASK_GENERATE;
	gpt_sampling_read(call, fcinfo, arguments, false);
	return true;
}

/* Everything that lives from row to row; NULL after an error that gives NULL. */
static Stream *
begin(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	Stream *stream = palloc0(sizeof(Stream));
	text *prompt = PG_GETARG_TEXT_P_COPY(1);
	bool is_read;

	gpt_bridge_check_encoding();
	stream->model = gpt_argument_text(fcinfo, 0);
	stream->nulls = gpt_try_nulls(fcinfo, arguments);
	is_read = gpt_try_read(&stream->call, &stream_call, fcinfo, stream->nulls);
	stream->call.request.prompt = (LmBytes){VARDATA_ANY(prompt), VARSIZE_ANY_EXHDR(prompt)};
	stream->held = AllocSetContextCreate(context, "gpt stream", ALLOCSET_SMALL_SIZES);
	stream->release.func = release;
	stream->release.arg = stream;
	MemoryContextSwitchTo(caller);
	return is_read && start(stream, fcinfo) ? stream : NULL;
}

/*
 * Starts the generation, or starts it again after the engine did and skips the tokens given so far.
 * False after an error that gives NULL.
 */
static bool
start(Stream *stream, FunctionCallInfo fcinfo)
{
	LmRequest *request = &stream->call.request;
	List *drafts = NIL;
	LmError error;
	MemoryContext caller;
	LmBytes prompt;
	bool is_prepared;

	MemoryContextReset(stream->held);
	caller = MemoryContextSwitchTo(stream->held);
	stream->served = gpt_try_acquire(fcinfo, stream_call.name, stream->model,
									 GPT_SERVED_LANGUAGE_MODEL, stream->nulls);
	if (stream->served == NULL)
	{
		MemoryContextSwitchTo(caller);
		return false;
	}
	if (stream->call.draft != NULL)
		request->sampling.draft = gpt_draft_session(&drafts, stream->call.draft, stream->served);
	prompt = gpt_cleaner_text(NULL, stream->served->cleaner, request->prompt, LM_CLEAN_KEEP_END);
	is_prepared = gpt_sampling_prepare(&stream->call, stream->served, &error) &&
				  gpt_call_fits(prompt.size, &error);
	MemoryContextSwitchTo(caller);
	MemoryContextRegisterResetCallback(stream->held, &stream->release);
	stream->engine = gpt_bridge_generation();
	request->sampling.heal = stream->served->heals;
	if (!is_prepared)
		return gpt_try_error(&error, stream_call.name, stream->model, stream->nulls);
	if (stream->n_given == 0)
	{
		LmRequest known = {.task = LM_TASK_GENERATE, .prompt = prompt, .n_tokens = 1};

		gpt_call_raise_notices(gpt_call_notices(&known, stream->served), stream->served);
	}
	return start_generation(stream, prompt);
}

static bool
start_generation(Stream *stream, LmBytes prompt)
{
	bool truncated;
	LmError error;

	while (stream->generation == NULL)
	{
		stream->generation =
			lm_generation_start(gpt_cache_session(stream->served), prompt.data, prompt.size,
								&stream->call.request.sampling, &truncated, &error);
		if (stream->generation == NULL && error.code == LM_ERR_STOPPED)
			gpt_bridge_retry(&error);
		else if (stream->generation == NULL)
			return gpt_try_error(&error, stream_call.name, stream->model, stream->nulls);
	}
	for (int i = 0; i < stream->n_given && !stream->done && !stream->failed; i++)
		(void) next(stream);
	if (truncated && stream->n_given == 0)
		gpt_call_raise_notices(GPT_NOTICE_TRUNCATED, stream->served);
	return !stream->failed;
}

/* The next piece, a text. */
static Datum
next(Stream *stream)
{
	GptCall call = {.request = {.task = LM_TASK_GENERATE, .generation = stream->generation}};
	GptAnswer answer;

	gpt_call_answer(&answer, &gpt_generate_call, stream->served, &call, 1, 0, NULL);
	stream->failed = !gpt_try_error(answer.error, stream_call.name, stream->model, stream->nulls);
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

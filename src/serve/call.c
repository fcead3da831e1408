/*
 * src/serve/call.c
 *
 * Calls of a function of a model: their requests go to the engine in runs of bounded size, answers
 * come in the order of the calls.
 *
 * Memory that grows with their number is counted: with the model and its LmMany it stays within
 * gpt.max_memory.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "serve/call.h"
#include "serve/call_run.h"
#include "serve/constrained.h"
#include "serve/call_try.h"
#include "serve/call_draft.h"
#include "serve/prompt_state.h"

#define RUN_CALLS GPT_ELEMENTS
/* bytes of text; one that is larger has a run of its own */
#define RUN_SIZE (4 * 1024 * 1024)
#define MAX_PROMPT_SIZE (64 * 1024 * 1024)

static const GptServed *served_of(const GptCall *call, const GptServed *served);
static int run_of(const GptCall *calls, int n, const GptServed *served, LmTask task);
static void answer_run(GptAnswer *answers, const GptCallKind *kind, const GptServed *served,
					   const GptCall *calls, int n, uint64 held, GptCallTotals *totals);
static void clean(GptCall *call, const GptServed *served, MemoryContext context);
static LmError *prompt_error(size_t size);
static size_t vector_size(LmTask task, const GptServed *served);
static size_t sampling_size(const LmRequest *requests, int n, const LmConfig *config);
static size_t generation_size(const LmRequest *request, const LmConfig *config);
static size_t give_vectors(LmRequest *requests, const GptServed *const *models, int n, LmTask task);
static void run(LmMany *many, const GptServed *served, LmRequest *requests, int n,
				GptRun *measured);
static void take_answer(GptAnswer *answer, const GptCallKind *kind, const GptServed *served,
						const GptCall *call, const LmRequest *request);
static LmError *numeric_error(const char *what, const GptServed *served);

Datum
gpt_call_one(const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	const GptServed *served;
	GptAnswer answer;
	GptCall call;
	bool nulls;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	gpt_bridge_check_encoding();
	nulls = gpt_try_nulls(fcinfo, kind->arguments);
	if (!gpt_try_read(&call, kind, fcinfo, nulls))
		PG_RETURN_NULL();
	served = gpt_try_acquire(fcinfo, kind->name, text_to_cstring(PG_GETARG_TEXT_PP(0)),
							 kind->served, nulls);
	if (served == NULL)
		PG_RETURN_NULL();

	/* Now do the work. */
	gpt_call_answer(&answer, kind, served, &call, 1, 0, NULL);
	if (gpt_try_error(answer.error, kind->name, served->model, nulls))
		gpt_call_notice(fcinfo, answer.notices, served);
	gpt_cache_release(served);
	if (answer.is_null)
		PG_RETURN_NULL();
	return answer.value;
}

void
gpt_call_answer(GptAnswer *answers, const GptCallKind *kind, const GptServed *served,
				const GptCall *calls, int n, uint64 held, GptCallTotals *totals)
{
	int done = 0;

	if (totals == NULL)
		gpt_cache_count_call(served);
	gpt_stats_begin(gpt_cache_stats(served), totals == NULL ? 0 : 1);
	while (done < n)
	{
		int size = run_of(calls + done, n - done, served, kind->task);

		answer_run(answers + done, kind, served, calls + done, size, held, totals);
		done += size;
	}
	gpt_stats_end();
}

static const GptServed *
served_of(const GptCall *call, const GptServed *served)
{
	return call->served != NULL ? call->served : served;
}

/* How many of the next calls go together. */
static int
run_of(const GptCall *calls, int n, const GptServed *served, LmTask task)
{
	size_t size = 0;
	int i;

	for (i = 0; i < n && i < RUN_CALLS; i++)
	{
		size += calls[i].request.prompt.size + calls[i].request.text.size +
				vector_size(task, served_of(&calls[i], served));
		if (i > 0 && size > RUN_SIZE)
			break;
	}
	return i;
}

/*
 * Completes a call, with what it needs in the context; NULL, or why that is not possible, palloc'd.
 */
static LmError *
prepare(GptCall *call, const GptCallKind *kind, const GptServed *served, MemoryContext prepared)
{
	LmError error;

	if (kind->prepare != NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(prepared);
		bool is_complete = kind->prepare(call, served, &error);

		MemoryContextSwitchTo(caller);
		if (!is_complete)
		{
			LmError *copy = palloc(sizeof(LmError));

			*copy = error;
			return copy;
		}
	}
	if (served->cleaner != NULL)
		clean(call, served, prepared);
	return call->request.task == LM_TASK_GENERATE ? prompt_error(call->request.prompt.size) : NULL;
}

/*
 * Cleans prompt and text as the model's rows were cleaned. A conversation is clean already: its
 * kind's `prepare` did it.
 */
static void
clean(GptCall *call, const GptServed *served, MemoryContext context)
{
	LmRequest *request = &call->request;
	MemoryContext caller;

	if (request->sampling.marked || (call->cleaning & GPT_CALL_CLEANED) != 0)
		return;
	caller = MemoryContextSwitchTo(context);
	if (request->prompt.size > 0)
		request->prompt =
			gpt_cleaner_text(NULL, served->cleaner, request->prompt,
							 request->task == LM_TASK_CLASSIFY ? 0 : LM_CLEAN_KEEP_END);
	if (request->text.size > 0)
		request->text = gpt_cleaner_text(NULL, served->cleaner, request->text, call->cleaning);
	MemoryContextSwitchTo(caller);
}

/*
 * Answers the calls of one run together; the prompt of a call that fails its check is not computed.
 */
static void
answer_run(GptAnswer *answers, const GptCallKind *kind, const GptServed *served,
		   const GptCall *calls, int n, uint64 held, GptCallTotals *totals)
{
	LmRequest *requests = palloc0(n * sizeof(LmRequest));
	const GptServed **models = palloc((n + 1) * sizeof(GptServed *));
	int *places = palloc(n * sizeof(int));
	MemoryContext prepared = NULL;
	List *drafts = NIL;
	GptRun measured;
	LmMany *many;
	int n_requests = 0;

	gpt_run_begin(&measured);
	for (int i = 0; i < n; i++)
	{
		const GptServed *model = served_of(&calls[i], served);
		GptCall call = calls[i];

		if (prepared == NULL && (model->cleaner != NULL || kind->prepare != NULL))
			prepared = AllocSetContextCreate(CurrentMemoryContext, "gpt prepared calls",
											 ALLOCSET_DEFAULT_SIZES);
		memset(&answers[i], 0, sizeof(GptAnswer));
		answers[i].is_null = true;
		answers[i].error = prepare(&call, kind, model, prepared);
		if (answers[i].error != NULL)
			continue;
		if (kind->bound != NULL)
			kind->bound(&call);
		requests[n_requests] = call.request;
		requests[n_requests].sampling.heal = model->heals && !call.request.sampling.marked;
		requests[n_requests].session = gpt_cache_session(model);
		models[n_requests] = model;
		if (call.draft != NULL)
			requests[n_requests].sampling.draft = gpt_draft_session(&drafts, call.draft, model);
		places[n_requests++] = i;
	}
	models[n_requests] = served;
	if (prepared != NULL)
		held += MemoryContextMemAllocated(prepared, true);
	if (n_requests > 0 && requests[0].sampling.constraint != NULL)
		held += gpt_constraint_memory();
	held += give_vectors(requests, models, n_requests, kind->task) +
			sampling_size(requests, n_requests, served->config);
	many = gpt_cache_many(models, requests, n_requests, held);
	gpt_run_start(&measured, many, requests, n_requests);
	run(many, models[0], requests, n_requests, &measured);
	for (int i = 0; i < n_requests; i++)
		take_answer(&answers[places[i]], kind, models[i], &calls[places[i]], &requests[i]);
	lm_many_forget(many);
	gpt_drafts_release(drafts);
	if (prepared != NULL)
		MemoryContextDelete(prepared);
	gpt_run_end(&measured, served, calls, places, answers, n, totals);
	if (n_requests > 0 && requests[0].vector != NULL)
		pfree(requests[0].vector);
	pfree(requests);
	pfree(models);
	pfree(places);
}

bool
gpt_call_fits(size_t size, LmError *error)
{
	return size <= MAX_PROMPT_SIZE ||
		   lm_fail(error, LM_ERR_LIMIT, -1, "prompt has %zu MB, the limit is %d MB", size >> 20,
				   MAX_PROMPT_SIZE >> 20);
}

/* palloc'd; NULL for a prompt that may be continued */
static LmError *
prompt_error(size_t size)
{
	LmError *error = palloc(sizeof(LmError));

	if (!gpt_call_fits(size, error))
		return error;
	pfree(error);
	return NULL;
}

/* Bytes that the engine fills for a request. */
static size_t
vector_size(LmTask task, const GptServed *served)
{
	const LmConfig *config = served->config;

	if (task == LM_TASK_EMBED)
		return lm_embedding_most(config) * sizeof(float);
	return task == LM_TASK_CLASSIFY ? config->labels * sizeof(float) : 0;
}

/*
 * Bytes of the lists of texts of each request, and of what requests take while they are in the
 * model. As many texts as there are places take at most as much as the largest of them for each
 * place.
 */
static size_t
sampling_size(const LmRequest *requests, int n, const LmConfig *config)
{
	size_t lists = 0;
	size_t all = 0;
	size_t largest = 0;

	for (int i = 0; i < n; i++)
	{
		size_t width = Max(requests[i].sampling.beams, 1);
		size_t size = generation_size(&requests[i], config);

		/* An array that grows is at most twice as large as it must be; its end is copied. */
		if (requests[i].task == LM_TASK_GENERATE && requests[i].each)
			lists += 3 * ((size_t) requests[i].sampling.max_tokens + 1) * sizeof(LmTokenScore);
		lists += (requests[i].sampling.n_stops + requests[i].sampling.n_banned) * sizeof(LmBytes);
		all += size;
		largest = Max(largest, (size + width - 1) / width);
	}
	return lists + Min(all, LM_MANY_SEQUENCES * largest);
}

/*
 * Bytes of a beam search or of what runs ahead, and of the copies of stops, biases and counts, with
 * what follows a text through them: one for each text and one for the result. Banned texts have one
 * copy.
 */
static size_t
generation_size(const LmRequest *request, const LmConfig *config)
{
	const LmSampling *sampling = &request->sampling;
	bool runs_ahead = sampling->draft != NULL || sampling->lookup;
	size_t n_copies = sampling->beams > 1 ? sampling->beams + 1 : runs_ahead ? 2 : 1;
	LmError error;
	size_t size;

	if (!lm_beams_request_memory(&size, config, sampling, &error))
		gpt_bridge_raise(&error);
	if (runs_ahead)
		size += lm_speculation_memory(config);
	for (int i = 0; i < sampling->n_stops; i++)
		size += n_copies * (sampling->stops[i].size * (1 + sizeof(uint32)) + 4 * sizeof(LmBytes));
	size += n_copies * (sampling->n_biases * sizeof(LmBias) + sampling->n_banned * sizeof(uint32));
	if (sampling->presence_penalty != 0 || sampling->frequency_penalty != 0)
		size += n_copies * config->vocabulary * sizeof(uint32);
	if (request->each)
		size += config->vocabulary * sizeof(float);
	if (sampling->n_banned > 0)
		size += lm_banned_size(sampling->banned, sampling->n_banned, config);
	return size;
}

/* Bytes of the vectors, which are one block. */
static size_t
give_vectors(LmRequest *requests, const GptServed *const *models, int n, LmTask task)
{
	size_t size = 0;
	char *vectors;

	for (int i = 0; i < n; i++)
		size += vector_size(task, models[i]);
	if (size == 0)
		return 0;
	vectors = MemoryContextAllocHuge(CurrentMemoryContext, size);
	for (int i = 0; i < n; i++)
	{
		requests[i].vector = (float *) vectors;
		vectors += vector_size(task, models[i]);
	}
	return size;
}

/* Steps the engine until all requests are done; interrupts are served between steps. */
static void
run(LmMany *many, const GptServed *served, LmRequest *requests, int n, GptRun *measured)
{
	GptPromptState prompts;
	bool done = n == 0;
	LmError error;

	gpt_prompt_state_init(&prompts, served, requests, n);
	if (!lm_many_start(many, requests, n, &error))
		gpt_bridge_raise(&error);
	while (!done)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_prompt_state_load(&prompts, many);
		if (!lm_many_step(many, &done, &error))
			gpt_bridge_retry(&error);
		gpt_run_step(measured);
	}
	gpt_prompt_state_store(&prompts, many);
}

/* Turns a finished request into an answer; the error of a request becomes that of its call. */
static void
take_answer(GptAnswer *answer, const GptCallKind *kind, const GptServed *served,
			const GptCall *call, const LmRequest *request)
{
	GptCall done = *call;

	/* A stop is no fault of the text. */
	if (request->error.code == LM_ERR_STOPPED)
		gpt_bridge_raise(&request->error);
	if (request->error.code != LM_OK)
	{
		answer->is_null = true;
		if (request->error.code == LM_ERR_NUMERIC)
		{
			answer->error = numeric_error("is not finite", served);
			return;
		}
		answer->error = palloc(sizeof(LmError));
		*answer->error = request->error;
		return;
	}
	done.request = *request;
	answer->notices = gpt_call_notices(request, served);
	answer->n_tokens = request->score.n_tokens;
	answer->bounded = request->bounded;
	answer->value = kind->result(&done, served, &answer->is_null);
	if (!answer->is_null && kind->check != NULL)
	{
		LmError error;

		if (!kind->check(&done, answer->value, &error))
		{
			answer->is_null = true;
			answer->error = memcpy(palloc(sizeof(LmError)), &error, sizeof(LmError));
		}
	}
	/* As exp() of the server, which raises an error as well. */
	if (!answer->is_null && kind->result_type == FLOAT8OID &&
		!isfinite(DatumGetFloat8(answer->value)))
	{
		answer->is_null = true;
		answer->error = numeric_error("is out of range for double precision", served);
	}
}

/* The weights of a file may be any numbers: the message says whose they are. */
static LmError *
numeric_error(const char *what, const GptServed *served)
{
	LmError *error = palloc(sizeof(LmError));

	(void) lm_fail(error, LM_ERR_NUMERIC, -1, "result of model \"%s\" %s", served->model, what);
	return error;
}

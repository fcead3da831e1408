/*
 * src/serve/continuation.c
 *
 * A prompt goes in, its continuation by a model that is ready for use comes out.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/bridge.h"
#include "serve/continuation.h"

#define MAX_PROMPT_SIZE (64 * 1024 * 1024)

static LmGeneration *start(const GptServed *served, const char *prompt, size_t size,
						   const LmSampling *sampling, bool *truncated);
static void append_continuation(StringInfo result, LmGeneration *generation);

void
gpt_continue_check(size_t size)
{
	LmError *error = gpt_continue_error(size);

	if (error != NULL)
		gpt_bridge_raise(error);
}

LmError *
gpt_continue_error(size_t size)
{
	LmError *error;

	if (size <= MAX_PROMPT_SIZE)
		return NULL;
	error = palloc(sizeof(LmError));
	lm_fail(error, LM_ERR_LIMIT, -1, "prompt has %zu MB, the limit is %d MB", size >> 20,
			MAX_PROMPT_SIZE >> 20);
	return error;
}

/* A generation belongs to the engine, so it is released here, whatever happens. */
void
gpt_continue(StringInfo result, const GptServed *served, const char *prompt, size_t size,
			 const LmSampling *sampling, bool *truncated)
{
	LmGeneration *generation = start(served, prompt, size, sampling, truncated);

	PG_TRY();
	{
		append_continuation(result, generation);
	}
	PG_FINALLY();
	{
		lm_generation_free(generation);
	}
	PG_END_TRY();
}

static LmGeneration *
start(const GptServed *served, const char *prompt, size_t size, const LmSampling *sampling,
	  bool *truncated)
{
	LmSampling healed = *sampling;
	LmGeneration *generation;
	LmError error;

	healed.heal = served->heals;
	do
	{
		generation = lm_generation_start(served->session, prompt, size, &healed, truncated, &error);
		if (generation == NULL)
			gpt_bridge_retry(&error);
	} while (generation == NULL);
	return generation;
}

static void
append_continuation(StringInfo result, LmGeneration *generation)
{
	bool done = false;

	while (!done)
	{
		LmBytes piece;
		LmError error;

		CHECK_FOR_INTERRUPTS();
		if (lm_generation_next(generation, &piece, &done, &error))
			appendBinaryStringInfo(result, piece.data, (int) piece.size);
		else
			gpt_bridge_retry(&error);
	}
}

/*
 * src/serve/call_run.h
 *
 * The statistics of a run: requests that go through the engine together (src/serve/call.c).
 *
 *   gpt_run_begin; ... gpt_run_start; a step, gpt_run_step; ... gpt_run_end
 */
#ifndef GPT_CALL_RUN_H
#define GPT_CALL_RUN_H

#include "serve/call.h"
#include "portability/instr_time.h"

/* On the caller's stack. */
typedef struct GptRun
{
	instr_time began_at;
	const LmRequest *requests;
	int n_requests;
	const LmManyCounts *counts; /* of the LmMany */
	LmManyCounts before;
	int64 begun; /* generations with a first token when the clock was last read */
	int64 waited; /* nanoseconds until their first tokens, of all of them */
	int64 n_out; /* tokens that a generation which goes on had before */
	bool goes_on; /* the request is the next piece of a text that has begun */
} GptRun;

extern void gpt_run_begin(GptRun *run);
extern void gpt_run_start(GptRun *run, const LmMany *many, const LmRequest *requests,
						  int n_requests);

/* Reads the clock for first tokens. */
extern void gpt_run_wait(GptRun *run);

/* After each step. */
static inline void
gpt_run_step(GptRun *run)
{
	if (run->counts->begun != run->begun)
		gpt_run_wait(run);
}

/*
 * Counts the run, whose n calls have these answers; request i is that of calls[places[i]]. Where
 * calls have models of their own, each model gets the counts of its calls. totals: of
 * gpt_call_answer.
 */
extern void gpt_run_end(const GptRun *run, const GptServed *served, const GptCall *calls,
						const int *places, const GptAnswer *answers, int n, GptCallTotals *totals);

#endif /* GPT_CALL_RUN_H */

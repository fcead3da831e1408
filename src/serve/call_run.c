/*
 * src/serve/call_run.c
 *
 * A run of requests goes in, by its beginning, steps and end; its counts come out.
 */
#include "postgres.h"

#include "serve/call_run.h"

#define NANOSECONDS 1e9

static void count_answers(int64 *counts, const GptRun *run, const GptAnswer *answers, int n,
						  bool each);

void
gpt_run_begin(GptRun *run)
{
	INSTR_TIME_SET_CURRENT(run->began_at);
}

void
gpt_run_start(GptRun *run, const LmMany *many, const LmRequest *requests, int n_requests)
{
	const LmGeneration *generation = n_requests == 1 ? requests[0].generation : NULL;

	run->requests = requests;
	run->n_requests = n_requests;
	run->counts = lm_many_counts(many);
	run->before = *run->counts;
	run->begun = run->counts->begun;
	run->waited = 0;
	run->n_out = generation == NULL ? 0 : lm_generation_tokens(generation);
	run->goes_on = run->n_out > 0;
}

/* Nanoseconds since the run began; *now: the time. */
static int64
elapsed(instr_time *now, const GptRun *run)
{
	instr_time difference;

	INSTR_TIME_SET_CURRENT(*now);
	difference = *now;
	INSTR_TIME_SUBTRACT(difference, run->began_at);
	return (int64) (INSTR_TIME_GET_DOUBLE(difference) * NANOSECONDS);
}

void
gpt_run_wait(GptRun *run)
{
	instr_time now;

	run->waited += (run->counts->begun - run->begun) * elapsed(&now, run);
	run->begun = run->counts->begun;
}

void
gpt_run_end(const GptRun *run, const GptServed *served, const GptAnswer *answers, int n,
			GptCallTotals *totals)
{
	int64 counts[GPT_STATS] = {0};
	instr_time now;

	count_answers(counts, run, answers, n, totals != NULL);
	for (int i = 0; i < run->n_requests; i++)
	{
		const LmRequest *request = &run->requests[i];

		counts[GPT_STAT_TOKENS_IN] += request->n_read;
		if (request->task == LM_TASK_GENERATE)
			counts[GPT_STAT_TOKENS_OUT] += request->n_tokens;
	}
	counts[GPT_STAT_TOKENS_OUT] -= run->n_out;
	counts[GPT_STAT_TOKENS_COMPUTED] = run->counts->tokens - run->before.tokens;
	counts[GPT_STAT_FIRST_TOKENS] = run->counts->begun - run->before.begun;
	counts[GPT_STAT_FIRST_TOKEN_TIME] = run->waited;
	counts[GPT_STAT_PREFIX_HITS] = run->counts->hits - run->before.hits;
	counts[GPT_STAT_PREFIX_MISSES] = run->counts->misses - run->before.misses;
	counts[GPT_STAT_PREFIX_TOKENS] = run->counts->reused - run->before.reused;
	counts[GPT_STAT_PROPOSED] = run->counts->proposed - run->before.proposed;
	counts[GPT_STAT_ACCEPTED] = run->counts->accepted - run->before.accepted;
	counts[GPT_STAT_TIME] = elapsed(&now, run);
	gpt_stats_add(gpt_cache_stats(served), counts);
	gpt_stats_flush_if_due(&now);
	if (totals != NULL)
	{
		totals->tokens += counts[GPT_STAT_TOKENS_COMPUTED];
		totals->seconds += (double) counts[GPT_STAT_TIME] / NANOSECONDS;
	}
}

/*
 * each: texts are calls of their own. Then one with an error does not count: it is called again
 * alone, for its error.
 */
static void
count_answers(int64 *counts, const GptRun *run, const GptAnswer *answers, int n, bool each)
{
	int64 n_errors = 0;

	for (int i = 0; i < n; i++)
		n_errors += answers[i].error != NULL;
	if (!run->goes_on)
	{
		counts[GPT_STAT_ROWS] = n - n_errors;
		counts[GPT_STAT_BATCHES] = run->n_requests > 0;
	}
	if (each)
		counts[GPT_STAT_CALLS] = n - n_errors;
	else
		counts[GPT_STAT_ERRORS] = n_errors;
}

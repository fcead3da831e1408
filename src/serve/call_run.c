/*
 * src/serve/call_run.c
 *
 * A run of requests goes in, by its beginning, steps and end; its counts come out.
 */
#include "postgres.h"

#include "serve/call_run.h"

#define NANOSECONDS 1e9

/* The calls of a run, which are shared out over their models. */
typedef struct Share
{
	const GptRun *run;
	const GptCall *calls;
	const int *places;
	const GptAnswer *answers;
	int n;
	bool each; /* texts are calls of their own */
} Share;

static LmManyCounts difference(const LmManyCounts *now, const LmManyCounts *before);
static void share_out(const Share *share, const LmManyCounts *all, int64 nanoseconds);
static bool is_first(const Share *share, int call);
static LmManyCounts counts_of(const Share *share, const GptServed *model);
static void count_share(const Share *share, const GptServed *served, const GptServed *model,
						const LmManyCounts *own, const LmManyCounts *all, int64 nanoseconds);
static int64 part_of(int64 whole, int64 part, int64 parts);
static void count_answers(int64 *counts, const Share *share, const GptServed *model);

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
gpt_run_end(const GptRun *run, const GptServed *served, const GptCall *calls, const int *places,
			const GptAnswer *answers, int n, GptCallTotals *totals)
{
	LmManyCounts all = difference(run->counts, &run->before);
	Share share = {run, calls, places, answers, n, totals != NULL};
	instr_time now;
	int64 nanoseconds = elapsed(&now, run);

	if (n > 0 && calls[0].served != NULL)
		share_out(&share, &all, nanoseconds);
	else
		count_share(&share, served, NULL, &all, &all, nanoseconds);
	gpt_stats_flush_if_due(&now);
	if (totals != NULL)
	{
		totals->tokens += all.tokens;
		totals->seconds += (double) nanoseconds / NANOSECONDS;
	}
}

static LmManyCounts
difference(const LmManyCounts *now, const LmManyCounts *before)
{
	return (LmManyCounts){.tokens = now->tokens - before->tokens,
						  .begun = now->begun - before->begun,
						  .hits = now->hits - before->hits,
						  .misses = now->misses - before->misses,
						  .reused = now->reused - before->reused,
						  .proposed = now->proposed - before->proposed,
						  .accepted = now->accepted - before->accepted};
}

/*
 * Each model gets the counts of its own requests. The tokens of a common beginning are those of
 * the model of most requests (Boyer and Moore 1991, "MJRTY"): no other one can have it.
 */
static void
share_out(const Share *share, const LmManyCounts *all, int64 nanoseconds)
{
	const GptRun *run = share->run;
	const GptServed *most = NULL;
	int64 beginning = all->tokens;
	int lead = 0;

	for (int i = 0; i < run->n_requests; i++)
	{
		const GptServed *model = share->calls[share->places[i]].served;

		beginning -= run->requests[i].counts.tokens;
		most = lead == 0 ? model : most;
		lead += model == most ? 1 : -1;
	}
	for (int i = 0; i < share->n; i++)
	{
		const GptServed *model = share->calls[i].served;
		LmManyCounts own;

		if (!is_first(share, i))
			continue;
		own = counts_of(share, model);
		own.tokens += model == most ? beginning : 0;
		count_share(share, model, model, &own, all, nanoseconds);
	}
}

/* Whether no earlier call has the model of this one. */
static bool
is_first(const Share *share, int call)
{
	for (int i = 0; i < call; i++)
		if (share->calls[i].served == share->calls[call].served)
			return false;
	return true;
}

/* The sums over a model's requests. */
static LmManyCounts
counts_of(const Share *share, const GptServed *model)
{
	LmManyCounts sum = {0};

	for (int i = 0; i < share->run->n_requests; i++)
	{
		const LmManyCounts *counts = &share->run->requests[i].counts;

		if (share->calls[share->places[i]].served != model)
			continue;
		sum.tokens += counts->tokens;
		sum.begun += counts->begun;
		sum.hits += counts->hits;
		sum.misses += counts->misses;
		sum.reused += counts->reused;
		sum.proposed += counts->proposed;
		sum.accepted += counts->accepted;
	}
	return sum;
}

/*
 * Counts the calls of a model, or all of them (NULL). Time is shared by tokens, the wait for first
 * tokens by texts.
 */
static void
count_share(const Share *share, const GptServed *served, const GptServed *model,
			const LmManyCounts *own, const LmManyCounts *all, int64 nanoseconds)
{
	const GptRun *run = share->run;
	int64 counts[GPT_STATS] = {0};

	count_answers(counts, share, model);
	for (int i = 0; i < run->n_requests; i++)
	{
		const LmRequest *request = &run->requests[i];

		if (model != NULL && share->calls[share->places[i]].served != model)
			continue;
		counts[GPT_STAT_TOKENS_IN] += request->n_read;
		if (request->task == LM_TASK_GENERATE)
			counts[GPT_STAT_TOKENS_OUT] += request->n_tokens;
	}
	counts[GPT_STAT_TOKENS_OUT] -= run->n_out;
	counts[GPT_STAT_TOKENS_COMPUTED] = own->tokens;
	counts[GPT_STAT_FIRST_TOKENS] = own->begun;
	counts[GPT_STAT_FIRST_TOKEN_TIME] = part_of(run->waited, own->begun, all->begun);
	counts[GPT_STAT_PREFIX_HITS] = own->hits;
	counts[GPT_STAT_PREFIX_MISSES] = own->misses;
	counts[GPT_STAT_PREFIX_TOKENS] = own->reused;
	counts[GPT_STAT_PROPOSED] = own->proposed;
	counts[GPT_STAT_ACCEPTED] = own->accepted;
	counts[GPT_STAT_TIME] =
		own == all ? nanoseconds : part_of(nanoseconds, own->tokens, all->tokens);
	gpt_stats_add(gpt_cache_stats(served), counts);
}

static int64
part_of(int64 whole, int64 part, int64 parts)
{
	return parts > 0 ? (int64) ((double) whole * (double) part / (double) parts) : 0;
}

/*
 * Where texts are calls of their own, one with an error does not count: it is called again alone,
 * for its error.
 */
static void
count_answers(int64 *counts, const Share *share, const GptServed *model)
{
	int64 n_errors = 0;
	int64 n = 0;
	bool has_request = false;

	for (int i = 0; i < share->n; i++)
	{
		if (model != NULL && share->calls[i].served != model)
			continue;
		n++;
		n_errors += share->answers[i].error != NULL;
	}
	for (int i = 0; i < share->run->n_requests && !has_request; i++)
		has_request = model == NULL || share->calls[share->places[i]].served == model;
	if (!share->run->goes_on)
	{
		counts[GPT_STAT_ROWS] = n - n_errors;
		counts[GPT_STAT_BATCHES] = has_request;
	}
	if (share->each)
		counts[GPT_STAT_CALLS] = n - n_errors;
	else
		counts[GPT_STAT_ERRORS] = n_errors;
}

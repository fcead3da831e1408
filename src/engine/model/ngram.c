/*
 * src/engine/model/ngram.c
 *
 * Sorts the places of a training text, and mixes n-grams into a row of logits.
 */
#include <math.h>
#include <string.h>

#include "engine/ops.h"
#include "model/ngram_counts.h"

#define LEAST_SHARE 1e-30 /* of the network: a logarithm of it is finite */

static void sort_pass(int32_t *to, const int32_t *from, const float *tokens, int n, int k,
					  int32_t *starts, int vocabulary);
static double weigh(double shares[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS], const LmNgramCounts *counts,
					const float *weights);

/*
 * Sorts by the token LM_NGRAM_ORDERS places before, then by nearer ones: each pass is stable, so
 * that the last pass, by the nearest token, decides first.
 */
bool
lm_ngram_sort(float *order, const float *tokens, int n, int vocabulary, const LmHost *host,
			  LmError *error)
{
	int32_t *memory, *from, *to, *starts;
	bool stopped = false;

	if (n < 0 || n > LM_NGRAM_LARGEST)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "%d tokens are too many for n-grams", n);
	for (int i = 0; i < n; i++)
		if (!(tokens[i] >= 0 && tokens[i] < (float) vocabulary))
			return lm_fail(error, LM_ERR_ARGUMENT, i, "token %g is outside the vocabulary of %d",
						   tokens[i], vocabulary);
	memory = lm_allocate(host, (2 * (size_t) n + (size_t) vocabulary + 2) * sizeof(int32_t));
	if (!memory)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for n-grams");
	from = memory;
	to = from + n;
	starts = to + n;
	for (int i = 0; i < n; i++)
		from[i] = i;
	for (int k = LM_NGRAM_ORDERS; k > 0 && !stopped; k--)
	{
		int32_t *sorted = to;

		sort_pass(to, from, tokens, n, k, starts, vocabulary);
		to = from;
		from = sorted;
		stopped = host->should_stop && host->should_stop(host->context);
	}
	for (int i = 0; i < n && !stopped; i++)
		order[i] = (float) from[i];
	lm_free(host, memory);
	return !stopped || lm_fail(error, LM_ERR_STOPPED, -1, "sorting n-grams was stopped");
}

/* Counting sort by the token k places before; places without one come first. */
static void
sort_pass(int32_t *to, const int32_t *from, const float *tokens, int n, int k, int32_t *starts,
		  int vocabulary)
{
	memset(starts, 0, ((size_t) vocabulary + 2) * sizeof *starts);
	for (int i = 0; i < n; i++)
		starts[i < k ? 1 : (int) tokens[i - k] + 2]++;
	for (int i = 1; i < vocabulary + 2; i++)
		starts[i] += starts[i - 1];
	for (int i = 0; i < n; i++)
	{
		int place = from[i];

		to[starts[place < k ? 0 : (int) tokens[place - k] + 1]++] = place;
	}
}

/*
 * With A what the network keeps and S(t) what n-grams give to t, the new logit of t is the log of
 * p(t) + S(t) / A: those of the other tokens stay as they are.
 */
void
lm_ngram_mix(float *logits, int vocabulary, const LmNgram *ngram, const int32_t *history,
			 size_t n_history)
{
	LmNgramCounts counts;
	double shares[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS], kept, normaliser;

	for (int i = 0; i < vocabulary; i++)
		logits[i] *= ngram->weights[0];
	lm_ngram_count(&counts, ngram, history, n_history);
	kept = weigh(shares, &counts, ngram->weights);
	if (counts.n == 0)
		return;
	normaliser = lm_log_sum_exp(logits, vocabulary);
	for (int i = 0; i < counts.n; i++)
	{
		const LmNgramToken *token = &counts.tokens[i];
		double sum = 0;

		for (int source = 0; source < LM_NGRAM_SOURCES; source++)
			for (int k = 0; k < LM_NGRAM_ORDERS; k++)
				sum += shares[source][k] * token->counts[source][k];
		logits[token->id] =
			(float) (log(exp(logits[token->id] - normaliser) + sum / kept) + normaliser);
	}
}

/*
 * The part of the whole that each place of a level has, from the last level to the first; returns
 * what is left for the network.
 */
static double
weigh(double shares[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS], const LmNgramCounts *counts,
	  const float *weights)
{
	double left = 1;

	for (int k = LM_NGRAM_ORDERS - 1; k >= 0; k--)
		for (int source = LM_NGRAM_SOURCES - 1; source >= 0; source--)
		{
			const LmNgramLevel *level = &counts->levels[source][k];
			const float *of = weights + lm_ngram_weights_at(source, k);
			double features[LM_NGRAM_FEATURES], sum = 0, share;

			shares[source][k] = 0;
			if (level->places == 0)
				continue;
			lm_ngram_features(features, level);
			for (int i = 0; i < LM_NGRAM_FEATURES; i++)
				sum += of[i] * features[i];
			share = 1 / (1 + exp(-sum));
			shares[source][k] = left * share / level->places;
			left *= 1 - share;
		}
	return left > LEAST_SHARE ? left : LEAST_SHARE;
}

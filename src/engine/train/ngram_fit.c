/*
 * src/engine/train/ngram_fit.c
 *
 * Fits the weights of n-grams to validation text: the mixture's log likelihood, by Adam (Kingma and
 * Ba 2015) over all rows at once, with a Gaussian around small shares as prior, so that few rows
 * suffice. The factor of the network's logits is the best of a few (Guo et al. 2017, "On
 * calibration of modern neural networks": a network that has passed its text many times is too
 * sure).
 *
 * A row keeps what the mixture of its target needs, about 600 bytes.
 */
#include <math.h>
#include <string.h>

#include "engine/ops.h"
#include "model/ngram_counts.h"

#define FACTORS 3
#define STEPS 200
#define RATE 0.05
#define BETA1 0.9
#define BETA2 0.99
#define EPSILON 1e-8
#define PRIOR (-2.5) /* of the first feature's weight; 0 of the others */
#define PRIOR_STRENGTH 0.5
#define LEAST 1e-12 /* probability of the network */
#define LEVELS (LM_NGRAM_SOURCES * LM_NGRAM_ORDERS)

static const double factors[FACTORS] = {1, 0.85, 0.7};

/* A level that has places. */
typedef struct Level
{
	int weights_at;
	float features[LM_NGRAM_FEATURES - 1]; /* without the first, which is 1 */
	float share; /* of the target among the places */
} Level;

typedef struct Row
{
	float probabilities[FACTORS]; /* of the target by the network, by factor */
	int n;
	Level levels[LEVELS]; /* in the order of the mixture */
} Row;

struct LmNgramFit
{
	LmHost host;
	LmNgram ngram;
	int vocabulary;
	int n_rows;
	float *scaled; /* [vocabulary] */
	Row rows[LM_NGRAM_FIT_ROWS];
};

/* The weights and their moments. */
typedef struct Adam
{
	double weights[LM_NGRAM_WEIGHTS];
	double gradient[LM_NGRAM_WEIGHTS];
	double first[LM_NGRAM_WEIGHTS];
	double second[LM_NGRAM_WEIGHTS];
} Adam;

static void take_level(Row *row, const LmNgramLevel *counted, int source, int k, int count);
static bool fit_rows(Adam *adam, const LmNgramFit *fit, int first, int last, int factor,
					 LmError *error);
static double loss_of(const Adam *adam, const Row *row, int factor, double *gradient);

size_t
lm_ngram_memory(int n, int vocabulary)
{
	size_t arrays = 2 * (size_t) n * sizeof(float);
	size_t sorting = (2 * (size_t) n + (size_t) vocabulary + 2) * sizeof(int32_t);
	size_t fitting = sizeof(LmNgramFit) + (size_t) vocabulary * sizeof(float);

	return arrays + (sorting > fitting ? sorting : fitting);
}

LmNgramFit *
lm_ngram_fit_begin(const LmNgram *ngram, int vocabulary, const LmHost *host, LmError *error)
{
	LmNgramFit *fit = lm_allocate_unset(host, sizeof *fit + (size_t) vocabulary * sizeof(float));

	if (!fit)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for n-grams");
		return NULL;
	}
	fit->host = *host;
	fit->ngram = *ngram;
	fit->vocabulary = vocabulary;
	fit->n_rows = 0;
	fit->scaled = (float *) (fit + 1);
	return fit;
}

void
lm_ngram_fit_free(LmNgramFit *fit)
{
	LmHost host;

	if (!fit)
		return;
	host = fit->host;
	lm_free(&host, fit);
}

int
lm_ngram_fit_rows(const LmNgramFit *fit)
{
	return fit->n_rows;
}

/* The probability of a token when all log probabilities have a factor. */
static float
probability_of(LmNgramFit *fit, const float *logprobs, int32_t target, double factor)
{
	for (int i = 0; i < fit->vocabulary; i++)
		fit->scaled[i] = (float) factor * logprobs[i];
	return (float) exp(fit->scaled[target] - lm_log_sum_exp(fit->scaled, fit->vocabulary));
}

void
lm_ngram_fit_add(LmNgramFit *fit, const float *logprobs, int32_t target, const int32_t *history,
				 size_t n_history)
{
	LmNgramCounts counts;
	Row *row = &fit->rows[fit->n_rows];
	const LmNgramToken *token = NULL;

	if (fit->n_rows == LM_NGRAM_FIT_ROWS)
		return;
	fit->n_rows++;
	for (int i = 0; i < FACTORS; i++)
		row->probabilities[i] = probability_of(fit, logprobs, target, factors[i]);
	lm_ngram_count(&counts, &fit->ngram, history, n_history);
	for (int i = 0; i < counts.n && !token; i++)
		token = counts.tokens[i].id == target ? &counts.tokens[i] : NULL;
	row->n = 0;
	for (int k = 0; k < LM_NGRAM_ORDERS; k++)
		for (int source = 0; source < LM_NGRAM_SOURCES; source++)
			if (counts.levels[source][k].places > 0)
				take_level(row, &counts.levels[source][k], source, k,
						   token ? token->counts[source][k] : 0);
}

/* count: places of the target. */
static void
take_level(Row *row, const LmNgramLevel *counted, int source, int k, int count)
{
	Level *level = &row->levels[row->n++];
	double features[LM_NGRAM_FEATURES];

	lm_ngram_features(features, counted);
	level->weights_at = (int) lm_ngram_weights_at(source, k);
	for (int i = 1; i < LM_NGRAM_FEATURES; i++)
		level->features[i - 1] = (float) features[i];
	level->share = (float) count / (float) counted->places;
}

static double
sum_losses(const Adam *adam, const LmNgramFit *fit, int first, int last, int factor)
{
	double sum = 0;

	for (int i = first; i < last; i++)
		sum += loss_of(adam, &fit->rows[i], factor, NULL);
	return sum;
}

bool
lm_ngram_fit_finish(float *weights, double *network, double *mixture, LmNgramFit *fit,
					LmError *error)
{
	int n = fit->n_rows, half = n / 2, best = 0;
	Adam adam;

	if (n < 2)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "there are no rows to fit n-grams to");
	*network = 0;
	for (int i = 0; i < n; i++)
		*network -= log((double) fit->rows[i].probabilities[0] + LEAST);
	for (int factor = 0; factor < FACTORS; factor++)
	{
		double sum;

		if (!fit_rows(&adam, fit, 0, half, factor, error))
			return false;
		sum = sum_losses(&adam, fit, half, n, factor);
		if (!fit_rows(&adam, fit, half, n, factor, error))
			return false;
		sum += sum_losses(&adam, fit, 0, half, factor);
		if (factor > 0 && sum >= *mixture)
			continue;
		*mixture = sum;
		best = factor;
	}
	if (!fit_rows(&adam, fit, 0, n, best, error))
		return false;
	*network /= n;
	*mixture /= n;
	weights[0] = (float) factors[best];
	for (int i = 1; i < LM_NGRAM_WEIGHTS; i++)
		weights[i] = (float) adam.weights[i];
	return true;
}

/* One step of Adam, with a rate that falls to 0. */
static void
update(Adam *adam, int step)
{
	double rate = RATE * (1 - step / (STEPS + 1.0));

	for (int i = 1; i < LM_NGRAM_WEIGHTS; i++)
	{
		double prior = (i - 1) % LM_NGRAM_FEATURES == 0 ? PRIOR : 0;
		double slope = adam->gradient[i] + PRIOR_STRENGTH * (adam->weights[i] - prior);

		adam->first[i] = BETA1 * adam->first[i] + (1 - BETA1) * slope;
		adam->second[i] = BETA2 * adam->second[i] + (1 - BETA2) * slope * slope;
		adam->weights[i] -= rate * adam->first[i] / (1 - pow(BETA1, step)) /
							(sqrt(adam->second[i] / (1 - pow(BETA2, step))) + EPSILON);
	}
}

/* Fits weights to rows [first, last). */
static bool
fit_rows(Adam *adam, const LmNgramFit *fit, int first, int last, int factor, LmError *error)
{
	const LmHost *host = &fit->host;

	memset(adam, 0, sizeof *adam);
	for (int i = 1; i < LM_NGRAM_WEIGHTS; i += LM_NGRAM_FEATURES)
		adam->weights[i] = PRIOR;
	for (int step = 1; step <= STEPS; step++)
	{
		memset(adam->gradient, 0, sizeof adam->gradient);
		for (int i = first; i < last; i++)
			(void) loss_of(adam, &fit->rows[i], factor, adam->gradient);
		update(adam, step);
		if (host->should_stop && host->should_stop(host->context))
			return lm_fail(error, LM_ERR_STOPPED, -1, "fitting n-grams was stopped");
	}
	return true;
}

/*
 * -log P of a row's target; adds its gradient where there is one. With P_k = (1 - w) P_(k-1) + w q:
 * dP_k / dw = q - P_(k-1), and dw / d(weights . features) = w (1 - w).
 */
static double
loss_of(const Adam *adam, const Row *row, int factor, double *gradient)
{
	double p = (double) row->probabilities[factor] + LEAST, slope;
	double weights[LEVELS], before[LEVELS];

	for (int k = 0; k < row->n; k++)
	{
		const Level *level = &row->levels[k];
		const double *of = adam->weights + level->weights_at;
		double sum = of[0];

		for (int i = 1; i < LM_NGRAM_FEATURES; i++)
			sum += of[i] * level->features[i - 1];
		weights[k] = 1 / (1 + exp(-sum));
		before[k] = p;
		p = (1 - weights[k]) * p + weights[k] * level->share;
	}
	slope = -1 / p;
	for (int k = row->n - 1; gradient && k >= 0; k--)
	{
		const Level *level = &row->levels[k];
		double by_sum = slope * (level->share - before[k]) * weights[k] * (1 - weights[k]);

		gradient[level->weights_at] += by_sum;
		for (int i = 1; i < LM_NGRAM_FEATURES; i++)
			gradient[level->weights_at + i] += by_sum * level->features[i - 1];
		slope *= 1 - weights[k];
	}
	return -log(p);
}

/*
 * src/engine/model/label_figures.c
 *
 * Logits of windows and what they should be go in; accuracy, F1 or errors come out.
 */
#include <math.h>

#include "model/label_figures.h"

enum
{
	BOTH, /* of sets: labels given and wanted */
	ONE, /* given or wanted, but not both */
	ALL_RIGHT
};

enum
{
	SQUARE, /* of numbers: of the error */
	SIZE, /* of the error */
	NUMBER,
	NUMBER_SQUARE
};

#define LEAST_VARIANCE 1e-12 /* of standardised numbers that are not all equal */

static bool
is_first(const float *logits, int32_t target, int n_labels)
{
	int best = 0;

	for (int label = 1; label < n_labels; label++)
		if (logits[label] > logits[best])
			best = label;
	return best == target;
}

static void
add_set(double *sums, const float *logits, const LmLabelSets *sets, int32_t target, int n_labels,
		double weight)
{
	uint64_t n_wanted, next = 0;
	const uint32_t *wanted = lm_label_set(&n_wanted, sets, (uint64_t) target);
	int n_both = 0, n_one = 0;

	for (int label = 0; label < n_labels; label++)
	{
		bool is_wanted = next < n_wanted && wanted[next] == (uint32_t) label;
		bool is_given = logits[label] >= 0;

		next += is_wanted;
		n_both += is_wanted && is_given;
		n_one += is_wanted != is_given;
	}
	sums[BOTH] += weight * n_both;
	sums[ONE] += weight * n_one;
	sums[ALL_RIGHT] += n_one == 0 ? weight : 0;
}

static void
add_number(double *sums, double output, double value, double weight)
{
	double error = output - value;

	sums[SQUARE] += weight * error * error;
	sums[SIZE] += weight * fabs(error);
	sums[NUMBER] += weight * value;
	sums[NUMBER_SQUARE] += weight * value * value;
}

void
lm_label_figures_add(double *sums, const LmConfig *config, const LmLabelAnswers *answers, int n)
{
	for (int i = 0; i < n; i++)
	{
		const float *logits = answers->logits + (size_t) i * (size_t) config->labels;
		int32_t target = answers->targets[i];
		double weight = answers->weights[i];

		if (target < 0 || weight == 0)
			continue;
		if (config->number)
			add_number(sums, logits[0], answers->values[i], weight);
		else if (config->multi_label)
			add_set(sums, logits, answers->sets, target, config->labels, weight);
		else
			sums[0] += is_first(logits, target, config->labels) ? weight : 0;
	}
}

/* micro_f1 = 2 both / (2 both + one), and 1 where no label is wanted or given. */
void
lm_set_figures_finish(double *values, const double *means, const LmConfig *config)
{
	double both = means[BOTH], one = means[ONE], right = means[ALL_RIGHT];

	(void) config;
	values[0] = both + one > 0 ? 2 * both / (2 * both + one) : 1;
	values[1] = right;
}

void
lm_number_figures_finish(double *values, const double *means, const LmConfig *config)
{
	double square = means[SQUARE], size = means[SIZE], number = means[NUMBER];
	double variance = means[NUMBER_SQUARE] - number * number;

	values[0] = variance > LEAST_VARIANCE ? 1 - square / variance : NAN;
	values[1] = sqrt(square) * (double) config->number_scale;
	values[2] = size * (double) config->number_scale;
}

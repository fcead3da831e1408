/*
 * src/engine/train/loss_sample.c
 *
 * The standard error of the difference of two validation losses, as that of a ratio of sums over
 * parts (Cochran 1977, "Sampling techniques", section 6.4). Differences of the same predictions
 * vary much less than the losses themselves.
 */
#include <math.h>

#include "engine/loss_sample.h"

/* tokens in a piece of a single text; tokens this far apart are nearly independent */
#define PIECE_TOKENS 64

static void
add_piece(LmLossSample *sample, double weight, double loss)
{
	int part = (int) (sample->n_pieces++ % LM_LOSS_PARTS);

	sample->sum[part] += weight * loss;
	sample->weight[part] += weight;
}

/* A group is a piece; its loss is at its last row, and its weight that of its first window. */
static void
add_groups(LmLossSample *sample, const LmBatch *batch, const float *nll)
{
	int n_windows = 0;
	double weight = 0;

	for (int row = 0; row < batch->n_tokens; row++)
	{
		bool is_last = row + 1 == batch->n_tokens || batch->starts[row + 1] != batch->starts[row];

		if (n_windows % batch->group == 0 && batch->targets[row] >= 0 && batch->weights[row] != 0)
			weight = batch->weights[row];
		if (is_last && ++n_windows % batch->group == 0)
		{
			add_piece(sample, weight, nll[row]);
			weight = 0;
		}
	}
}

void
lm_loss_sample_add(LmLossSample *sample, const LmBatch *batch, const float *nll, bool one_text)
{
	int32_t piece = -1; /* the row where the present piece begins */

	if (batch->group > 1)
	{
		add_groups(sample, batch, nll);
		return;
	}
	for (int i = 0; i < batch->n_tokens; i++)
	{
		int32_t begin = i - (one_text ? batch->positions[i] % PIECE_TOKENS : batch->positions[i]);
		int part;

		if (batch->targets[i] < 0 || batch->weights[i] == 0)
			continue;
		if (begin != piece)
			sample->n_pieces++;
		piece = begin;
		part = (int) ((sample->n_pieces - 1) % LM_LOSS_PARTS);
		sample->sum[part] += (double) batch->weights[i] * nll[i];
		sample->weight[part] += batch->weights[i];
	}
}

bool
lm_loss_sample_tells(const LmLossSample *sample)
{
	return sample->n_pieces >= LM_LEAST_PIECES;
}

double
lm_loss_sample_rise(const LmLossSample *sample, const LmLossSample *other)
{
	int n = (int) (sample->n_pieces < LM_LOSS_PARTS ? sample->n_pieces : LM_LOSS_PARTS);
	double weight = 0;
	double difference = 0;
	double squares = 0;

	for (int i = 0; i < n; i++)
	{
		weight += sample->weight[i];
		difference += sample->sum[i] - other->sum[i];
	}
	if (difference == 0 || n < 2)
		return 0;
	for (int i = 0; i < n; i++)
	{
		double rest = sample->sum[i] - other->sum[i] - difference / weight * sample->weight[i];

		squares += rest * rest;
	}
	return difference / sqrt(squares * n / (n - 1));
}

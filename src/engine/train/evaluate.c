/*
 * src/engine/train/evaluate.c
 *
 * The weights of a trainer, measured on a batch: losses, likelihoods, probabilities.
 */
#include <string.h>

#include "model/labels.h"
#include "train/trainer_private.h"

static bool forward(LmTrainer *trainer, const LmPass *pass, LmError *error);
static bool is_done(const LmTrainer *trainer, LmError *error);

bool
lm_trainer_evaluate(double *sum, double *weight, LmTrainer *trainer, const LmBatch *batch,
					LmError *error)
{
	LmPass pass = {.batch = batch, .options = &trainer->options};
	double loss;

	if (!forward(trainer, &pass, error))
		return false;
	memset(trainer->network.figures, 0, sizeof trainer->network.figures);
	loss = lm_network_loss(&trainer->network, &pass, 0);
	if (!is_done(trainer, error))
		return false;
	*sum += loss;
	*weight += trainer->network.objective->weight(batch);
	return true;
}

bool
lm_trainer_likelihoods(float *values, LmTrainer *trainer, const LmBatch *batch, LmError *error)
{
	LmPass pass = {.batch = batch, .options = &trainer->options};
	const float *nll = trainer->network.activations.nll;
	double sum = 0;

	if (!forward(trainer, &pass, error))
		return false;
	(void) lm_language_loss(&trainer->network, &pass, 0);
	if (!is_done(trainer, error))
		return false;
	for (int row = 0; row < batch->n_tokens; row++)
	{
		bool is_last = row + 1 == batch->n_tokens || batch->starts[row + 1] != batch->starts[row];

		if (batch->targets[row] >= 0 && batch->weights[row] != 0)
			sum -= nll[row];
		if (!is_last)
			continue;
		*values++ = (float) sum;
		sum = 0;
	}
	return true;
}

bool
lm_trainer_log_probs(float *out, LmTrainer *trainer, const int *rows, int n, LmError *error)
{
	size_t V = (size_t) trainer->table->config.vocabulary;
	size_t C = (size_t) trainer->table->config.channels;
	LmNetwork *network = &trainer->network;

	for (int i = 0; i < n; i++)
		if (rows[i] < 0 || rows[i] >= network->capacity || n > network->capacity)
			return lm_fail(error, LM_ERR_ARGUMENT, i, "row %d is not in a batch", rows[i]);
	lm_engine_begin(trainer->engine);
	for (int i = 0; i < n; i++)
		memcpy(network->activations.narrow + (size_t) i * C,
			   network->activations.norm + (size_t) rows[i] * C, C * sizeof(float));
	lm_network_logits(network, out, network->activations.narrow, n);
	for (int i = 0; i < n && !lm_engine_stopped(trainer->engine); i++)
	{
		float *logits = out + (size_t) i * V;
		double lse = lm_log_sum_exp(logits, (int) V);

		for (size_t token = 0; token < V; token++)
			logits[token] = (float) (logits[token] - lse);
	}
	return is_done(trainer, error);
}

const float *
lm_trainer_nll(const LmTrainer *trainer)
{
	return trainer->network.activations.nll;
}

const char *const *
lm_trainer_figure_names(const LmTrainer *trainer)
{
	return trainer->network.objective->figures;
}

void
lm_trainer_figure_values(double *values, const LmTrainer *trainer, const double *means)
{
	const LmObjective *objective = trainer->network.objective;

	memcpy(values, means, LM_MAX_FIGURES * sizeof *values);
	if (objective->finish)
		objective->finish(values, means, &trainer->table->config);
}

const double *
lm_trainer_figures(const LmTrainer *trainer)
{
	return trainer->network.figures;
}

bool
lm_trainer_logits(float *out, LmTrainer *trainer, const LmBatch *batch, LmError *error)
{
	LmPass pass = {.batch = batch, .options = &trainer->options};

	if (!forward(trainer, &pass, error))
		return false;
	lm_network_logits(&trainer->network, out, trainer->network.activations.norm, batch->n_tokens);
	return is_done(trainer, error);
}

bool
lm_trainer_label_logits(float *logits, size_t n, LmTrainer *trainer, const LmBatch *batch,
						LmError *error)
{
	LmPass pass = {.batch = batch, .options = &trainer->options};

	if (trainer->table->config.labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the model is not a classifier");
	if (!forward(trainer, &pass, error))
		return false;
	lm_labels_logits(logits, n, &trainer->network, &pass);
	return is_done(trainer, error);
}

static bool
forward(LmTrainer *trainer, const LmPass *pass, LmError *error)
{
	if (!lm_network_check(&trainer->network, pass->batch, error))
		return false;
	lm_engine_begin(trainer->engine);
	lm_network_forward(&trainer->network, pass);
	return true;
}

static bool
is_done(const LmTrainer *trainer, LmError *error)
{
	return !lm_engine_stopped(trainer->engine) ||
		   lm_fail(error, LM_ERR_STOPPED, -1, "evaluation was stopped");
}

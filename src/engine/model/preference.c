/*
 * src/engine/model/preference.c
 *
 * The losses of pairs. The gradient of a loss with respect to the rows' logits is that of a
 * language model with other weights of the rows, the same for all rows of an answer, which need the
 * log-likelihoods of both answers. So the head's forward pass runs twice: for the likelihoods, and
 * with the gradient.
 */
#include <math.h>

#include "model/preference.h"

#define MARGIN 0
#define ACCURACY 1
/* 1 - exp x of ORPO is at least this: the mean log-likelihood x of an answer may round to 0 */
#define LEAST_REST 1e-7

/* One answer of a pair: its rows in the batch. */
typedef struct Answer
{
	int first;
	int end;
	int n_targets;
	double weight; /* the same at all targets */
	double likelihood; /* logarithm */
	double reference;
} Answer;

/* The loss of a pair, its slopes along the log-likelihoods of both answers, and its margin. */
typedef struct PairLoss
{
	double loss;
	double chosen;
	double rejected;
	double margin;
} PairLoss;

typedef PairLoss (*LossOfPair)(const Answer *chosen, const Answer *rejected,
							   const LmTrainOptions *options);

static double loss_of_pairs(LmNetwork *network, const LmPass *pass, float scale,
							LossOfPair loss_of_pair);
static Answer read_answer(const LmNetwork *network, const LmBatch *batch, int first);
static void weigh_answer(LmNetwork *network, const LmBatch *batch, const Answer *answer,
						 double slope);
static PairLoss dpo_of_pair(const Answer *chosen, const Answer *rejected,
							const LmTrainOptions *options);
static PairLoss orpo_of_pair(const Answer *chosen, const Answer *rejected,
							 const LmTrainOptions *options);

void
lm_preference_layout(LmNetwork *network, LmArena *arena)
{
	network->activations.row_weights = lm_arena_floats(arena, (size_t) network->capacity, 1);
}

double
lm_dpo_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	return loss_of_pairs(network, pass, scale, dpo_of_pair);
}

double
lm_orpo_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	return loss_of_pairs(network, pass, scale, orpo_of_pair);
}

static double
loss_of_pairs(LmNetwork *network, const LmPass *pass, float scale, LossOfPair loss_of_pair)
{
	const LmBatch *batch = pass->batch;
	double sum = 0;

	(void) lm_language_loss(network, pass, 0);
	for (int row = 0; row < batch->n_tokens && !lm_engine_stopped(network->engine);)
	{
		Answer chosen = read_answer(network, batch, row);
		Answer rejected = read_answer(network, batch, chosen.end);
		PairLoss pair = loss_of_pair(&chosen, &rejected, pass->options);

		sum += chosen.weight * pair.loss;
		network->figures[MARGIN] += chosen.weight * pair.margin;
		network->figures[ACCURACY] += pair.margin > 0 ? chosen.weight : 0;
		weigh_answer(network, batch, &chosen, chosen.weight * pair.chosen);
		weigh_answer(network, batch, &rejected, chosen.weight * pair.rejected);
		row = rejected.end;
		network->activations.nll[row - 1] = (float) pair.loss;
	}
	if (scale > 0)
		lm_language_gradient(network, pass, network->activations.row_weights, scale);
	return lm_engine_stopped(network->engine) ? 0 : sum;
}

/* The window that begins at a row, after the forward pass of the head. */
static Answer
read_answer(const LmNetwork *network, const LmBatch *batch, int first)
{
	Answer answer = {.first = first, .end = first};

	for (; answer.end < batch->n_tokens && batch->starts[answer.end] == first; answer.end++)
	{
		int row = answer.end;

		if (batch->targets[row] < 0 || batch->weights[row] == 0)
			continue;
		answer.n_targets++;
		answer.weight = batch->weights[row];
		answer.likelihood -= network->activations.nll[row];
	}
	answer.reference = batch->values[answer.end - 1];
	return answer;
}

/* The loss falls by slope where the negative log-likelihood of a row grows by 1. */
static void
weigh_answer(LmNetwork *network, const LmBatch *batch, const Answer *answer, double slope)
{
	for (int row = answer->first; row < answer->end; row++)
	{
		bool counts = batch->targets[row] >= 0 && batch->weights[row] != 0;

		network->activations.row_weights[row] = counts ? (float) -slope : 0;
	}
}

/* log sigmoid(x), without overflow */
static double
log_sigmoid(double x)
{
	return x > 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static PairLoss
dpo_of_pair(const Answer *chosen, const Answer *rejected, const LmTrainOptions *options)
{
	double beta = options->beta, e = options->label_smoothing;
	double h = beta * ((chosen->likelihood - chosen->reference) -
					   (rejected->likelihood - rejected->reference));
	/* d loss / d h */
	double slope = -(1 - e) * exp(log_sigmoid(-h)) + e * exp(log_sigmoid(h));

	return (PairLoss){.loss = -(1 - e) * log_sigmoid(h) - e * log_sigmoid(-h),
					  .chosen = beta * slope,
					  .rejected = -beta * slope,
					  .margin = h};
}

/* A window without a target has no mean. */
static double
mean_of(const Answer *answer)
{
	return answer->n_targets > 0 ? answer->likelihood / answer->n_targets : 0;
}

static PairLoss
orpo_of_pair(const Answer *chosen, const Answer *rejected, const LmTrainOptions *options)
{
	double beta = options->beta, c = mean_of(chosen), r = mean_of(rejected);
	double rest_c = fmax(-expm1(c), LEAST_REST), rest_r = fmax(-expm1(r), LEAST_REST);
	double odds = (c - log(rest_c)) - (r - log(rest_r));
	/* d -log sigmoid(odds) / d odds; d odds / d c = 1 / (1 - exp c) */
	double slope = -beta * exp(log_sigmoid(-odds));

	return (PairLoss){.loss = -c - beta * log_sigmoid(odds),
					  .chosen = (slope / rest_c - 1) / fmax(chosen->n_targets, 1),
					  .rejected = -slope / rest_r / fmax(rejected->n_targets, 1),
					  .margin = beta * (c - r)};
}

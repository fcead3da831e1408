/*
 * src/engine/serve/sampling.c
 *
 * From a row of logits to the row whose tokens are masked and drawn: some tokens become less or
 * more likely.
 */
#include <math.h>
#include <string.h>

#include "serve/sampling.h"

static bool penalise(float *logits, const LmDraw *wanted);
static float adjusted(float logit, int32_t id, const LmDraw *wanted);
static float bias_of(int32_t id, const LmSampling *sampling);

bool
lm_sampling_check(const LmSampling *sampling, const LmConfig *config, LmError *error)
{
	if (!(sampling->temperature >= 0) || !isfinite(sampling->temperature))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "temperature %g is below 0",
					   sampling->temperature);
	if (!(sampling->top_p >= 0 && sampling->top_p <= 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "top_p %g is outside 0 .. 1", sampling->top_p);
	if (!(sampling->min_p >= 0 && sampling->min_p <= 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "min_p %g is outside 0 .. 1", sampling->min_p);
	if (!(sampling->repetition_penalty > 0) || !isfinite(sampling->repetition_penalty))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "repetition_penalty %g is not above 0",
					   sampling->repetition_penalty);
	if (!isfinite(sampling->presence_penalty) || !isfinite(sampling->frequency_penalty))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a penalty is not finite");
	for (int i = 0; i < sampling->n_biases; i++)
	{
		const LmBias *bias = &sampling->biases[i];

		if (!isfinite(bias->bias) || bias->id < (i > 0 ? bias[-1].id + 1 : 0) ||
			bias->id >= config->vocabulary)
			return lm_fail(error, LM_ERR_ARGUMENT, i, "bias %d is out of range or order", i);
	}
	if (sampling->beams < 0 || sampling->beams > LM_MAX_BEAMS)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "%d beams are not within 1 .. %d",
					   sampling->beams, LM_MAX_BEAMS);
	if (!(sampling->length_penalty >= 0) || !isfinite(sampling->length_penalty))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "length_penalty %g is below 0",
					   sampling->length_penalty);
	if (sampling->constraint && sampling->beams > 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a constraint cannot be used with %d beams",
					   sampling->beams);
	if (sampling->constraint && (sampling->n_stops > 0 || sampling->n_banned > 0))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a constraint cannot be used with %s texts",
					   sampling->n_stops > 0 ? "stop" : "banned");
	return true;
}

bool
lm_sampling_adjusts(const LmSampling *sampling)
{
	return sampling->repetition_penalty != 1 || lm_sampling_counts(sampling) ||
		   sampling->n_biases > 0;
}

bool
lm_adjust(float *logits, const LmDraw *wanted)
{
	const LmSampling *sampling = wanted->sampling;
	bool are_finite = true;

	if (sampling->repetition_penalty != 1 || lm_sampling_counts(sampling))
		are_finite = penalise(logits, wanted);
	for (int i = 0; i < sampling->n_biases; i++)
	{
		float *logit = &logits[sampling->biases[i].id];

		if (*logit > -INFINITY)
		{
			*logit += sampling->biases[i].bias;
			are_finite &= isfinite(*logit) != 0;
		}
	}
	return are_finite;
}

/* Few tokens have been seen: eight that have not are passed over together. */
static bool
penalise(float *logits, const LmDraw *wanted)
{
	int V = wanted->session->config.vocabulary;
	bool are_finite = true;

	for (int id = 0; id < V; id++)
	{
		uint64_t eight = 1;

		if (id % 8 == 0 && id + 8 <= V)
			memcpy(&eight, wanted->seen + id, sizeof eight);
		if (eight == 0)
			id += 7;
		else if (wanted->seen[id] && logits[id] > -INFINITY)
		{
			logits[id] = adjusted(logits[id], id, wanted);
			are_finite &= isfinite(logits[id]) != 0;
		}
	}
	return are_finite;
}

float
lm_candidate_logit(const LmDraw *wanted, int candidate)
{
	const LmHealing *healing = wanted->healing;
	float logit = healing->logits[candidate];
	int number;
	int32_t id = lm_healing_token(&number, healing, wanted->session, candidate);

	if (!(logit > -INFINITY))
		return logit;
	if (wanted->seen[id])
		logit = adjusted(logit, id, wanted);
	return logit + bias_of(id, wanted->sampling);
}

/* The penalties of a token that prompt or output have. */
static float
adjusted(float logit, int32_t id, const LmDraw *wanted)
{
	const LmSampling *sampling = wanted->sampling;
	uint32_t count = wanted->counts ? wanted->counts[id] : 0;

	if (sampling->repetition_penalty != 1)
		logit = (float) (logit > 0 ? logit / sampling->repetition_penalty
								   : logit * sampling->repetition_penalty);
	if (count > 0)
		logit = (float) (logit - sampling->presence_penalty - sampling->frequency_penalty * count);
	return logit;
}

/* Biases are in the order of their tokens. */
static float
bias_of(int32_t id, const LmSampling *sampling)
{
	int low = 0, high = sampling->n_biases;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (sampling->biases[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < sampling->n_biases && sampling->biases[low].id == id ? sampling->biases[low].bias
																	  : 0;
}

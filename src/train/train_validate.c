/*
 * src/train/train_validate.c
 *
 * Validations of a training: the loss on held-out windows, the best weights, over-fitting.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/float.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "train/train_loop_private.h"

#define OVERFIT_VALIDATIONS 2 /* worse ones in a row, ... */
#define OVERFIT_RISE 1.01 /* ... of which the last is worse by so much ... */
#define OVERFIT_ERRORS 3 /* ... and by so many standard errors, count as over-fitting */

static void
evaluate_apart(void *work)
{
	GptTrainTask *task = work;
	GptTraining *training = task->training;

	task->done = lm_trainer_evaluate(&training->validation_sum, &training->validation_weight,
									 training->trainer, &training->validation, &task->error);
}

void
gpt_training_validate(GptTraining *training)
{
	const LmDatasetHeader *header = training->corpus->dataset.header;
	LmBatch *batch = &training->validation;
	uint64 next = 0;
	bool more = true;
	int64 tokens = 0;
	TimestampTz started_at = GetCurrentTimestamp();
	LmError error;

	training->validation_sum = 0;
	training->validation_weight = 0;
	MemSet(training->validation_figures, 0, sizeof(training->validation_figures));
	gpt_training_diverge_begin(training);
	MemSet(&training->state.sample, 0, sizeof(LmLossSample));
	while (more && tokens < training->plan->validation_tokens)
	{
		if (!lm_dataset_validation(batch, &next, &more, &training->dataset,
								   training->plan->training.max_tokens, &error))
			gpt_bridge_raise(&error);
		while (!gpt_training_compute(training, evaluate_apart, &error))
			gpt_bridge_retry(&error);
		lm_loss_sample_add(&training->state.sample, batch, lm_trainer_nll(training->trainer),
						   training->corpus->counts.held_out == 0);
		for (int i = 0; i < LM_MAX_FIGURES; i++)
			training->validation_figures[i] += lm_trainer_figures(training->trainer)[i];
		gpt_training_diverge_add(training);
		tokens += batch->n_tokens;
		gpt_progress_tick(training->progress);
	}
	if (!isfinite(training->validation_sum))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("validation loss is not finite at step " INT64_FORMAT,
							   training->state.step),
						errhint("Lower option \"learning_rate\".")));
	training->state.validation_loss = training->validation_sum / training->validation_weight;
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		training->validation_figures[i] /= training->validation_weight;
	lm_trainer_figure_values(training->state.figures.values, training->trainer,
							 training->validation_figures);
	training->state.figures.divergence = gpt_training_diverge_end(training);
	training->state.validation_bits_per_byte = header->n_labels > 0 || header->group > 1
												   ? get_float8_nan()
												   : training->state.validation_loss / M_LN2 *
														 (double) header->validation_counted /
														 (double) header->validation_bytes;
	training->progress->validation_loss = training->state.validation_loss;
	training->progress->validation_bits_per_byte = training->state.validation_bits_per_byte;
	training->validated_step = training->state.step;
	gpt_train_clock_count_validation(&training->clock, GetCurrentTimestamp() - started_at);
}

bool
gpt_training_keep_best(GptTraining *training)
{
	size_t size = lm_trainer_table(training->trainer)->total * sizeof(float);
	GptTrainState *state = &training->state;

	double window_loss = state->window_sum / (double) state->window_steps;

	if (!lm_loss_sample_tells(&training->state.sample))
		return true;
	if (state->validation_loss >= state->best_loss)
	{
		state->worse++;
		if (state->worse >= OVERFIT_VALIDATIONS &&
			state->validation_loss > OVERFIT_RISE * state->best_loss &&
			lm_loss_sample_rise(&training->state.sample, &state->best_sample) > OVERFIT_ERRORS &&
			window_loss < state->best_window_loss)
			state->overfit_since = state->best_step;
		return training->plan->patience == 0 || state->worse < training->plan->patience;
	}
	state->worse = 0;
	state->overfit_since = 0;
	state->best_step = state->step;
	state->best_loss = state->validation_loss;
	state->best_window_loss = window_loss;
	state->best_sample = training->state.sample;
	if (!training->plan->keep_best)
		return true;
	if (training->best == NULL)
		training->best = MemoryContextAllocHuge(CurrentMemoryContext, size);
	memcpy(training->best, lm_trainer_params(training->trainer), size);
	state->has_best = true;
	state->best_training_loss = window_loss;
	state->best_validation_loss = state->validation_loss;
	state->best_bits_per_byte = state->validation_bits_per_byte;
	state->best_figures = state->figures;
	return true;
}

/* Appends a member of an object of JSON; nothing where the value is none. */
static void
append_measure(StringInfo json, const char *prefix, const char *name, double value)
{
	if (isfinite(value))
		appendStringInfo(json, "%s\"%s%s\": %.6g", json->len > 1 ? ", " : "", prefix, name, value);
}

void
gpt_training_measures(char *text, size_t size, const GptTraining *training, bool validated)
{
	const GptTrainState *state = &training->state;
	const char *const *names = lm_trainer_figure_names(training->trainer);
	double means[LM_MAX_FIGURES];
	double values[LM_MAX_FIGURES];
	StringInfoData json;

	for (int i = 0; i < LM_MAX_FIGURES; i++)
		means[i] = state->figure_sums[i] / (double) Max(state->loss_steps, 1);
	lm_trainer_figure_values(values, training->trainer, means);

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; names[i] != NULL && state->loss_steps > 0; i++)
		append_measure(&json, "", names[i], values[i]);
	for (int i = 0; names[i] != NULL && validated; i++)
		append_measure(&json, "validation_", names[i], state->figures.values[i]);
	if (validated)
		append_measure(&json, "", "kl_per_token", state->figures.divergence);
	appendStringInfoChar(&json, '}');
	strlcpy(text, json.len > 2 && json.len < (int) size ? json.data : "", size);
	pfree(json.data);
}

/* The best of many validations may be so by chance, of weights that are only half trained. */
GptTrainChoice
gpt_training_choose(GptTraining *training)
{
	GptTrainState *state = &training->state;

	if (!training->plan->keep_best)
		return GPT_CHOICE_MADE;
	if (!lm_loss_sample_tells(&training->state.sample))
		return GPT_CHOICE_FEW;
	if (!state->has_best || state->best_step == state->step ||
		lm_loss_sample_rise(&training->state.sample, &state->best_sample) > GPT_BEST_ERRORS)
		return GPT_CHOICE_MADE;
	state->has_best = false;
	pfree(training->best);
	training->best = NULL;
	return GPT_CHOICE_UNTOLD;
}

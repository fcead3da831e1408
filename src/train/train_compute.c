/*
 * src/train/train_compute.c
 *
 * Runs the engine's part of a training at the priority of the engine.
 */
#include "postgres.h"

#include "core/nice.h"
#include "train/train_loop_private.h"

bool
gpt_training_compute(GptTraining *training, void (*what)(void *work), LmError *error)
{
	return gpt_training_compute_with(training, what, NULL, error);
}

bool
gpt_training_compute_with(GptTraining *training, void (*what)(void *work), void *context,
						  LmError *error)
{
	GptTrainTask task = {.training = training, .context = context};

	gpt_nice_compute(true);
	lm_engine_apart(lm_trainer_engine(training->trainer), what, &task);
	gpt_nice_compute(false);
	*error = task.error;
	return task.done;
}

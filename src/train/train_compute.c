/*
 * src/train/train_compute.c
 *
 * Runs the engine's part of a training at the priority of the engine; sums up its weights.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_crc32c.h"

#include "core/nice.h"
#include "core/pulse.h"
#include "train/train_loop_private.h"

#define CRC_PIECE ((size_t) 4 * 1024 * 1024)

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

uint32
gpt_train_weights_crc(LmTrainer *trainer)
{
	const char *bytes = (const char *) lm_trainer_params(trainer);
	size_t size = lm_trainer_table(trainer)->total * sizeof(float);
	pg_crc32c crc;

	INIT_CRC32C(crc);
	for (size_t done = 0; done < size; done += CRC_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_pulse();
		COMP_CRC32C(crc, bytes + done, Min(size - done, CRC_PIECE));
	}
	FIN_CRC32C(crc);
	return crc;
}

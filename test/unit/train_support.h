/*
 * test/unit/train_support.h
 *
 * What the tests of training share: an engine, small configurations, batches.
 */
#ifndef TEST_TRAIN_SUPPORT_H
#define TEST_TRAIN_SUPPORT_H

#include "engine/optimizer.h"
#include "tap.h"

static inline LmEngine *
start_engine_with(const LmHost *host, LmEngineOptions options)
{
	LmError error;
	LmEngine *engine = lm_engine_start(host, &options, &error);

	if (!engine)
	{
		printf("Bail out! engine: %s\n", error.message);
		exit(1);
	}
	return engine;
}

static inline LmEngine *
start_engine(const LmHost *host, int n_threads)
{
	return start_engine_with(host, (LmEngineOptions){.n_threads = n_threads});
}

static inline LmConfig
small_config(void)
{
	LmConfig config = lm_config_default();

	config.vocabulary = 29;
	config.context = 12;
	config.layers = 2;
	config.heads = 2;
	config.channels = 16;
	return config;
}

static inline LmTrainOptions
small_options(int max_tokens)
{
	LmTrainOptions options = lm_train_options_default();

	options.max_tokens = max_tokens;
	options.steps = 20;
	options.warmup_steps = 4;
	options.seed = 5;
	return options;
}

static inline LmTrainer *
create_trainer(LmEngine *engine, const LmConfig *config, const LmTrainOptions *options)
{
	LmError error;
	LmTrainer *trainer = lm_trainer_create(engine, config, options, &error);

	if (!trainer)
	{
		printf("Bail out! trainer: %s\n", error.message);
		exit(1);
	}
	return trainer;
}

/* A small generator of the tests' own, so that they do not rest on what they test. */
static inline uint32_t
test_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) (*state >> 33);
}

/* Appends a sequence of random tokens; with unequal weights also rows without weight or target. */
static inline void
append_sequence(LmBatch *batch, int length, int vocabulary, bool unequal, int example,
				uint64_t *state)
{
	int start = batch->n_tokens;

	for (int i = 0; i < length; i++)
	{
		int row = start + i;

		batch->tokens[row] = (int32_t) (test_random(state) % (uint32_t) vocabulary);
		batch->targets[row] = (int32_t) (test_random(state) % (uint32_t) vocabulary);
		batch->weights[row] = unequal ? (float) (test_random(state) % 5) / 2.0f : 1.0f;
		if (unequal && test_random(state) % 7 == 0)
			batch->targets[row] = -1;
		batch->positions[row] = i;
		batch->starts[row] = batch->prefixes[row] = start;
		batch->examples[row] = example;
	}
	batch->n_tokens += length;
}

/* Makes the first rows of each sequence its prefix, which predicts nothing: 2 of 5, or none of 1.
 */
static inline void
set_prefixes(LmBatch *batch)
{
	for (int row = 0, n = 0; row < batch->n_tokens; row += n)
	{
		for (n = 0; row + n < batch->n_tokens && batch->starts[row + n] == row; n++)
			;
		for (int i = 0; i < n; i++)
		{
			batch->prefixes[row + i] = row + 2 * n / 5;
			if (i < 2 * n / 5)
				batch->targets[row + i] = -1;
		}
	}
}

static inline LmBatch
create_batch(const LmHost *host, int capacity)
{
	LmBatch batch;
	LmError error;

	if (!lm_batch_create(&batch, host, capacity, &error))
		exit(1);
	return batch;
}

#endif /* TEST_TRAIN_SUPPORT_H */

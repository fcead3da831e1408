/*
 * test/unit/test_optimizer.c
 *
 * What the trainer promises with each optimizer of the table, so that a further row is tested by
 * being there. Its equations have a test of their own.
 */
#include <string.h>

#include "counting_host.h"
#include "train_support.h"

#define TOKENS 24
#define STEPS 20

static void
fill(LmBatch *batch, const LmConfig *config)
{
	uint64_t seed = 3;

	batch->n_tokens = 0;
	append_sequence(batch, 12, config->vocabulary, false, 0, &seed);
	append_sequence(batch, 12, config->vocabulary, false, 1, &seed);
}

static LmTrainOptions
options_of(int optimizer)
{
	LmTrainOptions options = small_options(TOKENS);

	options.optimizer = optimizer;
	options.learning_rate = 0.01;
	return options;
}

static size_t
block_size(const LmTrainer *trainer)
{
	return lm_trainer_table(trainer)->total * sizeof(float);
}

static bool
same_state(LmTrainer *a, LmTrainer *b)
{
	bool same = memcmp(lm_trainer_params(a), lm_trainer_params(b), block_size(a)) == 0;

	for (int i = 0; i < lm_trainer_n_moments(a); i++)
		same =
			same && memcmp(lm_trainer_moments(a, i), lm_trainer_moments(b, i), block_size(a)) == 0;
	return same;
}

static void
copy_state(LmTrainer *to, LmTrainer *from)
{
	memcpy(lm_trainer_params(to), lm_trainer_params(from), block_size(from));
	for (int i = 0; i < lm_trainer_n_moments(from); i++)
		memcpy(lm_trainer_moments(to, i), lm_trainer_moments(from, i), block_size(from));
}

static void
test_names(void)
{
	int n = 0;
	bool unique = true;

	for (; lm_optimizer(n); n++)
		for (int i = 0; i < n; i++)
			unique = unique && strcmp(lm_optimizer_name(i), lm_optimizer_name(n)) != 0;
	ok(unique && n >= 2, "%d optimizers have names of their own", n);
	ok(!lm_optimizer(-1) && !lm_optimizer_name(-1) && !lm_optimizer_name(n),
	   "a number that is none of a row has neither row nor name");
	ok(strcmp(lm_optimizer_name(LM_ADAMW), "adamw") == 0 &&
		   strcmp(lm_optimizer_name(LM_MUON), "muon") == 0,
	   "checkpoints find adamw and muon by their numbers");
}

/* A run on one thread, and one that two trainers with two threads share by half. */
static void
test_run(const LmHost *host, int optimizer)
{
	const char *name = lm_optimizer_name(optimizer);
	LmConfig config = small_config();
	LmTrainOptions options = options_of(optimizer);
	LmEngine *engines[2] = {start_engine(host, 1), start_engine(host, 2)};
	LmTrainer *whole = create_trainer(engines[0], &config, &options);
	LmTrainer *first = create_trainer(engines[1], &config, &options);
	LmTrainer *second = create_trainer(engines[1], &config, &options);
	LmBatch batch = create_batch(host, TOKENS);
	double first_loss = 0, loss = 0;
	bool done = true;

	for (int step = 0; step < STEPS; step++)
	{
		LmStepResult result;
		LmError error;

		fill(&batch, &config);
		done = done && lm_trainer_step(&result, whole, step, &batch, 1, NULL, NULL, &error);
		loss = result.loss;
		first_loss = step == 0 ? loss : first_loss;
		done = done && lm_trainer_step(&result, step < STEPS / 2 ? first : second, step, &batch, 1,
									   NULL, NULL, &error);
		if (step == STEPS / 2 - 1)
			copy_state(second, first);
	}
	ok(done && loss < 0.6 * first_loss, "%s: twenty steps learn a batch: %.3f to %.3f", name,
	   first_loss, loss);
	ok(same_state(whole, second),
	   "%s: parameters and moments are all that lasts, and threads change no bit", name);
	lm_trainer_free(whole);
	lm_trainer_free(first);
	lm_trainer_free(second);
	lm_batch_free(&batch, host);
	lm_engine_stop(engines[0]);
	lm_engine_stop(engines[1]);
}

static bool
stop_now(void *context, float *gradient, size_t count, LmError *error)
{
	((TapHost *) context)->stop = true;
	return true;
}

static void
test_stop(const LmHost *host, TapHost *state, int optimizer)
{
	LmConfig config = small_config();
	LmTrainOptions options = options_of(optimizer);
	LmEngine *engine = start_engine(host, 1);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	LmTrainer *before = create_trainer(engine, &config, &options);
	LmBatch batch = create_batch(host, TOKENS);
	LmStepResult result;
	LmError error;
	bool done;

	fill(&batch, &config);
	done = lm_trainer_step(&result, trainer, 0, &batch, 1, stop_now, state, &error);
	state->stop = false;
	ok(!done && error.code == LM_ERR_STOPPED && same_state(before, trainer),
	   "%s: a step that is stopped after its gradient changes nothing",
	   lm_optimizer_name(optimizer));
	lm_trainer_free(before);
	lm_trainer_free(trainer);
	lm_batch_free(&batch, host);
	lm_engine_stop(engine);
}

/* An adapter is trained, or refused with the optimizer's name. */
static void
test_memory(int optimizer)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmTrainOptions options = options_of(optimizer);
	LmEngine *engine = start_engine(&host, 2);
	LmError error;

	for (int rank = 0; rank <= 4; rank += 4)
	{
		size_t before = state.live, announced = 0;
		LmConfig config = small_config();
		LmTrainer *trainer;

		config.lora_rank = rank;
		trainer = lm_trainer_create(engine, &config, &options, &error);
		if (rank > 0 && lm_optimizer(optimizer)->no_adapters)
			ok(!trainer && error.code == LM_ERR_ARGUMENT &&
				   strstr(error.message, lm_optimizer_name(optimizer)),
			   "%s: an adapter is refused", lm_optimizer_name(optimizer));
		else
			ok(trainer && lm_trainer_memory(&announced, &config, &options, 2, &error) &&
				   announced == state.live - before,
			   "%s: a trainer of rank %d takes the memory that it says",
			   lm_optimizer_name(optimizer), rank);
		lm_trainer_free(trainer);
	}
	lm_engine_stop(engine);
}

/* A value that is none of its kind is an error, not the first or the last of the kind. */
static void
test_unknown(const LmHost *host)
{
	LmConfig config = small_config();
	LmTrainOptions wrong[3] = {small_options(TOKENS), small_options(TOKENS), small_options(TOKENS)};
	static const char *const messages[3] = {"optimizer 99 is not known", "schedule 99 is not known",
											"precision 99 is not known"};
	LmEngine *engine = start_engine(host, 1);

	wrong[0].optimizer = 99;
	wrong[1].schedule = (LmSchedule) 99;
	wrong[2].precision = (LmPrecision) 99;
	for (int i = 0; i < 3; i++)
	{
		LmError error = {0};
		size_t bytes;

		ok(!lm_trainer_memory(&bytes, &config, &wrong[i], 1, &error) &&
			   error.code == LM_ERR_ARGUMENT,
		   "%s: its memory is none", messages[i]);
		error.message[0] = '\0';
		ok(!lm_trainer_create(engine, &config, &wrong[i], &error) &&
			   strcmp(error.message, messages[i]) == 0,
		   "%s", messages[i]);
	}
	lm_engine_stop(engine);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_names();
	for (int i = 0; lm_optimizer(i); i++)
	{
		test_run(&host, i);
		test_stop(&host, &state, i);
		test_memory(i);
	}
	test_unknown(&host);
	is_int(state.live, 0, "nothing is left");
	return done_testing();
}

/*
 * test/unit/test_trainer.c
 *
 * What a step promises: the same result however it is cut, all or nothing, and no more memory than
 * announced.
 */
#include "counting_host.h"
#include "engine/block_type.h"
#include "train_support.h"

static LmConfig
medium_config(void)
{
	LmConfig config = small_config();

	config.vocabulary = 300;
	config.context = 48;
	config.channels = 48;
	config.heads = 4;
	config.dropout = 0.1f;
	return config;
}

/*
 * A sanitizer looks at accesses: fewer sequences, still of several pieces, and fewer steps make all
 * kinds of them. The plain build judges the numbers.
 */
static int
sequences(void)
{
	return tap_is_sanitized() ? 6 : 16;
}

static int
steps(int n)
{
	return tap_is_sanitized() ? 1 : n;
}

/* n_micro x n_each sequences of 48 tokens, the same whatever the cut. */
static void
fill_batches(LmBatch *batches, const LmHost *host, int n_micro, int n_each, bool unequal)
{
	uint64_t state = 9;

	for (int i = 0; i < n_micro; i++)
	{
		batches[i] = create_batch(host, 48 * n_each);
		for (int j = 0; j < n_each; j++)
			append_sequence(&batches[i], 48, 300, unequal, i * n_each + j, &state);
	}
}

static void
free_batches(LmBatch *batches, const LmHost *host, int n)
{
	for (int i = 0; i < n; i++)
		lm_batch_free(&batches[i], host);
}

static bool
step_once(LmStepResult *result, LmTrainer *trainer, int step, const LmBatch *batches, int n)
{
	LmError error;
	bool done = lm_trainer_step(result, trainer, step, batches, n, NULL, NULL, &error);

	if (!done)
		printf("# %s\n", error.message);
	return done;
}

static double
largest_difference(const float *a, const float *b, size_t count)
{
	double difference = 0;

	for (size_t i = 0; i < count; i++)
		difference = fmax(difference, fabs((double) a[i] - b[i]));
	return difference;
}

static void
test_accumulation(LmEngine *engine, const LmHost *host, bool unequal)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(32 * 48);
	LmTrainer *whole = create_trainer(engine, &config, &options);
	LmTrainer *cut = create_trainer(engine, &config, &options);
	LmBatch one[1], four[4];
	LmStepResult result_whole = {0}, result_cut = {0};
	size_t total = lm_trainer_table(whole)->total;
	int each = sequences() / 2;

	fill_batches(one, host, 1, 4 * each, unequal);
	fill_batches(four, host, 4, each, unequal);
	step_once(&result_whole, whole, 0, one, 1);
	step_once(&result_cut, cut, 0, four, 4);
	printf("# %s weights, with dropout\n", unequal ? "unequal" : "equal");
	is_near(result_cut.loss, result_whole.loss, 1e-6,
			"four micro-batches have the loss of one of their sequences");
	is_near(largest_difference(lm_trainer_gradient(whole), lm_trainer_gradient(cut), total), 0,
			1e-6, "four micro-batches have the gradient of one");
	is_int(result_cut.tokens, 4 * each * 48, "tokens of all micro-batches are counted");
	free_batches(one, host, 1);
	free_batches(four, host, 4);
	lm_trainer_free(whole);
	lm_trainer_free(cut);
}

/* A gradient that an earlier step left does not matter, though it is not cleared. */
static void
test_first_write(LmEngine *engine, const LmHost *host, bool tied)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(16 * 48);
	LmTrainer *clean, *used;
	const LmParamTable *table;
	LmBatch batches[2];
	LmStepResult result;

	config.tie_embeddings = tied;
	clean = create_trainer(engine, &config, &options);
	used = create_trainer(engine, &config, &options);
	table = lm_trainer_table(used);
	fill_batches(batches, host, 2, sequences(), true);
	for (int i = 0; i < table->n_params; i++)
		for (size_t j = 0; j < table->params[i].count; j++)
			lm_trainer_gradient(used)[table->params[i].offset + j] = NAN;
	step_once(&result, clean, 0, batches, 2);
	step_once(&result, used, 0, batches, 2);
	ok(memcmp(lm_trainer_gradient(clean), lm_trainer_gradient(used),
			  table->total * sizeof(float)) == 0,
	   "a step overwrites the gradient of the one before, embeddings %s",
	   tied ? "tied" : "not tied");
	free_batches(batches, host, 2);
	lm_trainer_free(clean);
	lm_trainer_free(used);
}

/* Three blocks: the first, one in the middle, and the last, which is not computed again. */
static void
test_recompute(LmEngine *engine, const LmHost *host, float dropout, LmPrecision precision)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(16 * 48);
	LmTrainer *trainers[2];
	LmBatch batches[2];
	LmStepResult results[2] = {{0}};
	double sums[2] = {0}, weights[2] = {0};
	size_t total, bytes[2];
	bool same = true;
	LmError error;

	config.layers = 3;
	config.dropout = dropout;
	options.precision = precision;
	fill_batches(batches, host, 2, sequences(), true);
	for (int i = 0; i < 2; i++)
	{
		options.recompute = i == 1;
		trainers[i] = create_trainer(engine, &config, &options);
		lm_trainer_memory(&bytes[i], &config, &options, 2, &error);
	}
	total = lm_trainer_table(trainers[0])->total * sizeof(float);
	for (int step = 0; step < steps(3); step++)
	{
		for (int i = 0; i < 2; i++)
		{
			step_once(&results[i], trainers[i], step, batches, 2);
			lm_trainer_evaluate(&sums[i], &weights[i], trainers[i], &batches[0], &error);
		}
		same &=
			memcmp(lm_trainer_gradient(trainers[0]), lm_trainer_gradient(trainers[1]), total) == 0;
		same &= memcmp(lm_trainer_params(trainers[0]), lm_trainer_params(trainers[1]), total) == 0;
		same &= memcmp(&results[0], &results[1], sizeof results[0]) == 0 && sums[0] == sums[1];
	}
	ok(same, "recomputation gives the same bits in %s, dropout %g",
	   precision == LM_BFLOAT16 ? "bfloat16" : "float32", dropout);
	ok(bytes[1] < bytes[0], "and takes less memory: %zu in place of %zu bytes", bytes[1], bytes[0]);
	free_batches(batches, host, 2);
	for (int i = 0; i < 2; i++)
		lm_trainer_free(trainers[i]);
}

static float *
train_with_threads(int n_threads, size_t *total)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, n_threads);
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(16 * 48);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	LmBatch batches[2];
	LmStepResult result;
	float *params;

	*total = lm_trainer_table(trainer)->total;
	params = malloc(*total * sizeof(float));
	fill_batches(batches, &host, 2, sequences(), true);
	for (int step = 0; step < steps(5); step++)
		step_once(&result, trainer, step, batches, 2);
	memcpy(params, lm_trainer_params(trainer), *total * sizeof(float));
	free_batches(batches, &host, 2);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	is_int((long long) state.live, 0, "everything is given back");
	return params;
}

static void
test_threads(void)
{
	static const int counts[] = {2, 4, 8};
	size_t total;
	float *one = train_with_threads(1, &total);

	for (int i = tap_is_sanitized() ? 2 : 0; i < 3; i++)
	{
		float *many = train_with_threads(counts[i], &total);

		ok(memcmp(one, many, total * sizeof(float)) == 0,
		   "weights after steps are the same bits with %d threads", counts[i]);
		free(many);
	}
	free(one);
}

static void
test_not_finite(LmEngine *engine, const LmHost *host)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(8 * 48);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	size_t total = lm_trainer_table(trainer)->total;
	float *params = lm_trainer_params(trainer), *before = malloc(total * sizeof(float));
	LmStepResult result;
	LmError error;
	LmBatch batch[1];

	fill_batches(batch, host, 1, 8, false);
	params[lm_param_find(lm_trainer_table(trainer), LM_UP_WEIGHT, 1)->offset + 5] = NAN;
	memcpy(before, params, total * sizeof(float));
	ok(!lm_trainer_step(&result, trainer, 17, batch, 1, NULL, NULL, &error),
	   "a step with NaN in a weight fails");
	ok(error.code == LM_ERR_NUMERIC && error.position == 17, "the error bears the step's number");
	ok(memcmp(before, params, total * sizeof(float)) == 0, "and no parameter has changed");
	free(before);
	free_batches(batch, host, 1);
	lm_trainer_free(trainer);
}

static bool
failing_reduce(void *context, float *gradient, size_t count, LmError *error)
{
	(void) count;
	*(float *) context = gradient[0];
	return lm_fail(error, LM_ERR_LIBRARY, -1, "no network");
}

static void
test_bad_batches(LmEngine *engine, const LmHost *host)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(8 * 48);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	LmStepResult result;
	LmError error;
	LmBatch batch[1];
	float seen;

	fill_batches(batch, host, 1, 8, false);
	ok(!lm_trainer_step(&result, trainer, 0, batch, 1, failing_reduce, &seen, &error) &&
		   error.code == LM_ERR_LIBRARY,
	   "an error of the reduce hook ends the step");
	batch->tokens[7] = 300;
	ok(!lm_trainer_step(&result, trainer, 0, batch, 1, NULL, NULL, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a token outside the vocabulary is refused");
	batch->tokens[7] = 0;
	batch->positions[7] = 48;
	ok(!lm_trainer_step(&result, trainer, 0, batch, 1, NULL, NULL, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a position outside the context is refused");
	batch->positions[7] = 7;
	for (int i = 0; i < batch->n_tokens; i++)
		batch->targets[i] = -1;
	ok(!lm_trainer_step(&result, trainer, 0, batch, 1, NULL, NULL, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a batch without targets is refused");
	free_batches(batch, host, 1);
	lm_trainer_free(trainer);
}

/* Stops a step at many points: it is done, or not done. */
static void
test_stop(void)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(8 * 48);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	size_t total = lm_trainer_table(trainer)->total, size = total * sizeof(float);
	float *params = lm_trainer_params(trainer), *before = malloc(3 * size);
	int stopped = 0, done = 0, unchanged = 0;
	LmStepResult result;
	LmError error;
	LmBatch batch[1];

	fill_batches(batch, &host, 1, 8, false);
	memcpy(before, params, size);
	memcpy(before + total, lm_trainer_moments(trainer, 0), size);
	memcpy(before + 2 * total, lm_trainer_moments(trainer, 1), size);
	for (long questions = 1; done == 0 && questions < 1000000; questions += 1 + questions / 8)
	{
		state.questions = questions;
		if (lm_trainer_step(&result, trainer, 3, batch, 1, NULL, NULL, &error))
		{
			done++;
			break;
		}
		stopped += error.code == LM_ERR_STOPPED;
		unchanged += memcmp(before, params, size) == 0 &&
					 memcmp(before + total, lm_trainer_moments(trainer, 0), size) == 0 &&
					 memcmp(before + 2 * total, lm_trainer_moments(trainer, 1), size) == 0;
	}
	printf("# stopped at %d points\n", stopped);
	ok(stopped > 20 && done == 1, "a step can be stopped at many points");
	is_int(unchanged, stopped, "a stopped step changes neither parameters nor moments");
	state.questions = -1;
	free(before);
	free_batches(batch, &host, 1);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
}

/* Every switch that has activations or parameters of its own. */
static LmConfig
gemma_config(void)
{
	LmConfig config = medium_config();

	config.kv_heads = 1;
	config.head_size = 20;
	config.norm = LM_RMSNORM;
	config.position = LM_ROPE;
	config.mlp = LM_GEGLU;
	config.bias = false;
	config.qk_norm = config.post_norm = true;
	config.logit_softcap = 30;
	config.window = 8;
	config.rope_local_base = 100;
	return config;
}

static LmConfig
neox_config(void)
{
	LmConfig config = medium_config();

	config.parallel_residual = true;
	config.qkv_bias = LM_QKV_NO_BIAS;
	config.dropout = 0;
	return config;
}

static void
test_memory(void)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 3);
	LmConfig configs[6] = {medium_config(), medium_config(), small_config(),
						   medium_config(), gemma_config(),	 neox_config()};
	LmTrainOptions options = small_options(700);
	bool exact = true;

	configs[1].tie_embeddings = configs[1].bias = false;
	configs[1].position = LM_SINUSOIDAL;
	configs[1].dropout = 0;
	configs[3].lora_rank = 3;
	configs[3].lora_dropout = 0.1f;
	for (int i = 0; i < 12; i++)
	{
		const LmConfig *config = &configs[i < 6 ? i % 3 : i < 8 ? 3 : 4 + i % 2];
		size_t before = state.live, announced = 0;
		LmTrainer *trainer;
		LmError error;

		options.recompute = i == 3 || i > 9;
		options.optimizer = i < 3 || i == 6 || i == 7 ? LM_ADAMW : LM_MUON;
		options.base_type = i == 7 ? lm_block_type_named("BF16")->number : 0;
		trainer = create_trainer(engine, config, &options);
		lm_trainer_memory(&announced, config, &options, lm_engine_threads(engine), &error);
		exact = exact && announced == state.live - before;
		printf("# announced %zu, allocated %zu\n", announced, state.live - before);
		lm_trainer_free(trainer);
		exact = exact && state.live == before;
	}
	ok(exact, "a trainer takes exactly the memory that lm_trainer_memory says, and gives it back");
	lm_engine_stop(engine);
}

static void
test_limits(void)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(INT32_MAX);
	size_t bytes;
	LmError error;

	config.channels = LM_MAX_CHANNELS;
	config.heads = 1;
	config.layers = LM_MAX_LAYERS;
	config.context = LM_MAX_CONTEXT;
	config.mlp_channels = 4 * LM_MAX_CHANNELS;
	ok(!lm_trainer_memory(&bytes, &config, &options, 64, &error) ? error.code == LM_ERR_LIMIT
																 : bytes > (size_t) 1 << 50,
	   "the largest configuration overflows into an error or a size, not into a small size");
	options.max_tokens = 100;
	config.layers = LM_MAX_LAYERS + 1;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_LIMIT,
	   "too many layers are refused");
	config = medium_config();
	config.heads = 5;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "channels that are no multiple of heads are refused");
	config = medium_config();
	options.max_tokens = 0;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a micro-batch of no tokens is refused");
}

static void
test_allocation_failures(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmConfig config = small_config();
	LmTrainOptions options = small_options(48);
	long live = state.live, failures = 0;
	bool clean = true;

	for (;; failures++)
	{
		LmError error = {0};
		LmTrainer *trainer;

		state.fail_after = failures;
		trainer = lm_trainer_create(engine, &config, &options, &error);
		state.fail_after = -1;
		if (trainer)
		{
			lm_trainer_free(trainer);
			break;
		}
		clean = clean && error.code == LM_ERR_MEMORY && state.live == live;
	}
	ok(clean && failures > 0 && state.live == live,
	   "each of %ld allocations may fail, and nothing is lost", failures);
	lm_engine_stop(engine);
}

/*
 * The values of the beginning: their deviations, and that they are a function of seed, not of
 * threads.
 */
static void
test_initialisation(void)
{
	float *blocks[3];
	size_t total = 0;

	for (int i = 0; i < 3; i++)
	{
		CountingHost state;
		LmHost host = counting_host(&state);
		LmEngine *engine = start_engine(&host, i == 0 ? 1 : 4);
		LmConfig config = medium_config();
		LmTrainOptions options = small_options(48);
		LmTrainer *trainer;
		double sum = 0, sum_residual = 0;
		const LmParam *embedding, *residual;

		config.vocabulary = 6000;
		options.seed = i == 2 ? 6 : 5;
		trainer = create_trainer(engine, &config, &options);
		total = lm_trainer_table(trainer)->total;
		blocks[i] = malloc(total * sizeof(float));
		memcpy(blocks[i], lm_trainer_params(trainer), total * sizeof(float));
		embedding = lm_param_find(lm_trainer_table(trainer), LM_TOKEN_EMBEDDING, -1);
		residual = lm_param_find(lm_trainer_table(trainer), LM_DOWN_WEIGHT, 1);
		for (size_t j = 0; j < embedding->count; j++)
			sum += pow(blocks[i][embedding->offset + j], 2);
		for (size_t j = 0; j < residual->count; j++)
			sum_residual += pow(blocks[i][residual->offset + j], 2);
		is_near(sqrt(sum / (double) embedding->count), 0.02, 2e-4, "matrices have deviation 0.02");
		is_near(sqrt(sum_residual / (double) residual->count), 0.01, 2e-4,
				"residual ones 0.02 / sqrt(2 layers)");
		lm_trainer_free(trainer);
		lm_engine_stop(engine);
	}
	ok(memcmp(blocks[0], blocks[1], total * sizeof(float)) == 0,
	   "the same seed gives the same weights with 1 and 4 threads");
	ok(memcmp(blocks[0], blocks[2], total * sizeof(float)) != 0, "another seed gives others");
	for (int i = 0; i < 3; i++)
		free(blocks[i]);
}

/* Evaluation has no dropout, changes nothing, and adds up over batches. */
static void
test_evaluation(LmEngine *engine, const LmHost *host)
{
	LmConfig config = medium_config();
	LmTrainOptions options = small_options(32 * 48);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	LmBatch one[1], four[4];
	double sum = 0, weight = 0, sum_cut = 0, weight_cut = 0;
	LmStepResult result;
	LmError error;

	fill_batches(one, host, 1, 32, true);
	fill_batches(four, host, 4, 8, true);
	lm_trainer_evaluate(&sum, &weight, trainer, one, &error);
	for (int i = 0; i < 4; i++)
		lm_trainer_evaluate(&sum_cut, &weight_cut, trainer, &four[i], &error);
	is_near(sum_cut / weight_cut, sum / weight, 1e-6,
			"evaluation in parts is evaluation of the whole");
	lm_trainer_options(trainer)->learning_rate = lm_trainer_options(trainer)->min_learning_rate = 0;
	step_once(&result, trainer, 0, one, 1);
	ok(fabs(result.loss - sum / weight) > 1e-5, "training has dropout, evaluation has none");
	lm_trainer_free(trainer);
	config.dropout = 0;
	trainer = create_trainer(engine, &config, &options);
	sum = weight = 0;
	lm_trainer_evaluate(&sum, &weight, trainer, one, &error);
	step_once(&result, trainer, 0, one, 1);
	is_near(result.loss, sum / weight, 1e-6, "without dropout the two are the same");
	free_batches(one, host, 1);
	free_batches(four, host, 4);
	lm_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_accumulation(engine, &host, false);
	test_accumulation(engine, &host, true);
	test_first_write(engine, &host, true);
	test_first_write(engine, &host, false);
	test_recompute(engine, &host, 0, LM_FLOAT32);
	test_recompute(engine, &host, 0.1f, LM_FLOAT32);
	if (lm_engine_bf16(engine))
		test_recompute(engine, &host, 0.1f, LM_BFLOAT16);
	test_threads();
	test_not_finite(engine, &host);
	test_bad_batches(engine, &host);
	test_stop();
	test_memory();
	test_limits();
	test_allocation_failures();
	test_initialisation();
	test_evaluation(engine, &host);
	lm_engine_stop(engine);
	return done_testing();
}

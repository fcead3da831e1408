/*
 * test/unit/test_frozen.c
 *
 * The base of an adapter in a type of blocks: training is the same to the last bit as on a base of
 * floats with the same values, and takes less memory. (That it takes what it says: test_trainer.c.)
 */
#include "engine/block_type.h"
#include "serve_support.h"

#define N_TOKENS 150
#define STEPS 3

typedef struct Case
{
	const char *type;
	LmPrecision precision;
	bool recompute;
	int n_threads;
} Case;

static LmConfig
adapter_config(void)
{
	LmConfig config = small_config();

	config.channels = 96;
	config.heads = 4;
	config.mlp_channels = 160;
	config.lora_rank = 3;
	return config;
}

static LmBatch
random_batch(const LmHost *host, const LmConfig *config)
{
	LmBatch batch = create_batch(host, N_TOKENS);
	uint64_t state = 9;

	for (int example = 0; batch.n_tokens + config->context <= N_TOKENS; example++)
		append_sequence(&batch, config->context, config->vocabulary, true, example, &state);
	return batch;
}

static bool
is_matrix(const LmParam *param)
{
	return param->layer >= 0 && !param->vector;
}

/* Writes random values, those of matrices rounded to a type, in pieces of some rows. */
static void
put_values(LmTrainer *trainer, const LmHost *host, const LmBlockType *type)
{
	LmConfig config = lm_config_base(&lm_trainer_table(trainer)->config);
	LmError error;
	LmParamTable *table = lm_param_table_create(host, &config, &error);
	uint64_t state = 4;

	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		float *values = malloc(param->count * sizeof(float));
		char *blocks = malloc(param->count * sizeof(float));

		for (size_t j = 0; j < param->count; j++)
			values[j] = (float) ((int) (test_random(&state) % 2001) - 1000) * 1e-4f +
						(param->init == LM_INIT_ONE ? 1.0f : 0.0f);
		if (is_matrix(param))
		{
			lm_block_encode(blocks, type, values, param->count);
			lm_block_decode(values, type, blocks, param->count);
		}
		for (int row = 0; row < param->rows; row += 7)
			lm_trainer_put_base(trainer, param->kind, param->layer, row,
								param->rows - row < 7 ? param->rows - row : 7,
								values + (size_t) row * (size_t) param->columns);
		free(values);
		free(blocks);
	}
	lm_param_table_free(host, table);
}

/* The adapter's parameters after some steps, and the loss of the last one. */
static float *
train(double *loss, const LmHost *host, const Case *test, const LmConfig *config, int base_type)
{
	LmEngine *engine = start_engine(host, test->n_threads);
	LmTrainOptions options = small_options(N_TOKENS);
	LmBatch batch = random_batch(host, config);
	LmTrainer *trainer;
	LmStepResult result = {0};
	double sum = 0, weight = 0;
	float *params;
	LmError error;

	options.learning_rate = 1e-2;
	options.warmup_steps = 0;
	options.precision = test->precision;
	options.recompute = test->recompute;
	options.base_type = base_type;
	trainer = create_trainer(engine, config, &options);
	put_values(trainer, host, lm_block_type_named(test->type));
	for (int step = 0; step < STEPS; step++)
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
			printf("# %s\n", error.message);
	lm_trainer_evaluate(&sum, &weight, trainer, &batch, &error);
	loss[0] = result.loss;
	loss[1] = sum / weight;
	params = malloc(lm_trainer_table(trainer)->total * sizeof(float));
	memcpy(params, lm_trainer_params(trainer), lm_trainer_table(trainer)->total * sizeof(float));
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return params;
}

static void
test_same_bits(const LmHost *host, const Case *test, const LmConfig *config)
{
	LmError error;
	LmParamTable *table = lm_param_table_create(host, config, &error);
	double wanted[2], got[2];
	float *plain = train(wanted, host, test, config, 0);
	float *frozen = train(got, host, test, config, lm_block_type_named(test->type)->number);

	ok(memcmp(plain, frozen, table->total * sizeof(float)) == 0 && wanted[0] == got[0] &&
		   wanted[1] == got[1] && got[1] < got[0],
	   "a base in %s trains the adapter of the same base in float32: %s%s, %d threads (loss %.4f, "
	   "then %.4f)",
	   test->type, lm_precision_name(test->precision), test->recompute ? ", recomputed" : "",
	   test->n_threads, got[0], got[1]);
	free(plain);
	free(frozen);
	lm_param_table_free(host, table);
}

static void
test_memory(void)
{
	LmConfig config = adapter_config();
	LmTrainOptions options = small_options(N_TOKENS);
	static const char *const names[] = {"F32", "F16", "BF16", "Q8_0", "Q4_0"};
	const double n_weights = 22 * (4.0 * 2048 * 2048 + 2.0 * 2048 * 5632);
	size_t large[5];
	LmError error;

	config.vocabulary = 32000;
	config.channels = 2048;
	config.layers = 22;
	config.heads = 32;
	config.mlp_channels = 5632;
	for (int i = 0; i < 5; i++)
	{
		options.base_type = lm_block_type_named(names[i])->number;
		lm_trainer_memory(&large[i], &config, &options, 2, &error);
	}
	/* Of the bytes that the matrices lose, scratch takes some again, how much depends on the CPU.
	 */
	ok((double) large[0] - (double) large[2] > 0.9 * n_weights * (4 - 2) &&
		   (double) large[0] - (double) large[3] > 0.9 * n_weights * (4 - 34.0 / 32),
	   "a base of a billion weights takes %zu MB, %zu MB in bfloat16, %zu MB in Q8_0",
	   large[0] >> 20, large[2] >> 20, large[3] >> 20);
}

static void
test_errors(void)
{
	LmConfig config = adapter_config();
	LmTrainOptions options = small_options(N_TOKENS);
	size_t bytes;
	LmError error;

	options.base_type = lm_block_type_named("Q4_K")->number;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a type that cannot be written is refused: %s", error.message);
	options.base_type = 999;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "and one that is not known: %s", error.message);
	options.base_type = lm_block_type_named("Q8_0")->number;
	config.mlp_channels = 100;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "and blocks that do not divide the rows: %s", error.message);
	config.channels = LM_MAX_CHANNELS;
	config.heads = 64;
	config.layers = LM_MAX_LAYERS;
	config.mlp_channels = 4 * LM_MAX_CHANNELS;
	ok(lm_trainer_memory(&bytes, &config, &options, 1, &error) ? bytes > (size_t) 1 << 40
															   : error.code == LM_ERR_LIMIT,
	   "the largest configuration overflows into an error or a size, not into a small size");
}

int
main(void)
{
	static const Case cases[] = {{"BF16", LM_FLOAT32, false, 1},
								 {"F16", LM_FLOAT32, true, 2},
								 {"Q8_0", LM_FLOAT32, false, 3},
								 {"BF16", LM_BFLOAT16, true, 2},
								 {"Q8_0", LM_BFLOAT16, false, 2}};
	TapHost state;
	LmHost host = tap_host(&state);
	LmConfig config = adapter_config();

	for (int i = 0; i < (int) (sizeof cases / sizeof cases[0]); i++)
		if (cases[i].precision == LM_FLOAT32 || lm_bf16_name())
			test_same_bits(&host, &cases[i], &config);
	config.lora_targets = 1 << LM_TARGET_UP;
	config.tie_embeddings = false;
	config.position = LM_ROPE;
	config.bias = false;
	config.mlp = LM_SWIGLU;
	config.kv_heads = 2;
	config.head_size = 16;
	test_same_bits(&host, &cases[2], &config);
	test_memory();
	test_errors();
	return done_testing();
}

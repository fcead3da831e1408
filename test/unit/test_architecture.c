/*
 * test/unit/test_architecture.c
 *
 * Prefixes and encoders in training: gradients against central differences of the loss, what each
 * row sees, the same bits for any number of threads and with recomputation, and batches that are
 * refused.
 */
/* Soft caps and norms of heads bend the loss. */
#define DISTANCE 0.005
#include "gradient_support.h"
#include "model/network.h"

static LmConfig
prefix_config(void)
{
	LmConfig config = small_config();

	config.architecture = LM_PREFIX;
	return config;
}

static LmConfig
encoder_config(void)
{
	LmConfig config = small_config();

	config.architecture = LM_ENCODER_DECODER;
	config.encoder_layers = 3;
	return config;
}

/* The defaults of training: rotary positions, RMSNorm, SwiGLU, norms of heads, no biases. */
static LmConfig
modern_config(void)
{
	LmConfig config = encoder_config();

	config.position = LM_ROPE;
	config.norm = LM_RMSNORM;
	config.mlp = LM_SWIGLU;
	config.qk_norm = true;
	config.bias = false;
	config.heads = 4;
	config.kv_heads = 2;
	config.head_size = 6;
	return config;
}

static void
test_gradients(LmEngine *engine, const LmHost *host)
{
	Corner corners[] = {
		{"a prefix", prefix_config(), true},
		{"a prefix with dropout, rotary positions and norms of heads", prefix_config(), false},
		{"a classifier that sees both sides", prefix_config(), true, 4},
		{"encoder and decoder", encoder_config(), true},
		{"encoder and decoder with dropout", encoder_config(), true},
		{"encoder and decoder of the defaults", modern_config(), true},
		{"norms behind the branches and soft caps, untied", modern_config(), false},
		{"an adapter of encoder and decoder", modern_config(), true},
	};

	corners[1].config.position = LM_ROPE;
	corners[1].config.qk_norm = true;
	corners[1].config.dropout = 0.2f;
	corners[2].config.labels = 3;
	corners[4].config.dropout = 0.2f;
	corners[6].config.post_norm = true;
	corners[6].config.bias = true;
	corners[6].config.norm = LM_LAYERNORM;
	corners[6].config.attention_softcap = corners[6].config.logit_softcap = 2;
	corners[6].config.tie_embeddings = false;
	corners[7].config.lora_rank = 4;
	corners[7].config.lora_dropout = 0.2f;
	for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
		test_corner(&corners[i], engine, host);
}

/* ---- What a row sees ---------------------------------------------------- */

#define ROWS 10
#define PREFIX 4

/* The logits of all rows of a sequence after one that is as long; the caller's to free. */
static float *
logits_of(LmTrainer *trainer, const LmHost *host, int changed)
{
	int V = lm_trainer_table(trainer)->config.vocabulary;
	float *logits = malloc((size_t) (2 * ROWS * V) * sizeof(float));
	LmBatch batch = create_batch(host, 2 * ROWS);
	uint64_t state = 9;
	LmError error;

	append_sequence(&batch, ROWS, V, false, 0, &state);
	append_sequence(&batch, ROWS, V, false, 1, &state);
	set_prefixes(&batch);
	batch.tokens[changed] = (batch.tokens[changed] + 1) % V;
	if (!lm_trainer_logits(logits, trainer, &batch, &error))
		printf("# %s\n", error.message);
	lm_batch_free(&batch, host);
	return logits;
}

/* Whether exactly the rows of the second sequence change that see the row. */
static bool
reaches(LmTrainer *trainer, const LmHost *host, int changed, int first, int last)
{
	size_t V = (size_t) lm_trainer_table(trainer)->config.vocabulary;
	float *before = logits_of(trainer, host, 0), *after;
	bool good = true;

	/* Row 0 is of the first sequence: another change there is the common ground. */
	free(before);
	before = logits_of(trainer, host, ROWS - 1);
	after = logits_of(trainer, host, ROWS + changed);
	for (size_t row = ROWS; row < 2 * ROWS; row++)
	{
		bool same = memcmp(before + row * V, after + row * V, V * sizeof(float)) == 0;

		good = good && same == ((int) row < ROWS + first || (int) row >= ROWS + last);
	}
	free(before);
	free(after);
	return good;
}

static void
test_sight(LmEngine *engine, const LmHost *host)
{
	LmConfig configs[] = {small_config(), prefix_config(), encoder_config()};
	LmTrainOptions options = small_options(2 * ROWS);
	bool good[4] = {true, true, true, true};

	for (int i = 0; i < 3; i++)
	{
		LmTrainer *trainer = create_trainer(engine, &configs[i], &options);
		uint64_t state = 4;

		move_away(lm_trainer_params(trainer), lm_trainer_table(trainer), &state);
		/* The last row of the prefix, and the one after it. */
		good[i] = reaches(trainer, host, PREFIX - 1,
						  i == 0   ? PREFIX - 1
						  : i == 1 ? 0
								   : PREFIX,
						  ROWS);
		good[3] = good[3] && reaches(trainer, host, PREFIX + 1, PREFIX + 1, ROWS);
		lm_trainer_free(trainer);
	}
	ok(good[0], "decoder: a row sees those before it");
	ok(good[1], "prefix: its rows see all of it");
	ok(good[2], "encoder_decoder: all rows after the prefix see it, and it predicts nothing");
	ok(good[3], "a completion is causal in every architecture, and texts are apart");
}

/* Without prompts, a prefix is nothing: the bits are the decoder's. */
static void
test_no_prefix(LmEngine *engine, const LmHost *host)
{
	LmConfig config = small_config();
	LmTrainOptions options = small_options(32);
	double loss[2];

	for (int i = 0; i < 2; i++)
	{
		LmTrainer *trainer;
		LmStepResult result;
		LmBatch batch = create_batch(host, 32);
		uint64_t state = 5;
		LmError error;

		config.architecture = i == 0 ? LM_DECODER : LM_PREFIX;
		trainer = create_trainer(engine, &config, &options);
		append_sequence(&batch, 12, config.vocabulary, true, 0, &state);
		append_sequence(&batch, 7, config.vocabulary, true, 1, &state);
		for (int step = 0; step < 3; step++)
			if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
				printf("# %s\n", error.message);
		loss[i] = result.loss;
		lm_batch_free(&batch, host);
		lm_trainer_free(trainer);
	}
	is_near(loss[1], loss[0], 0, "texts without prompts train a prefix model as a decoder");
}

/* ---- The same bits ------------------------------------------------------ */

/* A batch of step 1 has no prefixes, so that the encoder has no rows. */
static void
run_steps(LmTrainer *trainer, const LmHost *host, int first, int end)
{
	const LmConfig *config = &lm_trainer_table(trainer)->config;

	for (int step = first; step < end; step++)
	{
		LmBatch batches[2] = {create_batch(host, 40), create_batch(host, 40)};
		uint64_t state = (uint64_t) step;
		LmStepResult result;
		LmError error;

		for (int i = 0; i < 2; i++)
		{
			append_sequence(&batches[i], 12, config->vocabulary, true, 2 * i, &state);
			append_sequence(&batches[i], 9 + step, config->vocabulary, true, 2 * i + 1, &state);
			if (step != 1)
				set_prefixes(&batches[i]);
		}
		if (!lm_trainer_step(&result, trainer, step, batches, 2, NULL, NULL, &error))
			printf("# %s\n", error.message);
		lm_batch_free(&batches[0], host);
		lm_batch_free(&batches[1], host);
	}
}

/* Parameters after some steps, the caller's to free. */
static float *
train(const LmHost *host, const LmConfig *config, int n_threads, bool recompute)
{
	LmTrainOptions options = small_options(40);
	LmEngine *engine = start_engine(host, n_threads);
	LmTrainer *trainer;
	float *params;
	size_t size;

	options.recompute = recompute;
	options.optimizer = config->lora_rank > 0 ? LM_ADAMW : LM_MUON;
	options.warmup_steps = 0;
	trainer = create_trainer(engine, config, &options);
	run_steps(trainer, host, 0, 4);
	size = lm_trainer_table(trainer)->total * sizeof(float);
	params = malloc(size);
	memcpy(params, lm_trainer_params(trainer), size);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return params;
}

static void
test_same_bits(const LmHost *host, const char *name, const LmConfig *config)
{
	LmError error;
	LmParamTable *table = lm_param_table_create(host, config, &error);
	float *wanted = train(host, config, 1, false);
	bool same = true, finite = true;

	for (int i = 0; i < 3; i++)
	{
		float *got = train(host, config, 1 << i, i > 0);

		same = same && memcmp(got, wanted, table->total * sizeof(float)) == 0;
		free(got);
	}
	for (size_t i = 0; i < table->total; i++)
		finite = finite && isfinite(wanted[i]);
	ok(same && finite, "1, 2 and 4 threads, and recomputation, learn the same bits: %s", name);
	free(wanted);
	lm_param_table_free(host, table);
}

/* A checkpoint keeps weights and moments; another trainer goes on from them. */
static void
test_resume(const LmHost *host, const LmConfig *config)
{
	LmTrainOptions options = small_options(40);
	LmEngine *engine = start_engine(host, 1);
	float *wanted = train(host, config, 1, false);
	LmTrainer *first, *second;
	size_t size;

	options.optimizer = LM_MUON;
	options.warmup_steps = 0;
	first = create_trainer(engine, config, &options);
	second = create_trainer(engine, config, &options);
	size = lm_trainer_table(first)->total * sizeof(float);
	run_steps(first, host, 0, 2);
	memcpy(lm_trainer_params(second), lm_trainer_params(first), size);
	for (int i = 0; i < lm_trainer_n_moments(first); i++)
		memcpy(lm_trainer_moments(second, i), lm_trainer_moments(first, i), size);
	run_steps(second, host, 2, 4);
	ok(memcmp(lm_trainer_params(second), wanted, size) == 0,
	   "a training that goes on from weights and moments learns the same bits");
	lm_trainer_free(first);
	lm_trainer_free(second);
	lm_engine_stop(engine);
	free(wanted);
}

static void
test_all_same_bits(const LmHost *host)
{
	LmConfig config = modern_config();

	config.dropout = 0.2f;
	test_same_bits(host, "encoder and decoder with Muon and dropout", &config);
	test_resume(host, &config);
	config.lora_rank = 3;
	test_same_bits(host, "an adapter of them", &config);
	config = prefix_config();
	config.dropout = 0.2f;
	test_same_bits(host, "a prefix", &config);
	config = encoder_config();
	config.encoder_layers = 1;
	config.layers = 3;
	config.post_norm = true;
	test_same_bits(host, "one block of the encoder, three of the decoder", &config);
}

/* ---- Memory --------------------------------------------------------------- */

/* Any parting of the rows lies within the place that is reserved, and takes most of it. */
static void
test_place(void)
{
	LmConfig config = modern_config();
	bool fits = true, tight = true;

	for (int i = 0; i < 400; i++)
	{
		LmNetwork network = {.config = config, .capacity = 512, .recompute = i % 2 != 0};
		uint64_t state = (uint64_t) i;
		int n_encoder = (int) (test_random(&state) % 513);
		LmArena arena = {0};
		size_t size = 0;

		network.config.layers = 1 + i % 5;
		network.config.encoder_layers = 1 + i / 5 % 5;
		network.config.post_norm = i % 3 == 0;
		lm_blocks_layout(&network, &arena, 512 - n_encoder, n_encoder);
		fits = fits && lm_blocks_size(&size, &network) && arena.used <= size;
		arena.used = 0;
		lm_blocks_layout(&network, &arena, i % 7 == 0 ? 512 : 0, i % 7 == 0 ? 0 : 512);
		tight = tight && arena.used <= size;
	}
	ok(fits && tight, "the blocks of any parting of a batch lie within their place");
}

/* ---- Refusals ----------------------------------------------------------- */

static bool
takes(LmTrainer *trainer, LmBatch *batch)
{
	double sum = 0, weight = 0;
	LmError error;

	return lm_trainer_evaluate(&sum, &weight, trainer, batch, &error);
}

static void
test_refused_batches(LmEngine *engine, const LmHost *host)
{
	LmConfig configs[] = {prefix_config(), encoder_config()};
	LmTrainOptions options = small_options(32);
	bool refuses = true, accepts = true, whole[2];

	for (int i = 0; i < 2; i++)
	{
		LmTrainer *trainer = create_trainer(engine, &configs[i], &options);
		LmBatch batch = create_batch(host, 32);
		uint64_t state = 1;

		append_sequence(&batch, 10, configs[i].vocabulary, false, 0, &state);
		append_sequence(&batch, 5, configs[i].vocabulary, false, 1, &state);
		set_prefixes(&batch);
		accepts = accepts && takes(trainer, &batch);
		batch.prefixes[11] = 13;
		refuses = refuses && !takes(trainer, &batch);
		for (int row = 10; row < 15; row++)
			batch.prefixes[row] = 9;
		refuses = refuses && !takes(trainer, &batch);
		for (int row = 10; row < 15; row++)
			batch.prefixes[row] = 15;
		whole[i] = takes(trainer, &batch);
		for (int row = 0; row < 10; row++)
			batch.prefixes[row] = 12;
		refuses = refuses && !takes(trainer, &batch);
		lm_batch_free(&batch, host);
		lm_trainer_free(trainer);
	}
	ok(accepts, "a batch with prefixes is taken");
	ok(refuses, "a prefix that is not its window's is refused");
	ok(whole[0] && !whole[1], "a prefix may be the whole window, beside an encoder it may not");
}

static void
test_refused_configs(void)
{
	LmConfig config = prefix_config();
	LmError error;

	config.window = 4;
	ok(!lm_config_check(&config, &error) &&
		   strcmp(error.message, "architecture prefix and window exclude each other") == 0,
	   "a prefix and a window exclude each other");
	config = encoder_config();
	config.parallel_residual = true;
	ok(!lm_config_check(&config, &error), "an encoder and parallel_residual exclude each other");
	config = encoder_config();
	config.labels = 2;
	ok(!lm_config_check(&config, &error) &&
		   strcmp(error.message, "a classifier cannot have the architecture encoder_decoder") == 0,
	   "a classifier has no encoder");
	config = small_config();
	config.encoder_layers = 1;
	ok(!lm_config_check(&config, &error), "a decoder has no layers of an encoder");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1);

	test_gradients(engine, &host);
	test_sight(engine, &host);
	test_no_prefix(engine, &host);
	test_refused_batches(engine, &host);
	test_refused_configs();
	test_place();
	lm_engine_stop(engine);
	test_all_same_bits(&host);
	is_int(state.live, 0, "nothing is left");
	return done_testing();
}

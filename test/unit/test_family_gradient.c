/*
 * test/unit/test_family_gradient.c
 *
 * The gradient of every switch of the model family against central differences of the loss: alone,
 * and in random combinations.
 */
/* Adapters of norms and soft caps bend the loss more than the models of test_gradient.c do. */
#define DISTANCE 0.005
#include "gradient_support.h"

#define N_RANDOM 20

/* Llama's switches, with sizes that differ from each other. */
static LmConfig
llama_config(void)
{
	LmConfig config = small_config();

	config.model_type = LM_LLAMA;
	config.norm = LM_RMSNORM;
	config.position = LM_ROPE;
	config.rope_base = 100;
	config.bias = false;
	config.mlp = LM_SWIGLU;
	config.heads = 4;
	config.kv_heads = 2;
	config.head_size = 6;
	config.mlp_channels = 20;
	config.tie_embeddings = false;
	return config;
}

/* GPT-NeoX's: half of each head rotated, parallel branches. */
static LmConfig
neox_config(void)
{
	LmConfig config = small_config();

	config.model_type = LM_GPT_NEOX;
	config.position = LM_ROPE;
	config.rotary_size = 4;
	config.parallel_residual = true;
	config.mlp = LM_GELU;
	config.tie_embeddings = false;
	return config;
}

static LmConfig
gemma_config(void)
{
	LmConfig config = llama_config();

	config.model_type = LM_GEMMA3;
	config.mlp = LM_GEGLU;
	config.post_norm = config.qk_norm = config.tie_embeddings = true;
	config.embedding_scale = 4;
	config.attention_scale = 0.3f;
	config.attention_softcap = 2;
	config.logit_softcap = 3;
	config.window = 3;
	config.window_period = 2;
	config.window_full = 1;
	config.rope_local_base = 10;
	return config;
}

static void
test_switches(LmEngine *engine, const LmHost *host)
{
	Corner corners[] = {
		{"Llama: SwiGLU, keys shared by two queries, heads of their own size, untied",
		 llama_config(), true},
		{"one key for all queries", small_config(), true},
		{"GeGLU with biases and dropout", small_config(), true},
		{"Qwen 2: biases of queries, keys and values alone", llama_config(), false},
		{"GPT-Neo: biases of all but queries, keys and values; a window in every second layer",
		 small_config(), true},
		{"GPT-NeoX: parallel residual, a part of each head rotated", neox_config(), true},
		{"parallel residual with dropout and an adapter", neox_config(), false},
		{"norms behind the branches, LayerNorm with biases and dropout", small_config(), true},
		{"Gemma: GeGLU, norms behind the branches, scale and soft caps, local rotation",
		 gemma_config(), true},
		{"an adapter of Gemma", gemma_config(), false},
		{"SmolLM3: every second layer without positions", llama_config(), true},
		{"scale of embeddings with learned positions", small_config(), false},
		{"pairs of neighbours rotated, labels", llama_config(), false},
		{"an adapter of Llama in all targets with dropout", llama_config(), true},
		{"wide heads: queries have more channels than the stream", llama_config(), true},
		{"narrow heads: fewer channels of queries, keys and values than the stream", llama_config(),
		 true},
	};

	corners[1].config.heads = 4;
	corners[1].config.kv_heads = 1;
	corners[2].config.mlp = LM_GEGLU;
	corners[2].config.dropout = 0.2f;
	corners[2].config.mlp_channels = 13;
	corners[3].config.model_type = LM_QWEN2;
	corners[3].config.qkv_bias = LM_QKV_BIAS;
	corners[4].config.model_type = LM_GPT_NEO;
	corners[4].config.qkv_bias = LM_QKV_NO_BIAS;
	corners[4].config.attention_scale = 1;
	corners[4].config.window = 4;
	corners[4].config.window_period = 2;
	corners[6].config.dropout = 0.2f;
	corners[6].config.lora_rank = 4;
	corners[7].config.post_norm = true;
	corners[7].config.dropout = 0.2f;
	corners[9].config.lora_rank = 5;
	corners[10].config.model_type = LM_SMOLLM3;
	corners[10].config.nope_period = 2;
	corners[11].config.embedding_scale = 3;
	corners[12].config.rope_style = LM_ROPE_INTERLEAVED;
	corners[12].config.labels = 3;
	corners[12].stride = 4; /* the bag is large */
	corners[12].config.tie_embeddings = true;
	corners[13].config.lora_rank = 6;
	corners[13].config.lora_dropout = 0.2f;
	corners[14].config.head_size = 16;
	corners[14].config.lora_rank = 3;
	corners[14].config.lora_dropout = 0.1f;
	corners[15].config.heads = 2;
	corners[15].config.kv_heads = 1;
	corners[15].config.head_size = 2;
	corners[15].config.mlp_channels = 5;
	corners[15].config.bias = true;
	for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
		test_corner(&corners[i], engine, host);
}

/* ---- Random combinations ------------------------------------------------ */

static bool
coin(uint64_t *state)
{
	return test_random(state) % 2 != 0;
}

static float
one_of(uint64_t *state, float a, float b)
{
	return coin(state) ? a : b;
}

/* Sizes, and what a block is made of. */
static LmConfig
random_config(uint64_t *state)
{
	LmConfig config = small_config();

	config.heads = 1 << test_random(state) % 3;
	config.kv_heads = config.heads >> (config.heads > 1 && coin(state));
	config.channels = 4 * (2 + (int) (test_random(state) % 4));
	config.head_size = 2 + 2 * (int) (test_random(state) % 6);
	config.mlp_channels = 3 + (int) (test_random(state) % 30);
	config.norm = coin(state) ? LM_LAYERNORM : LM_RMSNORM;
	config.position = (LmPosition) (test_random(state) % 3);
	config.mlp =
		(LmActivation[]){LM_GELU, LM_GELU_TANH, LM_SWIGLU, LM_GEGLU}[test_random(state) % 4];
	config.bias = coin(state);
	config.qkv_bias = (LmQkvBias) (test_random(state) % 3);
	config.qk_norm = config.head_size > 2 && coin(state);
	config.tie_embeddings = coin(state);
	config.parallel_residual = coin(state);
	config.post_norm = !config.parallel_residual && coin(state);
	config.dropout = one_of(state, 0, 0.2f);
	return config;
}

/* Rotation, windows, scales and caps, and an adapter. */
static void
add_random_numbers(LmConfig *config, uint64_t *state)
{
	config->rope_style = (LmRopeStyle) (test_random(state) % 2);
	config->rope_scaling = (LmRopeScaling) (test_random(state) % 4);
	config->rope_base = one_of(state, 50, 1000);
	config->rope_factor = 2;
	config->rope_low = 1;
	config->rope_high = 4;
	config->rope_context = 6;
	config->rotary_size = coin(state) ? 2 : 0;
	config->nope_period = coin(state) ? 2 : 0;
	config->window = coin(state) ? 3 : 0;
	config->window_period = coin(state) ? 2 : 0;
	config->rope_local_base = one_of(state, 0, 20);
	config->embedding_scale = one_of(state, 1, 2.5f);
	config->attention_scale = one_of(state, 0, 0.4f);
	config->attention_softcap = one_of(state, 0, 1.5f);
	config->logit_softcap = one_of(state, 0, 2);
	config->lora_rank = test_random(state) % 4 == 0 ? 4 : 0;
	if (config->lora_rank > 0)
		config->lora_dropout = one_of(state, 0, 0.2f);
}

static void
test_random_combinations(LmEngine *engine, const LmHost *host)
{
	for (int i = 0; i < tap_repeat(N_RANDOM); i++)
	{
		uint64_t state = (uint64_t) i * 7919 + 13;
		Corner corner = {"", random_config(&state), coin(&state)};
		char name[40];

		for (int skip = 0; skip < 8; skip++)
			test_random(&state);
		add_random_numbers(&corner.config, &state);
		snprintf(name, sizeof name, "random combination %d", i);
		corner.name = name;
		test_corner(&corner, engine, host);
	}
}

/* ---- The same bits ------------------------------------------------------ */

/* Parameters after three steps with Muon, the caller's to free. */
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
	for (int step = 0; step < 3; step++)
	{
		LmBatch batch = create_batch(host, 40);
		uint64_t state = (uint64_t) step;
		LmStepResult result;
		LmError error;

		append_sequence(&batch, 12, config->vocabulary, true, 0, &state);
		append_sequence(&batch, 12, config->vocabulary, true, 1, &state);
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
			printf("# %s\n", error.message);
		lm_batch_free(&batch, host);
	}
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
	bool same = true;

	for (int i = 0; i < 2; i++)
	{
		float *got = train(host, config, i == 0 ? 3 : 2, i == 1);

		same = same && memcmp(got, wanted, table->total * sizeof(float)) == 0;
		free(got);
	}
	ok(same, "threads and recomputation do not change a bit of what is learnt: %s", name);
	free(wanted);
	lm_param_table_free(host, table);
}

static void
test_all_same_bits(const LmHost *host)
{
	LmConfig config = llama_config();

	test_same_bits(host, "Llama", &config);
	config = neox_config();
	config.dropout = 0.2f;
	test_same_bits(host, "GPT-NeoX with dropout", &config);
	config = gemma_config();
	config.dropout = 0.2f;
	test_same_bits(host, "Gemma with dropout", &config);
	config.lora_rank = 3;
	test_same_bits(host, "an adapter of Gemma", &config);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1);

	test_switches(engine, &host);
	test_random_combinations(engine, &host);
	lm_engine_stop(engine);
	test_all_same_bits(&host);
	is_int(state.live, 0, "nothing is left");
	return done_testing();
}

/*
 * test/unit/test_pytorch.c
 *
 * Logits, loss, gradients and ten or twenty steps of AdamW against PyTorch, on a packed batch with
 * unequal weights, also of an adapter (fixtures by test/reference/make_fixtures.py), of pairs
 * (preferences.py), of texts that should be found (contrastive.py), of prefixes and encoders
 * (architecture.py), and of models of Transformers (finetune.py).
 */
#include "safetensors.h"
#include "train_support.h"

static const int lengths[] = {12, 5, 1, 9};

static LmBatch
read_batch(const Safetensors *file, const LmHost *host)
{
	size_t count = 0, n_values = 0, n_lengths = 0;
	const float *lengths_of_texts = safetensors_find(file, "lengths", &n_lengths);
	const float *group = safetensors_find(file, "group", &count);
	const float *prefixes = safetensors_find(file, "prefixes", &count);
	const float *tokens = safetensors_find(file, "tokens", &count);
	const float *targets = safetensors_find(file, "targets", &count);
	const float *weights = safetensors_find(file, "weights", &count);
	const float *values = safetensors_find(file, "values", &n_values);
	LmBatch batch = create_batch(host, (int) count);

	for (int sequence = 0; sequence < (lengths_of_texts ? (int) n_lengths : 4); sequence++)
	{
		int length = lengths_of_texts ? (int) lengths_of_texts[sequence] : lengths[sequence];

		for (int i = 0; i < length; i++)
		{
			int row = batch.n_tokens + i;

			batch.tokens[row] = (int32_t) tokens[row];
			batch.targets[row] = (int32_t) targets[row];
			batch.weights[row] = weights[row];
			batch.values[row] = values ? values[row] : 0;
			batch.positions[row] = i;
			batch.starts[row] = batch.n_tokens;
			batch.prefixes[row] = batch.n_tokens + (prefixes ? (int) prefixes[sequence] : 0);
			batch.examples[row] = sequence;
		}
		batch.n_tokens += length;
	}
	batch.group = group ? (uint32_t) *group : values ? 2 : 1;
	return batch;
}

/*
 * A bias of the keys adds the same to all scores of a query, so its gradient is zero but for
 * rounding, of which Adam makes steps of full size.
 */
static bool
is_noise(const LmParamTable *table, const LmParam *param, size_t i)
{
	size_t C = param->count / 3, size = (size_t) lm_config_head_size(&table->config);

	if (param->kind != LM_ATTENTION_BIAS)
		return false;
	return param->parts[0].order == LM_ROWS_BY_HEAD ? i / size % 3 == 1 : i >= C && i < 2 * C;
}

/* The parameter and part of a tensor, numbered in the order of the file. */
static const LmParam *
tensor_of(const LmFilePart **part, const LmParamTable *table, int number)
{
	const LmParam *param = table->params;

	for (; number >= param->n_parts; param++)
		number -= param->n_parts;
	*part = &param->parts[number];
	return param;
}

/*
 * Largest difference of a block from the file's tensors of a prefix, and the largest value there.
 */
static double
compare_block(const float *block, const LmParamTable *table, const Safetensors *file,
			  const char *prefix, double *largest)
{
	double difference = 0;

	*largest = 0;
	for (int number = 0; number < table->n_tensors; number++)
	{
		const LmFilePart *part;
		const LmParam *param = tensor_of(&part, table, number);
		char name[128];
		size_t count;
		const float *wanted;
		float *got;

		snprintf(name, sizeof name, "%s%s", prefix, part->name);
		wanted = safetensors_find(file, name, &count);
		if (!wanted || count != lm_part_count(param, part))
			return INFINITY;
		got = malloc(count * sizeof(float));
		lm_param_get(got, block, param, lm_part_first(param, part), count);
		for (size_t j = 0; j < count; j++)
		{
			if (is_noise(table, param, lm_part_first(param, part) + j))
				continue;
			/* A file's values may have an offset; a gradient has none. */
			got[j] += strcmp(prefix, "gradient.") == 0 ? param->file_offset : 0;
			difference = fmax(difference, fabs((double) got[j] - wanted[j]));
			*largest = fmax(*largest, fabs((double) wanted[j]));
		}
		free(got);
	}
	return difference;
}

static double
compare_logits(LmTrainer *trainer, const LmBatch *batch, const Safetensors *file)
{
	size_t count = 0;
	const float *wanted = safetensors_find(file, "logits", &count);
	float *logits = malloc(count * sizeof(float));
	double difference = 0;
	LmError error;

	if (!lm_trainer_logits(logits, trainer, batch, &error))
		return INFINITY;
	for (size_t i = 0; i < count; i++)
		difference = fmax(difference, fabs((double) logits[i] - wanted[i]));
	free(logits);
	return difference;
}

/* Figure `number` of a step against the file's array of that name; none there: no difference. */
static double
compare_figure(const LmStepResult *result, int number, const Safetensors *file, const char *name,
			   int step)
{
	size_t count;
	const float *wanted = safetensors_find(file, name, &count);

	return wanted ? fabs(result->figures[number] - wanted[step]) : 0;
}

/* tokenizer: of contrastive training, whose fixture has no logits, or NULL */
static void
test_with(LmEngine *engine, const LmHost *host, const char *path, const LmConfig *config,
		  LmTrainOptions options, const LmTokenizer *tokenizer)
{
	size_t count = 0;
	double largest, difference, losses_differ = 0, figures_differ = 0;
	LmTrainer *trainer;
	LmStepResult result;
	LmError error;
	Safetensors file;
	LmBatch batch;
	const float *losses;

	printf("# %s\n", path);
	options.max_tokens = tokenizer ? 256 : 33;
	options.schedule = LM_SCHEDULE_CONSTANT;
	options.learning_rate = 1e-2;
	options.warmup_steps = 0;
	trainer = create_trainer(engine, config, &options);
	lm_trainer_set_search(trainer, tokenizer, NULL);
	if (!ok(safetensors_open(&file, path) &&
				safetensors_load(&file, lm_trainer_params(trainer), lm_trainer_table(trainer)) &&
				(!lm_trainer_base(trainer) ||
				 safetensors_load(&file, lm_trainer_base(trainer), lm_trainer_base_table(trainer))),
			"the fixture has every tensor of the configuration"))
		return;
	batch = read_batch(&file, host);
	if (!tokenizer)
		is_near(compare_logits(trainer, &batch, &file), 0, 1e-5, "logits are PyTorch's");
	losses = safetensors_find(&file, "losses", &count);
	for (int step = 0; step < (int) count; step++)
	{
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
			printf("# %s\n", error.message);
		losses_differ = fmax(losses_differ, fabs(result.loss - losses[step]));
		figures_differ =
			fmax(figures_differ, fmax(compare_figure(&result, 0, &file, "margins", step),
									  compare_figure(&result, 1, &file, "accuracies", step)));
		figures_differ = fmax(figures_differ, compare_figure(&result, 0, &file, "recalls", step));
		if (step > 0)
			continue;
		difference = compare_block(lm_trainer_gradient(trainer), lm_trainer_table(trainer), &file,
								   "gradient.", &largest);
		is_near(difference / largest, 0, 1e-5, "gradients are PyTorch's");
	}
	is_near(losses_differ, 0, 1e-5, "the losses of all steps are PyTorch's");
	if (options.objective != LM_OBJECTIVE_OF_MODEL)
		is_near(figures_differ, 0, 1e-5, "and so are margins and accuracies, or recalls");
	difference = compare_block(lm_trainer_params(trainer), lm_trainer_table(trainer), &file,
							   "after.", &largest);
	is_near(difference, 0, 1e-4, "weights after these steps of AdamW are PyTorch's");
	printf("# largest differences: losses %.3g, weights %.3g\n", losses_differ, difference);
	lm_batch_free(&batch, host);
	safetensors_close(&file);
	lm_trainer_free(trainer);
}

static void
test_fixture(LmEngine *engine, const LmHost *host, const char *path, const LmConfig *config)
{
	test_with(engine, host, path, config, lm_train_options_default(), NULL);
}

/* The losses of test/reference/preferences.py. */
static void
test_preferences(LmEngine *engine, const LmHost *host, LmConfig config)
{
	LmTrainOptions options = lm_train_options_default();

	config.layers = 1;
	options.objective = LM_OBJECTIVE_DPO;
	options.beta = 0.3;
	options.label_smoothing = 0.1;
	test_with(engine, host, "test/fixtures/dpo.safetensors", &config, options, NULL);
	options.objective = LM_OBJECTIVE_ORPO;
	options.beta = 0.2;
	options.label_smoothing = 0;
	test_with(engine, host, "test/fixtures/orpo.safetensors", &config, options, NULL);
}

/* The shape of test/reference/contrastive.py. */
static void
test_contrastive(LmEngine *engine, const LmHost *host)
{
	LmTrainOptions options = lm_train_options_default();
	LmConfig config = small_config();
	LmError error;
	LmTokenizer *tokenizer = lm_tokenizer_create(host, lm_bytes_spec(), &error);

	config.vocabulary = 256;
	config.context = 24;
	config.layers = 1;
	config.channels = 8;
	config.embedding = 4;
	options.objective = LM_OBJECTIVE_CONTRASTIVE;
	options.temperature = 0.5;
	if (ok(tokenizer != NULL, "the tokens of a text may be its bytes"))
		test_with(engine, host, "test/fixtures/contrastive.safetensors", &config, options,
				  tokenizer);
	lm_tokenizer_free(tokenizer);
}

/* The shapes of test/reference/finetune.py. */
static LmConfig
llama_config(void)
{
	LmConfig config = small_config();

	config.vocabulary = 23;
	config.context = 16;
	config.layers = 2;
	config.heads = 4;
	config.channels = 24;
	config.mlp_channels = 20;
	config.model_type = LM_LLAMA;
	config.norm = LM_RMSNORM;
	config.norm_epsilon = 1e-6f;
	config.position = LM_ROPE;
	config.mlp = LM_SWIGLU;
	config.bias = false;
	return config;
}

static LmConfig
llama3_config(void)
{
	LmConfig config = llama_config();

	config.tie_embeddings = false;
	config.rope_base = 100;
	config.rope_scaling = LM_ROPE_LLAMA3;
	config.rope_factor = 4;
	config.rope_low = 1;
	config.rope_high = 4;
	config.rope_context = 8;
	return config;
}

static LmConfig
qwen3_config(void)
{
	LmConfig config = llama_config();

	config.model_type = LM_QWEN3;
	config.kv_heads = 2;
	config.head_size = 8;
	config.qk_norm = true;
	return config;
}

static LmConfig
gemma2_config(void)
{
	LmConfig config = llama_config();

	config.model_type = LM_GEMMA2;
	config.kv_heads = 1;
	config.head_size = 8;
	config.mlp = LM_GEGLU;
	config.post_norm = true;
	config.window = 4;
	config.window_period = 2;
	config.window_full = 1;
	config.attention_scale = 1 / sqrtf(12);
	config.attention_softcap = 2;
	config.logit_softcap = 3;
	config.embedding_scale = sqrtf(24);
	return config;
}

static LmConfig
pythia_config(void)
{
	LmConfig config = llama_config();

	config.model_type = LM_GPT_NEOX;
	config.channels = 32;
	config.norm = LM_LAYERNORM;
	config.norm_epsilon = 1e-5f;
	config.rotary_size = 2;
	config.mlp = LM_GELU;
	config.bias = true;
	config.tie_embeddings = false;
	config.parallel_residual = true;
	return config;
}

static void
test_family(LmEngine *engine, const LmHost *host)
{
	LmConfig configs[] = {qwen3_config(), gemma2_config(), llama3_config(), pythia_config(),
						  qwen3_config()};
	static const char *const names[] = {"qwen3", "gemma2", "llama3", "pythia", "qwen3-lora"};

	configs[4].lora_rank = 4;
	configs[4].lora_alpha = 6;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
	{
		char path[128];

		snprintf(path, sizeof path, "test/fixtures/finetune/%s.safetensors", names[i]);
		test_fixture(engine, host, path, &configs[i]);
	}
}

static void
test_architectures(LmEngine *engine, const LmHost *host)
{
	LmConfig config = small_config();

	config.vocabulary = 23;
	config.architecture = LM_PREFIX;
	test_fixture(engine, host, "test/fixtures/prefix.safetensors", &config);
	config.architecture = LM_ENCODER_DECODER;
	config.encoder_layers = 1;
	config.qk_norm = true;
	test_fixture(engine, host, "test/fixtures/encoder-decoder.safetensors", &config);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmConfig config = small_config();

	config.vocabulary = 23;
	test_fixture(engine, &host, "test/fixtures/gpt2-tanh.safetensors", &config);
	test_preferences(engine, &host, config);
	test_contrastive(engine, &host);
	config.lora_rank = 4;
	config.lora_alpha = 6;
	test_fixture(engine, &host, "test/fixtures/gpt2-adapter.safetensors", &config);
	config = lm_config_base(&config);
	config.bias = config.tie_embeddings = false;
	config.position = LM_SINUSOIDAL;
	config.mlp = LM_GELU;
	test_fixture(engine, &host, "test/fixtures/gpt2-erf-untied-sinusoidal.safetensors", &config);
	test_architectures(engine, &host);
	test_family(engine, &host);
	lm_engine_stop(engine);
	return done_testing();
}

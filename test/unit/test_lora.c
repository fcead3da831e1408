/*
 * test/unit/test_lora.c
 *
 * Adapters: what they add against a naive twin and a base with the adapter folded in, what stays
 * frozen, the same bits for any number of threads and with recomputation, memory, and inference
 * beside a shared image. (Gradients: test_gradient.c.)
 */
#include "adapter_support.h"

#define N_TOKENS 27

/* Wide enough that work is cut into several pieces. */
static LmConfig
wide_config(void)
{
	LmConfig config = small_config();

	config.channels = 160;
	config.heads = 4;
	config.lora_rank = 4;
	config.lora_alpha = 6;
	return config;
}

static LmBatch
random_batch(const LmHost *host, int n_tokens, const LmConfig *config)
{
	LmBatch batch = create_batch(host, n_tokens);
	uint64_t state = 9;

	for (int example = 0; batch.n_tokens < n_tokens; example++)
	{
		int left = n_tokens - batch.n_tokens,
			length = 1 + (int) (test_random(&state) % (uint32_t) config->context);

		append_sequence(&batch, length < left ? length : left, config->vocabulary, true, example,
						&state);
	}
	return batch;
}

/* ---- The kernel --------------------------------------------------------- */

static void
test_kernel(LmEngine *engine, int n_rows, int n_in, int n_out, int rank)
{
	size_t sizes[] = {(size_t) n_rows * (size_t) n_in, (size_t) n_rows * (size_t) n_out,
					  (size_t) rank * (size_t) n_in,   (size_t) n_out * (size_t) rank,
					  (size_t) n_rows * (size_t) rank, (size_t) n_out * (size_t) n_in};
	float *x = calloc(sizes[0], sizeof(float)), *y = calloc(sizes[1], sizeof(float)),
		  *wanted = calloc(sizes[1], sizeof(float));
	float *a = calloc(sizes[2], sizeof(float)), *b = calloc(sizes[3], sizeof(float)),
		  *h = calloc(sizes[4], sizeof(float));
	float *dh = calloc(sizes[4], sizeof(float)), *w = calloc(sizes[5], sizeof(float)),
		  *w2 = calloc(sizes[5], sizeof(float));
	LmLora lora = {.n_in = n_in,
				   .n_out = n_out,
				   .rank = rank,
				   .scale = 1.5f,
				   .a = a,
				   .b = b,
				   .h = h,
				   .dh = dh};
	uint64_t state = 3;
	double difference = 0, difference_merged = 0;

	for (size_t i = 0; i < sizes[0]; i++)
		x[i] = (float) ((int) (test_random(&state) % 201) - 100) / 100;
	for (size_t i = 0; i < sizes[1]; i++)
		y[i] = wanted[i] = (float) ((int) (test_random(&state) % 201) - 100) / 100;
	for (size_t i = 0; i < sizes[2]; i++)
		a[i] = (float) ((int) (test_random(&state) % 201) - 100) / 100;
	for (size_t i = 0; i < sizes[3]; i++)
		b[i] = (float) ((int) (test_random(&state) % 201) - 100) / 100;
	for (int i = 0; i < n_rows; i++)
	{
		double hidden[64] = {0};

		for (int r = 0; r < rank; r++)
			for (int k = 0; k < n_in; k++)
				hidden[r] += (double) x[i * n_in + k] * a[r * n_in + k];
		for (int j = 0; j < n_out; j++)
		{
			double sum = 0;

			for (int r = 0; r < rank; r++)
				sum += hidden[r] * b[j * rank + r];
			wanted[i * n_out + j] += (float) (1.5 * sum);
		}
	}
	lm_lora_forward(engine, y, x, &lora, n_rows);
	for (size_t i = 0; i < sizes[1]; i++)
		difference = fmax(difference, fabs((double) y[i] - wanted[i]));
	lm_lora_merge(engine, w, &lora);
	lm_matmul_naive(w2, b, a, LM_NN, n_out, n_in, rank, n_in, rank, n_in, 1.5f, 0);
	for (size_t i = 0; i < sizes[5]; i++)
		difference_merged = fmax(difference_merged, fabs((double) w[i] - w2[i]));
	ok(difference < 2e-3 && difference_merged < 1e-4,
	   "the product of %d rows, %d to %d, of rank %d is the naive one's (%.2g, merged %.2g)",
	   n_rows, n_in, n_out, rank, difference, difference_merged);
	free(x);
	free(y);
	free(wanted);
	free(a);
	free(b);
	free(h);
	free(dh);
	free(w);
	free(w2);
}

/* ---- Training ----------------------------------------------------------- */

static void
test_table(const LmHost *host)
{
	LmConfig config = wide_config(), checked = config;
	LmError error;
	LmParamTable *table = lm_param_table_create(host, &config, &error);
	LmConfig base_config = lm_config_base(&table->config);
	LmParamTable *base = lm_param_table_create(host, &base_config, &error);
	const LmParam *a = lm_param_find(table, LM_LORA_UP_A, 1),
				  *b = lm_param_find(table, LM_LORA_UP_B, 1);
	size_t total = 0;

	ok(table->n_params == 2 * 8 && table->n_params == (int) lm_param_table_count(&table->config) &&
		   !lm_param_find(table, LM_TOKEN_EMBEDDING, -1),
	   "the table of an adapter has its own matrices alone");
	ok(base->n_params == (int) lm_param_table_count(&base_config) &&
		   !lm_param_find(base, LM_LORA_UP_A, 1),
	   "the table of its base has none of them");
	ok(a && b && a->rows == 4 && a->columns == 160 && b->rows == 640 && b->columns == 4 &&
		   !a->transposed,
	   "A is [rank, in] and B [out, rank]");
	ok(strcmp(a->parts[0].name, "base_model.model.transformer.h.1.mlp.c_fc.lora_A.weight") == 0,
	   "names in the file are PEFT's");
	ok(lm_param_total(&total, &table->config) && total == table->total,
	   "their total is that of the table");
	ok(table->parameter_count < base->parameter_count / 10, "it is small: %zu of %zu",
	   table->parameter_count, base->parameter_count);
	checked.lora_rank = 0;
	ok(!lm_config_check(&checked, &error) && error.code == LM_ERR_ARGUMENT,
	   "alpha without a rank is refused");
	checked = config;
	checked.lora_rank = LM_MAX_LORA_RANK + 1;
	ok(!lm_config_check(&checked, &error) && error.code == LM_ERR_LIMIT,
	   "a rank beyond the limit is refused");
	checked = config;
	checked.lora_targets = LM_ALL_TARGETS + 1;
	ok(!lm_config_check(&checked, &error), "targets that do not exist are refused");
	checked = config;
	checked.lora_dropout = 1;
	ok(!lm_config_check(&checked, &error), "dropping everything out is refused");
	lm_param_table_free(host, table);
	lm_param_table_free(host, base);
}

/* The adapter's block after some steps. */
static float *
train(const LmHost *host, const LmConfig *config, int n_threads, bool recompute,
	  LmPrecision precision, bool *frozen, double *loss)
{
	LmEngine *engine = start_engine(host, n_threads);
	LmTrainOptions options = small_options(200);
	LmTrainer *trainer;
	LmBatch batch = random_batch(host, 200, config);
	LmStepResult result = {0};
	const LmParamTable *table;
	float *before, *after;
	LmError error;

	options.recompute = recompute;
	options.precision = precision;
	options.learning_rate = 1e-2;
	trainer = create_trainer(engine, config, &options);
	table = lm_trainer_base_table(trainer);
	before = malloc(table->total * sizeof(float));
	memcpy(before, lm_trainer_base(trainer), table->total * sizeof(float));
	for (int step = 0; step < (tap_is_sanitized() ? 2 : 5); step++)
	{
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
			printf("# %s\n", error.message);
		if (step == 0 && loss)
			loss[0] = result.loss;
	}
	if (loss)
		loss[1] = result.loss;
	if (frozen)
		*frozen = memcmp(before, lm_trainer_base(trainer), table->total * sizeof(float)) == 0;
	table = lm_trainer_table(trainer);
	after = malloc(table->total * sizeof(float));
	memcpy(after, lm_trainer_params(trainer), table->total * sizeof(float));
	free(before);
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return after;
}

static void
test_same_bits(const LmHost *host, LmConfig config, const char *name)
{
	LmError error;
	LmParamTable *table = lm_param_table_create(host, &config, &error);
	size_t size = table->total * sizeof(float);
	bool frozen, same = true;
	double loss[2];
	float *one = train(host, &config, 1, false, LM_FLOAT32, &frozen, loss);
	float *again;

	ok(frozen && loss[1] < loss[0],
	   "training changes the adapter, and nothing of its base (loss %.4f to %.4f): %s", loss[0],
	   loss[1], name);
	for (int n_threads = tap_is_sanitized() ? 4 : 2; n_threads <= 4; n_threads += 2)
	{
		again = train(host, &config, n_threads, false, LM_FLOAT32, NULL, NULL);
		same = same && memcmp(one, again, size) == 0;
		free(again);
	}
	ok(same, "1, 2 and 4 threads train the same bits: %s", name);
	again = train(host, &config, 2, true, LM_FLOAT32, NULL, NULL);
	ok(memcmp(one, again, size) == 0, "recomputation trains the same bits: %s", name);
	free(again);
	free(one);
	if (lm_bf16_name())
	{
		float *bf16 = train(host, &config, 1, false, LM_BFLOAT16, NULL, NULL),
			  *bf16_again = train(host, &config, 3, true, LM_BFLOAT16, NULL, NULL);

		ok(memcmp(bf16, bf16_again, size) == 0, "likewise in bfloat16: %s", name);
		free(bf16);
		free(bf16_again);
	}
	lm_param_table_free(host, table);
}

static void
test_accumulation(LmEngine *engine, const LmHost *host)
{
	LmConfig config = wide_config();
	LmTrainOptions options = small_options(60);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	LmBatch batches[2] = {random_batch(host, 60, &config), random_batch(host, 31, &config)};
	size_t total = lm_trainer_table(trainer)->total;
	double weights[2] = {lm_batch_weight(&batches[0]), lm_batch_weight(&batches[1])},
		   difference = 0, largest = 0;
	float *parts = calloc(2 * total, sizeof(float));
	LmStepResult result;
	LmError error;

	options.learning_rate = options.min_learning_rate = 0;
	*lm_trainer_options(trainer) = options;
	shake(lm_trainer_params(trainer), lm_trainer_table(trainer), 4);
	for (int i = 0; i < 2; i++)
	{
		lm_trainer_step(&result, trainer, 3, &batches[i], 1, NULL, NULL, &error);
		memcpy(parts + (size_t) i * total, lm_trainer_gradient(trainer), total * sizeof(float));
	}
	lm_trainer_step(&result, trainer, 3, batches, 2, NULL, NULL, &error);
	for (size_t i = 0; i < total; i++)
	{
		double wanted =
			(weights[0] * parts[i] + weights[1] * parts[total + i]) / (weights[0] + weights[1]);

		difference = fmax(difference, fabs(lm_trainer_gradient(trainer)[i] - wanted));
		largest = fmax(largest, fabs(wanted));
	}
	ok(difference < 1e-5 * largest, "gradients of micro-batches add up");
	free(parts);
	lm_batch_free(&batches[0], host);
	lm_batch_free(&batches[1], host);
	lm_trainer_free(trainer);
}

static void
test_memory(const LmHost *host)
{
	LmConfig config = lm_config_default();
	LmTrainOptions options = lm_train_options_default();
	size_t full, adapter;
	LmError error;

	config.vocabulary = 50257;
	config.context = 256;
	config.layers = config.heads = 12;
	config.channels = 768;
	options.max_tokens = 4 * 256;
	lm_trainer_memory(&full, &config, &options, 2, &error);
	config.lora_rank = 8;
	lm_trainer_memory(&adapter, &config, &options, 2, &error);
	ok((double) adapter < 0.6 * (double) full,
	   "training memory of GPT-2's shape, batch 4 x 256: %zu MB of %zu MB, %.0f %%", adapter >> 20,
	   full >> 20, 100.0 * (double) adapter / (double) full);
	options.optimizer = LM_MUON;
	ok(!lm_trainer_memory(&adapter, &config, &options, 2, &error) && error.code == LM_ERR_ARGUMENT,
	   "Muon takes no adapter");
	(void) host;
}

/* ---- Inference ---------------------------------------------------------- */

/* Logits of a sequence, fed in pieces of some tokens, perhaps beside another sequence. */
static float *
logits_of(LmEngine *engine, const LmModel *model, const LmHost *host, int n, int piece,
		  bool company)
{
	int V = lm_model_config(model)->vocabulary;
	LmPages *pages;
	LmSequence sequences[2] = {{0}};
	float *logits = malloc((size_t) n * (size_t) V * sizeof(float)),
		  *rows = malloc(2 * (size_t) n * (size_t) V * sizeof(float));
	void *workspace = aligned_alloc(
		64, (lm_infer_workspace(model, 2 * n, 2 * n, lm_engine_threads(engine)) + 63) / 64 * 64);
	LmInput inputs[64];
	LmError error;

	pages = lm_pages_create(host, model, 4, &error);
	lm_sequence_create(&sequences[0], host, model, &error);
	lm_sequence_create(&sequences[1], host, model, &error);
	for (int first = 0; first < n; first += piece)
	{
		int count = 0, last = first + piece < n ? first + piece : n;

		for (int i = first; i < last; i++)
		{
			if (company)
				inputs[count++] = (LmInput){(i * 5 + 1) % V, 1, i, false};
			inputs[count++] = (LmInput){(i * 7 + 3) % V, 0, i, true};
		}
		if (!lm_infer(rows, engine, model, pages, sequences, 2, inputs, count, workspace, &error))
			printf("# %s\n", error.message);
		memcpy(logits + (size_t) first * (size_t) V, rows,
			   (size_t) (last - first) * (size_t) V * sizeof(float));
	}
	lm_sequence_free(&sequences[0], pages, host);
	lm_sequence_free(&sequences[1], pages, host);
	lm_pages_free(pages);
	free(workspace);
	free(rows);
	return logits;
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
test_inference(LmEngine *engine, const LmHost *host)
{
	LmConfig config = wide_config(), base_config = lm_config_base(&config);
	TestModel base = test_model(host, &base_config, 21, 0.05f),
			  merged = test_model_init(host, &base_config, 21, 0.05f);
	Beside beside, other;
	int n = config.context;
	size_t count = (size_t) n * (size_t) config.vocabulary;
	float *plain, *with, *again, *folded, *trained = malloc(count * sizeof(float));
	LmEngine *three = start_engine(host, 3);
	LmTrainOptions options = small_options(n);
	LmTrainer *trainer;
	LmBatch batch = create_batch(host, n);
	LmError error;

	lm_config_check(&config, &error);
	beside = adapter_beside(&base, &config, 31);
	other = adapter_beside(&base, &config, 32);
	plain = logits_of(engine, base.model, host, n, n, false);
	with = logits_of(engine, beside.model, host, n, n, false);
	ok(largest_difference(plain, with, count) > 0.01, "an adapter changes what the model says");
	again = logits_of(three, beside.model, host, n, 5, true);
	ok(memcmp(with, again, count * sizeof(float)) == 0,
	   "the same bits whatever the threads, the cut of the prompt and the company");
	free(again);
	again = logits_of(engine, other.model, host, n, n, false);
	ok(largest_difference(with, again, count) > 0.01,
	   "another adapter beside the same image says something else");
	free(again);
	again = logits_of(engine, base.model, host, n, n, false);
	ok(memcmp(plain, again, count * sizeof(float)) == 0, "the base says what it said");
	free(again);

	for (int layer = 0; layer < config.layers; layer++)
		lm_adapter_merge(engine, merged.block, merged.table, beside.block, beside.table, layer);
	test_model_build(&merged);
	folded = logits_of(engine, merged.model, host, n, n, false);
	ok(largest_difference(with, folded, count) < 2e-5,
	   "folded into its base it says the same, but for rounding (%.2g)",
	   largest_difference(with, folded, count));

	trainer = create_trainer(engine, &config, &options);
	memcpy(lm_trainer_base(trainer), base.block, base.table->total * sizeof(float));
	memcpy(lm_trainer_params(trainer), beside.block, beside.table->total * sizeof(float));
	for (int i = 0; i < n; i++)
	{
		batch.tokens[i] = (i * 7 + 3) % config.vocabulary;
		batch.positions[i] = i;
		batch.starts[i] = 0;
		batch.targets[i] = -1;
	}
	batch.n_tokens = n;
	lm_trainer_logits(trained, trainer, &batch, &error);
	ok(largest_difference(with, trained, count) < 2e-5,
	   "the trainer computes the same logits (%.2g)", largest_difference(with, trained, count));
	ok(!lm_image_size(&count, &config, lm_weight_type(0), &error) && error.code == LM_ERR_ARGUMENT,
	   "an adapter has no image of its own");
	ok(!lm_adapter_size(&count, &base_config, lm_weight_type(0), &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a base is no adapter");
	config.heads = 2;
	ok(!lm_model_open_adapter(host, base.image, base.size, beside.memory, beside.size, &config,
							  &error) &&
		   error.code == LM_ERR_FORMAT,
	   "an adapter of another shape is refused");
	ok(beside.size < base.size / 4, "an adapter is small beside its image: %zu of %zu bytes",
	   beside.size, base.size);
	lm_trainer_free(trainer);
	lm_batch_free(&batch, host);
	lm_engine_stop(three);
	free(plain);
	free(with);
	free(folded);
	free(trained);
	beside_free(&beside, host);
	beside_free(&other, host);
	test_model_free(&base);
	test_model_free(&merged);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmConfig some = wide_config(), labels = wide_config();

	some.lora_targets = 1 << LM_TARGET_ATTENTION | 1 << LM_TARGET_UP;
	some.lora_dropout = 0.2f;
	some.dropout = 0.1f;
	labels.qk_norm = true;
	labels.position = LM_ROPE;
	labels.lora_rank = 33;
	test_kernel(engine, 70, 33, 150, 3);
	test_kernel(engine, 1, 5, 7, 1);
	test_kernel(engine, 130, 260, 64, 40);
	test_table(&host);
	test_same_bits(&host, wide_config(), "all layers");
	test_same_bits(&host, some, "some layers, with dropout");
	test_same_bits(&host, labels, "rank 33, rotary positions, norms of queries and keys");
	test_accumulation(engine, &host);
	test_memory(&host);
	test_inference(engine, &host);
	lm_engine_stop(engine);
	return done_testing();
}

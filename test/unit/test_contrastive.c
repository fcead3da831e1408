/*
 * test/unit/test_contrastive.c
 *
 * Contrastive training: gradients against central differences, threads, equal texts, and groups of
 * three.
 */
#include "gradient_support.h"

#define NUMBERS 24

static LmTokenizer *
letters(const LmHost *host)
{
	LmError error;
	LmTokenizer *tokenizer = lm_tokenizer_create(host, lm_bytes_spec(), &error);

	if (!tokenizer)
		printf("# %s\n", error.message);
	return tokenizer;
}

static LmConfig
contrast_config(void)
{
	LmConfig config = small_config();

	config.vocabulary = 256;
	config.context = 32;
	config.embedding = NUMBERS;
	return config;
}

static void
test_gradients(LmEngine *engine, const LmHost *host, const LmTokenizer *tokenizer)
{
	Corner corners[] = {
		{"contrastive", contrast_config(), true, 0, LM_OBJECTIVE_CONTRASTIVE, tokenizer},
		{"with dropout", contrast_config(), false, 0, LM_OBJECTIVE_CONTRASTIVE, tokenizer},
		{"of an adapter", contrast_config(), false, 0, LM_OBJECTIVE_CONTRASTIVE, tokenizer},
	};

	corners[1].config.dropout = 0.2f;
	corners[2].config.lora_rank = 3;
	for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
		test_corner(&corners[i], engine, host);
}

static void
append_text(LmBatch *batch, const char *text, int example)
{
	int start = batch->n_tokens, n = (int) strlen(text);

	for (int i = 0; i < n; i++)
	{
		int row = batch->n_tokens++;

		batch->tokens[row] = (uint8_t) text[i];
		batch->targets[row] = (uint8_t) text[i];
		batch->weights[row] = 1;
		batch->positions[row] = i;
		batch->starts[row] = batch->prefixes[row] = start;
		batch->examples[row] = example;
		batch->values[row] = 0;
	}
}

/*
 * Loss and figure of groups of texts at the beginning of a training; params [2, total], or NULL:
 * its parameters and their gradient.
 */
static LmStepResult
result_of(float *params, LmEngine *engine, const LmHost *host, const LmTokenizer *tokenizer,
		  const char *const *texts, int n, int group)
{
	LmConfig config = contrast_config();
	LmTrainOptions options = small_options(200);
	LmBatch batch = create_batch(host, 200);
	LmTrainer *trainer;
	LmStepResult result = {0};
	LmError error;

	options.objective = LM_OBJECTIVE_CONTRASTIVE;
	options.temperature = 0.5;
	options.learning_rate = options.min_learning_rate = params ? 0 : options.learning_rate;
	trainer = create_trainer(engine, &config, &options);
	lm_trainer_set_search(trainer, tokenizer, NULL);
	batch.group = (uint32_t) group;
	for (int i = 0; i < n; i++)
		append_text(&batch, texts[i], i);
	if (!lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, &error))
		printf("# %s\n", error.message);
	if (params)
	{
		size_t total = lm_trainer_table(trainer)->total;

		memcpy(params, lm_trainer_params(trainer), total * sizeof(float));
		memcpy(params + total, lm_trainer_gradient(trainer), total * sizeof(float));
	}
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	return result;
}

/*
 * The loss of groups of texts by its definition. The map of the hidden states is zero at the
 * beginning, so an embedding is that of the runs alone. No text occurs twice.
 */
static double
naive_loss(const float *params, const LmHost *host, const LmTokenizer *tokenizer,
		   const char *const *texts, int n, int group)
{
	LmConfig config = contrast_config();
	LmError error;
	LmParamTable *table = lm_param_table_create(host, &config, &error);
	const float *map = params + lm_param_find(table, LM_EMBEDDING_RUNS, -1)->offset;
	double z[6][NUMBERS], loss = 0;
	const double temperature = 0.5;

	for (int w = 0; w < n; w++)
	{
		float runs[LM_SEARCH_WIDE_RUNS];
		int32_t ids[64];
		double squares = 0;

		for (size_t i = 0; i < strlen(texts[w]); i++)
			ids[i] = (uint8_t) texts[w][i];
		lm_search_project(runs, LM_SEARCH_WIDE_RUNS, NULL, tokenizer, ids, strlen(texts[w]));
		for (int k = 0; k < NUMBERS; k++)
		{
			z[w][k] = 0;
			for (int j = 0; j < LM_SEARCH_WIDE_RUNS; j++)
				z[w][k] += (double) map[k * LM_SEARCH_WIDE_RUNS + j] * runs[j];
			squares += z[w][k] * z[w][k];
		}
		for (int k = 0; k < NUMBERS; k++)
			z[w][k] /= sqrt(squares);
	}
	for (int query = 0; query < n; query += group)
	{
		double forward = 0, reverse = 0, own = 0;

		for (int w = 0; w < n; w++)
		{
			double of_query = 0, of_positive = 0;

			for (int k = 0; k < NUMBERS; k++)
			{
				of_query += z[query][k] * z[w][k] / temperature;
				of_positive += z[query + 1][k] * z[w][k] / temperature;
			}
			forward += w % group != 0 ? exp(of_query) : 0;
			reverse += w % group == 0 ? exp(of_positive) : 0;
			own = w == query + 1 ? of_query : own;
		}
		loss += (log(forward) - own + log(reverse) - own) / 2 / (n / group);
	}
	lm_param_table_free(host, table);
	return loss;
}

static void
test_texts(LmEngine *engine, LmEngine *other, const LmHost *host, const LmTokenizer *tokenizer)
{
	static const char *const pairs[] = {"broken screen", "the screen is broken", "late parcel",
										"where is my parcel"};
	static const char *const equal[] = {"broken screen", "cracked", "broken screen", "in pieces"};
	static const char *const triples[] = {"broken screen", "the screen is broken", "sunny day",
										  "late parcel",   "where is my parcel",   "old hat"};
	LmConfig config = contrast_config();
	size_t total;
	float *one, *two;
	LmStepResult a, b;
	LmError error;

	if (!lm_config_check(&config, &error) || !lm_param_total(&total, &config))
		return;
	one = malloc(2 * total * sizeof(float));
	two = malloc(2 * total * sizeof(float));
	a = result_of(one, engine, host, tokenizer, pairs, 4, 2);
	b = result_of(two, other, host, tokenizer, pairs, 4, 2);
	ok(a.loss == b.loss && memcmp(one, two, 2 * total * sizeof(float)) == 0,
	   "three threads give the bits of one");
	is_near(a.loss, naive_loss(one, host, tokenizer, pairs, 4, 2), 1e-5,
			"the loss is that of its definition");
	ok(a.loss > 0 && a.figures[0] == 1, "texts that share letters are found before any training");
	a = result_of(NULL, engine, host, tokenizer, equal, 4, 2);
	ok(a.loss == 0 && a.figures[0] == 1,
	   "groups with equal queries are no negatives of each other");
	a = result_of(one, engine, host, tokenizer, triples, 6, 3);
	is_near(a.loss, naive_loss(one, host, tokenizer, triples, 6, 3), 1e-5,
			"and with a negative in each group");
	b = result_of(NULL, engine, host, NULL, triples, 6, 3);
	ok(a.loss > 0 && a.figures[0] == 1, "groups may have a negative");
	ok(isfinite(b.loss) && b.figures[0] == 0, "texts without embeddings are not found");
	free(one);
	free(two);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1), *other = start_engine(&host, 3);
	LmTokenizer *tokenizer = letters(&host);

	test_gradients(engine, &host, tokenizer);
	test_texts(engine, other, &host, tokenizer);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	lm_engine_stop(other);
	return done_testing();
}

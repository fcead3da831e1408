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

/* Loss and figure of groups of texts at the beginning of a training. */
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
	trainer = create_trainer(engine, &config, &options);
	lm_trainer_set_search(trainer, tokenizer, NULL);
	batch.group = (uint32_t) group;
	for (int i = 0; i < n; i++)
		append_text(&batch, texts[i], i);
	if (!lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, &error))
		printf("# %s\n", error.message);
	if (params)
		memcpy(params, lm_trainer_params(trainer),
			   lm_trainer_table(trainer)->total * sizeof(float));
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	return result;
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
	one = malloc(total * sizeof(float));
	two = malloc(total * sizeof(float));
	a = result_of(one, engine, host, tokenizer, pairs, 4, 2);
	b = result_of(two, other, host, tokenizer, pairs, 4, 2);
	ok(a.loss == b.loss && memcmp(one, two, total * sizeof(float)) == 0,
	   "three threads give the bits of one");
	ok(a.loss > 0 && a.figures[0] == 1, "texts that share letters are found before any training");
	a = result_of(NULL, engine, host, tokenizer, equal, 4, 2);
	ok(a.loss == 0 && a.figures[0] == 1,
	   "groups with equal queries are no negatives of each other");
	a = result_of(NULL, engine, host, tokenizer, triples, 6, 3);
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

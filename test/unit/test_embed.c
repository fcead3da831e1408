/*
 * test/unit/test_embed.c
 *
 * Embeddings against a naive loop that runs each token of a text after its window, one row at a
 * time; and the output of the last block against logits, which are its product with the head.
 */
#include "serve_support.h"

#define CONTEXT 20

/*
 * The output of the last block at ids[target], and in logits what the head makes of it, from a
 * fresh run.
 */
static void
naive_hidden(float *hidden, float *logits, LmEngine *engine, const LmHost *host,
			 const TestModel *test, const int32_t *ids, int start, int target)
{
	void *workspace =
		aligned_alloc(64, lm_infer_workspace(test->model, 1, 1, lm_engine_threads(engine)));
	float *outputs[2] = {hidden, logits};
	LmPages *pages;
	LmError error;

	pages = lm_pages_create(host, test->model, 1, &error);
	for (int output = 0; output < 2; output++)
	{
		LmSequence sequence;

		lm_sequence_create(&sequence, host, test->model, &error);
		for (int i = start; i <= target; i++)
		{
			LmInput input = {ids[i], 0, i - start, true};

			if (!(output == 0 ? lm_infer_hidden : lm_infer)(outputs[output], engine, test->model,
															pages, &sequence, 1, &input, 1,
															workspace, &error))
				printf("# %s\n", error.message);
		}
		lm_sequence_free(&sequence, pages, host);
	}
	lm_pages_free(pages);
	free(workspace);
}

static void
test_against_naive(LmEngine *engine, const LmHost *host)
{
	static const int sizes[] = {1, 2, 19, 20, 21, 30, 31, 100};
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	int C = config.channels, V = config.vocabulary;
	const float *head =
		test.block +
		lm_param_find(test.table, config.tie_embeddings ? LM_TOKEN_EMBEDDING : LM_HEAD_WEIGHT, -1)
			->offset;
	float *mean = calloc(C, sizeof(float)), *last = calloc(C, sizeof(float)),
		  *hidden = calloc(C, sizeof(float)), *logits = calloc(V, sizeof(float));
	double apart = 0, head_apart = 0;
	bool counted = true;

	for (int s = 0; s < 8; s++)
	{
		double sums[512] = {0};
		int32_t ids[101] = {256};
		uint64_t state = (uint64_t) s;
		char text[100];
		int64_t n;
		LmError error;
		int start = 0;

		for (int i = 0; i < sizes[s]; i++)
			ids[i + 1] = (unsigned char) (text[i] = (char) (' ' + test_random(&state) % 95));
		for (int target = 1; target <= sizes[s]; target++)
		{
			/*
			 * windows begin at 0, context / 2, context ...; the first that holds the token counts
			 */
			while (target >= start + CONTEXT)
				start += CONTEXT / 2;
			naive_hidden(hidden, logits, engine, host, &test, ids, start, target);
			for (int i = 0; i < C; i++)
				sums[i] += hidden[i];
			for (int v = 0; v < V; v++)
			{
				double dot = 0;

				for (int i = 0; i < C; i++)
					dot += (double) hidden[i] * head[(size_t) v * C + i];
				head_apart = fmax(head_apart, fabs(dot - logits[v]));
			}
		}
		if (!embed_text(mean, &n, session, (LmBytes){text, (size_t) sizes[s]}, LM_POOL_MEAN,
						&error) ||
			!embed_text(last, &n, session, (LmBytes){text, (size_t) sizes[s]}, LM_POOL_LAST,
						&error))
			printf("# %s\n", error.message);
		counted = counted && n == sizes[s];
		for (int i = 0; i < C; i++)
			apart =
				fmax(apart, fmax(fabs(mean[i] - sums[i] / sizes[s]), fabs(last[i] - hidden[i])));
	}
	is_near(apart, 0, 1e-6,
			"means and last outputs are those of a naive loop, also beyond the context");
	is_near(head_apart, 0, 1e-4, "the head's product with them is the logits");
	ok(counted, "every token of the text counts once");
	free(mean);
	free(last);
	free(hidden);
	free(logits);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

static void
test_edges(LmEngine *engine, LmHost host, TapHost *state)
{
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(&host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmSession *session = create_session(engine, &test, tokenizer);
	float *one = calloc(config.channels, sizeof(float)),
		  *other = calloc(config.channels, sizeof(float));
	LmScore before, after;
	int64_t n = 5;
	LmError error;

	ok(embed_text(one, &n, session, (LmBytes){"", 0}, LM_POOL_MEAN, &error) && n == 0 &&
		   one[0] == 0,
	   "an empty text has no tokens");
	score_text(&before, session, "some text", 9, &error);
	embed_text(one, &n, session, (LmBytes){"some other text", 15}, LM_POOL_MEAN, &error);
	score_text(&after, session, "some text", 9, &error);
	ok(memcmp(&before, &after, sizeof before) == 0, "scores before and after are the same bits");
	embed_text(other, &n, session, (LmBytes){"some other text", 15}, LM_POOL_MEAN, &error);
	ok(memcmp(one, other, config.channels * sizeof(float)) == 0, "and so are embeddings");
	ok(!embed_text(one, &n, session, (LmBytes){"text", 4}, (LmPooling) 9, &error) &&
		   strcmp(error.message, "pooling 9 is not known") == 0,
	   "a pooling that is none is an error");
	state->stop = true;
	ok(!embed_text(one, &n, session, (LmBytes){"never seen", 10}, LM_POOL_MEAN, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "it can be stopped");
	state->stop = false;
	free(one);
	free(other);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_against_naive(engine, &host);
	test_edges(engine, host, &state);
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

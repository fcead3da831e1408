/*
 * test/unit/test_prompted.c
 *
 * Prompts as prefixes, from requests on: scores and texts against a naive twin that calls the model
 * with the prefix it should have, prompts at the edge of the context, and prompts that many texts
 * share.
 */
#include <math.h>

#include "serve_support.h"

#define CONTEXT 64
#define SHARED 40

typedef struct Fixture
{
	LmHost host;
	LmEngine *engine;
	TestModel test;
	LmTokenizer *tokenizer;
	LmSession *session;
} Fixture;

static Fixture
create_fixture(const LmHost *host, LmArchitecture architecture)
{
	Fixture fixture = {.host = *host, .engine = start_engine(host, 2)};
	LmConfig config = bytes_config(CONTEXT);

	config.architecture = architecture;
	config.encoder_layers = architecture == LM_ENCODER_DECODER ? 1 : 0;
	fixture.test = test_model(host, &config, 3, 0.2f);
	fixture.tokenizer = bytes_tokenizer(host);
	fixture.session = create_session(fixture.engine, &fixture.test, fixture.tokenizer);
	lm_session_set_prompted(fixture.session, true);
	return fixture;
}

static void
free_fixture(Fixture *fixture)
{
	lm_session_free(fixture->session);
	lm_tokenizer_free(fixture->tokenizer);
	test_model_free(&fixture->test);
	lm_engine_stop(fixture->engine);
}

/* Logits [n - prefix, V] of the rows after a prefix; the caller's to free. */
static float *
logits_of(const Fixture *fixture, const int32_t *ids, int n, int prefix)
{
	LmInput inputs[CONTEXT];
	float *logits = malloc((size_t) CONTEXT * 257 * sizeof(float));
	void *workspace = aligned_alloc(64, lm_infer_workspace(fixture->test.model, n, n, 2));
	LmSequence sequence;
	LmError error;
	LmPages *pages = lm_pages_create(&fixture->host, fixture->test.model, 2, &error);

	lm_sequence_create(&sequence, &fixture->host, fixture->test.model, &error);
	sequence.prefix = prefix;
	for (int i = 0; i < n; i++)
		inputs[i] = (LmInput){ids[i], 0, i, i >= prefix};
	if (!lm_infer(logits, fixture->engine, fixture->test.model, pages, &sequence, 1, inputs, n,
				  workspace, &error))
		printf("# %s\n", error.message);
	lm_sequence_free(&sequence, pages, &fixture->host);
	lm_pages_free(pages);
	free(workspace);
	return logits;
}

/* The end token and the bytes of the texts, as many of the last ones as given. */
static int
window_of(int32_t *ids, const char *prompt, const char *text, int most)
{
	int32_t all[8 * CONTEXT] = {256};
	int n = 1;

	for (const char *c = prompt; *c; c++)
		all[n++] = (uint8_t) *c;
	for (const char *c = text; *c; c++)
		all[n++] = (uint8_t) *c;
	most = n < most ? n : most;
	memcpy(ids, all + n - most, (size_t) most * sizeof *ids);
	return most;
}

/* log p of a text after a prompt, and of its end; all in one window. */
static double
naive_score(const Fixture *fixture, const char *prompt, const char *text)
{
	int32_t ids[CONTEXT + 1];
	int prefix = (int) strlen(prompt), n = window_of(ids, prompt, text, CONTEXT);
	float *logits = logits_of(fixture, ids, n, prefix);
	double sum = 0;

	ids[n] = 256;
	for (int i = prefix; i < n; i++)
		sum += (double) logits[(size_t) (i - prefix) * 257 + (size_t) ids[i + 1]] -
			   lm_log_sum_exp(logits + (size_t) (i - prefix) * 257, 257);
	free(logits);
	return sum;
}

static void
test_scores(const Fixture *fixture, const char *name)
{
	static const char *const prompts[] = {"", "a", "A man is riding a bicycle.",
										  "a prompt of thirty-two tokens :"};
	bool same = true;
	double effect = 0;

	for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++)
	{
		LmBytes prompt = {prompts[i], strlen(prompts[i])}, text = {"Ein Mann", 8};
		LmScore score = {0};
		LmError error;

		same = same && score_completion(&score, fixture->session, prompt, text, true, &error) &&
			   score.n_tokens == 9 &&
			   fabs(score.logprob - naive_score(fixture, prompts[i], "Ein Mann")) < 1e-9;
		lm_session_set_prompted(fixture->session, false);
		effect -= score.logprob;
		score_completion(&score, fixture->session, prompt, text, true, &error);
		effect += score.logprob;
		lm_session_set_prompted(fixture->session, true);
	}
	ok(same, "%s: scores are those of the naive twin", name);
	ok(fabs(effect) > 1e-3, "%s: unlike those of a model that has learnt no prompts", name);
}

/* Greedy: ASCII but for U+0000 alone stands for what may follow, and the end. */
static void
naive_text(char *out, const Fixture *fixture, const char *prompt, int n_tokens)
{
	int32_t ids[CONTEXT];
	int size = (int) strlen(prompt), most = size >= CONTEXT ? CONTEXT - 1 : size + 1,
		n = window_of(ids, prompt, "", most), prefix = n - 1;

	*out = 0;
	for (int i = 0; i < n_tokens; i++)
	{
		float *logits = logits_of(fixture, ids, n, prefix);
		const float *row = logits + (size_t) (n - 1 - prefix) * 257;
		int best = 256;

		for (int id = 1; id < 128; id++)
			best = row[id] > row[best] ? id : best;
		free(logits);
		if (best == 256)
			return;
		if (n == CONTEXT)
		{
			n = CONTEXT / 2;
			prefix = prefix > CONTEXT - n ? prefix - (CONTEXT - n) : 0;
			memmove(ids, ids + CONTEXT - n, (size_t) n * sizeof *ids);
		}
		ids[n++] = best;
		*out++ = (char) best;
		*out = 0;
	}
}

/* Tokens outside ASCII never win: the model's head is without them. */
static void
forget_bytes(Fixture *fixture)
{
	const LmParam *head = lm_param_find(fixture->test.table, LM_TOKEN_EMBEDDING, -1);
	size_t C = (size_t) fixture->test.table->config.channels;

	memset(fixture->test.block + head->offset + 128 * C, 0, 128 * C * sizeof(float));
	lm_model_close(fixture->test.model);
	free(fixture->test.image);
	test_model_build(&fixture->test);
	lm_session_free(fixture->session);
	fixture->session = create_session(fixture->engine, &fixture->test, fixture->tokenizer);
	lm_session_set_prompted(fixture->session, true);
}

static void
test_texts(const Fixture *fixture, const char *name)
{
	static const char *const prompts[] = {
		"",
		"x",
		"A man is riding a bicycle.",
		"a prompt of 62 bytes, with which the context is full but for one",
		"a prompt of 63 bytes, with which the context is full, as it were, ",
		"a prompt that is longer than the context of the model, of which the last tokens count"};
	int same = 0, n = (int) (sizeof prompts / sizeof *prompts), truncated = 0;

	for (int i = 0; i < n; i++)
	{
		LmRequest request = {.task = LM_TASK_GENERATE,
							 .prompt = {prompts[i], strlen(prompts[i])},
							 .text = {"", 0},
							 .sampling = {.max_tokens = 50, .top_p = 1, .repetition_penalty = 1}};
		char wanted[64];
		LmError error;

		naive_text(wanted, fixture, prompts[i], 50);
		same += answer_alone(fixture->session, &request, &error) &&
				request.output.size == strlen(wanted) &&
				memcmp(request.output.data, wanted, request.output.size) == 0;
		truncated += request.truncated;
	}
	ok(same == n && truncated > 0 && truncated < n,
	   "%s: texts are those of the naive twin, beyond the context too (%d of %d)", name, same, n);
}

static bool
run(LmMany *many, LmRequest *requests, int n)
{
	bool done = false;
	LmError error;

	if (!lm_many_start(many, requests, n, &error))
		return false;
	while (!done)
		if (!lm_many_step(many, &done, &error))
			return false;
	return true;
}

/* Completions of one prompt: it goes through the model once. */
static void
test_shared(const Fixture *fixture, const char *name)
{
	static const char prompt[] = "Which of these is the capital of France? ", other[] = "Another.";
	LmRequest requests[SHARED];
	LmError error;
	LmMany *many = lm_many_create(fixture->session, 8, 40, &error);
	int64_t n_tokens = 0;
	int same = 0, n = SHARED;

	for (int i = 0; i < SHARED; i++)
	{
		const char *of = i % 7 == 6 ? other : prompt;

		requests[i] = (LmRequest){.task = LM_TASK_SCORE,
								  .prompt = {of, strlen(of)},
								  .text = {"Paris, Lyons, Tours" + i % 19, (size_t) (19 - i % 19)},
								  .include_end = i % 2 == 0};
		n_tokens += (int64_t) strlen(of);
	}
	run(many, requests, n);
	for (int i = 0; i < n; i++)
	{
		LmScore score;

		same += score_completion(&score, fixture->session, requests[i].prompt, requests[i].text,
								 requests[i].include_end, &error) &&
				memcmp(&score, &requests[i].score, sizeof score) == 0;
	}
	ok(same == n, "%s: scores after a prompt that most share have the same bits", name);
	ok(lm_many_counts(many)->tokens < n_tokens / 2, "%s: and the prompt is read once: %lld tokens",
	   name, (long long) lm_many_counts(many)->tokens);
	n_tokens = lm_many_counts(many)->tokens;
	run(many, requests, 1);
	ok(lm_many_counts(many)->tokens - n_tokens <= 20, "%s: the next run finds it again", name);
	lm_many_free(many);
}

int
main(void)
{
	static const LmArchitecture architectures[] = {LM_PREFIX, LM_ENCODER_DECODER};
	TapHost state;
	LmHost host = tap_host(&state);

	for (int i = 0; i < 2; i++)
	{
		const char *name = lm_architecture_name((int) architectures[i]);
		Fixture fixture = create_fixture(&host, architectures[i]);

		test_scores(&fixture, name);
		forget_bytes(&fixture);
		test_texts(&fixture, name);
		test_shared(&fixture, name);
		free_fixture(&fixture);
	}
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

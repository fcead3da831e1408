/*
 * test/unit/test_prefix.c
 *
 * The space that a tokenizer puts in front of a text: in front of a prompt, not of what completes
 * one, and not in a text that is generated from nothing.
 */
#include "serve_support.h"
#include "serve/reading.h"

#define N_TOKENS 8

/* Most tokens begin with a space. */
static LmTokenizer *
spaced_tokenizer(const LmHost *host)
{
	static const char *const names[N_TOKENS] = {"<unk>", "</s>", " ", " a", " b", "a", "b", " ab"};
	static LmBytes tokens[N_TOKENS];
	static bool special[N_TOKENS] = {true, true};
	static LmMerge merges[] = {{2, 5, 3}, {2, 6, 4}, {3, 6, 7}};
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_SENTENCEPIECE,
							.n_tokens = N_TOKENS,
							.tokens = tokens,
							.special = special,
							.n_merges = 3,
							.merges = merges,
							.end_of_text = 1,
							.beginning = -1,
							.unknown = 0,
							.space_sign = true,
							.strip_space = true,
							.prefix = LM_PREFIX_ALWAYS};
	LmTokenizer *tokenizer;
	LmError error;

	for (int id = 0; id < N_TOKENS; id++)
		tokens[id] = (LmBytes){names[id], strlen(names[id])};
	tokenizer = lm_tokenizer_create(host, &spec, &error);
	if (!tokenizer)
		printf("Bail out! %s\n", error.message);
	return tokenizer;
}

/* The ids that a request reads. */
static bool
reads(LmSession *session, const LmHost *host, const char *prompt, const char *text,
	  const int32_t *wanted, size_t n)
{
	LmRequest request = {
		.task = LM_TASK_SCORE, .prompt = {prompt, strlen(prompt)}, .text = {text, strlen(text)}};
	LmTokens tokens = {0};
	LmError error;
	size_t n_skipped;
	bool same = lm_request_encode(&tokens, &n_skipped, session, &request, &error) &&
				tokens.count == n && memcmp(tokens.ids, wanted, n * sizeof *wanted) == 0;

	lm_tokens_free(host, &tokens);
	return same;
}

/* How many of 32 generated texts begin with a space. */
static int
count_spaces(LmSession *session, const char *prompt)
{
	int n = 0;

	for (uint64_t seed = 1; seed <= 32; seed++)
	{
		LmSampling sampling = {
			.max_tokens = 1, .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = seed};
		LmGeneration *generation;
		LmError error;
		LmBytes piece;
		bool truncated, done = false, space = false;

		generation =
			lm_generation_start(session, prompt, strlen(prompt), &sampling, &truncated, &error);
		while (generation && !done && next_piece(session, generation, &piece, &done, &error))
			space = space || (piece.size > 0 && piece.data[0] == ' ');
		lm_generation_free(generation);
		n += space;
	}
	return n;
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1);
	LmConfig config = bytes_config(16);
	LmTokenizer *tokenizer = spaced_tokenizer(&host);
	LmSession *session;
	TestModel model;

	config.vocabulary = N_TOKENS;
	model = test_model(&host, &config, 3, 0.05f);
	session = create_session(engine, &model, tokenizer);
	ok(reads(session, &host, "", "ab", (const int32_t[]){1, 7}, 2), "a text has a space in front");
	ok(reads(session, &host, "a", "b", (const int32_t[]){1, 3, 6}, 3),
	   "what completes a prompt has none");
	ok(reads(session, &host, "a", " b", (const int32_t[]){1, 3, 4}, 3), "but for its own");
	ok(count_spaces(session, "a") > 3, "what completes a prompt may begin with a space");
	is_int(count_spaces(session, ""), 0, "a text that is generated from nothing does not");
	lm_session_free(session);
	test_model_free(&model);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	is_int(state.live, 0, "nothing is left behind");
	return done_testing();
}

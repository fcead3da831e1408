/*
 * test/unit/test_constraint.c
 *
 * Constraints over the tokens of a model: masks against the naive check of every token, texts that
 * end in time whatever is drawn, and generations of a random model, alone, together, healed.
 */
#include "engine/many.h"
#include "serve/constraint.h"
#include "serve/generation.h"
#include "serve_support.h"
#include "text/vocabulary.h"

#define SAMPLE "test/fixtures/tokenizer/shakespeare.txt"
#define TOKENS 600
#define CONTEXT 90
#define MOST ((size_t) 4 << 20)

static const char *const patterns[] = {
	"\\d{4}-\\d{2}-\\d{2}",	 "(yes|no|perhaps)",
	"[a-z ]{0,40}",			 "\"([^\"\\\\]|\\\\[nt\"]){0,30}\"",
	"(the |and |of ){2,9}x", "-?(0|[1-9]\\d{0,8})(\\.\\d{1,3})?",
	"[α-ω]+ 漢?.{3}",		 ".*",
	"(a|b)*a(a|b){6}",		 "(king|queen) (Henry|Richard|Margaret) of (England|France)",
};
#define N_PATTERNS ((int) (sizeof patterns / sizeof *patterns))

static LmHost host;

static LmTokenizer *
train_tokenizer(void)
{
	LmTokenizer *tokenizer = NULL;
	LmBpeTrainer *trainer = lm_bpe_trainer_create(&host, NULL, NULL);
	char *sample = malloc(1 << 20);
	FILE *file = fopen(SAMPLE, "rb");
	size_t size = file ? fread(sample, 1, 1 << 20, file) : 0;
	int n_reached;
	LmError error;

	if (file)
		fclose(file);
	if (size > 0 && lm_bpe_trainer_add(trainer, sample, size, &error))
		tokenizer = lm_tokenizer_create(
			&host, lm_bpe_trainer_finish(trainer, TOKENS, &n_reached, &error), &error);
	if (!tokenizer)
	{
		printf("Bail out! no tokenizer\n");
		exit(1);
	}
	lm_bpe_trainer_free(trainer);
	free(sample);
	return tokenizer;
}

static LmAutomaton *
automaton_of(const char *pattern, const LmVocabulary *vocabulary)
{
	LmError error;
	LmBuilder *builder = lm_builder_create(&host, vocabulary, &error);

	lm_build_regex(builder, (LmBytes){pattern, strlen(pattern)}, false);
	return lm_builder_finish(builder, &error);
}

static LmConstraint *
constraint_of(const char *pattern, const LmVocabulary *vocabulary)
{
	LmError error;

	return lm_constraint_create(&host, automaton_of(pattern, vocabulary), vocabulary, MOST, &error);
}

static uint32_t
any(uint64_t *state)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t) (*state >> 33);
}

/* ---- Masks -------------------------------------------------------------- */

/* Whether a text can be the beginning of one that a naive copy of the automaton accepts. */
static bool
may_begin(LmAutomaton *automaton, LmBytes text, LmBytes token)
{
	LmPlace place = lm_automaton_start(automaton);
	bool dead = false;
	LmError error;

	for (size_t i = 0; i < text.size && !dead; i++)
		lm_automaton_step(automaton, &place, (uint8_t) text.data[i], &dead, &error);
	for (size_t i = 0; i < token.size && !dead; i++)
		lm_automaton_step(automaton, &place, (uint8_t) token.data[i], &dead, &error);
	return !dead;
}

static bool
same_mask(const LmFollower *follower, LmAutomaton *twin, LmBytes text, const LmSession *session)
{
	int n = 0;

	for (int32_t id = 0; id < session->config.vocabulary; id++)
	{
		LmBytes token = lm_tokenizer_bytes(session->tokenizer, id);
		bool ordinary =
			session->classes[id] == LM_TOKEN_BEGINS || session->classes[id] == LM_TOKEN_CONTINUES;
		bool may = ordinary && may_begin(twin, text, token);

		n += may;
		if (may != lm_follower_allows(follower, id))
			return false;
	}
	return n == follower->n;
}

/* A token that may follow, drawn evenly; -1: the text ends. */
static int32_t
draw(const LmFollower *follower, int V, uint64_t *state)
{
	int n = follower->n + (follower->ends ? 1 : 0), wanted = (int) (any(state) % (uint32_t) n);

	for (int32_t id = 0; id < V; id++)
		if (lm_follower_allows(follower, id) && wanted-- == 0)
			return id;
	return -1;
}

/*
 * Writes a text of at most `left` tokens; false where it is none that the pattern has. *same:
 * whether masks are those of the naive check, where tokens are not scarce.
 */
static bool
write_text(LmConstraint *constraint, LmAutomaton *twin, LmSession *session, int left,
		   uint64_t *state, bool *same)
{
	uint64_t bits[(TOKENS + 63) / 64];
	static char text[1 << 16];
	size_t size = 0;
	LmFollower follower;
	LmError error;
	bool good = true;

	lm_follower_begin(&follower, constraint, bits);
	for (bool done = false; !done && left > 0; left--)
	{
		int32_t id;
		LmBytes token;

		if (!lm_follower_prepare(&follower, left, &error))
		{
			printf("# %s\n", error.message);
			good = false;
			break;
		}
		if (same && left > 900 && any(state) % 4 == 0)
			*same &= same_mask(&follower, twin, (LmBytes){text, size}, session);
		id = draw(&follower, session->config.vocabulary, state);
		if (id < 0)
			break;
		token = lm_tokenizer_bytes(session->tokenizer, id);
		memcpy(text + size, token.data, token.size);
		size += token.size;
		if (!lm_follower_take(&follower, token, &error))
			good = false;
		done = !follower.goes_on;
	}
	good &= lm_automaton_accepts(twin, (LmBytes){text, size}, &error);
	if (!good)
		printf("# \"%.*s\"\n", (int) size, text);
	lm_follower_end(&follower);
	return good;
}

static void
test_masks(LmSession *session, const char *kind)
{
	LmError error;
	LmVocabulary *vocabulary = lm_vocabulary_create(&host, session, &error);
	bool same = true, good = true, tight = true, refused = true, bounded = true;
	uint64_t state = 5;

	for (int p = 0; p < N_PATTERNS; p++)
	{
		LmConstraint *constraint = constraint_of(patterns[p], vocabulary);
		LmAutomaton *twin = automaton_of(patterns[p], vocabulary);
		LmFollower follower;
		uint64_t bits[(TOKENS + 63) / 64];
		int needed;

		if (!constraint || !lm_constraint_need(constraint, &needed, &error))
		{
			printf("# %s: %s\n", patterns[p], error.message);
			same = false;
			lm_automaton_free(twin);
			continue;
		}
		for (int i = 0; i < tap_repeat(6); i++)
			good &= write_text(constraint, twin, session, 1000, &state, &same);
		for (int i = 0; i < tap_repeat(40); i++)
			tight &= write_text(constraint, twin, session, needed + i % 8, &state, NULL) ||
					 needed + i % 8 == 0;
		lm_follower_begin(&follower, constraint, bits);
		refused &= needed < 3 ||
				   (!lm_follower_prepare(&follower, 1, &error) && error.code == LM_ERR_ARGUMENT);
		lm_follower_end(&follower);
		bounded &= lm_constraint_memory(constraint) < 2 * MOST;
		lm_constraint_free(constraint);
		lm_automaton_free(twin);
	}
	ok(same, "%s: masks are those of the naive check of all tokens", kind);
	ok(good, "%s: texts are those of the constraint, whatever is drawn", kind);
	ok(tight, "%s: with the tokens that are needed, or a few more, they end in time", kind);
	ok(refused, "%s: with one token an error says how many suffice", kind);
	ok(bounded, "%s: states and masks stay within their memory", kind);
	lm_vocabulary_free(vocabulary);
}

/* States and masks go when they are too many, while texts are under way. */
static void
test_trim(LmSession *session)
{
	LmError error;
	LmVocabulary *vocabulary = lm_vocabulary_create(&host, session, &error);
	const char *pattern = "(a|b|[c-f ]{1,3})*a(a|b){9}";
	LmConstraint *constraint =
		lm_constraint_create(&host, automaton_of(pattern, vocabulary), vocabulary, 4096, &error);
	LmAutomaton *twin = automaton_of(pattern, vocabulary);
	uint64_t state = 3;
	bool good = true, same = true;

	for (int i = 0; i < tap_repeat(16); i++)
		good &= write_text(constraint, twin, session, 1000, &state, &same);
	ok(good && same, "states that have been forgotten are found again");
	lm_constraint_free(constraint);
	lm_automaton_free(twin);
	lm_vocabulary_free(vocabulary);
}

/* Sets of thousands of states, each of which another text leads to. */
static void
test_hostile(LmSession *session)
{
	LmError error;
	LmVocabulary *vocabulary = lm_vocabulary_create(&host, session, &error);
	LmConstraint *constraint = constraint_of("(.*[aeiou].{800}){9}", vocabulary);
	uint64_t bits[(TOKENS + 63) / 64], state = 1;
	LmFollower follower;
	bool good = true;
	size_t most = 0;
	int n = 0;

	lm_follower_begin(&follower, constraint, bits);
	for (; good && n < tap_repeat(60); n++)
	{
		good = lm_follower_prepare(&follower, 10000, &error) &&
			   lm_follower_take(
				   &follower,
				   lm_tokenizer_bytes(session->tokenizer,
									  draw(&follower, session->config.vocabulary, &state)),
				   &error);
		most = lm_constraint_memory(constraint) > most ? lm_constraint_memory(constraint) : most;
	}
	ok((good || error.code == LM_ERR_LIMIT) && most < (size_t) 128 << 20,
	   "a hostile pattern takes %zu MB in %d tokens", most >> 20, n);
	lm_follower_end(&follower);
	lm_constraint_free(constraint);
	lm_vocabulary_free(vocabulary);
}

/* ---- Generations -------------------------------------------------------- */

static LmRequest
request_of(const char *prompt, LmConstraint *constraint, double temperature, uint64_t seed)
{
	LmRequest request = {.task = LM_TASK_GENERATE, .prompt = {prompt, strlen(prompt)}};

	request.sampling = (LmSampling){.max_tokens = 40,
									.temperature = temperature,
									.top_p = 1,
									.repetition_penalty = 1,
									.heal = true,
									.seed = seed,
									.constraint = constraint};
	return request;
}

static void
run(LmMany *many, LmRequest *requests, int n)
{
	bool done = false;
	LmError error;

	if (!lm_many_start(many, requests, n, &error))
		return;
	while (!done && (lm_many_step(many, &done, &error) || error.code == LM_ERR_STOPPED))
		;
}

#define TEXTS 40

/* Texts together, by a run of many and one by one. */
static void
test_together(LmEngine *engine, LmSession *session, const char *kind)
{
	static const char *const prompts[] = {"First Citizen", "The king is ", "", "What say y", "O, "};
	LmError error;
	LmVocabulary *vocabulary = lm_vocabulary_create(&host, session, &error);
	LmMany *many = lm_many_create(session, 8, 96, &error);
	LmConstraint *constraints[N_PATTERNS];
	LmAutomaton *twins[N_PATTERNS];
	LmRequest requests[TEXTS];
	int n_good = 0, n_same = 0, n_done = 0;

	for (int p = 0; p < N_PATTERNS; p++)
	{
		constraints[p] = constraint_of(patterns[p], vocabulary);
		twins[p] = automaton_of(patterns[p], vocabulary);
	}
	for (int i = 0; i < TEXTS; i++)
		requests[i] =
			request_of(prompts[i % 5], constraints[i % N_PATTERNS], i % 3 * 0.6, (uint64_t) i);
	run(many, requests, TEXTS);
	for (int i = 0; i < TEXTS; i++)
	{
		LmRequest alone =
			request_of(prompts[i % 5], constraints[i % N_PATTERNS], i % 3 * 0.6, (uint64_t) i);

		n_done += requests[i].done && requests[i].error.code == LM_OK;
		n_good += lm_automaton_accepts(twins[i % N_PATTERNS], requests[i].output, &error);
		run(lm_session_many(session, &error), &alone, 1);
		n_same += alone.output.size == requests[i].output.size &&
				  memcmp(alone.output.data, requests[i].output.data, alone.output.size) == 0;
		if (requests[i].error.code != LM_OK)
			printf("# %s: %s\n", patterns[i % N_PATTERNS], requests[i].error.message);
	}
	ok(n_done == TEXTS && n_good == TEXTS, "%s: %d texts of a random model are valid", kind,
	   n_good);
	ok(n_same == TEXTS, "%s: alone and together they are the same", kind);
	lm_many_free(many);
	run(lm_session_many(session, &error), requests, 0);
	for (int p = 0; p < N_PATTERNS; p++)
	{
		lm_constraint_free(constraints[p]);
		lm_automaton_free(twins[p]);
	}
	lm_vocabulary_free(vocabulary);
}

/* The distribution of a first token with a constraint, against that of all tokens. */
static void
test_distribution(LmSession *session)
{
	LmError error;
	LmVocabulary *vocabulary = lm_vocabulary_create(&host, session, &error);
	LmConstraint *constraint = constraint_of("[ a-z]*", vocabulary);
	LmMany *many = lm_session_many(session, &error);
	int n = tap_repeat(4000), n_ended = 0, n_ended_free = 0;

	/* A text ends as often as the model would leave the constraint. */
	for (int i = 0; i < n; i++)
	{
		LmRequest bound = request_of("ROMEO:\n", constraint, 1, (uint64_t) i),
				  any_text = request_of("ROMEO:\n", NULL, 1, (uint64_t) i);

		bound.sampling.max_tokens = any_text.sampling.max_tokens = 1;
		bound.sampling.heal = any_text.sampling.heal = false;
		run(many, &bound, 1);
		n_ended += bound.output.size == 0;
		run(many, &any_text, 1);
		n_ended_free +=
			any_text.output.size == 0 ||
			strspn(any_text.output.data, " abcdefghijklmnopqrstuvwxyz") < any_text.output.size;
	}
	ok(fabs((double) (n_ended - n_ended_free)) < 5 * sqrt(n),
	   "%d of %d texts end at once, %d leave", n_ended, n, n_ended_free);
	lm_constraint_free(constraint);
	lm_vocabulary_free(vocabulary);
}

static void
test_refusals(LmSession *session)
{
	LmError error;
	LmVocabulary *vocabulary = lm_vocabulary_create(&host, session, &error);
	LmConstraint *constraint = constraint_of("\\d{30}", vocabulary);
	LmMany *many = lm_session_many(session, &error);
	LmRequest request = request_of("a", constraint, 1, 1);
	LmBytes stop = {"x", 1};

	request.sampling.max_tokens = 3;
	run(many, &request, 1);
	ok(request.error.code == LM_ERR_ARGUMENT &&
		   strstr(request.error.message, "are enough for its shortest text"),
	   "max_tokens that cannot suffice are an error: %s", request.error.message);
	request.sampling.n_stops = 1;
	request.sampling.stops = &stop;
	run(many, &request, 1);
	ok(request.error.code == LM_ERR_ARGUMENT, "a constraint with stops is an error");
	lm_constraint_free(constraint);
	lm_vocabulary_free(vocabulary);
}

/* Nor are signs of numbers and of JSON: the tokens have no digit and no quote. */
static void
test_signs(const LmVocabulary *vocabulary)
{
	LmJsonValue schema = {.kind = LM_JSON_TRUE, .first = -1, .next = -1};
	LmError error;
	LmBuilder *builder = lm_builder_create(&host, vocabulary, &error);

	lm_build_decimals(builder, &(LmDecimals){.digits = 3});
	lm_build_text(builder, (LmBytes){"bad", 3});
	lm_build_either(builder);
	{
		LmAutomaton *automaton = lm_builder_finish(builder, &error);

		ok(lm_automaton_accepts(automaton, (LmBytes){"bad", 3}, &error) &&
			   !lm_automaton_accepts(automaton, (LmBytes){"1", 1}, &error),
		   "digits that cannot be written are none");
		lm_automaton_free(automaton);
	}
	builder = lm_builder_create(&host, vocabulary, &error);
	lm_build_schema(builder, &schema, 1, false);
	ok(!lm_builder_finish(builder, &error) && error.code == LM_ERR_ARGUMENT,
	   "JSON without signs is none");
}

/* Characters that the tokens cannot write are never begun. */
static void
test_characters(LmEngine *engine)
{
	LmCharsTrainer *trainer = lm_chars_trainer_create(&host, NULL);
	LmConfig config = small_config();
	LmTokenizer *tokenizer;
	LmVocabulary *vocabulary;
	LmBytes choices[] = {{"éb", 3}, {"ab", 2}, {"漢", 3}};
	LmAutomaton *automaton;
	LmSession *session;
	TestModel test;
	LmError error;
	bool same = true;
	uint64_t state = 1;
	LmConstraint *constraint;
	LmAutomaton *twin;

	lm_chars_trainer_add(trainer, "abcdeé ", 8, &error);
	tokenizer = lm_tokenizer_create(&host, lm_chars_trainer_finish(trainer, &error), &error);
	test = test_model(&host, &config, 3, 0.25f);
	session = create_session(engine, &test, tokenizer);
	vocabulary = lm_vocabulary_create(&host, session, &error);
	constraint = constraint_of("[^a]{2,5}|漢", vocabulary);
	twin = automaton_of("[^a]{2,5}|漢", vocabulary);
	for (int i = 0; i < 20; i++)
		same &= write_text(constraint, twin, session, 7, &state, NULL);
	ok(same, "a tokenizer of few characters writes what it can");
	automaton = lm_choices_create(&host, choices, 3, vocabulary, &error);
	ok(lm_automaton_accepts(automaton, choices[0], &error) &&
		   !lm_automaton_accepts(automaton, choices[2], &error),
	   "choices that cannot be written are none");
	lm_automaton_free(automaton);
	test_signs(vocabulary);
	ok(!lm_choices_create(&host, choices + 2, 1, vocabulary, &error) &&
		   error.code == LM_ERR_ARGUMENT && !automaton_of("漢+", vocabulary),
	   "where nothing can be written there is an error");
	lm_automaton_free(twin);
	lm_constraint_free(constraint);
	lm_vocabulary_free(vocabulary);
	lm_session_free(session);
	test_model_free(&test);
	lm_tokenizer_free(tokenizer);
	lm_chars_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmConfig config = small_config();
	LmTokenizer *bpe, *bytes;
	LmSession *session;
	LmEngine *engine;
	TestModel test;

	host = tap_host(&state);
	bpe = train_tokenizer();
	bytes = bytes_tokenizer(&host);
	config.vocabulary = TOKENS;
	config.context = CONTEXT;
	test = test_model(&host, &config, 7, 0.25f);
	engine = start_engine(&host, 2);
	session = create_session(engine, &test, bpe);
	test_masks(session, "bpe");
	test_trim(session);
	test_hostile(session);
	test_together(engine, session, "bpe");
	test_distribution(session);
	test_refusals(session);
	lm_session_free(session);
	session = create_session(engine, &test, bytes);
	test_masks(session, "bytes");
	test_together(engine, session, "bytes");
	lm_session_free(session);
	test_characters(engine);
	lm_engine_stop(engine);
	test_model_free(&test);
	lm_tokenizer_free(bpe);
	lm_tokenizer_free(bytes);
	return done_testing();
}

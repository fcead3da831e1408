/*
 * test/unit/test_banned.c
 *
 * Banned texts, penalties and biases against naive twins: which tokens may follow, by looking into
 * the text with each of them; what a draw then gives; and whole generations.
 */
#include "engine/many.h"
#include "serve/banned.h"
#include "serve/sampling.h"
#include "serve_support.h"

#define LETTERS 3
#define SAMPLE_SIZE 6000
#define TOKENS 300
#define CONTEXT 64
#define RUNS 150
#define STEPS 25
#define MOST_BANNED 8
#define DRAWS 20000
#define TEXTS 48

static uint64_t state = 17;
static char sample[SAMPLE_SIZE];

/* A text of the first letters, of up to `most` of them. */
static LmBytes
random_text(char *text, int most)
{
	size_t size = 1 + test_random(&state) % (uint32_t) most;

	for (size_t i = 0; i < size; i++)
		text[i] = (char) ('a' + test_random(&state) % LETTERS);
	return (LmBytes){text, size};
}

static LmTokenizer *
train_tokenizer(const LmHost *host)
{
	LmTokenizer *tokenizer = NULL;
	LmBpeTrainer *trainer;
	int n_reached;
	LmError error;

	for (int i = 0; i < SAMPLE_SIZE; i++)
		sample[i] = (char) (i % 9 == 8 ? ' ' : 'a' + test_random(&state) % LETTERS);
	trainer = lm_bpe_trainer_create(host, NULL, &error);
	if (lm_bpe_trainer_add(trainer, sample, SAMPLE_SIZE, &error))
		tokenizer = lm_tokenizer_create(
			host, lm_bpe_trainer_finish(trainer, TOKENS, &n_reached, &error), &error);
	if (!tokenizer || n_reached != TOKENS)
	{
		printf("Bail out! no tokenizer\n");
		exit(1);
	}
	lm_bpe_trainer_free(trainer);
	return tokenizer;
}

/* memmem is not everywhere. */
static bool
contains(const char *text, size_t size, LmBytes part)
{
	for (size_t at = 0; at + part.size <= size; at++)
		if (memcmp(text + at, part.data, part.size) == 0)
			return true;
	return false;
}

static bool
has_one(const LmBytes *banned, int n, const char *text, size_t size)
{
	for (int i = 0; i < n; i++)
		if (contains(text, size, banned[i]))
			return true;
	return false;
}

/* ---- Which tokens may follow -------------------------------------------- */

typedef struct Lists
{
	char bytes[MOST_BANNED][8];
	LmBytes texts[MOST_BANNED];
	int n;
} Lists;

static void
make_banned(Lists *lists)
{
	lists->n = 1 + (int) (test_random(&state) % MOST_BANNED);
	for (int i = 0; i < lists->n; i++)
		lists->texts[i] = random_text(lists->bytes[i], 6);
}

/* Texts of allowed tokens; at each place the mask is that of a search in text and token. */
static void
check_masks(LmTokenizer *tokenizer, LmEngine *engine, const char *name)
{
	LmSession session = {.engine = engine, .tokenizer = tokenizer};
	int V = lm_tokenizer_spec(tokenizer)->n_tokens, n_checked = 0, n_wrong = 0, n_forbidden = 0;
	float *logits = malloc((size_t) V * sizeof(float));
	uint32_t matched[MOST_BANNED];
	LmError error;

	session.config.vocabulary = V;
	for (int run = 0; run < RUNS; run++)
	{
		Lists lists;
		LmBanned *banned;
		char text[STEPS * LM_MAX_TOKEN_SIZE];
		size_t size = 0;

		make_banned(&lists);
		banned = lm_banned_create(&session, lists.texts, lists.n, &error);
		memset(matched, 0, sizeof matched);
		for (int step = 0; step < STEPS; step++)
		{
			int n = 0, masked, last = -1;
			LmBytes bytes;

			for (int id = 0; id < V; id++)
				logits[id] = id % 7 == 0 ? -INFINITY : 1;
			masked = lm_banned_mask(logits, banned, matched);
			for (int id = 0; id < V; id++)
			{
				bool was_allowed = id % 7 != 0, is_banned;

				bytes = lm_tokenizer_bytes(tokenizer, id);
				memcpy(text + size, bytes.data, bytes.size);
				is_banned = has_one(lists.texts, lists.n, text, size + bytes.size);
				n += was_allowed && is_banned;
				n_wrong += (logits[id] == -INFINITY) != (is_banned || !was_allowed);
				n_checked++;
			}
			n_wrong += n != masked;
			n_forbidden += n;
			/* Letters more often than other bytes, and merged ones. */
			for (int tries = 0; tries < 1000; tries++)
			{
				last = (int) (test_random(&state) % (uint32_t) V);
				bytes = lm_tokenizer_bytes(tokenizer, last);
				if (logits[last] > -INFINITY && bytes.size > 0 && bytes.data[0] >= 'a' &&
					bytes.data[0] < 'a' + LETTERS)
					break;
			}
			if (logits[last] == -INFINITY)
				break;
			memcpy(text + size, bytes.data, bytes.size);
			size += bytes.size;
			lm_banned_follow(matched, banned, bytes);
		}
		lm_banned_free(banned, lm_engine_host(engine));
	}
	ok(n_wrong == 0 && n_forbidden > RUNS && n_checked > RUNS * V,
	   "%s: tokens that would complete a banned text are masked (%d of %d), and no other", name,
	   n_forbidden, n_checked);
	free(logits);
}

/* ---- Penalties and biases ----------------------------------------------- */

static void
check_penalties(void)
{
	enum
	{
		V = 500
	};
	float logits[V], row[V];
	uint8_t seen[V];
	uint32_t counts[V];
	LmBias biases[] = {{3, 5}, {7, -100}, {8, 0.5f}, {499, 1}};
	LmSession session = {0};
	LmSampling sampling = {.repetition_penalty = 1.3,
						   .presence_penalty = 0.75,
						   .frequency_penalty = 0.25,
						   .n_biases = 4,
						   .biases = biases};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen, .counts = counts};
	int n_wrong = 0;
	bool are_finite;

	session.config.vocabulary = V;
	for (int id = 0; id < V; id++)
	{
		logits[id] = (float) ((int) (test_random(&state) % 2001) - 1000) / 100;
		counts[id] = id % 3 == 0 ? test_random(&state) % 5 : 0;
		seen[id] = counts[id] > 0 || id % 5 == 0;
	}
	logits[9] = -INFINITY;
	memcpy(row, logits, sizeof row);
	are_finite = lm_adjust(row, &wanted);
	for (int id = 0; id < V; id++)
	{
		double logit = logits[id];

		if (seen[id])
			logit = (float) (logit > 0 ? logit / 1.3 : logit * 1.3);
		if (counts[id] > 0)
			logit = (float) (logit - 0.75 - 0.25 * counts[id]);
		for (int i = 0; i < 4; i++)
			logit += biases[i].id == id ? biases[i].bias : 0;
		n_wrong += row[id] != (float) logit;
	}
	ok(are_finite && n_wrong == 0, "penalties of the output and biases are subtracted and added");
	biases[1].id = 3;
	ok(!lm_sampling_check(&sampling, &session.config, NULL),
	   "two biases of one token are an error");
	biases[1].id = V;
	ok(!lm_sampling_check(&sampling, &session.config, NULL), "so is a bias of no token");
}

/* A draw has the distribution of the softmax over what is allowed, with its biases. */
static void
check_distribution(LmTokenizer *tokenizer, LmEngine *engine)
{
	static uint8_t classes[TOKENS], seen[TOKENS];
	static float logits[TOKENS], row[TOKENS];
	static LmCandidate candidates[TOKENS];
	LmSession session = {.engine = engine, .tokenizer = tokenizer, .classes = classes};
	LmBytes banned = {"ab", 2};
	LmBias biases[] = {{'c', 2}};
	LmSampling sampling = {.temperature = 0.7,
						   .top_p = 1,
						   .repetition_penalty = 1,
						   .frequency_penalty = 0.5,
						   .n_biases = 1,
						   .biases = biases,
						   .seed = 5};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen};
	static uint32_t counts[TOKENS];
	uint32_t matched[1] = {1}; /* the text ends with "a" */
	double weights[TOKENS], total = 0, chi = 0;
	int drawn[TOKENS] = {0}, n_bins = 0;
	LmError error;

	session.config.vocabulary = TOKENS;
	wanted.banned = lm_banned_create(&session, &banned, 1, &error);
	wanted.matched = matched;
	wanted.counts = counts;
	counts['a'] = 3;
	seen['a'] = 1;
	for (int id = 0; id < TOKENS; id++)
	{
		LmBytes bytes = lm_tokenizer_bytes(tokenizer, id);
		double logit = logits[id] = (float) (test_random(&state) % 400) / 100;

		classes[id] = LM_TOKEN_BEGINS;
		logit += id == 'c' ? 2 : id == 'a' ? -1.5 : 0;
		weights[id] = exp(logit / 0.7);
		if ((bytes.size > 0 && bytes.data[0] == 'b') || contains(bytes.data, bytes.size, banned))
			weights[id] = 0;
		total += weights[id];
	}
	for (wanted.position = 0; wanted.position < DRAWS; wanted.position++)
	{
		int32_t id;

		memcpy(row, logits, sizeof row);
		if (lm_sample(&id, candidates, row, &wanted, &error) && id >= 0)
			drawn[id]++;
	}
	for (int id = 0; id < TOKENS; id++)
	{
		double expected = weights[id] / total * DRAWS;

		if (expected == 0)
			chi += drawn[id] > 0 ? INFINITY : 0;
		else
		{
			chi += (drawn[id] - expected) * (drawn[id] - expected) / expected;
			n_bins++;
		}
	}
	/* The 0.999 quantile of chi-square, by Wilson and Hilferty 1931. */
	ok(n_bins > 100 &&
		   chi < (n_bins - 1) *
					 pow(1 - 2.0 / (9 * (n_bins - 1)) + 3.09 * sqrt(2.0 / (9 * (n_bins - 1))), 3),
	   "what is left of the distribution is renormalised: chi-square %.1f of %d tokens", chi,
	   n_bins);
	lm_banned_free((LmBanned *) wanted.banned, lm_engine_host(engine));
}

/* ---- Whole texts --------------------------------------------------------- */

static void
check_texts(const LmHost *host, LmTokenizer *tokenizer, LmEngine *engine, int beams, bool heal)
{
	LmConfig config = small_config();
	LmRequest together[TEXTS], alone;
	char prompts[TEXTS][16];
	int n_with = 0, n_without = 0, n_same = 0;
	LmBytes banned[] = {{"ab", 2}, {"caca", 4}, {"bb", 2}};
	LmSession *session;
	TestModel test;
	LmMany *many;
	LmError error;
	bool done = false;

	config.vocabulary = TOKENS;
	config.context = CONTEXT;
	test = test_model(host, &config, 3, 1);
	session = lm_session_create(engine, test.model, tokenizer, &error);
	many = lm_many_create(session, 16, 64, &error);
	memset(together, 0, sizeof together);
	for (int i = 0; i < TEXTS; i++)
	{
		together[i].task = LM_TASK_GENERATE;
		together[i].prompt = random_text(prompts[i], 15);
		together[i].sampling = (LmSampling){.max_tokens = 30,
											.temperature = 0.9,
											.top_p = 1,
											.repetition_penalty = 1,
											.seed = (uint64_t) i,
											.heal = heal,
											.beams = beams,
											.presence_penalty = 0.1,
											.frequency_penalty = 0.1};
		if (i % 2 == 0)
		{
			together[i].sampling.n_banned = 3;
			together[i].sampling.banned = banned;
		}
	}
	if (lm_many_start(many, together, TEXTS, &error))
		while (!done && lm_many_step(many, &done, &error))
			;
	for (int i = 0; i < TEXTS && done; i++)
	{
		bool has = has_one(banned, 3, together[i].output.data, together[i].output.size);

		n_with += i % 2 == 0 && has;
		n_without += i % 2 == 1 && has;
		alone = together[i];
		if (i > 3 || beams > 1)
			continue;
		done = false;
		if (lm_many_start(lm_session_many(session, &error), &alone, 1, &error))
			while (!done && lm_many_step(lm_session_many(session, &error), &done, &error))
				;
		done = true;
		n_same += alone.output.size == together[i].output.size &&
				  memcmp(alone.output.data, together[i].output.data, alone.output.size) == 0;
	}
	ok(done && n_with == 0 && n_without > 0,
	   "%d beams%s: no text has a banned one, %d of those without have", beams,
	   heal ? ", healed" : "", n_without);
	if (beams < 2)
		ok(n_same == 4, "alone they are the same");
	lm_many_free(many);
	lm_session_free(session);
	test_model_free(&test);
}

int
main(void)
{
	TapHost tap;
	LmHost host = tap_host(&tap);
	LmEngine *engine = start_engine(&host, 1);
	LmTokenizer *tokenizer = train_tokenizer(&host);
	LmTokenizer *bytes;
	LmError error;

	bytes = lm_tokenizer_create(&host, lm_bytes_spec(), &error);
	lm_tokenizer_sort(tokenizer, &error);
	check_masks(tokenizer, engine, "merged tokens");
	check_masks(bytes, engine, "bytes");
	check_penalties();
	check_distribution(tokenizer, engine);
	check_texts(&host, tokenizer, engine, 1, false);
	check_texts(&host, tokenizer, engine, 1, true);
	check_texts(&host, tokenizer, engine, 3, false);
	check_texts(&host, tokenizer, engine, 3, true);
	lm_tokenizer_free(bytes);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	return done_testing();
}

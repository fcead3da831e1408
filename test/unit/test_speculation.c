/*
 * test/unit/test_speculation.c
 *
 * Speculative decoding against generation without it: the same text for every seed, with any draft,
 * alone, piece by piece and among others.
 */
#include "counting_host.h"
#include "serve/speculation.h"
#include "serve_support.h"

#define CONTEXT 72
#define TEXTS 36
#define MAX_TEXT 1024

/* Prompts that repeat themselves, so that something can be looked up. */
static void
ask(LmRequest *requests, char prompts[TEXTS][80], LmSession *draft, bool lookup)
{
	static const LmBytes stops[] = {{"e", 1}, {"~#", 2}}, banned[] = {{"th", 2}, {"a", 1}};
	static const LmBias biases[] = {{'s', 2}, {256, -3}};

	for (int i = 0; i < TEXTS; i++)
	{
		LmSampling sampling = {.max_tokens = i % 7 == 0	  ? 2 * CONTEXT
											 : i % 5 == 0 ? i % 4
														  : 40,
							   .temperature = i % 3 == 0   ? 0
											  : i % 3 == 1 ? 0.3
														   : 1.1,
							   .top_k = i % 11 == 0 ? 5 : 0,
							   .top_p = i % 5 == 0 ? 0.7 : 1,
							   .min_p = i % 4 == 1 ? 0.05 : 0,
							   .repetition_penalty = i % 6 == 5 ? 1.3 : 1,
							   .presence_penalty = i % 9 == 2 ? 0.4 : 0,
							   .frequency_penalty = i % 9 == 4 ? 0.3 : 0,
							   .n_biases = i % 10 == 6 ? 2 : 0,
							   .biases = biases,
							   .n_banned = i % 12 == 7 ? 2 : 0,
							   .banned = banned,
							   .seed = (uint64_t) i,
							   .n_stops = i % 8 == 3 ? 2 : 0,
							   .stops = stops,
							   .heal = i % 2 == 0,
							   .draft = draft,
							   .lookup = lookup};

		snprintf(prompts[i], sizeof prompts[i], "%.*s", i % 60,
				 "the cat sat on the mat, the cat sat on the mat, the cat sat \xC3\xA9 on");
		if ((unsigned char) prompts[i][i % 60 > 0 ? i % 60 - 1 : 0] == 0xC3)
			prompts[i][i % 60 - 1] = 0;
		requests[i] = (LmRequest){.task = LM_TASK_GENERATE,
								  .prompt = {prompts[i], strlen(prompts[i])},
								  .text = {"", 0},
								  .sampling = sampling};
	}
}

static void
run(LmMany *many, LmRequest *requests, int n)
{
	bool done = false;
	LmError error;

	if (!lm_many_start(many, requests, n, &error))
		printf("# %s\n", error.message);
	while (!done && lm_many_step(many, &done, &error))
		continue;
	if (!done)
		printf("# %s\n", error.message);
}

typedef struct Text
{
	char bytes[MAX_TEXT];
	size_t size;
	int64_t n_tokens;
} Text;

static void
keep(Text *text, const LmRequest *request)
{
	text->size = request->output.size < MAX_TEXT ? request->output.size : 0;
	memcpy(text->bytes, request->output.data, text->size);
	text->n_tokens = request->n_tokens;
}

static bool
is_same(const Text *text, const LmRequest *request)
{
	return request->error.code == LM_OK && request->output.size == text->size &&
		   memcmp(request->output.data, text->bytes, text->size) == 0 &&
		   request->n_tokens == text->n_tokens;
}

static int
differences_alone(LmSession *session, LmRequest *requests, const Text *texts)
{
	int n = 0;

	for (int i = 0; i < TEXTS; i++)
	{
		run(room_of(session), &requests[i], 1);
		n += !is_same(&texts[i], &requests[i]);
	}
	return n;
}

/* A token at a time, from two generations in turn. */
static int
differences_in_pieces(LmSession *session, const LmRequest *requests, const Text *texts)
{
	int n = 0;

	for (int i = 0; i + 1 < TEXTS; i += 2)
	{
		LmGeneration *two[2];
		size_t at[2] = {0, 0};
		bool same[2] = {true, true}, done[2] = {false, false}, truncated;
		LmError error;

		for (int k = 0; k < 2; k++)
		{
			const LmRequest *request = &requests[i + k];

			two[k] = lm_generation_start(session, request->prompt.data, request->prompt.size,
										 &request->sampling, &truncated, &error);
		}
		while (!done[0] || !done[1])
			for (int k = 0; k < 2; k++)
			{
				const Text *text = &texts[i + k];
				LmBytes piece;

				if (done[k])
					continue;
				if (!next_piece(session, two[k], &piece, &done[k], &error))
				{
					printf("# %s\n", error.message);
					return -1;
				}
				same[k] = same[k] && at[k] + piece.size <= text->size &&
						  memcmp(text->bytes + at[k], piece.data, piece.size) == 0;
				at[k] += piece.size;
			}
		for (int k = 0; k < 2; k++)
		{
			n += !same[k] || at[k] != texts[i + k].size ||
				 lm_generation_tokens(two[k]) != texts[i + k].n_tokens;
			lm_generation_free(two[k]);
		}
	}
	return n;
}

/*
 * A model whose later layers add little, and a draft that has the first of them: what a smaller
 * model does that learnt the same text.
 */
static void
make_models(TestModel *model, TestModel *draft, const LmHost *host, const LmConfig *config)
{
	LmConfig small = *config;

	small.layers = 1;
	*model = test_model_init(host, config, 3, 0.15f);
	*draft = test_model_init(host, &small, 3, 0.15f);
	for (int i = 0; i < model->table->n_params; i++)
	{
		const LmParam *param = &model->table->params[i];
		float *values = model->block + param->offset;
		const LmParam *copy = lm_param_find(draft->table, param->kind, param->layer);

		for (size_t k = 0; param->layer > 0 && k < param->count; k++)
			if (param->kind == LM_PROJECTION_WEIGHT || param->kind == LM_PROJECTION_BIAS ||
				param->kind == LM_DOWN_WEIGHT || param->kind == LM_DOWN_BIAS)
				values[k] *= 0.05f;
		if (copy)
			memcpy(draft->block + copy->offset, values, param->count * sizeof *values);
	}
	test_model_build(model);
	test_model_build(draft);
}

static void
test_equality(LmSession *session, LmSession *draft, const char *name)
{
	LmRequest *requests = calloc(TEXTS, sizeof *requests);
	char(*prompts)[80] = calloc(TEXTS, sizeof *prompts);
	Text *texts = calloc(TEXTS, sizeof *texts);
	const LmManyCounts *counts = lm_many_counts(room_of(session));
	LmManyCounts before;
	LmMany *many;
	LmError error;

	ask(requests, prompts, NULL, false);
	for (int i = 0; i < TEXTS; i++)
	{
		run(room_of(session), &requests[i], 1);
		keep(&texts[i], &requests[i]);
	}
	before = *counts;
	ask(requests, prompts, draft, !draft);
	ok(differences_alone(session, requests, texts) == 0, "%s: the same texts", name);
	ok(counts->proposed > before.proposed && counts->accepted > before.accepted &&
		   counts->accepted - before.accepted <= counts->proposed - before.proposed,
	   "%s: %lld of %lld proposals are accepted", name,
	   (long long) (counts->accepted - before.accepted),
	   (long long) (counts->proposed - before.proposed));
	ok(differences_in_pieces(session, requests, texts) == 0, "%s: and piece by piece", name);
	for (int n_sequences = 3; n_sequences <= 20; n_sequences += 17)
	{
		int different = 0;

		many = lm_many_create(session, n_sequences, 4 * n_sequences, &error);
		run(many, requests, TEXTS);
		for (int i = 0; i < TEXTS; i++)
			different += !is_same(&texts[i], &requests[i]);
		ok(different == 0, "%s: and %d together", name, n_sequences);
		ok(n_sequences > 16 || draft || lm_many_counts(many)->accepted > 0,
		   "%s: with %lld of %lld proposals accepted", name,
		   (long long) lm_many_counts(many)->accepted, (long long) lm_many_counts(many)->proposed);
		lm_many_free(many);
	}
	free(requests);
	free(prompts);
	free(texts);
}

/* Three tokens of two ways to draw them have one distribution: a chi-square test of two samples. */
static void
test_distribution(LmSession *session, LmSession *draft)
{
	enum
	{
		CELLS = 512
	};
	int counts[2][CELLS] = {{0}}, n = tap_repeat(3000), cells = 0;
	double chi_square = 0;

	for (int way = 0; way < 2; way++)
		for (int i = 0; i < n; i++)
		{
			LmRequest request = {.task = LM_TASK_GENERATE,
								 .prompt = {"the cat the cat", 15},
								 .text = {"", 0},
								 .sampling = {.max_tokens = 3,
											  .temperature = 1,
											  .top_k = 4,
											  .top_p = 1,
											  .repetition_penalty = 1,
											  .seed = (uint64_t) (i + way * n),
											  .draft = way ? draft : NULL,
											  .lookup = way && !draft}};
			unsigned hash = 0;

			run(room_of(session), &request, 1);
			for (size_t k = 0; k < request.output.size; k++)
				hash = hash * 31 + (unsigned char) request.output.data[k];
			counts[way][hash % CELLS]++;
		}
	for (int i = 0; i < CELLS; i++)
	{
		double difference = counts[0][i] - counts[1][i], sum = counts[0][i] + counts[1][i];

		if (sum < 10)
			continue;
		chi_square += difference * difference / sum;
		cells++;
	}
	/* mean `cells` - 1, deviation sqrt(2 cells) */
	ok(cells > 10 && chi_square < cells + 4 * sqrt(2.0 * cells),
	   "seeds with %s and others without have one distribution: chi-square %.1f of %d cells",
	   draft ? "a draft" : "lookup", chi_square, cells);
}

static void
test_lookup(void)
{
	static const int32_t ids[] = {1, 2, 3, 4, 5, 9, 2, 3, 4, 6, 2, 3, 4};
	int next;

	is_int(lm_lookup(&next, ids, 13), 3, "the longest run that occurred before is found");
	is_int(next, 9, "at its last place");
	is_int(lm_lookup(&next, ids, 9), 3, "three tokens");
	is_int(next, 4, "that occurred once");
	is_int(lm_lookup(&next, ids, 5), 0, "nothing that never occurred");
	is_int(lm_lookup(&next, ids + 5, 1), 0, "and nothing in a short text");
	is_int(lm_lookup(&next, ids, 0), 0, "or an empty one");
}

/* The numbers of tokens that equation 1 of the paper gives, by adding up what may happen. */
static double
expected_tokens(double right, int n)
{
	double tokens = 0, reached = 1;

	for (int i = 0; i < n; i++)
	{
		tokens += reached * (1 - right) * (i + 1);
		reached *= right;
	}
	return tokens + reached * (n + 1);
}

static void
test_wanted(void)
{
	bool best = true;

	is_int(lm_speculation_wanted(0, 0, 15), 0, "nothing is proposed that is always wrong");
	is_int(lm_speculation_wanted(1, 0, 15), 15, "all that may be where it is always right");
	is_int(lm_speculation_wanted(0.9, 1, 15), 0, "nothing by a draft as slow as the model");
	for (double right = 0.05; right < 1; right += 0.05)
	{
		int wanted = lm_speculation_wanted(right, 0.1, 15);
		double gain = expected_tokens(right, wanted) / (1 + wanted * 0.23);

		for (int n = 0; n <= 15; n++)
			best = best && expected_tokens(right, n) / (1 + n * 0.23) <= gain + 1e-9;
	}
	ok(best, "else what gives most tokens for the time");
}

/* Stopped at each question in turn, and called again. */
static void
test_stops(const TestModel *model, const TestModel *small)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 1);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmSession *session = create_session(engine, model, tokenizer),
			  *draft = create_session(engine, small, tokenizer);
	LmRequest *requests = calloc(TEXTS, sizeof *requests);
	char(*prompts)[80] = calloc(TEXTS, sizeof *prompts);
	Text *texts = calloc(TEXTS, sizeof *texts);
	size_t before = state.live;
	int different = 0, stopped = 0;
	LmError error;

	ask(requests, prompts, NULL, false);
	for (int i = 0; i < 8; i++)
	{
		run(room_of(session), &requests[i], 1);
		keep(&texts[i], &requests[i]);
	}
	(void) room_of(draft);
	ask(requests, prompts, draft, false);
	for (int i = 0; i < 8; i++)
	{
		bool done = false;
		long k = 1;

		lm_many_start(room_of(session), &requests[i], 1, &error);
		while (!done)
		{
			state.questions = k++;
			while (!done && lm_many_step(room_of(session), &done, &error))
				continue;
			stopped += !done;
		}
		different += !is_same(&texts[i], &requests[i]);
	}
	state.questions = -1;
	ok(stopped > 20, "runs were stopped %d times", stopped);
	is_int(different, 0, "and went on as if nothing had happened");
	lm_session_drop_many(session);
	lm_session_drop_many(draft);
	is_int((long long) (state.live - before), 0, "what runs ahead gives back its memory");
	lm_session_free(session);
	lm_session_free(draft);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	is_int((long long) state.live, 0, "nothing is leaked");
	free(requests);
	free(prompts);
	free(texts);
}

static void
test_refusals(LmEngine *engine, const LmHost *host, LmSession *session, LmTokenizer *tokenizer)
{
	LmTokenizer *other = bytes_tokenizer(host);
	LmConfig labels = bytes_config(CONTEXT), prefix = labels;
	TestModel plain = test_model(host, &labels, 3, 0.15f), models[2];
	LmSession *drafts[4] = {session, create_session(engine, &plain, other)};
	int refused = 0;

	labels.labels = 3;
	prefix.architecture = LM_PREFIX;
	models[0] = test_model(host, &labels, 3, 0.15f);
	models[1] = test_model(host, &prefix, 3, 0.15f);
	drafts[2] = create_session(engine, &models[0], tokenizer);
	drafts[3] = create_session(engine, &models[1], tokenizer);
	for (int i = 0; i < 4; i++)
	{
		LmRequest request = {
			.task = LM_TASK_GENERATE,
			.prompt = {"a", 1},
			.text = {"", 0},
			.sampling = {.max_tokens = 3, .top_p = 1, .repetition_penalty = 1, .draft = drafts[i]}};

		run(room_of(session), &request, 1);
		refused += request.done && request.error.code == LM_ERR_ARGUMENT;
	}
	is_int(refused, 4, "the same session, another tokenizer, a classifier, prefixes are no drafts");
	for (int i = 1; i < 4; i++)
		lm_session_free(drafts[i]);
	test_model_free(&plain);
	test_model_free(&models[0]);
	test_model_free(&models[1]);
	lm_tokenizer_free(other);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmConfig config = bytes_config(CONTEXT), small = bytes_config(40), wide = small;
	TestModel model, near, strange, wider;
	LmSession *session, *drafts[3];

	config.layers = 8;
	small.layers = wide.layers = 1;
	wide.vocabulary = 300;
	make_models(&model, &near, &host, &config);
	strange = test_model(&host, &small, 8, 0.15f);
	wider = test_model(&host, &wide, 3, 0.15f);
	session = create_session(engine, &model, tokenizer);
	drafts[0] = create_session(engine, &near, tokenizer);
	drafts[1] = create_session(engine, &strange, tokenizer);
	drafts[2] = create_session(engine, &wider, tokenizer);
	for (int i = 0; i < 3; i++)
		(void) room_of(drafts[i]);
	test_lookup();
	test_wanted();
	test_equality(session, drafts[0], "a draft that learnt the same");
	test_equality(session, drafts[1], "a strange draft of less context");
	test_equality(session, drafts[2], "a draft of more tokens");
	test_equality(session, NULL, "lookup");
	test_distribution(session, drafts[0]);
	test_distribution(session, NULL);
	test_stops(&model, &near);
	test_refusals(engine, &host, session, tokenizer);
	for (int i = 0; i < 3; i++)
		lm_session_free(drafts[i]);
	lm_session_free(session);
	test_model_free(&model);
	test_model_free(&near);
	test_model_free(&strange);
	test_model_free(&wider);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	return done_testing();
}

/*
 * test/unit/test_beginning.c
 *
 * Keys and values of a prompt's beginning that one LmMany computed and another one is given: the
 * same texts, without computing them again.
 */
#include "serve_support.h"

#define CONTEXT 200
#define MOST_PAGES 8

static const char beginning[] =
	"You answer questions about the harbour of a small town, in one short sentence, and say so if "
	"you do not know. Question: ";
static const char *const questions[] = {"When does the ferry leave?", "Is there a crane?",
										"How deep is it?", "Who is the harbour master?"};

typedef struct Kept
{
	int32_t ids[CONTEXT];
	int n; /* ids */
	void *pages[MOST_PAGES];
	size_t size;
	int n_pages;
} Kept;

static LmRequest
ask(char *text, int question, bool heal)
{
	snprintf(text, CONTEXT, "%s%s", beginning, questions[question]);
	return (LmRequest){.task = LM_TASK_GENERATE,
					   .prompt = {text, strlen(text)},
					   .text = {"", 0},
					   .sampling = {.max_tokens = 20,
									.temperature = 1,
									.top_p = 1,
									.repetition_penalty = 1,
									.seed = (uint64_t) question,
									.heal = heal}};
}

/* Runs requests; with `kept` its pages are given as far as they agree, and then taken anew. */
static int
run(LmMany *many, LmRequest *requests, int n, Kept *given, Kept *taken)
{
	bool done = false;
	int n_ids = 0, n_given = 0;
	LmError error;

	if (!lm_many_start(many, requests, n, &error))
		printf("# %s\n", error.message);
	while (!done)
	{
		const int32_t *ids;
		int known, now = lm_many_beginning(&ids, many);

		n_ids = now > 0 ? now : n_ids;
		known = lm_many_known_pages(many);
		for (n_given = now > 0 && given ? 0 : n_given;
			 now > 0 && given && n_given < given->n_pages && (n_given + 1) * LM_PAGE <= now &&
			 memcmp(ids + n_given * LM_PAGE, given->ids + n_given * LM_PAGE,
					LM_PAGE * sizeof *ids) == 0;)
			n_given++;
		if (now > 0 && n_given > known && lm_many_add_pages(many, n_given))
			for (int i = known; i < n_given; i++)
				memcpy(lm_many_page(many, i), given->pages[i], lm_many_page_size(many));
		if (now > 0 && taken)
		{
			taken->n = now;
			memcpy(taken->ids, ids, (size_t) now * sizeof *ids);
		}
		if (!lm_many_step(many, &done, &error))
		{
			printf("# %s\n", error.message);
			break;
		}
	}
	if (taken)
	{
		taken->n_pages = lm_many_known_pages(many);
		for (int i = 0; i < taken->n_pages; i++)
		{
			taken->size = lm_many_page_size(many);
			taken->pages[i] = malloc(taken->size);
			memcpy(taken->pages[i], lm_many_page(many, i), taken->size);
		}
	}
	return n_ids;
}

static void
free_kept(Kept *kept)
{
	for (int i = 0; i < kept->n_pages; i++)
		free(kept->pages[i]);
	memset(kept, 0, sizeof *kept);
}

static LmMany *
alone(LmSession *session)
{
	LmError error;

	return lm_session_many(session, &error);
}

/* From one session to another, and back from it: the same bytes. */
static void
test_alone(LmEngine *engine, const TestModel *model, LmTokenizer *tokenizer, bool heal)
{
	LmSession *one = create_session(engine, model, tokenizer),
			  *other = create_session(engine, model, tokenizer),
			  *plain = create_session(engine, model, tokenizer);
	char texts[2][CONTEXT];
	LmRequest first = ask(texts[0], 0, heal), second = ask(texts[1], 1, heal), expected = second;
	Kept kept = {0}, again = {0};
	int64_t computed;
	bool same = true;

	is_int(run(alone(one), &first, 1, NULL, &kept), 128, "all of a prompt's full pages count");
	is_int(kept.n_pages, 4, "and are there after the run");
	run(alone(plain), &expected, 1, NULL, NULL);
	computed = lm_many_counts(alone(plain))->tokens - lm_many_counts(alone(other))->tokens;
	run(alone(other), &second, 1, &kept, &again);
	ok(second.output.size > 0 && second.output.size == expected.output.size &&
		   memcmp(second.output.data, expected.output.data, second.output.size) == 0,
	   "a session that is given them writes the same text");
	is_int(lm_many_counts(alone(other))->reused, 3 * LM_PAGE, "reuses what agrees");
	is_int(computed - lm_many_counts(alone(other))->tokens, 3 * LM_PAGE, "and computes the rest");
	for (int i = 0; i < 3; i++)
		same = same && memcmp(kept.pages[i], again.pages[i], kept.size) == 0;
	ok(same && again.n_pages == 4 && memcmp(kept.pages[3], again.pages[3], kept.size) != 0,
	   "keys and values are the same bytes where the texts are");
	free_kept(&kept);
	free_kept(&again);
	lm_session_free(one);
	lm_session_free(other);
	lm_session_free(plain);
}

/* Pages that were taken back are computed, whatever they held. */
static void
test_cut(LmEngine *engine, const TestModel *model, LmTokenizer *tokenizer)
{
	LmSession *session = create_session(engine, model, tokenizer);
	char text[CONTEXT], expected[CONTEXT];
	LmRequest request = ask(text, 0, false);
	bool done = false;
	const int32_t *ids;
	size_t expected_size;
	LmError error;

	run(alone(session), &request, 1, NULL, NULL);
	expected_size = request.output.size;
	memcpy(expected, request.output.data, expected_size);
	lm_session_free(session);
	session = create_session(engine, model, tokenizer);
	ok(lm_many_start(alone(session), &request, 1, &error) &&
		   lm_many_beginning(&ids, alone(session)) == 0,
	   "there is no beginning before the text is encoded");
	lm_many_step(alone(session), &done, &error);
	is_int(lm_many_beginning(&ids, alone(session)), 128, "then there is");
	ok(lm_many_add_pages(alone(session), 3), "pages are added");
	for (int i = 0; i < 3; i++)
		memset(lm_many_page(alone(session), i), 0x7f, lm_many_page_size(alone(session)));
	is_int(lm_many_known_pages(alone(session)), 3, "and count");
	lm_many_cut_pages(alone(session), 1);
	is_int(lm_many_known_pages(alone(session)), 1, "until they are cut");
	lm_many_cut_pages(alone(session), 0);
	lm_many_step(alone(session), &done, &error);
	is_int(lm_many_beginning(&ids, alone(session)), 0, "there is none once the text has entered");
	while (!done && lm_many_step(alone(session), &done, &error))
		continue;
	ok(request.output.size == expected_size &&
		   memcmp(request.output.data, expected, expected_size) == 0,
	   "what was in them does not matter");
	lm_session_free(session);
}

/* What most of several texts share; and the first piece of a generation. */
static void
test_many(LmEngine *engine, const TestModel *model, LmTokenizer *tokenizer)
{
	LmSession *session = create_session(engine, model, tokenizer),
			  *plain = create_session(engine, model, tokenizer);
	char texts[4][CONTEXT];
	LmRequest requests[4], single;
	LmError error;
	LmMany *one = lm_many_create(session, 4, 40, &error),
		   *other = lm_many_create(session, 4, 40, &error);
	Kept kept = {0};
	int same = 0;
	bool truncated, done;
	LmGeneration *generation;
	LmRequest piece = {.task = LM_TASK_GENERATE};

	for (int i = 0; i < 4; i++)
		requests[i] = ask(texts[i], i, false);
	is_int(run(one, requests, 4, NULL, &kept), 96,
		   "of several texts it is what most of them share");
	is_int(kept.n_pages, 3, "which is there after the run");
	run(other, requests, 4, &kept, NULL);
	ok(lm_many_counts(other)->tokens == lm_many_counts(one)->tokens - 96,
	   "another run is given it");
	for (int i = 0; i < 4; i++)
	{
		single = ask(texts[i], i, false);
		run(alone(plain), &single, 1, NULL, NULL);
		same += single.output.size == requests[i].output.size &&
				memcmp(single.output.data, requests[i].output.data, single.output.size) == 0;
	}
	is_int(same, 4, "and writes the texts of each alone");
	single = ask(texts[0], 0, false);
	generation = lm_generation_start(session, single.prompt.data, single.prompt.size,
									 &single.sampling, &truncated, &error);
	piece.generation = generation;
	is_int(run(alone(session), &piece, 1, &kept, NULL), 128, "a generation has one at first");
	is_int(lm_many_counts(alone(session))->reused, 96, "which it reuses");
	is_int(run(alone(session), &piece, 1, &kept, NULL), 0, "and none later");
	for (done = false; !done;)
	{
		LmBytes text;

		if (!next_piece(session, generation, &text, &done, &error))
			break;
	}
	is_int(lm_generation_tokens(generation), 20, "it goes on");
	lm_generation_free(generation);
	free_kept(&kept);
	lm_many_free(one);
	lm_many_free(other);
	lm_session_free(session);
	lm_session_free(plain);
}

/* Texts whose logits are all wanted, and texts without any. */
static void
test_none(LmEngine *engine, const TestModel *model, LmTokenizer *tokenizer)
{
	LmSession *session = create_session(engine, model, tokenizer);
	char text[CONTEXT];
	float vector[64];
	LmRequest request = ask(text, 0, false), score = {.task = LM_TASK_SCORE},
			  embed = {.task = LM_TASK_EMBED, .prompt = {"", 0}, .vector = vector};

	score.text = embed.text = request.prompt;
	score.prompt = (LmBytes){NULL, 0};
	is_int(run(alone(session), &score, 1, NULL, NULL), 0, "a text that is scored has none");
	score.prompt = request.prompt;
	score.text = (LmBytes){" Yes.", 5};
	is_int(run(alone(session), &score, 1, NULL, NULL), 128, "a prompt before it has one");
	is_int(run(alone(session), &embed, 1, NULL, NULL), 0, "a text to embed has none");
	lm_session_free(session);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmConfig config = bytes_config(CONTEXT);
	TestModel model = test_model(&host, &config, 3, 0.15f);

	test_alone(engine, &model, tokenizer, false);
	test_alone(engine, &model, tokenizer, true);
	test_cut(engine, &model, tokenizer);
	test_many(engine, &model, tokenizer);
	test_none(engine, &model, tokenizer);
	test_model_free(&model);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	return done_testing();
}

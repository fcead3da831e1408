/*
 * test/unit/test_beams.c
 *
 * Beam search: against the best of all texts, against a naive search that computes every text from
 * its beginning, and together with other texts.
 */
#include <math.h>

#include "counting_host.h"
#include "engine/many.h"
#include "serve_support.h"

#define CONTEXT 48
#define LONGEST 24 /* tokens of a continuation in these tests */
#define MOST 8 /* beams of the naive search */
#define REQUESTS 24

typedef struct Fixture
{
	const LmHost *host;
	LmEngine *engine;
	TestModel model;
	LmTokenizer *tokenizer;
	LmSession *session;
	int V;
	int32_t end;
} Fixture;

/* A continuation, without its end token. */
typedef struct Text
{
	int32_t ids[LONGEST];
	int n;
	double logprob;
	double score;
} Text;

static char end_bytes[3 * REQUESTS][2];
static LmBytes ends[3 * REQUESTS][2]; /* stops of the requests */

static LmTokenizer *
three_letters(const LmHost *host)
{
	LmBytes tokens[4] = {{"a", 1}, {"b", 1}, {"c", 1}, {LM_END_OF_TEXT, 13}};
	bool special[4] = {false, false, false, true};
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_CHARS,
							.n_tokens = 4,
							.tokens = tokens,
							.special = special,
							.end_of_text = 3,
							.beginning = -1,
							.unknown = -1};
	LmError error;
	LmTokenizer *tokenizer = lm_tokenizer_create(host, &spec, &error);

	if (!tokenizer)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return tokenizer;
}

static Fixture
create_fixture(const LmHost *host, int n_threads, bool letters, uint64_t seed, float deviation)
{
	Fixture fixture = {.host = host, .engine = start_engine(host, n_threads)};
	LmConfig config = bytes_config(CONTEXT);

	fixture.tokenizer = letters ? three_letters(host) : bytes_tokenizer(host);
	fixture.V = config.vocabulary = letters ? 4 : 257;
	fixture.end = fixture.V - 1;
	fixture.model = test_model(host, &config, seed, deviation);
	fixture.session = create_session(fixture.engine, &fixture.model, fixture.tokenizer);
	return fixture;
}

static void
free_fixture(Fixture *fixture)
{
	lm_session_free(fixture->session);
	lm_tokenizer_free(fixture->tokenizer);
	test_model_free(&fixture->model);
	lm_engine_stop(fixture->engine);
}

static LmRequest
search(const char *prompt, int beams, int max_tokens, double length_penalty)
{
	return (LmRequest){.task = LM_TASK_GENERATE,
					   .prompt = {prompt, strlen(prompt)},
					   .text = {"", 0},
					   .sampling = {.max_tokens = max_tokens,
									.temperature = 0.8,
									.top_p = 1,
									.repetition_penalty = 1,
									.beams = beams,
									.length_penalty = length_penalty}};
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
		{
			printf("# %s\n", error.message);
			return false;
		}
	return true;
}

static int
pages_of(const Fixture *fixture, int n)
{
	return n * ((fixture->model.table->config.context + LM_PAGE - 1) / LM_PAGE);
}

/* ---- The naive twin ------------------------------------------------------ */

/* The logits after the end token, the prompt and a continuation, in windows as generation has. */
static void
logits_after(float *logits, const Fixture *fixture, const char *prompt, const Text *text)
{
	LmInput inputs[CONTEXT];
	int n = 0, size = (int) strlen(prompt);
	void *workspace = aligned_alloc(64, lm_infer_workspace(fixture->model.model, CONTEXT, 1, 4));
	LmSequence sequence;
	LmPages *pages;
	LmError error;

	for (int i = -1; i < size + text->n; i++)
	{
		int32_t id = fixture->end;

		if (n == CONTEXT)
		{
			n = CONTEXT / 2;
			memmove(inputs, inputs + CONTEXT - n, (size_t) n * sizeof *inputs);
		}
		if (i >= size)
			id = text->ids[i - size];
		else if (i >= 0)
			id = fixture->V == 4 ? prompt[i] - 'a' : (uint8_t) prompt[i];
		inputs[n++].token = id;
	}
	for (int i = 0; i < n; i++)
		inputs[i] = (LmInput){inputs[i].token, 0, i, i == n - 1};
	pages = lm_pages_create(fixture->host, fixture->model.model, 4, &error);
	lm_sequence_create(&sequence, fixture->host, fixture->model.model, &error);
	lm_infer(logits, fixture->engine, fixture->model.model, pages, &sequence, 1, inputs, n,
			 workspace, &error);
	lm_sequence_free(&sequence, pages, fixture->host);
	lm_pages_free(pages);
	free(workspace);
}

static bool
has_seen(const Fixture *fixture, const char *prompt, const Text *text, int32_t id)
{
	for (const char *c = prompt; *c; c++)
		if (id == (fixture->V == 4 ? *c - 'a' : (uint8_t) *c))
			return true;
	for (int i = 0; i < text->n; i++)
		if (text->ids[i] == id)
			return true;
	return false;
}

/* log p of each token after the text, of the full distribution. */
static void
logprobs_after(double *logprobs, const Fixture *fixture, const LmRequest *request, const Text *text)
{
	float logits[257];
	double penalty = request->sampling.repetition_penalty, largest = -INFINITY, sum = 0;

	logits_after(logits, fixture, request->prompt.data, text);
	for (int id = 0; id < fixture->V; id++)
	{
		if (penalty != 1 && has_seen(fixture, request->prompt.data, text, id))
			logits[id] = (float) (logits[id] > 0 ? (double) logits[id] / penalty
												 : (double) logits[id] * penalty);
		largest = fmax(largest, (double) logits[id]);
	}
	for (int id = 0; id < fixture->V; id++)
		sum += exp((double) logits[id] - largest);
	for (int id = 0; id < fixture->V; id++)
		logprobs[id] = (double) logits[id] - largest - log(sum);
}

static double
score_of(const LmRequest *request, double logprob, int length)
{
	return logprob / pow((5 + length) / 6.0, request->sampling.length_penalty);
}

static void
keep_better(Text *best, const LmRequest *request, const Text *text, double logprob, int length)
{
	Text ended = *text;

	ended.score = score_of(request, logprob, length);
	if (best->n < 0 || ended.score > best->score)
		*best = ended;
}

/* The best of all texts of up to max_tokens tokens: one by one. */
static void
best_of_all(Text *best, const Fixture *fixture, const LmRequest *request, const Text *text)
{
	double logprobs[257];

	if (text->n == request->sampling.max_tokens)
	{
		keep_better(best, request, text, text->logprob, text->n);
		return;
	}
	logprobs_after(logprobs, fixture, request, text);
	for (int id = 0; id < fixture->V; id++)
	{
		Text longer = *text;

		longer.logprob += logprobs[id];
		if (id == fixture->end)
			keep_better(best, request, text, longer.logprob, text->n + 1);
		else
		{
			longer.ids[longer.n++] = id;
			best_of_all(best, fixture, request, &longer);
		}
	}
}

/* Whether the text with one more token can still become valid UTF-8 without U+0000. */
static bool
may_follow(const Text *text, int32_t id)
{
	char bytes[LONGEST + 4];
	int n = text->n;
	size_t at;

	for (int i = 0; i < n; i++)
		bytes[i] = (char) text->ids[i];
	bytes[n++] = (char) id;
	if (id == 0)
		return false;
	/* Some end must make it whole; three bytes of these values complete any beginning. */
	for (int more = 0; more < 4; more++)
	{
		for (int first = 0x80; first <= 0xBF; first += more > 0 ? 0x0F : 0x40)
		{
			bytes[n] = (char) first;
			bytes[n + 1] = bytes[n + 2] = (char) 0x80;
			if (lm_utf8_valid(bytes, (size_t) (n + more), &at))
				return true;
		}
	}
	return false;
}

static bool
stops(const LmRequest *request, const Text *text)
{
	const LmSampling *sampling = &request->sampling;

	for (int i = 0; i < sampling->n_stops; i++)
	{
		int size = (int) sampling->stops[i].size, same = 0;

		for (int k = 0; k < size && size <= text->n; k++)
			same += (char) text->ids[text->n - size + k] == sampling->stops[i].data[k];
		if (same == size)
			return true;
	}
	return false;
}

/*
 * Sorts the continuations of all texts, each step anew. Ties of equal texts are none in random
 * models.
 */
static Text
naive_search(const Fixture *fixture, const LmRequest *request)
{
	static Text live[MOST], next[MOST * 257];
	const LmSampling *sampling = &request->sampling;
	int n_live = 1, n_ended = 0;
	Text best = {.n = -1};

	live[0] = (Text){0};
	for (int length = 1; n_live > 0 && n_ended < sampling->beams; length++)
	{
		int n = 0, kept = 0;

		for (int i = 0; i < n_live; i++)
		{
			double logprobs[257];

			logprobs_after(logprobs, fixture, request, &live[i]);
			for (int id = 0; id < fixture->V; id++)
			{
				if (id != fixture->end && fixture->V > 4 && !may_follow(&live[i], id))
					continue;
				next[n] = live[i];
				next[n].ids[next[n].n++] = id;
				next[n++].logprob += logprobs[id];
			}
		}
		n_live = 0;
		for (int rank = 0; rank < 2 * sampling->beams && n_live < sampling->beams && rank < n;
			 rank++)
		{
			Text found;
			int first = rank;

			for (int i = rank; i < n; i++)
				if (next[i].logprob > next[first].logprob)
					first = i;
			found = next[first];
			next[first] = next[rank];
			next[rank] = found;
			if (found.ids[found.n - 1] != fixture->end)
				live[n_live++] = found;
			else if (rank < sampling->beams)
			{
				found.n--;
				keep_better(&best, request, &found, found.logprob, length);
				n_ended++;
			}
		}
		for (int i = 0; i < n_live; i++)
		{
			bool has_ended = stops(request, &live[i]) || length == sampling->max_tokens;

			n_ended += has_ended;
			if (has_ended)
				keep_better(&best, request, &live[i], live[i].logprob, length);
			else
				live[kept++] = live[i];
		}
		n_live = kept;
		for (int i = kept = 0; i < n_live && n_ended > 0; i++)
			kept += score_of(request, live[i].logprob, sampling->max_tokens) > best.score;
		if (n_ended > 0 && kept == 0)
			break;
	}
	return best;
}

/* The bytes of a text, up to a stop, and whole characters only. */
static size_t
spell(char *out, const Fixture *fixture, const LmRequest *request, const Text *text)
{
	size_t n = (size_t) text->n, longest = 0, at;

	for (int i = 0; i < text->n; i++)
		out[i] = (char) (fixture->V == 4 ? 'a' + text->ids[i] : text->ids[i]);
	for (int i = 0; i < request->sampling.n_stops; i++)
	{
		LmBytes stop = request->sampling.stops[i];

		if (stop.size <= n && memcmp(out + n - stop.size, stop.data, stop.size) == 0)
			longest = stop.size > longest ? stop.size : longest;
	}
	n -= longest;
	while (n > 0 && !lm_utf8_valid(out, n, &at))
		n--;
	return n;
}

static bool
is_text(const Fixture *fixture, const LmRequest *request, const Text *text)
{
	char wanted[LONGEST];
	size_t size = spell(wanted, fixture, request, text);
	bool same = request->error.code == LM_OK && request->n_tokens == text->n &&
				request->output.size == size && memcmp(request->output.data, wanted, size) == 0;

	if (!same)
		printf("# prompt \"%s\": \"%.*s\", not \"%.*s\" (%s)\n", request->prompt.data,
			   (int) request->output.size, request->output.data, (int) size, wanted,
			   request->error.code == LM_OK ? "" : request->error.message);
	return same;
}

/* ---- Tests --------------------------------------------------------------- */

static void
test_exhaustive(const LmHost *host)
{
	static const char *const prompts[] = {"a", "bca", "", "ccccab"};
	static const double penalties[] = {0, 0.6, 3};
	int n_best = 0, n_greedy = 0, n_short = 0, n = 0;

	for (uint64_t seed = 1; seed <= 4; seed++)
	{
		Fixture fixture = create_fixture(host, 1, true, seed, 0.3f);
		LmError error;
		LmMany *many = lm_many_create(fixture.session, 64, pages_of(&fixture, 64), &error);

		for (int i = 0; i < 4 * 3; i++)
		{
			LmRequest request = search(prompts[i % 4], 64, 3, penalties[i / 4]), greedy = request;
			Text best = {.n = -1}, empty = {.n = 0};

			best_of_all(&best, &fixture, &request, &empty);
			n_best += run(many, &request, 1) && is_text(&fixture, &request, &best);
			n_short += best.n < 3;
			greedy.sampling.beams = 1;
			greedy.sampling.temperature = 0;
			n_greedy += answer_alone(fixture.session, &greedy, &error) &&
						greedy.output.size == request.output.size &&
						memcmp(greedy.output.data, request.output.data, request.output.size) == 0;
			n++;
		}
		lm_many_free(many);
		free_fixture(&fixture);
	}
	ok(n_best == n, "as many beams as texts find the best of all texts (%d of %d)", n_best, n);
	ok(n_greedy < n && n_short > 0 && n_short < n,
	   "greedy choice finds it %d times; it ends early %d times", n_greedy, n_short);
}

static void
ask(LmRequest *request, int i)
{
	static const char *const prompts[] = {"To be", "", "the quick brown fox jumps over a lazy dog",
										  "\xC3\xA9t\xC3\xA9", "a"};

	*request =
		search(prompts[i % 5], 2 + i % 5, i % 7 == 0 ? LONGEST - 1 : 1 + i % 6, 0.3 * (i % 4));
	request->sampling.repetition_penalty = i % 3 == 0 ? 1.4 : 1;
	request->sampling.n_stops = i % 2 == 0 ? 2 : 0;
	request->sampling.stops = ends[i];
}

/* Bytes that the text without them has, so that it ends earlier. */
static void
find_ends(const Fixture *fixture)
{
	for (int i = 0; i < 3 * REQUESTS; i++)
	{
		LmRequest request;
		Text text;

		ask(&request, i);
		request.sampling.n_stops = 0;
		text = naive_search(fixture, &request);
		for (int k = 0; k < 2; k++)
			end_bytes[i][k] = k + 1 < text.n ? (char) text.ids[k + 1] : '~';
		ends[i][0] = (LmBytes){end_bytes[i], 2};
		ends[i][1] = (LmBytes){"xyz", 3};
	}
}

static void
test_naive(const LmHost *host)
{
	Fixture fixture = create_fixture(host, 1, false, 11, 0.6f);
	LmError error;
	LmMany *many = lm_many_create(fixture.session, 6, pages_of(&fixture, 6), &error);
	int same = 0, stopped = 0;

	find_ends(&fixture);
	for (int i = 0; i < 3 * REQUESTS; i++)
	{
		LmRequest request;
		Text wanted;

		ask(&request, i);
		wanted = naive_search(&fixture, &request);
		stopped += stops(&request, &wanted);
		same += run(many, &request, 1) && is_text(&fixture, &request, &wanted);
	}
	ok(same == 3 * REQUESTS && stopped > 0, "a search is that of the naive twin (%d of %d)", same,
	   3 * REQUESTS);
	lm_many_free(many);
	free_fixture(&fixture);
}

/* Searches beside drawn texts and scores, in so many slots and pages. */
static bool
same_together(const Fixture *fixture, char (*outputs)[LONGEST], const size_t *sizes,
			  int n_sequences, int n_pages)
{
	LmRequest requests[2 * REQUESTS];
	LmError error;
	LmMany *many = lm_many_create(fixture->session, n_sequences, n_pages, &error);
	int same = 0;

	for (int i = 0; i < 2 * REQUESTS; i++)
	{
		ask(&requests[i], i / 2);
		if (i % 2 == 1)
			requests[i].sampling.beams = 0;
		if (i % 6 == 5)
			requests[i] =
				(LmRequest){.task = LM_TASK_SCORE,
							.prompt = {"", 0},
							.text = {"to be or not to be, that is the question, is it", 46}};
	}
	if (!many || !run(many, requests, 2 * REQUESTS))
		return false;
	for (int i = 0; i < 2 * REQUESTS; i += 2)
		same += requests[i].error.code == LM_OK && requests[i].output.size == sizes[i / 2] &&
				memcmp(requests[i].output.data, outputs[i / 2], sizes[i / 2]) == 0;
	lm_many_free(many);
	return same == REQUESTS;
}

static void
test_company(const LmHost *host)
{
	Fixture fixture = create_fixture(host, 1, false, 11, 0.6f);
	char outputs[REQUESTS][LONGEST];
	size_t sizes[REQUESTS];
	LmError error;
	LmMany *many = lm_many_create(fixture.session, 6, pages_of(&fixture, 6), &error);

	for (int i = 0; i < REQUESTS; i++)
	{
		LmRequest request;

		ask(&request, i);
		run(many, &request, 1);
		sizes[i] = request.output.size;
		memcpy(outputs[i], request.output.data, sizes[i]);
	}
	lm_many_free(many);
	ok(same_together(&fixture, outputs, sizes, 64, pages_of(&fixture, 64)),
	   "searches beside other texts give the same texts");
	ok(same_together(&fixture, outputs, sizes, 7, pages_of(&fixture, 6)),
	   "with few slots and pages, too");
	free_fixture(&fixture);
	fixture = create_fixture(host, 3, false, 11, 0.6f);
	ok(same_together(&fixture, outputs, sizes, 40, pages_of(&fixture, 30)),
	   "with three threads, too");
	free_fixture(&fixture);
}

static bool
fails(LmMany *many, LmRequest request, LmErrorCode code, const char *message)
{
	bool failed = run(many, &request, 1) && request.error.code == code &&
				  strstr(request.error.message, message) != NULL;

	if (!failed)
		printf("# %d: %s\n", request.error.code, request.error.message);
	return failed;
}

static void
test_errors(const LmHost *host)
{
	Fixture fixture = create_fixture(host, 1, false, 11, 0.6f);
	LmError error;
	LmMany *many = lm_many_create(fixture.session, 6, pages_of(&fixture, 1), &error);
	LmRequest wide = search("a", 7, 4, 1), few = search("a", 4, 100, 1),
			  strange = search("a", 2, 4, 1), good = search("a", 2, 4, 1);

	strange.sampling.length_penalty = NAN;
	ok(fails(many, wide, LM_ERR_LIMIT, "7 beams do not fit: there is room for 6 texts"),
	   "more beams than texts");
	ok(fails(many, few, LM_ERR_LIMIT, "4 beams need 8 pages"), "more pages than there are");
	ok(fails(many, strange, LM_ERR_ARGUMENT, "length_penalty"),
	   "a length penalty that is no number");
	ok(fails(lm_session_many(fixture.session, &error), good, LM_ERR_LIMIT,
			 "there is room for 1 texts"),
	   "beams in the room of one text");
	ok(run(many, &good, 1) && good.error.code == LM_OK, "the next request is served");
	lm_many_free(many);
	free_fixture(&fixture);
}

/* A token whose embedding is no number: a text that has it ends in an error, others do not. */
static void
test_not_finite(const LmHost *host)
{
	Fixture fixture = create_fixture(host, 1, false, 11, 0.6f);
	const LmParam *position = lm_param_find(fixture.model.table, LM_POSITION_EMBEDDING, -1);
	size_t C = (size_t) fixture.model.table->config.channels;
	LmRequest requests[3] = {search("a", 3, 9, 1), search("a text of some length", 3, 9, 1),
							 search("b", 2, 9, 1)};
	LmError error;
	LmMany *many;

	/* Positions of the second text alone. */
	fixture.model.block[position->offset + 25 * C] = NAN;
	lm_session_free(fixture.session);
	lm_model_close(fixture.model.model);
	free(fixture.model.image);
	test_model_build(&fixture.model);
	fixture.session = create_session(fixture.engine, &fixture.model, fixture.tokenizer);
	many = lm_many_create(fixture.session, 8, pages_of(&fixture, 8), &error);
	ok(run(many, requests, 3) && requests[0].error.code == LM_OK &&
		   requests[1].error.code == LM_ERR_NUMERIC && requests[2].error.code == LM_OK,
	   "a search that meets a number that is none fails alone");
	ok(run(many, requests, 1) && requests[0].error.code == LM_OK, "and leaves its places");
	lm_many_free(many);
	free_fixture(&fixture);
}

/* Long searches of most beams, and what the formulas say. */
static void
test_memory(const LmHost *host, CountingHost *state)
{
	Fixture fixture = create_fixture(host, 2, false, 11, 0.1f);
	LmRequest requests[4];
	size_t before = state->live, bytes, of_request, all;
	LmError error;
	LmMany *many;
	bool known =
		lm_many_memory(&all, &fixture.model.table->config, 2, 32, pages_of(&fixture, 32), &error);

	for (int i = 0; i < 4; i++)
	{
		requests[i] = search("the text", 16, 200, 4);
		known = known && lm_beams_request_memory(&of_request, &fixture.model.table->config,
												 &requests[i].sampling, &error);
		all += of_request;
	}
	state->peak = before;
	many = lm_many_create(fixture.session, 32, pages_of(&fixture, 32), &error);
	run(many, requests, 4);
	bytes = state->peak - before;
	ok(known && bytes <= all && bytes > all / 4,
	   "searches take %zu of %zu bytes that the formulas say", bytes, all);
	lm_many_free(many);
	free_fixture(&fixture);
}

/* A run that is stopped again and again, later each time. */
static void
test_stops(const LmHost *host, CountingHost *state)
{
	Fixture fixture = create_fixture(host, 1, false, 11, 0.6f);
	LmRequest plain, stopped;
	char wanted[LONGEST];
	size_t size;
	long questions = 1;
	int n_stopped = 0;
	bool done = false;
	LmError error;
	LmMany *many = lm_many_create(fixture.session, 6, pages_of(&fixture, 6), &error);

	ask(&plain, 7);
	stopped = plain;
	run(many, &plain, 1);
	size = plain.output.size;
	memcpy(wanted, plain.output.data, size);
	lm_many_start(many, &stopped, 1, &error);
	while (!done)
	{
		state->questions = questions++;
		n_stopped += !lm_many_step(many, &done, &error) && error.code == LM_ERR_STOPPED;
	}
	state->questions = -1;
	ok(n_stopped > 3 && stopped.output.size == size &&
		   memcmp(stopped.output.data, wanted, size) == 0,
	   "a search that was stopped %d times gives the same text", n_stopped);
	lm_many_start(many, &stopped, 1, &error);
	for (int i = 0; i < 4; i++)
		lm_many_step(many, &done, &error);
	lm_many_free(many);
	free_fixture(&fixture);
}

int
main(void)
{
	CountingHost state;
	LmHost host = counting_host(&state);

	test_exhaustive(&host);
	test_naive(&host);
	test_company(&host);
	test_errors(&host);
	test_not_finite(&host);
	test_memory(&host, &state);
	test_stops(&host, &state);
	is_int((long) state.live, 0, "all memory is given back, that of a search midway too");
	return done_testing();
}

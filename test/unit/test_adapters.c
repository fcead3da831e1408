/*
 * test/unit/test_adapters.c
 *
 * Texts of many adapters of one base together: each has the bits that it has alone, whatever the
 * task, the adapter's rank and layers, the threads, and the beginning that it shares with texts of
 * other adapters. (One adapter: test_lora.c.)
 */
#include "adapter_support.h"
#include "engine/ops.h"
#include "kernels.h"

#define ADAPTERS 64
#define JUDGES 5 /* a head's table of words takes time to fill */
#define CONTEXT 80
#define LABELS 3
#define BEGINNING "A beginning of two pages and some more, which the texts of many adapters share: "

/* ---- The kernel ----------------------------------------------------------- */

static void *
packed_of(const float *w, int rank, int n, bool is_a, bool is_bfloat16)
{
	void *packed = aligned_alloc(64, (lm_lora_packed(rank, n, is_bfloat16) + 63) / 64 * 64);

	if (is_a)
		lm_lora_pack_a(packed, w, rank, n, is_bfloat16);
	else
		lm_lora_pack_b(packed, w, rank, n, 1.5f, is_bfloat16);
	return packed;
}

/* wanted += 1.5 x A' B' of some rows, in float64. */
static void
add_naive(float *wanted, const LmLoraRows *rows, const float *a, const float *b)
{
	for (int i = 0; i < rows->n_rows; i++)
		for (int j = 0; j < rows->n_out; j++)
		{
			double sum = 0;

			for (int r = 0; r < rows->rank; r++)
				for (int k = 0; k < rows->n_in; k++)
					sum += (double) rows->x[rows->rows[i] * rows->n_in + k] *
						   a[r * rows->n_in + k] * b[j * rows->rank + r];
			wanted[rows->rows[i] * rows->n_out + j] += (float) (1.5 * sum);
		}
}

/* All rows but row 1, against a naive twin, and each against itself alone. */
static void
test_kernel(int n_in, int n_out, int rank, bool is_bfloat16)
{
	enum
	{
		N = 12
	};
	static const int order[N - 1] = {7, 0, 2, 5, 3, 4, 11, 6, 8, 10, 9};
	float *x = random_floats((size_t) (N * n_in), 1, 1),
		  *y = random_floats((size_t) (N * n_out), 1, 2),
		  *a = random_floats((size_t) (rank * n_in), 0.3f, 3),
		  *b = random_floats((size_t) (n_out * rank), 0.3f, 4);
	size_t size = (size_t) N * (size_t) n_out * sizeof(float);
	float *wanted = malloc(size), *together = malloc(size), *alone = malloc(size);
	void *packed_a = packed_of(a, rank, n_in, true, is_bfloat16),
		 *packed_b = packed_of(b, rank, n_out, false, is_bfloat16);
	LmLoraRows rows = {.x = x,
					   .rows = order,
					   .n_rows = N - 1,
					   .n_in = n_in,
					   .n_out = n_out,
					   .rank = rank,
					   .is_bfloat16 = is_bfloat16,
					   .a = packed_a,
					   .b = packed_b};
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);
	double difference = 0;
	bool same = true;

	memcpy(wanted, y, size);
	add_naive(wanted, &rows, a, b);
	for (int simd = 0; simd < n_simds; simd++)
	{
		memcpy(together, y, size);
		memcpy(alone, y, size);
		rows.y = together;
		simds[simd]->lora(&rows);
		for (int i = 0; i < N * n_out; i++)
			difference = fmax(difference, fabs((double) together[i] - wanted[i]));
		for (int i = 0; i < N - 1; i++)
		{
			LmLoraRows one = rows;

			one.y = alone;
			one.rows = order + i;
			one.n_rows = 1;
			simds[simd]->lora(&one);
		}
		same = same && memcmp(together, alone, size) == 0;
	}
	ok(difference < (is_bfloat16 ? 5e-3 : 2e-5) * n_in && same,
	   "rows of %d to %d of rank %d%s are the naive ones (%.2g), the same alone and together", n_in,
	   n_out, rank, is_bfloat16 ? ", bfloat16," : "", difference);
	free(x);
	free(y);
	free(a);
	free(b);
	free(wanted);
	free(together);
	free(alone);
	free(packed_a);
	free(packed_b);
}

/* ---- Texts together ------------------------------------------------------- */

/* A base and n adapters, each with a session; session n is the base's own. */
typedef struct Family
{
	int n;
	LmConfig config;
	TestModel base;
	Beside adapters[ADAPTERS];
	LmTokenizer *tokenizer;
	LmSession *sessions[ADAPTERS + 1];
} Family;

/* Ranks, layers and, in some, labels differ. */
static LmConfig
config_of(const Family *family, int number, bool judges)
{
	LmConfig config = family->config;

	config.lora_rank = 1 + number % 17;
	config.lora_alpha = 12;
	config.lora_targets = 1 + number * 7 % LM_ALL_TARGETS;
	config.labels = judges ? 2 + number % LABELS : 0;
	return config;
}

static Family *
create_family(LmEngine *engine, const LmHost *host, int n, bool judges, const LmWeightType *type)
{
	Family *family = calloc(1, sizeof *family);
	LmError error;

	family->n = n;
	family->config = bytes_config(CONTEXT);
	family->config.channels = 40;
	family->config.heads = 4;
	family->base = test_model_of_type(host, &family->config, 11, 0.1f, type);
	family->tokenizer = bytes_tokenizer(host);
	for (int i = 0; i <= family->n; i++)
	{
		LmConfig config = config_of(family, i, judges);
		const LmModel *model = family->base.model;

		if (i < family->n)
		{
			lm_config_check(&config, &error);
			family->adapters[i] = adapter_beside(&family->base, &config, (uint64_t) (100 + i));
			model = family->adapters[i].model;
		}
		family->sessions[i] = lm_session_create(engine, model, family->tokenizer, &error);
	}
	return family;
}

static void
free_family(Family *family, const LmHost *host)
{
	for (int i = 0; i <= family->n; i++)
	{
		lm_session_free(family->sessions[i]);
		if (i < family->n)
			beside_free(&family->adapters[i], host);
	}
	lm_tokenizer_free(family->tokenizer);
	test_model_free(&family->base);
	free(family);
}

static char beam_text[256];

static bool
run(LmMany *many, LmRequest *requests, int n, LmError *error)
{
	bool done = false;

	if (!lm_many_start(many, requests, n, error))
		return false;
	while (!done)
		if (!lm_many_step(many, &done, error))
			return false;
	return true;
}

/* The request alone, in its session's own room or, with beams, in one for it. */
static bool
answer(LmRequest *request, LmError *error)
{
	LmMany *many;
	bool good;

	if (request->sampling.beams < 2)
		return answer_alone(request->session, request, error);
	many = lm_many_create(request->session, request->sampling.beams, 12, error);
	good = run(many, request, 1, error) && request->error.code == LM_OK;
	if (good && request->output.size < sizeof beam_text)
		request->output.data = memcpy(beam_text, request->output.data, request->output.size);
	lm_many_free(many);
	return good;
}

/* Numbers of requests whose result is not that of the request alone. */
static int
differences(const LmRequest *requests, int n)
{
	int count = 0;

	for (int i = 0; i < n; i++)
	{
		const LmRequest *found = &requests[i];
		LmRequest alone = requests[i];
		float vector[256] = {0};
		LmError error;
		bool same;

		alone.vector = vector;
		same = answer(&alone, &error) && found->error.code == LM_OK &&
			   memcmp(&alone.score, &found->score, sizeof alone.score) == 0 &&
			   alone.n_tokens == found->n_tokens && alone.output.size == found->output.size &&
			   memcmp(alone.output.data, found->output.data, alone.output.size) == 0;
		if (alone.task == LM_TASK_EMBED)
			same = same &&
				   memcmp(vector, found->vector, (size_t) found->n_vector * sizeof(float)) == 0;
		if (alone.task == LM_TASK_CLASSIFY)
			same = same && memcmp(vector, found->vector, 2 * sizeof(float)) == 0;
		if (!same && count == 0)
			printf("# request %d: %s\n", i, found->error.message);
		count += !same;
	}
	return count;
}

static LmRequest
score_of(LmSession *session, const char *text)
{
	return (LmRequest){.task = LM_TASK_SCORE, .session = session, .text = {text, strlen(text)}};
}

static LmRequest
generation_of(LmSession *session, const char *prompt, int seed)
{
	return (LmRequest){.task = LM_TASK_GENERATE,
					   .session = session,
					   .prompt = {prompt, strlen(prompt)},
					   .text = {"", 0},
					   .sampling = {.max_tokens = 12,
									.temperature = 1,
									.top_p = 1,
									.repetition_penalty = 1.1,
									.seed = (uint64_t) seed,
									.beams = seed % 16 == 5 ? 3 : 0}};
}

#define REQUESTS (2 * (ADAPTERS + 1))

/* Texts, some longer than the context; every other one begins as the others do. */
static void
ask(LmRequest *requests, char texts[REQUESTS][256], const Family *family)
{
	for (int i = 0; i < REQUESTS; i++)
	{
		LmSession *session = family->sessions[i % (ADAPTERS + 1)];

		snprintf(texts[i], sizeof texts[i], "%s%d. %.*s", i % 2 ? BEGINNING : "", i, i * 11 % 70,
				 BEGINNING);
		requests[i] = i % 3 ? score_of(session, texts[i]) : generation_of(session, texts[i], i);
	}
}

static void
test_texts(LmEngine *engine, const LmHost *host, int n_threads, const char *type)
{
	Family *family = create_family(engine, host, ADAPTERS, false, lm_weight_type_find(type));
	static LmRequest requests[REQUESTS];
	static char texts[REQUESTS][256];
	int count = 0, rows[] = {64, 5};
	LmError error;

	for (int i = 0; i < (tap_is_sanitized() ? 1 : 2); i++)
	{
		LmMany *many = lm_many_create(family->sessions[ADAPTERS], rows[i], 3 * rows[i], &error);

		ask(requests, texts, family);
		if (!run(many, requests, REQUESTS, &error))
			printf("# %s\n", error.message);
		count += differences(requests, REQUESTS);
		lm_many_free(many);
	}
	printf("# %d threads, %s\n", n_threads, type);
	is_int(count, 0,
		   "scores and texts of 64 adapters and their base together are those of each alone, bit "
		   "for bit");
	free_family(family, host);
}

static void
test_vectors(LmEngine *engine, const LmHost *host)
{
	Family *family = create_family(engine, host, JUDGES, true, lm_weight_type(0));
	LmMany *many;
	static LmRequest requests[4 * JUDGES];
	static char texts[4 * JUDGES][256];
	static float vectors[4 * JUDGES][256];
	LmError error;

	for (int i = 0; i < 4 * JUDGES; i++)
	{
		snprintf(texts[i], sizeof texts[i], "%d. %.*s", i, i * 13 % 80, BEGINNING BEGINNING);
		requests[i] = score_of(family->sessions[i / 2 % JUDGES], texts[i]);
		requests[i].task = i % 2 ? LM_TASK_EMBED : LM_TASK_CLASSIFY;
		requests[i].vector = vectors[i];
	}
	many = lm_many_create(family->sessions[JUDGES], 16, 48, &error);
	if (!run(many, requests, 4 * JUDGES, &error))
		printf("# %s\n", error.message);
	is_int(differences(requests, 4 * JUDGES), 0,
		   "and embeddings and classes by heads of their own");
	lm_many_free(many);
	free_family(family, host);
}

/* ---- Beginnings, counts, errors ------------------------------------------- */

static void
test_beginnings(LmEngine *engine, const LmHost *host)
{
	Family *family = create_family(engine, host, 4, false, lm_weight_type(0));
	static LmRequest requests[12];
	static char texts[12][256];
	LmManyCounts sum = {0};
	LmMany *many;
	int wrong = 0, reused = 0, count = 0, known = 0;
	const int32_t *ids;
	bool done = false;
	LmError error;

	many = lm_many_create(family->sessions[4], 4, 12, &error);
	for (int turn = 0; turn < 3; turn++)
	{
		LmSession *most = family->sessions[turn], *other = family->sessions[turn + 1];

		for (int i = 0; i < 12; i++)
		{
			snprintf(texts[i], sizeof texts[i], "%.*s%d", 70, BEGINNING, i);
			requests[i] = score_of(i % 3 ? most : other, texts[i]);
			requests[i].prompt = (LmBytes){texts[i], 68};
		}
		if (!run(many, requests, 12, &error))
			printf("# %s\n", error.message);
		for (int i = 0; i < 12; i++)
		{
			sum.tokens += requests[i].counts.tokens;
			sum.hits += requests[i].counts.hits;
			sum.misses += requests[i].counts.misses;
			sum.reused += requests[i].counts.reused;
			reused += requests[i].counts.reused == 64;
			wrong += i % 3 == 0 && requests[i].counts.reused > 0;
		}
		count += differences(requests, 12);
	}
	is_int(reused, 24, "texts of the adapter of most of them share their beginning");
	is_int(wrong, 0, "and not with those of another adapter");
	is_int(count, 0, "each time with the bits of each alone, whoever had the beginning before");
	ok(sum.hits == lm_many_counts(many)->hits && sum.misses == lm_many_counts(many)->misses &&
		   sum.reused == lm_many_counts(many)->reused &&
		   sum.tokens + 3 * 64 == lm_many_counts(many)->tokens,
	   "the counts of requests and of beginnings are those of the whole");
	/* A text that begins otherwise, of an adapter that the beginning of the last run is not of. */
	requests[0] = requests[1] = score_of(family->sessions[0], "another text of one adapter");
	lm_many_start(many, requests, 2, &error);
	while (known == 0 && !done && lm_many_step(many, &done, &error))
		known = lm_many_beginning(&ids, many);
	is_int(known, 0, "the beginning of an earlier run is not that of a run without one");
	lm_many_free(many);
	free_family(family, host);
}

static void
test_errors(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT);
	TestModel one = test_model(host, &config, 3, 0.1f), two = test_model(host, &config, 3, 0.1f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *first = create_session(engine, &one, tokenizer),
			  *second = create_session(engine, &two, tokenizer);
	LmRequest requests[2] = {score_of(first, "text"), score_of(second, "text")};
	LmSequence sequence = {.model = two.model};
	LmPages *pages;
	LmError error;
	LmMany *many = lm_many_create(first, 4, 12, &error);
	void *workspace = aligned_alloc(64, (lm_infer_workspace(one.model, 1, 1, 4) + 63) / 64 * 64);
	float logits[257];

	ok(!lm_many_start(many, requests, 2, &error) && error.code == LM_ERR_ARGUMENT,
	   "texts of two bases are refused: %s", error.message);
	lm_many_free(many);
	pages = lm_pages_create(host, one.model, 4, &error);
	lm_sequence_create(&sequence, host, one.model, &error);
	sequence.model = two.model;
	ok(!lm_infer(logits, engine, one.model, pages, &sequence, 1, &(LmInput){1, 0, 0, true}, 1,
				 workspace, &error) &&
		   error.code == LM_ERR_ARGUMENT && sequence.n_positions == 0,
	   "and so is a sequence of another base: %s", error.message);
	lm_sequence_free(&sequence, pages, host);
	lm_pages_free(pages);
	free(workspace);
	lm_session_free(first);
	lm_session_free(second);
	lm_tokenizer_free(tokenizer);
	test_model_free(&one);
	test_model_free(&two);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *one = start_engine(&host, 1), *three = start_engine(&host, 3);

	for (int is_bfloat16 = 0; is_bfloat16 < 2; is_bfloat16++)
	{
		test_kernel(16, 16, 4, is_bfloat16);
		test_kernel(40, 120, 8, is_bfloat16);
		test_kernel(7, 5, 1, is_bfloat16);
		test_kernel(100, 203, 13, is_bfloat16);
		test_kernel(33, 64, 37, is_bfloat16);
	}
	test_texts(one, &host, 1, "float32");
	test_texts(three, &host, 3, "bfloat16");
	test_vectors(three, &host);
	test_beginnings(one, &host);
	test_errors(one, &host);
	lm_engine_stop(one);
	lm_engine_stop(three);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

/*
 * test/unit/test_sample.c
 *
 * A token from a row of logits against the plain way: candidates in order, weights and their sums
 * in double precision.
 */
#include <float.h>

#include "tap.h"

#include "engine/random.h"
#include "serve/session.h"

#define MOST 140000
#define DRAWS 60
#define SEED 7
#define SLACK 2e-6 /* of the whole: weights in float32 and their order of addition */

static LmSession session;
static uint8_t classes[MOST], seen[MOST];
static float logits[MOST], row[MOST];
static LmCandidate candidates[MOST], plain[MOST];
static double ends[MOST];
static int where[MOST];

/* Logits of about N(0, 1), every 11th token never allowed. */
static void
make_row(int V, uint64_t seed)
{
	session.config.vocabulary = V;
	session.classes = classes;
	lm_random_normal(logits, (uint64_t) V, 1, lm_key(seed, LM_RANDOM_INIT, 0, 0));
	for (int i = 0; i < V; i++)
		classes[i] = i % 11 == 3 ? LM_TOKEN_NEVER : LM_TOKEN_BEGINS;
}

/* Of a copy: it changes the row. */
static bool
sample(int32_t *id, const LmDraw *wanted, LmError *error)
{
	memcpy(row, logits, sizeof(row));
	return lm_sample(id, candidates, row, wanted, error);
}

static int
compare_up(const void *a, const void *b)
{
	const LmCandidate *x = a, *y = b;

	return x->logit != y->logit ? (x->logit > y->logit) - (x->logit < y->logit)
								: (x->id < y->id) - (x->id > y->id);
}

static double
weight(LmCandidate candidate, double largest, double temperature)
{
	return exp((candidate.logit - largest) / temperature);
}

/*
 * The tokens that may be drawn, in the order in which they are drawn: by id, or from the least
 * probable up once top_k or top_p cut. Where it begins.
 */
static int
collect_plain(int *first, double *largest, const LmSampling *sampling)
{
	int n = 0;
	double total = 0, sum = 0;

	*largest = -INFINITY;
	for (int id = 0; id < session.config.vocabulary; id++)
		if (classes[id] == LM_TOKEN_BEGINS)
		{
			*largest = fmax(*largest, logits[id]);
			plain[n++] = (LmCandidate){logits[id], id};
		}
	*first = 0;
	if (sampling->top_k == 0 && sampling->top_p == 1)
		return n;
	qsort(plain, n, sizeof(LmCandidate), compare_up);
	if (sampling->top_k > 0 && sampling->top_k < n)
		*first = n - sampling->top_k;
	for (int i = n - 1; i >= *first; i--)
		total += weight(plain[i], *largest, sampling->temperature);
	for (int i = n - 1; i >= *first; i--)
	{
		sum += weight(plain[i], *largest, sampling->temperature);
		if (sum >= sampling->top_p * total)
			*first = i;
	}
	return n;
}

/*
 * ends[i]: the sum of weights up to the i-th as a share of the whole; where[id]: its place, -1
 * where it may not be drawn.
 */
static void
sum_plain(int first, int n, double largest, const LmSampling *sampling)
{
	double total = 0;

	memset(where, -1, sizeof(where));
	for (int i = first; i < n; i++)
	{
		double w = weight(plain[i], largest, sampling->temperature);

		if (w >= sampling->min_p)
		{
			total += w;
			where[plain[i].id] = i;
		}
		ends[i] = total;
	}
	for (int i = first; i < n; i++)
		ends[i] /= total;
}

static void
check_draws(int V, const LmSampling *sampling, const char *name)
{
	LmDraw wanted = {.session = &session, .sampling = sampling, .seen = seen};
	LmKey key = lm_key(sampling->seed, LM_RANDOM_SAMPLE, 0, 0);
	double largest;
	int first, n, good = 0, last = 0;
	LmError error;

	make_row(V, (uint64_t) V);
	n = collect_plain(&first, &largest, sampling);
	sum_plain(first, n, largest, sampling);
	for (wanted.position = 0; wanted.position < DRAWS; wanted.position++)
	{
		double uniform = lm_random_uniform(key, (uint32_t) wanted.position, 0, 0);
		int32_t id;

		if (!sample(&id, &wanted, &error) || id < 0 || where[id] < 0)
			continue;
		good += (where[id] == first || ends[where[id] - 1] - SLACK <= uniform) &&
				uniform < ends[where[id]] + SLACK;
		last = id > last ? id : last;
	}
	is_int(good, DRAWS, name);
	if (sampling->top_k == 0 && sampling->top_p == 1)
		ok(last > V - V / 8, "and they reach the last eighth of the vocabulary (%d of %d)", last,
		   V);
}

static void
test_draws(void)
{
	/*
	 * Runs of blocks are one block up to 16,384 candidates, then more; the last run or block is not
	 * full.
	 */
	static const int sizes[] = {131072, 200, 257, 17000, 18000, 36100, 50257};
	static const struct
	{
		LmSampling sampling;
		const char *name;
	} ways[] = {
		{{.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = SEED}, "temperature 1"},
		{{.temperature = 0.6, .top_p = 1, .min_p = 0.01, .repetition_penalty = 1, .seed = SEED},
		 "temperature 0.6, min_p"},
		{{.temperature = 1.5, .top_k = 17000, .top_p = 1, .repetition_penalty = 1, .seed = SEED},
		 "temperature 1.5, top_k"},
		{{.temperature = 1.2, .top_p = 0.97, .repetition_penalty = 1, .seed = SEED},
		 "temperature 1.2, top_p"},
	};

	/* The first size is like the last for a sanitizer. */
	for (size_t i = tap_is_sanitized(); i < sizeof(sizes) / sizeof(*sizes); i++)
		for (size_t j = 0; j < sizeof(ways) / sizeof(*ways); j++)
		{
			char name[100];

			snprintf(name, sizeof(name), "draws from %d tokens are those of a plain sum: %s",
					 sizes[i], ways[j].name);
			check_draws(sizes[i], &ways[j].sampling, name);
		}
}

/*
 * One token has all the weight: every other one's is 0, in its run of blocks and in those before
 * and after.
 */
static void
test_single(void)
{
	static const int places[] = {0, 255, 256, 511, 512, 17002, 24999, 25000};
	LmSampling sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = SEED};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen};
	int good = 0;
	LmError error;

	make_row(25001, 1);
	memset(classes, LM_TOKEN_BEGINS, 25001);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
	{
		for (int id = 0; id < 25001; id++)
			logits[id] = id == places[i] ? 0 : -200;
		for (wanted.position = 0; wanted.position < 20; wanted.position++)
		{
			int32_t id;

			good += sample(&id, &wanted, &error) && id == places[i];
		}
	}
	is_int(good, 20 * sizeof(places) / sizeof(*places),
		   "the only token with a weight is drawn, wherever it stands");
}

/*
 * Greedy choice: the lowest id among equals, in whichever block it stands, and what is not allowed
 * is passed over.
 */
static void
test_ties(void)
{
	static const int sizes[] = {1, 5, 255, 256, 257, 1000, 20000};
	LmSampling sampling = {.temperature = 0, .top_p = 1, .repetition_penalty = 1, .seed = SEED};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen};
	int n_good = 0, n_all = 0;
	LmError error;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (int place = 0; place < sizes[i]; place += sizes[i] / 7 + 1)
		{
			int32_t id;

			make_row(sizes[i], 4);
			memset(classes, LM_TOKEN_BEGINS, (size_t) sizes[i]);
			for (int later = place; later < sizes[i]; later += 300)
				logits[later] = 50;
			if (place > 0)
			{
				logits[place - 1] = 60;
				classes[place - 1] = LM_TOKEN_NEVER;
			}
			n_all++;
			n_good += sample(&id, &wanted, &error) && id == place;
		}
	is_int(n_good, n_all,
		   "the lowest id among the largest logits is chosen, whatever may not follow");
}

/* Halved where it is positive, doubled where it is negative. */
static void
test_penalty(void)
{
	LmSampling sampling = {.temperature = 0, .top_p = 1, .repetition_penalty = 2, .seed = SEED};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen};
	int32_t id;
	LmError error;

	make_row(1000, 5);
	memset(classes, LM_TOKEN_BEGINS, 1000);
	logits[700] = 20;
	logits[300] = 11;
	seen[700] = 1;
	ok(sample(&id, &wanted, &error) && id == 300,
	   "a token seen before loses half of a positive logit");
	for (int i = 0; i < 1000; i++)
		logits[i] = -30;
	logits[700] = -10;
	logits[300] = -19;
	ok(sample(&id, &wanted, &error) && id == 300, "and a negative one is doubled");
	sampling.repetition_penalty = 0.25;
	logits[700] = FLT_MAX;
	ok(!sample(&id, &wanted, &error) && error.code == LM_ERR_NUMERIC,
	   "one that is no number then is refused");
	seen[700] = 0;
}

static void
test_extreme_temperatures(void)
{
	LmSampling sampling = {.top_p = 1, .repetition_penalty = 1, .seed = SEED};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen};
	int n_allowed = 0, n_best = 0;
	int32_t id, best;
	LmError error;

	make_row(20000, 3);
	sample(&best, &wanted, &error);
	for (wanted.position = 0; wanted.position < DRAWS; wanted.position++)
	{
		sampling.temperature = 1e308;
		n_allowed += sample(&id, &wanted, &error) && id >= 0 && classes[id] == LM_TOKEN_BEGINS;
		sampling.temperature = 1e-308;
		n_best += sample(&id, &wanted, &error) && id == best;
	}
	is_int(n_allowed, DRAWS, "at the highest temperature only tokens that may follow are drawn");
	is_int(n_best, DRAWS, "at the lowest one the most probable token is");
}

static void
test_refused(void)
{
	LmSampling sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = SEED};
	LmDraw wanted = {.session = &session, .sampling = &sampling, .seen = seen};
	LmError error = {0};
	int32_t id;

	make_row(20000, 2);
	logits[19999] = NAN;
	ok(!sample(&id, &wanted, &error) && error.code == LM_ERR_NUMERIC,
	   "a logit that is no number is refused");
	classes[19999] = LM_TOKEN_NEVER;
	ok(sample(&id, &wanted, &error) && id >= 0, "but not one of a token that may not follow");
	memset(classes, LM_TOKEN_NEVER, 20000);
	ok(sample(&id, &wanted, &error) && id == -1, "where no token may follow there is none");
}

int
main(void)
{
	test_draws();
	test_single();
	test_ties();
	test_penalty();
	test_extreme_temperatures();
	test_refused();
	return done_testing();
}

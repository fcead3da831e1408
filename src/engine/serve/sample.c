/*
 * src/engine/serve/sample.c
 *
 * From a row of logits to a token: mask -> repetition penalty -> temperature -> top_k -> top_p -> min_p -> draw.
 *
 * Candidates are ordered by logit, lower ids first among equals. They are ordered only as far as top_k and
 * top_p ask: a heap gives the largest ones in turn.
 */
#include <float.h>
#include <math.h>

#include "engine/random.h"
#include "kernels/simd.h"
#include "serve/session.h"

#define BLOCK 256 /* candidates that are weighed together */
#define SUMS 8 /* of a block, which are added in parallel */
#define MOST_PARTS 64

/* Weights of runs of blocks, so that a draw looks into one of them. */
typedef struct Parts
{
	int n;
	int size; /* candidates in each but the last */
	double sums[MOST_PARTS];
	double total;
} Parts;

static int collect(LmCandidate *candidates, const float *logits, const LmDraw *wanted);
static int collect_beginnings(LmCandidate *candidates, const float *logits, const LmSession *session);
static int collect_continuations(LmCandidate *candidates, const float *logits, const LmDraw *wanted);
static bool may_continue(const LmSession *session, int32_t id, LmUtf8State state);
static void penalise(LmCandidate *candidates, int n, const LmDraw *wanted);
static bool are_finite(const LmCandidate *candidates, int n);
static LmCandidate best_of(const LmCandidate *candidates, int n);
static LmCandidate *keep_largest(LmCandidate *candidates, int *n, double largest, const LmSampling *sampling);
static double weight_of(LmCandidate candidate, double largest, double temperature);
static int weigh(float weights[BLOCK], const LmCandidate *candidates, int n, double largest, double temperature);
static double sum_block(const float weights[BLOCK], int n, double min_p);
static void sum_weights(Parts *parts, const LmCandidate *candidates, int n, double largest, double temperature, double min_p);
static int32_t draw(const LmCandidate *candidates, int n, double largest, const LmSampling *sampling, double uniform);
static bool is_before(LmCandidate a, LmCandidate b);
static void sift_down(LmCandidate *heap, int n, int i);
static void pop_to_end(LmCandidate *heap, int n);

bool
lm_sample(int32_t *id, LmCandidate *candidates, const float *logits, const LmDraw *wanted, LmError *error)
{
	const LmSampling *sampling = wanted->sampling;
	LmKey key = lm_key(sampling->seed, LM_RANDOM_SAMPLE, 0, 0);
	int n = collect(candidates, logits, wanted);
	LmCandidate *kept = candidates;
	LmCandidate best;

	*id = -1;
	if (n == 0)
		return true;
	if (!are_finite(kept, n))
		return lm_fail(error, LM_ERR_NUMERIC, wanted->position, "the model's output is not finite");
	best = best_of(kept, n);
	*id = best.id;
	if (sampling->temperature == 0)
		return true;
	if (sampling->top_k > 0 || sampling->top_p < 1)
		kept = keep_largest(kept, &n, best.logit, sampling);
	*id = draw(kept, n, best.logit, sampling, lm_random_uniform(key, (uint32_t) wanted->position, 0, 0));
	return true;
}

/* The tokens that may follow, in order of id. */
static int
collect(LmCandidate *candidates, const float *logits, const LmDraw *wanted)
{
	int n = wanted->state.left == 0 ? collect_beginnings(candidates, logits, wanted->session)
									: collect_continuations(candidates, logits, wanted);

	if (wanted->sampling->repetition_penalty != 1)
		penalise(candidates, n, wanted);
	return n;
}

/* Without a branch: each is written, and stays where the next one does not take its place. */
static int
collect_beginnings(LmCandidate *candidates, const float *logits, const LmSession *session)
{
	const uint8_t *classes = session->classes;
	int V = session->config.vocabulary, n = 0;

	for (int32_t id = 0; id < V; id++)
	{
		candidates[n] = (LmCandidate){logits[id], id};
		n += classes[id] == LM_TOKEN_BEGINS || classes[id] == LM_TOKEN_ENDS;
	}
	return n;
}

static int
collect_continuations(LmCandidate *candidates, const float *logits, const LmDraw *wanted)
{
	int n = 0;

	for (int32_t id = 0; id < wanted->session->config.vocabulary; id++)
		if (may_continue(wanted->session, id, wanted->state))
			candidates[n++] = (LmCandidate){logits[id], id};
	return n;
}

static bool
may_continue(const LmSession *session, int32_t id, LmUtf8State state)
{
	LmTokenClass class = (LmTokenClass) session->classes[id];
	LmBytes bytes;

	if (class == LM_TOKEN_NEVER || class == LM_TOKEN_ENDS)
		return class == LM_TOKEN_ENDS;
	bytes = lm_tokenizer_bytes(session->tokenizer, id);
	return lm_utf8_steps(&state, bytes.data, bytes.size);
}

/* Keskar et al. 2019, section 4.1; a negative logit is multiplied, so that the token becomes less likely too. */
static void
penalise(LmCandidate *candidates, int n, const LmDraw *wanted)
{
	double penalty = wanted->sampling->repetition_penalty;

	for (int i = 0; i < n; i++)
	{
		float logit = candidates[i].logit;

		if (wanted->seen[candidates[i].id])
			candidates[i].logit = (float) (logit > 0 ? logit / penalty : logit * penalty);
	}
}

static bool
are_finite(const LmCandidate *candidates, int n)
{
	bool finite = true;

	for (int i = 0; i < n; i++)
		finite &= isfinite(candidates[i].logit) != 0;
	return finite;
}

static LmCandidate
best_of(const LmCandidate *candidates, int n)
{
	LmCandidate best = candidates[0];

	for (int i = 1; i < n; i++)
		if (candidates[i].logit > best.logit)
			best = candidates[i];
	return best;
}

/* top_k, then top_p of what it leaves. *n candidates at the returned place, the largest last. */
static LmCandidate *
keep_largest(LmCandidate *candidates, int *n, double largest, const LmSampling *sampling)
{
	int all = *n, limit = sampling->top_k > 0 && sampling->top_k < all ? sampling->top_k : all;
	int popped = 0, kept = 0;
	double total = 0, sum = 0;
	Parts parts;

	if (limit == all)
	{
		sum_weights(&parts, candidates, all, largest, sampling->temperature, 0);
		total = parts.total;
	}
	for (int i = all / 2 - 1; i >= 0; i--)
		sift_down(candidates, all, i);
	if (limit < all)
		for (; popped < limit; popped++)
		{
			pop_to_end(candidates, all - popped);
			total += weight_of(candidates[all - 1 - popped], largest, sampling->temperature);
		}
	/* Nucleus (Holtzman et al. 2020, section 3.1): the smallest set with this share, one token at least. */
	while (kept < limit && (kept == 0 || sum < sampling->top_p * total))
	{
		if (kept == popped)
			pop_to_end(candidates, all - popped++);
		sum += weight_of(candidates[all - 1 - kept++], largest, sampling->temperature);
	}
	*n = kept;
	return candidates + all - kept;
}

/* In units of the most probable token's probability. */
static double
weight_of(LmCandidate candidate, double largest, double temperature)
{
	return exp(((double) candidate.logit - largest) / temperature);
}

/* The same for up to BLOCK of n candidates, in float32: a vector at a time. Below 2^-126 they are 0. Returns how many. */
static int
weigh(float weights[BLOCK], const LmCandidate *candidates, int n, double largest, double temperature)
{
	double coldness = fmin(1 / temperature, DBL_MAX); /* times 0 is 0 */

	n = n < BLOCK ? n : BLOCK;
	for (int i = 0; i < n; i++)
		weights[i] = (float) (((double) candidates[i].logit - largest) * coldness);
	lm_simd()->exp(weights, weights, (size_t) n);
	return n;
}

/* Of those that reach min_p, a share of the most probable token's probability, whose weight is 1. */
static double
sum_block(const float weights[BLOCK], int n, double min_p)
{
	double sums[SUMS] = {0}, sum = 0;
	int i = 0;

	for (; i + SUMS <= n; i += SUMS)
		for (int j = 0; j < SUMS; j++)
			sums[j] += (double) weights[i + j] >= min_p ? (double) weights[i + j] : 0;
	for (; i < n; i++)
		sums[0] += (double) weights[i] >= min_p ? (double) weights[i] : 0;
	for (int j = 0; j < SUMS; j++)
		sum += sums[j];
	return sum;
}

static void
sum_weights(Parts *parts, const LmCandidate *candidates, int n, double largest, double temperature, double min_p)
{
	int n_blocks = (n + BLOCK - 1) / BLOCK;
	float weights[BLOCK];

	*parts = (Parts){.size = (n_blocks + MOST_PARTS - 1) / MOST_PARTS * BLOCK};
	for (int first = 0, in_block; first < n; first += in_block)
	{
		double sum;

		in_block = weigh(weights, candidates + first, n - first, largest, temperature);
		sum = sum_block(weights, in_block, min_p);
		parts->n = first / parts->size + 1;
		parts->sums[parts->n - 1] += sum;
		parts->total += sum;
	}
}

/*
 * The candidate at which the sum of weights passes `uniform` of the whole. Where rounding leaves a part's sum short of what is wanted it is the
 * part's last one.
 */
static int32_t
draw(const LmCandidate *candidates, int n, double largest, const LmSampling *sampling, double uniform)
{
	double wanted, passed = 0;
	float weights[BLOCK];
	int32_t id = -1;
	int part = 0, last, end;
	Parts parts;

	sum_weights(&parts, candidates, n, largest, sampling->temperature, sampling->min_p);
	wanted = uniform * parts.total;
	for (last = parts.n - 1; last > 0 && parts.sums[last] == 0;)
		last--;
	while (part < last && passed + parts.sums[part] <= wanted)
		passed += parts.sums[part++];
	end = n < (part + 1) * parts.size ? n : (part + 1) * parts.size;
	for (int first = part * parts.size, in_block; first < end; first += in_block)
	{
		in_block = weigh(weights, candidates + first, end - first, largest, sampling->temperature);
		for (int i = 0; i < in_block; i++)
		{
			if (weights[i] == 0 || (double) weights[i] < sampling->min_p)
				continue;
			passed += (double) weights[i];
			id = candidates[first + i].id;
			if (passed > wanted)
				return id;
		}
	}
	return id;
}

static bool
is_before(LmCandidate a, LmCandidate b)
{
	return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void
sift_down(LmCandidate *heap, int n, int i)
{
	for (;;)
	{
		int child = 2 * i + 1;
		LmCandidate moved = heap[i];

		if (child >= n)
			return;
		if (child + 1 < n && is_before(heap[child + 1], heap[child]))
			child++;
		if (!is_before(heap[child], moved))
			return;
		heap[i] = heap[child];
		heap[child] = moved;
		i = child;
	}
}

/* The largest of the heap's n goes behind the heap's new end. */
static void
pop_to_end(LmCandidate *heap, int n)
{
	LmCandidate largest = heap[0];

	heap[0] = heap[n - 1];
	heap[n - 1] = largest;
	sift_down(heap, n - 1, 0);
}

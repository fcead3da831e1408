/*
 * src/engine/serve/sample.c
 *
 * From a row of logits to a token: penalties and biases -> mask -> temperature -> top_k -> top_p ->
 * min_p -> draw. For a prompt that is healed, the boundary is drawn first, in the same way but
 * without penalties and biases.
 *
 * Candidates are ordered by logit, lower ids first among equals. They are ordered only as far as
 * top_k and top_p ask: a heap gives the largest ones in turn.
 */
#include <float.h>
#include <math.h>

#include "engine/random.h"
#include "kernels/simd.h"
#include "serve/constraint.h"
#include "serve/mask.h"
#include "serve/sampling.h"

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

static bool draw_boundary(int *boundary, LmCandidate *candidates, const float *logits,
						  const LmDraw *wanted, LmError *error);
static bool draw_end(bool *ends, LmCandidate *candidates, const float *logits, const LmDraw *wanted,
					 LmError *error);
static bool sample_after(int32_t *id, LmCandidate *candidates, float *row, const LmDraw *wanted,
						 int boundary, LmError *error);
static int32_t choose(LmCandidate *candidates, float *logits, int n, const LmDraw *wanted,
					  uint32_t number);
static bool fail_numeric(const LmDraw *wanted, LmError *error);
static int32_t place_of(const float *logits, int n, float largest);
static int collect(LmCandidate *candidates, const float *logits, int V);
static const LmCandidate *keep_largest(LmCandidate *candidates, float *logits, int *n,
									   double largest, const LmSampling *sampling);
static double weight_of(LmCandidate candidate, double largest, double temperature);
static int weigh(float weights[BLOCK], const float *logits, int n, double largest,
				 double temperature);
static double sum_block(const float weights[BLOCK], int n, double min_p);
static void sum_weights(Parts *parts, const float *logits, int n, double largest,
						double temperature, double min_p);
static int32_t draw(const float *logits, int n, double largest, const LmSampling *sampling,
					double uniform);
static bool is_before(LmCandidate a, LmCandidate b);
static void sift_down(LmCandidate *heap, int n, int i);
static void pop_to_end(LmCandidate *heap, int n);

bool
lm_sample(int32_t *id, LmCandidate *candidates, float *logits, const LmDraw *wanted, LmError *error)
{
	bool are_finite = true;
	bool ends = false;
	int boundary = 0;

	*id = -1;
	if (wanted->healing && !draw_boundary(&boundary, candidates, logits, wanted, error))
		return false;
	if (boundary > 0)
		return sample_after(id, candidates, logits, wanted, boundary, error);
	/*
	 * The order of these two makes no difference but for logits that nobody may see; with a
	 * constraint they may be seen, as they all count as the end.
	 */
	if (wanted->follower && lm_sampling_adjusts(wanted->sampling))
		are_finite &= lm_adjust(logits, wanted);
	if (wanted->follower && !draw_end(&ends, candidates, logits, wanted, error))
		return false;
	if (ends || lm_mask(logits, &are_finite, wanted) == 0)
		return true;
	if (!wanted->follower && lm_sampling_adjusts(wanted->sampling))
		are_finite &= lm_adjust(logits, wanted);
	if (!are_finite)
		return fail_numeric(wanted, error);
	*id = choose(candidates, logits, wanted->session->config.vocabulary, wanted, 0);
	/* Where other rules forbid all that the constraint allows, nothing is right. */
	if (wanted->follower && (*id < 0 || !lm_follower_allows(wanted->follower, *id)))
		return lm_fail(error, LM_ERR_ARGUMENT, wanted->position,
					   "no token that the constraint allows has a probability");
	return true;
}

static bool
fail_numeric(const LmDraw *wanted, LmError *error)
{
	return lm_fail(error, LM_ERR_NUMERIC, wanted->position, "the model's output is not finite");
}

/*
 * Chooses a place in a masked row with at least one candidate. number makes the random numbers of
 * one position differ.
 */
static int32_t
choose(LmCandidate *candidates, float *logits, int n, const LmDraw *wanted, uint32_t number)
{
	const LmSampling *sampling = wanted->sampling;
	LmKey key = lm_key(sampling->seed, LM_RANDOM_SAMPLE, 0, 0);
	const LmCandidate *kept = NULL;
	float largest = lm_simd()->largest(logits, n);
	double uniform;
	int32_t place;

	if (sampling->temperature == 0)
		return place_of(logits, n, largest);
	if (sampling->top_k > 0 || sampling->top_p < 1)
		kept = keep_largest(candidates, logits, &n, largest, sampling);
	uniform = lm_random_uniform(key, (uint32_t) wanted->position, number, 0);
	place = draw(logits, n, largest, sampling, uniform);
	return kept ? kept[place].id : place;
}

/* Draws the boundary of healing; boundary 0, after the whole prompt, is always a candidate. */
static bool
draw_boundary(int *boundary, LmCandidate *candidates, const float *logits, const LmDraw *wanted,
			  LmError *error)
{
	int n = wanted->healing->depth + 1;
	float logprobs[LM_HEALING_TOKENS + 1], largest;

	lm_healing_weigh(logprobs, wanted->healing);
	/* After the whole prompt only what the constraint allows counts, unless the text may end. */
	if (wanted->follower && !wanted->follower->ends)
	{
		float stays, leaves;

		lm_constraint_shares(&stays, &leaves, logits, wanted);
		logprobs[0] += stays - logf(expf(stays) + expf(leaves));
	}
	largest = lm_simd()->largest(logprobs, n);
	for (int i = 0; i < n; i++)
		if (!(logprobs[i] < INFINITY) || !isfinite(wanted->follower ? largest : logprobs[0]))
			return fail_numeric(wanted, error);
	*boundary = choose(candidates, logprobs, n, wanted, 1);
	return true;
}

/*
 * Where the text may end and may go on, first it is drawn whether it ends: by the probability of
 * all tokens that the constraint does not allow. A model that has written a number goes on with a
 * space or a new line, and seldom with an end token.
 */
static bool
draw_end(bool *ends, LmCandidate *candidates, const float *logits, const LmDraw *wanted,
		 LmError *error)
{
	float shares[2];

	if (!wanted->follower->ends || !wanted->follower->goes_on)
	{
		*ends = wanted->follower->ends;
		return true;
	}
	lm_constraint_shares(&shares[0], &shares[1], logits, wanted);
	if (!(shares[0] < INFINITY && shares[1] < INFINITY) ||
		(shares[0] == -INFINITY && shares[1] == -INFINITY))
		return fail_numeric(wanted, error);
	*ends = choose(candidates, shares, 2, wanted, 2) == 1;
	return true;
}

/* Samples among the candidates of a boundary; row is scratch. */
static bool
sample_after(int32_t *id, LmCandidate *candidates, float *row, const LmDraw *wanted, int boundary,
			 LmError *error)
{
	const LmHealing *healing = wanted->healing;
	int at = healing->boundaries[boundary].at, n = lm_healing_count(&healing->boundaries[boundary]);

	for (int c = 0; c < n; c++)
	{
		row[c] = lm_candidate_logit(wanted, at + c);
		if (!(row[c] < INFINITY))
			return fail_numeric(wanted, error);
	}
	*id = wanted->session->config.vocabulary + at + choose(candidates, row, n, wanted, 0);
	return true;
}

/* The place of the largest logit, the first of several. */
static int32_t
place_of(const float *logits, int n, float largest)
{
	int32_t id = 0;

	while (lm_simd()->largest(logits + id, n - id < BLOCK ? n - id : BLOCK) != largest)
		id += BLOCK;
	while (logits[id] != largest)
		id++;
	return id;
}

/*
 * Collects the tokens that may follow, in order of id. It has no branch: each token is written, and
 * stays unless the next one takes its place.
 */
static int
collect(LmCandidate *candidates, const float *logits, int V)
{
	int n = 0;

	for (int32_t id = 0; id < V; id++)
	{
		candidates[n] = (LmCandidate){logits[id], id};
		n += logits[id] > -INFINITY;
	}
	return n;
}

/*
 * Applies top_k, then top_p to the rest. *n candidates stay, the largest last; their logits become
 * the row.
 */
static const LmCandidate *
keep_largest(LmCandidate *candidates, float *logits, int *n, double largest,
			 const LmSampling *sampling)
{
	int all = collect(candidates, logits, *n),
		limit = sampling->top_k > 0 && sampling->top_k < all ? sampling->top_k : all;
	int popped = 0, kept = 0;
	double total = 0, sum = 0;
	Parts parts;

	if (limit == all)
	{
		sum_weights(&parts, logits, *n, largest, sampling->temperature, 0);
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
	/*
	 * Nucleus (Holtzman et al. 2020, section 3.1): the smallest set with this share, one token at
	 * least.
	 */
	while (kept < limit && (kept == 0 || sum < sampling->top_p * total))
	{
		if (kept == popped)
			pop_to_end(candidates, all - popped++);
		sum += weight_of(candidates[all - 1 - kept++], largest, sampling->temperature);
	}
	*n = kept;
	for (int i = 0; i < kept; i++)
		logits[i] = candidates[all - kept + i].logit;
	return candidates + all - kept;
}

/* The weight of a candidate, in units of the most probable token's probability. */
static double
weight_of(LmCandidate candidate, double largest, double temperature)
{
	return exp(((double) candidate.logit - largest) / temperature);
}

/*
 * The same weights for up to BLOCK of n logits, in float32, a vector at a time. Weights below
 * 2^-126 are 0. Returns the number of weights.
 */
static int
weigh(float weights[BLOCK], const float *logits, int n, double largest, double temperature)
{
	/* finite and above 0: its products with 0 and minus infinity are 0 and minus infinity */
	float coldness = (float) fmax(fmin(1 / temperature, FLT_MAX), FLT_MIN);
	float most = (float) largest;

	n = n < BLOCK ? n : BLOCK;
	for (int i = 0; i < n; i++)
		weights[i] = (logits[i] - most) * coldness;
	lm_simd()->exp(weights, weights, (size_t) n);
	return n;
}

/*
 * The sum of the weights that reach min_p, a share of the most probable token's weight, which is 1.
 */
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

/* Sums the weights of all candidates by parts of whole blocks: a draw then looks into one part. */
static void
sum_weights(Parts *parts, const float *logits, int n, double largest, double temperature,
			double min_p)
{
	int n_blocks = (n + BLOCK - 1) / BLOCK;
	float weights[BLOCK];

	*parts = (Parts){.size = (n_blocks + MOST_PARTS - 1) / MOST_PARTS * BLOCK};
	for (int first = 0, in_block; first < n; first += in_block)
	{
		double sum;

		in_block = weigh(weights, logits + first, n - first, largest, temperature);
		sum = sum_block(weights, in_block, min_p);
		parts->n = first / parts->size + 1;
		parts->sums[parts->n - 1] += sum;
		parts->total += sum;
	}
}

/*
 * The place at which the sum of weights passes `uniform` of the whole. Rounding may leave a part's
 * sum short of that; the place is then the part's last one.
 */
static int32_t
draw(const float *logits, int n, double largest, const LmSampling *sampling, double uniform)
{
	double wanted, passed = 0;
	float weights[BLOCK];
	int32_t place = -1;
	int part = 0, last, end;
	Parts parts;

	sum_weights(&parts, logits, n, largest, sampling->temperature, sampling->min_p);
	wanted = uniform * parts.total;
	for (last = parts.n - 1; last > 0 && parts.sums[last] == 0;)
		last--;
	while (part < last && passed + parts.sums[part] <= wanted)
		passed += parts.sums[part++];
	end = n < (part + 1) * parts.size ? n : (part + 1) * parts.size;
	for (int first = part * parts.size, in_block; first < end; first += in_block)
	{
		in_block = weigh(weights, logits + first, end - first, largest, sampling->temperature);
		for (int i = 0; i < in_block; i++)
		{
			if (weights[i] == 0 || (double) weights[i] < sampling->min_p)
				continue;
			passed += (double) weights[i];
			place = first + i;
			if (passed > wanted)
				return place;
		}
	}
	return place;
}

static bool
is_before(LmCandidate a, LmCandidate b)
{
	return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Restores the heap below i, in which no candidate comes after its children. */
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

/* The largest of the heap's n goes after the heap's new end. */
static void
pop_to_end(LmCandidate *heap, int n)
{
	LmCandidate largest = heap[0];

	heap[0] = heap[n - 1];
	heap[n - 1] = largest;
	sift_down(heap, n - 1, 0);
}

/*
 * src/engine/serve/mask.c
 *
 * From a row of logits to the row from which a token may be taken: tokens that may not follow get
 * minus infinity.
 */
#include <float.h>
#include <math.h>

#include "kernels/simd.h"
#include "serve/banned.h"
#include "serve/constraint.h"
#include "serve/mask.h"

#define BLOCK 256 /* tokens that are masked together */

static int mask_beginnings(float *logits, bool *are_finite, const LmSession *session);
static inline void mask_some(float *logits, const uint8_t *classes, int count, int *n,
							 int *n_finite);
static int mask_constrained(float *logits, bool *are_finite, const LmDraw *wanted);
static float small_share(const float *logits, float largest, const LmDraw *wanted);
static int mask_continuations(float *logits, bool *are_finite, const LmDraw *wanted);
static bool may_continue(const LmSession *session, int32_t id, LmUtf8State state);

int
lm_mask(float *logits, bool *are_finite, const LmDraw *wanted)
{
	int n;

	if (wanted->follower)
		return mask_constrained(logits, are_finite, wanted);
	n = wanted->state.left == 0 ? mask_beginnings(logits, are_finite, wanted->session)
								: mask_continuations(logits, are_finite, wanted);
	return wanted->banned ? n - lm_banned_mask(logits, wanted->banned, wanted->matched) : n;
}

static int
mask_beginnings(float *logits, bool *are_finite, const LmSession *session)
{
	int V = session->config.vocabulary, n = 0, n_finite = 0, id = 0;

	for (; id + BLOCK <= V; id += BLOCK)
		mask_some(logits + id, session->classes + id, BLOCK, &n, &n_finite);
	mask_some(logits + id, session->classes + id, V - id, &n, &n_finite);
	*are_finite = n_finite == n;
	return n;
}

/* Without a branch; where `count` is a constant the compiler makes vectors of it. */
static inline __attribute__((always_inline)) void
mask_some(float *logits, const uint8_t *classes, int count, int *n, int *n_finite)
{
	int n_here = 0, n_finite_here = 0;

	for (int i = 0; i < count; i++)
	{
		int may_follow = (classes[i] == LM_TOKEN_BEGINS) | (classes[i] == LM_TOKEN_ENDS);
		float logit = logits[i];

		n_here += may_follow;
		n_finite_here += may_follow & (fabsf(logit) <= FLT_MAX);
		logits[i] = may_follow ? logit : -INFINITY;
	}
	*n += n_here;
	*n_finite += n_finite_here;
}

/* Masks what the constraint does not allow, 64 tokens at once where that is all of them or none. */
static int
mask_constrained(float *logits, bool *are_finite, const LmDraw *wanted)
{
	int V = wanted->session->config.vocabulary;

	for (int id = 0; id < V; id += 64)
	{
		uint64_t bits = wanted->follower->bits[id >> 6];
		int end = V - id < 64 ? V : id + 64;

		for (int i = id; bits == 0 && i < end; i++)
			logits[i] = -INFINITY;
		for (int i = id; bits != 0 && i < end; i++)
			if (bits >> (i - id) & 1)
				*are_finite &= fabsf(logits[i]) <= FLT_MAX;
			else
				logits[i] = -INFINITY;
	}
	return wanted->follower->n;
}

/* Adds 64 weights or fewer to the sum that their bits choose; special tokens count nowhere. */
static inline void
add_weights(double sums[2], const float *weights, const uint8_t *classes, int n, uint64_t bits)
{
	float parts[16] = {0};
	double sum = 0;

	if (n < 64 || (bits != 0 && bits != ~(uint64_t) 0))
	{
		for (int i = 0; i < n; i++)
			sums[bits >> i & 1] += classes[i] == LM_TOKEN_NEVER ? 0 : (double) weights[i];
		return;
	}
	for (int i = 0; i < 64; i += 16)
		for (int j = 0; j < 16; j++)
			parts[j] += classes[i + j] == LM_TOKEN_NEVER ? 0 : weights[i + j];
	for (int j = 0; j < 16; j++)
		sum += (double) parts[j];
	sums[bits & 1] += sum;
}

void
lm_constraint_shares(float *stays, float *leaves, const float *logits, const LmDraw *wanted)
{
	int V = wanted->session->config.vocabulary;
	const uint8_t *classes = wanted->session->classes;
	float largest = lm_simd()->largest(logits, V), weights[BLOCK];
	double sums[2] = {0}; /* of those that leave, and that stay */

	for (int id = 0; id < V; id += BLOCK)
	{
		int n = V - id < BLOCK ? V - id : BLOCK;

		for (int i = 0; i < n; i++)
			weights[i] = logits[id + i] - largest;
		lm_simd()->exp(weights, weights, (size_t) n);
		for (int i = 0; i < n; i += 64)
			add_weights(sums, weights + i, classes + id + i, n - i < 64 ? n - i : 64,
						wanted->follower->bits[(id + i) >> 6]);
	}
	*stays = sums[1] > 0 ? (float) log(sums[1]) : small_share(logits, largest, wanted);
	*leaves = (float) log(sums[0]);
}

/* The allowed share where every weight of it is below the smallest float. */
static float
small_share(const float *logits, float largest, const LmDraw *wanted)
{
	int V = wanted->session->config.vocabulary;
	float most = -INFINITY;
	double sum = 0;

	for (int id = 0; id < V; id++)
		if (lm_follower_allows(wanted->follower, id) && logits[id] > most)
			most = logits[id];
	for (int id = 0; most > -INFINITY && id < V; id++)
		if (lm_follower_allows(wanted->follower, id))
			sum += exp((double) logits[id] - (double) most);
	return most > -INFINITY ? most - largest + (float) log(sum) : -INFINITY;
}

/* Masks tokens whose bytes cannot go on with the character begun; returns the number left. */
static int
mask_continuations(float *logits, bool *are_finite, const LmDraw *wanted)
{
	int n = 0;

	for (int32_t id = 0; id < wanted->session->config.vocabulary; id++)
		if (may_continue(wanted->session, id, wanted->state))
		{
			n++;
			*are_finite &= isfinite(logits[id]) != 0;
		}
		else
			logits[id] = -INFINITY;
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

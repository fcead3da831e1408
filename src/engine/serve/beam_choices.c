/*
 * src/engine/serve/beam_choices.c
 *
 * From a row of logits to the most probable tokens, with their probabilities.
 */
#include <math.h>

#include "engine/ops.h"
#include "serve/beams.h"
#include "serve/mask.h"
#include "serve/sampling.h"

static bool fail_numeric(const LmDraw *wanted, LmError *error);
static void keep(LmBeamChoice *heap, int *n, int most, LmBeamChoice choice);
static bool is_before(LmBeamChoice a, LmBeamChoice b);
static void sift_down(LmBeamChoice *heap, int n, int i);
static void sort(LmBeamChoice *heap, int n);
static double boundary_mass(const LmDraw *wanted, int boundary);

bool
lm_beam_choices(LmBeamChoice *choices, int *n, int most, float *logits, const LmDraw *wanted,
				LmError *error)
{
	int V = wanted->session->config.vocabulary;
	bool are_finite = true;
	double normaliser;
	float least = -INFINITY;

	*n = 0;
	if (lm_sampling_adjusts(wanted->sampling))
		are_finite &= lm_adjust(logits, wanted);
	normaliser = lm_log_sum_exp(logits, V);
	if (lm_mask(logits, &are_finite, wanted) == 0)
		return true;
	if (!are_finite || !isfinite(normaliser))
		return fail_numeric(wanted, error);
	for (int32_t id = 0; id < V; id++)
	{
		/* Nearly all tokens end here, once the heap is full. */
		if (!(logits[id] > least))
			continue;
		keep(choices, n, most, (LmBeamChoice){(double) logits[id] - normaliser, id});
		if (*n == most)
			least = logits[choices[0].id];
	}
	sort(choices, *n);
	return true;
}

static bool
fail_numeric(const LmDraw *wanted, LmError *error)
{
	return lm_fail(error, LM_ERR_NUMERIC, wanted->position, "the model's output is not finite");
}

/*
 * The boundary is the first choice and the token the second, as in a draw (sample.c), so that the
 * probabilities of all candidates sum up to 1.
 */
bool
lm_beam_heal(LmBeamChoice *choices, int *n, int most, const LmDraw *wanted, LmError *error)
{
	const LmHealing *healing = wanted->healing;
	float logprobs[LM_HEALING_TOKENS + 1];
	double normaliser;

	lm_healing_weigh(logprobs, healing);
	for (int i = 0; i <= healing->depth; i++)
		if (!(logprobs[i] < INFINITY) || !isfinite(logprobs[0]))
			return fail_numeric(wanted, error);
	normaliser = lm_log_sum_exp(logprobs, healing->depth + 1);
	for (int i = 0; i < *n; i++)
		choices[i].logprob += (double) logprobs[0] - normaliser;
	/* Sorted, the most probable first; a heap has the least probable at its root. */
	for (int i = 0; i < *n / 2; i++)
	{
		LmBeamChoice first = choices[i];

		choices[i] = choices[*n - 1 - i];
		choices[*n - 1 - i] = first;
	}
	for (int i = 1; i <= healing->depth; i++)
	{
		const LmBoundary *boundary = &healing->boundaries[i];
		double mass = boundary_mass(wanted, i);

		if (!(mass < INFINITY))
			return fail_numeric(wanted, error);
		for (int c = boundary->at; c < boundary->at + lm_healing_count(boundary); c++)
		{
			double logprob =
				(double) logprobs[i] - normaliser + (double) lm_candidate_logit(wanted, c) - mass;

			if (logprob > -INFINITY)
				keep(choices, n, most,
					 (LmBeamChoice){logprob, wanted->session->config.vocabulary + c});
		}
	}
	sort(choices, *n);
	return true;
}

/* The logarithm of the sum of the exponentials of a boundary's candidates. */
static double
boundary_mass(const LmDraw *wanted, int number)
{
	const LmBoundary *boundary = &wanted->healing->boundaries[number];
	int end = boundary->at + lm_healing_count(boundary);
	double largest = -INFINITY, sum = 0;

	for (int c = boundary->at; c < end; c++)
		largest = fmax(largest, (double) lm_candidate_logit(wanted, c));
	for (int c = boundary->at; c < end && largest > -INFINITY; c++)
		sum += exp((double) lm_candidate_logit(wanted, c) - largest);
	return largest > -INFINITY ? largest + log(sum) : 0;
}

/* A heap of the `most` best so far, the last of them at its root. */
static void
keep(LmBeamChoice *heap, int *n, int most, LmBeamChoice choice)
{
	if (*n == most)
	{
		if (!is_before(choice, heap[0]))
			return;
		heap[0] = choice;
		sift_down(heap, *n, 0);
		return;
	}
	heap[*n] = choice;
	for (int i = (*n)++; i > 0 && is_before(heap[(i - 1) / 2], heap[i]); i = (i - 1) / 2)
	{
		LmBeamChoice moved = heap[i];

		heap[i] = heap[(i - 1) / 2];
		heap[(i - 1) / 2] = moved;
	}
}

static bool
is_before(LmBeamChoice a, LmBeamChoice b)
{
	return a.logprob > b.logprob || (a.logprob == b.logprob && a.id < b.id);
}

/* Restores the heap below i, in which no choice comes before its parent. */
static void
sift_down(LmBeamChoice *heap, int n, int i)
{
	for (;;)
	{
		int child = 2 * i + 1;
		LmBeamChoice moved = heap[i];

		if (child >= n)
			return;
		if (child + 1 < n && is_before(heap[child], heap[child + 1]))
			child++;
		if (!is_before(moved, heap[child]))
			return;
		heap[i] = heap[child];
		heap[child] = moved;
		i = child;
	}
}

/* A heap becomes sorted, the best first. */
static void
sort(LmBeamChoice *heap, int n)
{
	for (int last = n - 1; last > 0; last--)
	{
		LmBeamChoice worst = heap[0];

		heap[0] = heap[last];
		heap[last] = worst;
		sift_down(heap, last, 0);
	}
}

/*
 * src/engine/kernels/vector_attention.h
 *
 * The rows of attention between the matrix products: softmax against a block of keys, and its
 * gradient.
 */
#ifndef LM_VECTOR_ATTENTION_H
#define LM_VECTOR_ATTENTION_H

#include "kernels/vector_elements.h"
#include "kernels/vector_rows.h"

/* x [n] = 0. */
static void
zero_floats(float *x, int n)
{
	for (int i = 0; i < n; i += LANES)
		store_up_to(x + i, splat(0), (size_t) (n - i));
}

/* exp(x - max) in place; their sum */
static float
exponentials(float *x, float max, int n)
{
	int whole = n - n % LANES;
	Floats sum = splat(0);

	for (int i = 0; i < whole; i += LANES)
	{
		Floats e = exponential(load(x + i) - max);

		store(x + i, e);
		sum += e;
	}
	if (whole < n)
	{
		Floats e = exponential(load_part_or(x + whole, n - whole, -INFINITY) - max);

		store_part(x + whole, e, n - whole);
		sum += e;
	}
	return sum_lanes(sum);
}

/* One row of the running softmax (Dao et al. 2022, algorithm 1, lines 10 to 12), in place. */
static float
vector_attention_softmax(float *scores, float *max, float *sum, int n_seen, int n)
{
	float new_max, correction;

	if (n_seen <= 0)
	{
		zero_floats(scores, n);
		return 1;
	}
	new_max = fmaxf(*max, largest_element(scores, n_seen));
	correction = *max == new_max ? 1 : expf(*max - new_max);
	*sum = *sum * correction + exponentials(scores, new_max, n_seen);
	*max = new_max;
	zero_floats(scores + n_seen, n - n_seen);
	return correction;
}

/*
 * p = softmax(s), o = (mask p) v, delta = do . o:  ds = p (mask dp - delta) (Dao et al. 2022,
 * algorithm 4)
 */
static void
vector_attention_gradient(float *scores, float *dp, const float *mask, float lse, float delta,
						  int n_seen, int n)
{
	for (int i = 0; i < n_seen; i += LANES)
	{
		size_t rest = (size_t) (n_seen - i);
		Floats p = exponential(load_up_to(scores + i, rest) - lse);
		Floats d = load_up_to(dp + i, rest);
		Floats kept = p;

		if (mask)
		{
			Floats m = load_up_to(mask + i, rest);

			d *= m;
			kept *= m;
		}
		store_up_to(dp + i, p * (d - delta), rest);
		store_up_to(scores + i, kept, rest);
	}
	n_seen = n_seen > 0 ? n_seen : 0;
	zero_floats(scores + n_seen, n - n_seen);
	zero_floats(dp + n_seen, n - n_seen);
}

#endif /* LM_VECTOR_ATTENTION_H */

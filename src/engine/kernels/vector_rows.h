/*
 * src/engine/kernels/vector_rows.h
 *
 * Loops over one row of a matrix whose elements meet in a sum or a maximum: layer normalisation,
 * and the softmax over the vocabulary.
 */
#ifndef LM_VECTOR_ROWS_H
#define LM_VECTOR_ROWS_H

#include "kernels/vector_math.h"

/* y = (x - mean) rstd weight + bias for one row; not centered (RMSNorm): the mean counts as 0. */
static void
vector_norm_forward(float *y, float *mean, float *rstd, const float *x, const float *weight,
					const float *bias, int C, float epsilon, bool centered)
{
	Floats sum = splat(0), squares = splat(0);
	float center, factor;

	for (int i = 0; centered && i < C; i += LANES)
		sum += load_up_to(x + i, (size_t) (C - i));
	center = centered ? sum_lanes(sum) / (float) C : 0;
	/*
	 * A second pass, because the mean of squares less the square of the mean loses what a large
	 * mean hides.
	 */
	for (int i = 0; i < C; i += LANES)
	{
		Floats distance =
			(C - i >= LANES ? load(x + i) : load_part_or(x + i, C - i, center)) - center;

		squares = multiply_add(distance, distance, squares);
	}
	factor = 1 / sqrtf(sum_lanes(squares) / (float) C + epsilon);
	for (int i = 0; i < C; i += LANES)
	{
		size_t n = (size_t) (C - i);
		Floats normal = (load_up_to(x + i, n) - center) * factor;
		Floats shift = bias ? load_up_to(bias + i, n) : splat(0);

		store_up_to(y + i, multiply_add(normal, load_up_to(weight + i, n), shift), n);
	}
	*mean = center;
	*rstd = factor;
}

/*
 * y = n w + b with n = (x - mean) rstd:
 *   dw += dy n;  db += dy;  dn = dy w;  dx += rstd (dn - average(dn) - n average(dn n))
 * Where the mean counts as 0, average(dn) is none of its terms.
 */
static void
vector_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
					 float mean, float rstd, const float *weight, int C, bool centered)
{
	Floats sum = splat(0), dot = splat(0);
	float average, slope;

	for (int i = 0; i < C; i += LANES)
	{
		size_t n = (size_t) (C - i);
		Floats dn = load_up_to(dy + i, n) * load_up_to(weight + i, n);

		sum += dn;
		dot = multiply_add(dn, (load_up_to(x + i, n) - mean) * rstd, dot);
	}
	average = centered ? sum_lanes(sum) / (float) C : 0;
	slope = sum_lanes(dot) / (float) C;
	for (int i = 0; i < C; i += LANES)
	{
		size_t n = (size_t) (C - i);
		Floats d = load_up_to(dy + i, n);
		Floats normal = (load_up_to(x + i, n) - mean) * rstd;
		Floats inner = multiply_add(d, load_up_to(weight + i, n), -average - normal * slope);

		store_up_to(dx + i, multiply_add(splat(rstd), inner, load_up_to(dx + i, n)), n);
		store_up_to(dweight + i, multiply_add(d, normal, load_up_to(dweight + i, n)), n);
		if (dbias)
			store_up_to(dbias + i, load_up_to(dbias + i, n) + d, n);
	}
}

/*
 * Turns the pairs (x[i], x[i + size / 2]) by angles of which rotary has the cosines and sines; sign
 * -1 turns back.
 */
static void
vector_rotate(float *x, const float *rotary, int size, float sign)
{
	int half = size / 2;

	for (int i = 0; i < half; i += LANES)
	{
		size_t n = (size_t) (half - i);
		Floats cosine = load_up_to(rotary + i, n), sine = load_up_to(rotary + half + i, n) * sign;
		Floats a = load_up_to(x + i, n), b = load_up_to(x + half + i, n);

		store_up_to(x + i, a * cosine - b * sine, n);
		store_up_to(x + half + i, b * cosine + a * sine, n);
	}
}

/* The same of the pairs (x[2 i], x[2 i + 1]). */
static void
vector_rotate_pairs(float *x, const float *rotary, int size, float sign)
{
	int half = size / 2;

	for (int i = 0; i < half; i++)
	{
		float cosine = rotary[i], sine = rotary[half + i] * sign;
		float a = x[2 * i], b = x[2 * i + 1];

		x[2 * i] = a * cosine - b * sine;
		x[2 * i + 1] = b * cosine + a * sine;
	}
}

/* The maximum of x [n]; minus infinity for n = 0. */
static float
largest_element(const float *x, int n)
{
	Floats max = splat(-INFINITY);
	int whole = n - n % LANES;

	for (int i = 0; i < whole; i += LANES)
		max = larger(load(x + i), max);
	if (whole < n)
		max = larger(load_part_or(x + whole, n - whole, -INFINITY), max);
	return largest_lane(max);
}

/* Sums of up to this many exponentials stay in float32; those sums are added in float64. */
#define EXPONENTIALS_IN_FLOAT 512

/* log(sum(exp(x))), with the maximum taken out first so that no exponential overflows. */
static double
vector_log_sum_exp(const float *x, int n)
{
	float max = largest_element(x, n);
	double total = 0;

	for (int first = 0; first < n; first += EXPONENTIALS_IN_FLOAT)
	{
		int last = n - first > EXPONENTIALS_IN_FLOAT ? first + EXPONENTIALS_IN_FLOAT : n;
		Floats sum = splat(0);

		for (int i = first; i + LANES <= last; i += LANES)
			sum += exponential(load(x + i) - max);
		if ((last - first) % LANES)
		{
			int n_left = (last - first) % LANES;

			sum += exponential(load_part_or(x + last - n_left, n_left, -INFINITY) - max);
		}
		total += sum_lanes(sum);
	}
	return max + log(total);
}

/* logits = (softmax - (1 - smoothing) onehot(target) - smoothing / n) factor, in place. */
static void
vector_cross_entropy_gradient(float *logits, double lse, int target, float factor, float smoothing,
							  int n)
{
	float shift = (float) lse;
	/*
	 * The rounding error of lse comes back as a factor, lest every probability of the row be off
	 * by it.
	 */
	float adjust = (float) (factor * exp(shift - lse));
	float spread = factor * smoothing / (float) n;

	for (int i = 0; i < n; i += LANES)
	{
		size_t rest = (size_t) (n - i);

		store_up_to(logits + i, exponential(load_up_to(logits + i, rest) - shift) * adjust - spread,
					rest);
	}
	logits[target] -= factor * (1 - smoothing);
}

#endif /* LM_VECTOR_ROWS_H */

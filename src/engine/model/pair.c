/*
 * src/engine/model/pair.c
 *
 * The features of two texts together, from the means of their outputs, and from their tokens.
 */
#include <math.h>
#include <string.h>

#include "model/pair.h"

#define RUNS (LM_PAIR_OVERLAPS / 2) /* lengths of runs */
#define SET_BITS 8192
#define SET_WORDS (SET_BITS / 64)
#define OVERLAP_SCALE 4 /* so that the head need not grow large weights first */

void
lm_pair_combine(double *features, int n)
{
	const double *u = features, *v = features + n;

	for (int i = 0; i < n; i++)
	{
		features[2 * n + i] = fabs(u[i] - v[i]);
		features[3 * n + i] = u[i] * v[i];
	}
}

void
lm_pair_forward(float *features, int n)
{
	const float *u = features, *v = features + n;

	for (int i = 0; i < n; i++)
	{
		features[2 * n + i] = fabsf(u[i] - v[i]);
		features[3 * n + i] = u[i] * v[i];
	}
}

void
lm_pair_backward(float *du, float *dv, const float *dfeatures, const float *features, int n)
{
	const float *u = features, *v = features + n;

	for (int i = 0; i < n; i++)
	{
		/* |u - v| and u v */
		float sign = (float) ((u[i] > v[i]) - (u[i] < v[i]));
		float difference = sign * dfeatures[2 * n + i], product = dfeatures[3 * n + i];
		float u_i = u[i], v_i = v[i];

		du[i] = dfeatures[i] + difference + product * v_i;
		dv[i] = dfeatures[n + i] - difference + product * u_i;
	}
}

/* ---- What they share ------------------------------------------------------ */

/* The runs of `length` tokens, as bits. */
static void
collect(uint64_t *set, const int32_t *tokens, size_t n, int length)
{
	memset(set, 0, SET_WORDS * sizeof *set);
	for (size_t i = (size_t) length; i <= n; i++)
	{
		uint64_t hash = 0;
		unsigned bit;

		for (int k = 0; k < length; k++)
			hash = (hash ^ (uint64_t) (uint32_t) tokens[i - 1 - (size_t) k]) * 0x9E3779B97F4A7C15u;
		bit = (unsigned) (hash >> 40) % SET_BITS;
		set[bit / 64] |= (uint64_t) 1 << bit % 64;
	}
}

void
lm_pair_overlaps(double *overlaps, const int32_t *tokens, size_t n_first, size_t n)
{
	uint64_t first[SET_WORDS], second[SET_WORDS];

	for (int length = 1; length <= RUNS; length++)
	{
		double both = 0, either = 0, n_a = 0, n_b = 0, fewer;

		collect(first, tokens, n_first, length);
		collect(second, tokens + n_first, n - n_first, length);
		for (int i = 0; i < SET_WORDS; i++)
		{
			both += __builtin_popcountll(first[i] & second[i]);
			either += __builtin_popcountll(first[i] | second[i]);
			n_a += __builtin_popcountll(first[i]);
			n_b += __builtin_popcountll(second[i]);
		}
		fewer = n_a < n_b ? n_a : n_b;
		overlaps[2 * length - 2] = either > 0 ? OVERLAP_SCALE * both / either : 0;
		overlaps[2 * length - 1] = fewer > 0 ? OVERLAP_SCALE * both / fewer : 0;
	}
}

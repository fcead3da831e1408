/*
 * src/engine/kernels/vector_elements.h
 *
 * Loops over elements that do not depend on each other, and sums over them.
 */
#ifndef LM_VECTOR_ELEMENTS_H
#define LM_VECTOR_ELEMENTS_H

#include "kernels/simd.h"
#include "kernels/vector_math.h"

#define SQRT_2_OVER_PI 0.79788456f
#define INVERSE_SQRT_2_PI 0.39894228f
#define GELU_CUBIC 0.044715f /* Hendrycks and Gimpel 2016, section 2 */

/* y = exp(x). */
static void
vector_exp_array(float *y, const float *x, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, exponential(load_up_to(x + i, count - i)), count - i);
}

/* exp(-2u), u = sqrt(2 / pi) (x + 0.044715 x^3); (1 + tanh u) / 2 = 1 / (1 + exp(-2u)) */
INLINE Floats
gelu_exponential(Floats x)
{
	return exponential(x * (-2 * SQRT_2_OVER_PI) *
					   multiply_add(x * x, splat(GELU_CUBIC), splat(1)));
}

/* The activation of one vector, of a gated one that of its gate; kind is a constant here. */
INLINE Floats
gelu(Floats x, LmActivation kind)
{
	if (kind == LM_SWIGLU)
		return x / (1.0f + exponential(-x));
	if (kind == LM_RELU2)
		return larger(splat(0), x) * larger(splat(0), x);
	return kind == LM_GELU ? x * bell_erf(x).cumulative : x / (1.0f + gelu_exponential(x));
}

/*
 * gelu(x) = x Phi(x), so Phi(x) + x phi(x); or x s(2u), so s + x s (1 - s) 2 u'; that of SwiGLU's
 * gate has u = x / 2
 */
INLINE Floats
gelu_slope(Floats x, LmActivation kind)
{
	Floats e, gate, both, slope;
	Bell bell;

	if (kind == LM_RELU2)
		return 2.0f * larger(splat(0), x);
	if (kind == LM_GELU)
	{
		bell = bell_erf(x);
		return multiply_add(x * INVERSE_SQRT_2_PI, bell.density, bell.cumulative);
	}
	e = kind == LM_SWIGLU ? exponential(-x) : gelu_exponential(x);
	gate = 1.0f / (1.0f + e);
	both = gate * (e * gate); /* s (1 - s), without the cancellation of 1 - s */
	slope = kind == LM_SWIGLU ? splat(1)
							  : multiply_add(x * x, splat(3 * GELU_CUBIC * 2 * SQRT_2_OVER_PI),
											 splat(2 * SQRT_2_OVER_PI));
	/* Far out slope or e is infinite and the rest 0; their product must not become NaN. */
	slope = choose(is_less(splat(0), both), x * both * slope, splat(0));
	return gate + slope;
}

/* y = activation(x); kind is a constant where this is inlined. */
INLINE void
gelu_forward_kind(float *y, const float *x, size_t count, LmActivation kind)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, gelu(load_up_to(x + i, count - i), kind), count - i);
}

/* One loop for each kind, so that none tests the kind for each vector. */
static void
vector_gelu_forward(float *y, const float *x, size_t count, LmActivation kind)
{
	switch (kind)
	{
		case LM_GELU:
			gelu_forward_kind(y, x, count, LM_GELU);
			break;
		case LM_GELU_TANH:
		case LM_GEGLU:
			gelu_forward_kind(y, x, count, LM_GELU_TANH);
			break;
		case LM_RELU2:
			gelu_forward_kind(y, x, count, LM_RELU2);
			break;
		case LM_SWIGLU:
			gelu_forward_kind(y, x, count, LM_SWIGLU);
			break;
	}
}

/* dx = dy activation'(x); kind is a constant where this is inlined. */
INLINE void
gelu_backward_kind(float *dx, const float *dy, const float *x, size_t count, LmActivation kind)
{
	for (size_t i = 0; i < count; i += LANES)
	{
		Floats slope = gelu_slope(load_up_to(x + i, count - i), kind);

		store_up_to(dx + i, load_up_to(dy + i, count - i) * slope, count - i);
	}
}

/* One loop for each kind, as in the forward pass. */
static void
vector_gelu_backward(float *dx, const float *dy, const float *x, size_t count, LmActivation kind)
{
	switch (kind)
	{
		case LM_GELU:
			gelu_backward_kind(dx, dy, x, count, LM_GELU);
			break;
		case LM_GELU_TANH:
		case LM_GEGLU:
			gelu_backward_kind(dx, dy, x, count, LM_GELU_TANH);
			break;
		case LM_RELU2:
			gelu_backward_kind(dx, dy, x, count, LM_RELU2);
			break;
		case LM_SWIGLU:
			gelu_backward_kind(dx, dy, x, count, LM_SWIGLU);
			break;
	}
}

/* y = activation(gate) up; kind is a constant where this is inlined. */
INLINE void
gate_forward_kind(float *y, const float *gate, const float *up, size_t count, LmActivation kind)
{
	for (size_t i = 0; i < count; i += LANES)
	{
		size_t n = count - i;

		store_up_to(y + i, gelu(load_up_to(gate + i, n), kind) * load_up_to(up + i, n), n);
	}
}

/* One loop for each gated kind. */
static void
vector_gate_forward(float *y, const float *gate, const float *up, size_t count, LmActivation kind)
{
	if (kind == LM_SWIGLU)
		gate_forward_kind(y, gate, up, count, LM_SWIGLU);
	else
		gate_forward_kind(y, gate, up, count, LM_GELU_TANH);
}

/* dgate = dy up activation'(gate), dup = dy activation(gate); either may be its input. */
INLINE void
gate_backward_kind(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
				   size_t count, LmActivation kind)
{
	for (size_t i = 0; i < count; i += LANES)
	{
		size_t n = count - i;
		Floats x = load_up_to(gate + i, n), d = load_up_to(dy + i, n);
		Floats factor = load_up_to(up + i, n);

		store_up_to(dgate + i, d * factor * gelu_slope(x, kind), n);
		store_up_to(dup + i, d * gelu(x, kind), n);
	}
}

/* One loop for each gated kind. */
static void
vector_gate_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
					 size_t count, LmActivation kind)
{
	if (kind == LM_SWIGLU)
		gate_backward_kind(dgate, dup, dy, gate, up, count, LM_SWIGLU);
	else
		gate_backward_kind(dgate, dup, dy, gate, up, count, LM_GELU_TANH);
}

/* y += x. */
static void
vector_add(float *y, const float *x, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, load_up_to(y + i, count - i) + load_up_to(x + i, count - i), count - i);
}

/* y = x + z. */
static void
vector_add_to(float *y, const float *x, const float *z, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, load_up_to(x + i, count - i) + load_up_to(z + i, count - i), count - i);
}

/* y *= x. */
static void
vector_multiply(float *y, const float *x, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, load_up_to(y + i, count - i) * load_up_to(x + i, count - i), count - i);
}

/* y = x z. */
static void
vector_multiply_to(float *y, const float *x, const float *z, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, load_up_to(x + i, count - i) * load_up_to(z + i, count - i), count - i);
}

/* y = x + a b. */
static void
vector_multiply_add(float *y, const float *x, const float *a, const float *b, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
	{
		size_t n = count - i;

		store_up_to(y + i,
					multiply_add(load_up_to(a + i, n), load_up_to(b + i, n), load_up_to(x + i, n)),
					n);
	}
}

/* y *= factor. */
static void
vector_scale(float *y, float factor, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, load_up_to(y + i, count - i) * factor, count - i);
}

/* y = factor x. */
static void
vector_scale_to(float *y, const float *x, float factor, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, load_up_to(x + i, count - i) * factor, count - i);
}

/* y = cap tanh(x / cap) (Gemma 2, Gemma Team 2024, section 2). */
static void
vector_softcap(float *y, const float *x, float cap, size_t count)
{
	float inverse = 1 / cap;

	for (size_t i = 0; i < count; i += LANES)
		store_up_to(y + i, hyperbolic_tangent(load_up_to(x + i, count - i) * inverse) * cap,
					count - i);
}

/* dx = dy (1 - (y / cap)^2) */
static void
vector_softcap_gradient(float *dx, const float *dy, const float *y, float cap, size_t count)
{
	for (size_t i = 0; i < count; i += LANES)
	{
		size_t n = count - i;
		Floats tangent = load_up_to(y + i, n) / cap;

		store_up_to(dx + i, load_up_to(dy + i, n) * ((1.0f - tangent) * (1.0f + tangent)), n);
	}
}

/* The sum of x y, in float32 by lanes. */
static float
vector_dot(const float *x, const float *y, size_t count)
{
	Floats sum = splat(0);

	for (size_t i = 0; i < count; i += LANES)
		sum = multiply_add(load_up_to(x + i, count - i), load_up_to(y + i, count - i), sum);
	return sum_lanes(sum);
}

/* Half a vector in memory, which becomes a vector of doubles. */
typedef float HalfFloats __attribute__((vector_size(LANES * 2), aligned(4), may_alias));

/*
 * Squares of half vectors, added up in float64 in the same lanes whatever the memory. The array is
 * read as four streams: the processor fetches ahead of each, and one alone is read at half the
 * speed.
 */
static double
vector_sum_squares(const float *x, size_t count)
{
	Doubles sums[4] = {{0}, {0}, {0}, {0}};
	size_t quarter = count / (4 * LANES) * LANES;
	double sum = 0;

	for (size_t i = 0; i < quarter; i += LANES / 2)
#pragma GCC unroll 4
		for (size_t j = 0; j < 4; j++)
		{
			HalfFloats half = *(const HalfFloats *) (x + i + j * quarter);
			Doubles value = __builtin_convertvector(half, Doubles);

			sums[j] += value * value;
		}
	sums[0] += sums[1] + (sums[2] + sums[3]);
	for (int j = 0; j < LANES / 2; j++)
		sum += sums[0][j];
	for (size_t i = 4 * quarter; i < count; i++)
		sum += (double) x[i] * x[i];
	return sum;
}

/* y = a x + b z. */
static void
vector_blend(float *y, float a, const float *x, float b, const float *z, size_t count)
{
	Floats factor_x = splat(a), factor_z = splat(b);

	for (size_t i = 0; i < count; i += LANES)
	{
		size_t n = count - i;

		store_up_to(y + i,
					multiply_add(factor_x, load_up_to(x + i, n), factor_z * load_up_to(z + i, n)),
					n);
	}
}

/* One step of AdamW (engine/ops.h has the equations) over p, m and v. */
static void
vector_adamw(float *p, float *m, float *v, const float *gradient, size_t count,
			 const LmAdamW *adamw)
{
	Floats beta1 = splat(adamw->beta1), rest1 = splat(1 - adamw->beta1);
	Floats beta2 = splat(adamw->beta2), rest2 = splat(1 - adamw->beta2);
	/*
	 * The corrections are divided out of the two constants that they meet, once for all elements.
	 */
	Floats rate = splat(adamw->rate / adamw->correction1);
	float inverse2 = 1 / adamw->correction2;
	float keep = 1 - adamw->rate * adamw->decay;

	for (size_t i = 0; i < count; i += LANES)
	{
		size_t n = count - i;
		Floats g = load_up_to(gradient + i, n) * adamw->gradient_scale;
		Floats m_new = multiply_add(beta1, load_up_to(m + i, n), rest1 * g);
		Floats v_new = multiply_add(beta2, load_up_to(v + i, n), rest2 * g * g);
		Floats step = rate * m_new / (square_root(v_new * inverse2) + adamw->epsilon);

		store_up_to(m + i, m_new, n);
		store_up_to(v + i, v_new, n);
		store_up_to(p + i, load_up_to(p + i, n) * keep - step, n);
	}
}

#endif /* LM_VECTOR_ELEMENTS_H */

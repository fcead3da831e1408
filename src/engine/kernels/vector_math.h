/*
 * src/engine/kernels/vector_math.h
 *
 * Exponential, hyperbolic tangent and the two bells of GELU, for a vector of floats.
 */
#ifndef LM_VECTOR_MATH_H
#define LM_VECTOR_MATH_H

#include "kernels/vector_types.h"

/*
 * e^x within 2 units in the last place. Results below 2^-126 are 0; above the largest float,
 * infinity; NaN stays. x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite 1980, chapter 6: ln 2 in
 * two parts, of which the first has few enough bits that n times it is exact), then Taylor's
 * series: the term after r^7 is below 0.1 units.
 */
INLINE Floats
exponential(Floats x)
{
	const float round_to_int = 12582912.0f; /* 1.5 2^23: its lowest bit is worth one */
	Floats shifted = multiply_add(x, splat(1.44269504f), splat(round_to_int));
	Floats n = shifted - round_to_int;
	Floats r = multiply_add(n, splat(-0.693359375f), x);
	Floats p = splat(1.0f / 5040);
	Floats result;

	r = multiply_add(n, splat(2.12194440e-4f), r);
	p = multiply_add(p, r, splat(1.0f / 720));
	p = multiply_add(p, r, splat(1.0f / 120));
	p = multiply_add(p, r, splat(1.0f / 24));
	p = multiply_add(p, r, splat(1.0f / 6));
	p = multiply_add(p, r, splat(0.5f));
	p = multiply_add(p, r * r, r) + 1.0f;
	/* p 2^n: n is added to the exponent's bits. */
	result = (Floats) ((Words) p + (((Words) shifted - (Words) splat(round_to_int)) << 23));
	result = choose(is_less(x, splat(-87.33654f)), splat(0), result);
	return choose(is_less(x, splat(88.72284f)), result, x + INFINITY);
}

/*
 * tanh within 2 units in the last place: near 0 the polynomial of tanhf in Cephes (Moshier 1992,
 * single precision), else by the exponential, with the sign put back.
 */
INLINE Floats
hyperbolic_tangent(Floats x)
{
	Floats size = (Floats) ((Ints) x & 0x7fffffff), square = x * x;
	Floats far = 1.0f - 2.0f / (exponential(2.0f * size) + 1.0f);
	Floats p = splat(-5.70498872745e-3f);

	p = multiply_add(p, square, splat(2.06390887954e-2f));
	p = multiply_add(p, square, splat(-5.37397155531e-2f));
	p = multiply_add(p, square, splat(1.33314422036e-1f));
	p = multiply_add(p, square, splat(-3.33332819422e-1f));
	far = (Floats) ((Ints) far | ((Ints) x & (int32_t) 0x80000000));
	return choose(is_less(size, splat(0.625f)), multiply_add(p * square, x, x), far);
}

/*
 * The standard normal distribution at x: cumulative, and the density without its factor 1 / sqrt(2
 * pi).
 */
typedef struct Bell
{
	Floats cumulative;
	Floats density;
} Bell;

/*
 * Abramowitz and Stegun (1964), 7.1.26: erf within 1.5e-7, from the exponential that the density
 * needs too. The formula gives 1 - cumulative for x > 0, whose lower tail keeps its relative
 * precision.
 */
INLINE Bell
bell_erf(Floats x)
{
	Floats z = (Floats) ((Ints) x & 0x7fffffff) * 0.70710678f;
	Floats t = 1.0f / multiply_add(z, splat(0.3275911f), splat(1));
	Floats density = exponential(-(z * z));
	Floats p = splat(1.061405429f), tail;

	p = multiply_add(p, t, splat(-1.453152027f));
	p = multiply_add(p, t, splat(1.421413741f));
	p = multiply_add(p, t, splat(-0.284496736f));
	p = multiply_add(p, t, splat(0.254829592f));
	tail = p * t * density * 0.5f;
	return (Bell){choose(is_less(x, splat(0)), tail, 1.0f - tail), density};
}

#endif /* LM_VECTOR_MATH_H */

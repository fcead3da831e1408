/*
 * src/engine/kernels/vector_types.h
 *
 * A vector of LANES floats in the widest registers of the instruction set that the file is compiled
 * for, and the few operations on it that the compiler's own vector arithmetic lacks. Everything is
 * static, so that no function of one instruction set can stand in for that of another.
 */
#ifndef LM_VECTOR_TYPES_H
#define LM_VECTOR_TYPES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline, unused))

/* Vectors of one register; FloatsAnywhere is a vector in memory of any alignment. */
typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef float FloatsAnywhere __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef uint32_t Words __attribute__((vector_size(LANES * 4)));
typedef uint64_t Longs __attribute__((vector_size(LANES * 4))); /* LANES / 2 of them */
typedef double Doubles __attribute__((vector_size(LANES * 4)));

#if defined(__AVX512F__)
/* One truth value for each lane. */
typedef __mmask16 Mask;
#else
typedef Ints Mask; /* all bits of a lane */
#endif

/* The same value in all lanes. */
INLINE Floats
splat(float value)
{
	return value - (Floats){0};
}

/* LANES floats from memory of any alignment. */
INLINE Floats
load(const float *from)
{
	return *(const FloatsAnywhere *) from;
}

/* LANES floats to memory of any alignment. */
INLINE void
store(float *to, Floats value)
{
	*(FloatsAnywhere *) to = value;
}

#if defined(__AVX512F__)

/* The first n lanes, n below LANES; the others are 0 and their memory is not touched. */
INLINE Floats
load_part(const float *from, int n)
{
	return (Floats) _mm512_maskz_loadu_ps((__mmask16) ((1u << n) - 1), from);
}

/* Stores the first n lanes, n below LANES; memory beyond them is not touched. */
INLINE void
store_part(float *to, Floats value, int n)
{
	_mm512_mask_storeu_ps(to, (__mmask16) ((1u << n) - 1), (__m512) value);
}

/* a b + c, rounded once where the instruction set has such an operation. */
INLINE Floats
multiply_add(Floats a, Floats b, Floats c)
{
	return (Floats) _mm512_fmadd_ps((__m512) a, (__m512) b, (__m512) c);
}

/* The larger of two lanes; b where one of them is NaN. */
INLINE Floats
larger(Floats a, Floats b)
{
	return (Floats) _mm512_max_ps((__m512) a, (__m512) b);
}

/* Correctly rounded. */
INLINE Floats
square_root(Floats a)
{
	return (Floats) _mm512_sqrt_ps((__m512) a);
}

/* a < b; false where one of them is NaN. */
INLINE Mask
is_less(Floats a, Floats b)
{
	return _mm512_cmp_ps_mask((__m512) a, (__m512) b, _CMP_LT_OQ);
}

/* a < b; without AVX-512 both must be below 2^31. */
INLINE Mask
is_below(Words a, Words b)
{
	return _mm512_cmplt_epu32_mask((__m512i) a, (__m512i) b);
}

/* yes where the mask is true, else no. */
INLINE Floats
choose(Mask mask, Floats yes, Floats no)
{
	return (Floats) _mm512_mask_blend_ps(mask, (__m512) no, (__m512) yes);
}

/* Product of the low halves of the lanes. */
INLINE Longs
multiply_halves(Longs a, Longs b)
{
	return (Longs) _mm512_mul_epu32((__m512i) a, (__m512i) b);
}

#else

/* The same operations by AVX2, or by the compiler's own vectors. */
INLINE Floats
choose(Mask mask, Floats yes, Floats no)
{
#if defined(__AVX2__)
	return (Floats) _mm256_blendv_ps((__m256) no, (__m256) yes, (__m256) mask);
#else
	return (Floats) (((Ints) yes & mask) | ((Ints) no & ~mask));
#endif
}

INLINE Mask
is_less(Floats a, Floats b)
{
	return a < b;
}

/* Both below 2^31. */
INLINE Mask
is_below(Words a, Words b)
{
	return (Ints) a < (Ints) b;
}

#if defined(__AVX2__)

/* A mask of the first n lanes. */
INLINE Ints
first_lanes(int n)
{
	return n > (Ints){0, 1, 2, 3, 4, 5, 6, 7};
}

INLINE Floats
load_part(const float *from, int n)
{
	return (Floats) _mm256_maskload_ps(from, (__m256i) first_lanes(n));
}

INLINE void
store_part(float *to, Floats value, int n)
{
	_mm256_maskstore_ps(to, (__m256i) first_lanes(n), (__m256) value);
}

INLINE Floats
multiply_add(Floats a, Floats b, Floats c)
{
	return (Floats) _mm256_fmadd_ps((__m256) a, (__m256) b, (__m256) c);
}

INLINE Floats
larger(Floats a, Floats b)
{
	return (Floats) _mm256_max_ps((__m256) a, (__m256) b);
}

INLINE Floats
square_root(Floats a)
{
	return (Floats) _mm256_sqrt_ps((__m256) a);
}

INLINE Longs
multiply_halves(Longs a, Longs b)
{
	return (Longs) _mm256_mul_epu32((__m256i) a, (__m256i) b);
}

#else

INLINE Floats
load_part(const float *from, int n)
{
	Floats value = {0};

	for (int i = 0; i < n; i++)
		value[i] = from[i];
	return value;
}

INLINE void
store_part(float *to, Floats value, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = value[i];
}

INLINE Floats
multiply_add(Floats a, Floats b, Floats c)
{
	return a * b + c;
}

INLINE Floats
larger(Floats a, Floats b)
{
#if defined(__x86_64__)
	return (Floats) _mm_max_ps((__m128) a, (__m128) b);
#else
	return choose(a > b, a, b);
#endif
}

INLINE Floats
square_root(Floats a)
{
#if defined(__x86_64__)
	return (Floats) _mm_sqrt_ps((__m128) a);
#else
	for (int i = 0; i < LANES; i++)
		a[i] = sqrtf(a[i]);
	return a;
#endif
}

INLINE Longs
multiply_halves(Longs a, Longs b)
{
#if defined(__x86_64__)
	return (Longs) _mm_mul_epu32((__m128i) a, (__m128i) b);
#else
	return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

#endif
#endif

/* Loads LANES floats, or the first n where n is less and 0 in the other lanes. */
INLINE Floats
load_up_to(const float *from, size_t n)
{
	return n >= LANES ? load(from) : load_part(from, (int) n);
}

/* Stores LANES lanes, or the first n where n is less. */
INLINE void
store_up_to(float *to, Floats value, size_t n)
{
	if (n >= LANES)
		store(to, value);
	else
		store_part(to, value, (int) n);
}

/* The smaller of two numbers. */
INLINE int
smaller_of(int a, int b)
{
	return a < b ? a : b;
}

/* Columns from first on of a row of n_columns; 0 beyond its end. */
INLINE Floats
load_columns(const float *from, int first, int n_columns)
{
	int n = n_columns - first;

	return n <= 0 ? splat(0) : load_up_to(from + first, (size_t) n);
}

/* Stores columns from first on, as far as the row of n_columns goes. */
INLINE void
store_columns(float *to, Floats value, int first, int n_columns)
{
	if (n_columns > first)
		store_up_to(to + first, value, (size_t) (n_columns - first));
}

/* The first n lanes, the others as `rest`. */
INLINE Floats
load_part_or(const float *from, int n, float rest)
{
	Floats lane;

	for (int i = 0; i < LANES; i++)
		lane[i] = (float) i;
	return choose(is_less(lane, splat((float) n)), load_part(from, n), splat(rest));
}

/* Halves folded onto each other until four lanes are left: always the same order. */
typedef float Quarter __attribute__((vector_size(16)));

#if LANES == 16
#define FOLD(value, quarter, COMBINE)                                                              \
	{                                                                                              \
		__m256 half = COMBINE##_256(_mm512_castps512_ps256((__m512) (value)),                      \
									_mm512_extractf32x8_ps((__m512) (value), 1));                  \
		quarter =                                                                                  \
			(Quarter) COMBINE##_128(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)); \
	}
#elif LANES == 8
#define FOLD(value, quarter, COMBINE)                                           \
	quarter = (Quarter) COMBINE##_128(_mm256_castps256_ps128((__m256) (value)), \
									  _mm256_extractf128_ps((__m256) (value), 1));
#else
#define FOLD(value, quarter, COMBINE) quarter = (value);
#endif
#define SUM_256(a, b) ((a) + (b))
#define SUM_128(a, b) ((a) + (b))
#define LARGER_256 _mm256_max_ps
#define LARGER_128 _mm_max_ps

/* The sum of all lanes, in an order that depends on LANES alone. */
INLINE float
sum_lanes(Floats value)
{
	Quarter quarter;

	FOLD(value, quarter, SUM)
	return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/* The largest lane. */
INLINE float
largest_lane(Floats value)
{
	Quarter quarter;
	float a, b;

	FOLD(value, quarter, LARGER)
	a = quarter[0] > quarter[1] ? quarter[0] : quarter[1];
	b = quarter[2] > quarter[3] ? quarter[2] : quarter[3];
	return a > b ? a : b;
}

#endif /* LM_VECTOR_TYPES_H */

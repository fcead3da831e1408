/*
 * src/engine/formats/half.h
 *
 * Numbers of 16 bits and their bytes in files: IEEE 754 binary16, and bfloat16, the upper half of a
 * binary32. The functions have no branches, so that loops over them become vector code.
 */
#ifndef LM_HALF_H
#define LM_HALF_H

#include <stdint.h>
#include <string.h>

/* Little-endian numbers at any address. */
static inline uint16_t
lm_load_u16(const void *bytes)
{
	const uint8_t *b = bytes;

	return (uint16_t) (b[0] | b[1] << 8);
}

static inline uint32_t
lm_load_u32(const void *bytes)
{
	const uint8_t *b = bytes;

	return lm_load_u16(b) | (uint32_t) lm_load_u16(b + 2) << 16;
}

static inline uint64_t
lm_load_u64(const void *bytes)
{
	const uint8_t *b = bytes;

	return lm_load_u32(b) | (uint64_t) lm_load_u32(b + 4) << 32;
}

static inline void
lm_store_u16(void *bytes, uint16_t value)
{
	uint8_t *b = bytes;

	b[0] = (uint8_t) value;
	b[1] = (uint8_t) (value >> 8);
}

static inline void
lm_store_u32(void *bytes, uint32_t value)
{
	lm_store_u16(bytes, (uint16_t) value);
	lm_store_u16((uint8_t *) bytes + 2, (uint16_t) (value >> 16));
}

static inline void
lm_store_u64(void *bytes, uint64_t value)
{
	lm_store_u32(bytes, (uint32_t) value);
	lm_store_u32((uint8_t *) bytes + 4, (uint32_t) (value >> 32));
}

static inline uint32_t
lm_float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static inline float
lm_float_of_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

/*
 * A subnormal half with mantissa m is m 2^-24: the float with that mantissa and exponent 2^-14 has
 * ulps of 2^-24 next to 0.5 = 0x3f000000, from which it is subtracted exactly.
 */
static inline float
lm_half_to_float(uint16_t half)
{
	uint32_t sign = (uint32_t) (half & 0x8000) << 16, exponent = half & 0x7c00;
	uint32_t shifted = (uint32_t) (half & 0x7fff) << 13;
	uint32_t normal = shifted + ((127 - 15) << 23), special = shifted | 0xffu << 23;
	uint32_t mantissa = 0x3f000000 | (half & 0x3ff);
	uint32_t small = lm_float_bits(lm_float_of_bits(mantissa) - 0.5f);
	uint32_t bits = exponent == 0 ? small : normal;

	bits = exponent == 0x7c00 ? special : bits;
	return lm_float_of_bits(sign | bits);
}

/* Rounds to nearest even; what is too large becomes infinite, and a NaN stays one. */
static inline uint16_t
lm_half_from_float(float value)
{
	uint32_t bits = lm_float_bits(value), sign = bits >> 16 & 0x8000, low = bits & 0x7fffffff;
	/* Below 2^-14 the sum with 0.5 has the rounded mantissa in its lowest bits. */
	uint32_t small = lm_float_bits(lm_float_of_bits(low) + 0.5f) - 0x3f000000;
	uint32_t normal = (low - ((127 - 15) << 23) + 0xfff + (low >> 13 & 1)) >> 13;
	uint32_t nan = 0x7c00 | (low >> 13 & 0x3ff);
	uint32_t half = low < 0x38800000 ? small : normal;

	half = low >= 0x477ff000 ? 0x7c00 : half;
	nan = nan == 0x7c00 ? 0x7e00 : nan;
	half = low > 0x7f800000 ? nan : half;
	return (uint16_t) (sign | half);
}

static inline float
lm_bfloat_to_float(uint16_t bfloat)
{
	return lm_float_of_bits((uint32_t) bfloat << 16);
}

/* Rounds to nearest even, denormals too; a NaN becomes a quiet one. */
static inline uint16_t
lm_bfloat_from_float(float value)
{
	uint32_t bits = lm_float_bits(value), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
	uint32_t nan = bits >> 16 | 0x40;

	return (uint16_t) ((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

#endif /* LM_HALF_H */

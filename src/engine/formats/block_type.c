/*
 * src/engine/formats/block_type.c
 *
 * The table of the types that tensors have in files, and the plain floats among them. Numbers,
 * sizes and layouts: ggml, ggml.h (enum ggml_type) and ggml-common.h,
 * https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h.
 */
#include "engine/block_type.h"
#include "engine/host.h"
#include "formats/blocks.h"
#include "formats/half.h"

static void f32_decode(float *y, const void *blocks, size_t n);
static void f32_encode(void *blocks, const float *x, size_t n);
static void f16_decode(float *y, const void *blocks, size_t n);
static void f16_encode(void *blocks, const float *x, size_t n);
static void bf16_decode(float *y, const void *blocks, size_t n);
static void bf16_encode(void *blocks, const float *x, size_t n);

static const LmBlockType block_types[] = {
	{"F32", 0, 1, 4, f32_decode, f32_encode},
	{"F16", 1, 1, 2, f16_decode, f16_encode},
	{"BF16", 30, 1, 2, bf16_decode, bf16_encode},
	{"Q8_0", 8, 32, 34, lm_q8_0_decode, lm_q8_0_encode},
	{"Q4_0", 2, 32, 18, lm_q4_0_decode, lm_q4_0_encode},
	{"Q4_1", 3, 32, 20, lm_q4_1_decode, NULL},
	{"Q5_0", 6, 32, 22, lm_q5_0_decode, NULL},
	{"Q5_1", 7, 32, 24, lm_q5_1_decode, NULL},
	{"Q2_K", 10, 256, 84, lm_q2_k_decode, NULL},
	{"Q3_K", 11, 256, 110, lm_q3_k_decode, NULL},
	{"Q4_K", 12, 256, 144, lm_q4_k_decode, NULL},
	{"Q5_K", 13, 256, 176, lm_q5_k_decode, NULL},
	{"Q6_K", 14, 256, 210, lm_q6_k_decode, NULL},
	{"IQ4_NL", 20, 32, 18, lm_iq4_nl_decode, NULL},
	{"IQ4_XS", 23, 256, 136, lm_iq4_xs_decode, NULL},
};

int
lm_block_type_count(void)
{
	return sizeof block_types / sizeof block_types[0];
}

const LmBlockType *
lm_block_type(int i)
{
	return &block_types[i];
}

const LmBlockType *
lm_block_type_named(const char *name)
{
	for (int i = 0; i < lm_block_type_count(); i++)
		if (strcmp(block_types[i].name, name) == 0)
			return &block_types[i];
	return NULL;
}

const LmBlockType *
lm_block_type_numbered(long long number)
{
	for (int i = 0; i < lm_block_type_count(); i++)
		if (block_types[i].number == number)
			return &block_types[i];
	return NULL;
}

bool
lm_block_size(size_t *size, const LmBlockType *type, size_t n)
{
	return n % (size_t) type->elements == 0 &&
		   lm_size_multiply(size, n / (size_t) type->elements, (size_t) type->bytes);
}

void
lm_block_decode(float *y, const LmBlockType *type, const void *blocks, size_t n)
{
	type->decode(y, blocks, n / (size_t) type->elements);
}

void
lm_block_encode(void *blocks, const LmBlockType *type, const float *x, size_t n)
{
	type->encode(blocks, x, n / (size_t) type->elements);
}

static void
f32_decode(float *y, const void *blocks, size_t n)
{
	const uint8_t *bytes = blocks;

	for (size_t i = 0; i < n; i++)
		y[i] = lm_float_of_bits(lm_load_u32(bytes + 4 * i));
}

static void
f32_encode(void *blocks, const float *x, size_t n)
{
	uint8_t *bytes = blocks;

	for (size_t i = 0; i < n; i++)
		lm_store_u32(bytes + 4 * i, lm_float_bits(x[i]));
}

static void
f16_decode(float *y, const void *blocks, size_t n)
{
	const uint8_t *bytes = blocks;

	for (size_t i = 0; i < n; i++)
		y[i] = lm_half_to_float(lm_load_u16(bytes + 2 * i));
}

static void
f16_encode(void *blocks, const float *x, size_t n)
{
	uint8_t *bytes = blocks;

	for (size_t i = 0; i < n; i++)
		lm_store_u16(bytes + 2 * i, lm_half_from_float(x[i]));
}

static void
bf16_decode(float *y, const void *blocks, size_t n)
{
	const uint8_t *bytes = blocks;

	for (size_t i = 0; i < n; i++)
		y[i] = lm_bfloat_to_float(lm_load_u16(bytes + 2 * i));
}

static void
bf16_encode(void *blocks, const float *x, size_t n)
{
	uint8_t *bytes = blocks;

	for (size_t i = 0; i < n; i++)
		lm_store_u16(bytes + 2 * i, lm_bfloat_from_float(x[i]));
}

/*
 * test/unit/test_block_type.c
 *
 * The types of tensors in files, bit by bit against ggml's reference: gguf-py's results
 * (test/fixtures/blocks.bin, made by test/reference/block_types.py) and those of the folder of
 * shared test data. Each function stays within its blocks, which the sanitized run sees.
 */
#include "tap.h"
#include "engine/block_type.h"
#include "formats/half.h"

#define RECORD_HEADER 16

/* Whether two floats have the same bits, or both are NaN. */
static bool
same(float a, float b)
{
	return (isnan(a) && isnan(b)) || lm_float_bits(a) == lm_float_bits(b);
}

/* Compares floats with what the blocks decode to, and reports the first that differs. */
static void
check_decode(const LmBlockType *type, const uint8_t *blocks, const uint8_t *floats, size_t n,
			 const char *source)
{
	float *y = malloc(n * sizeof(float));
	size_t bad = n;

	lm_block_decode(y, type, blocks, n);
	for (size_t i = n; i-- > 0;)
		bad = same(y[i], lm_float_of_bits(lm_load_u32(floats + 4 * i))) ? bad : i;
	ok(bad == n, "%s of %s decodes to the reference's bits", type->name, source);
	if (bad < n)
		printf("# element %zu: got %.9g, wanted %.9g\n", bad, y[bad],
			   lm_float_of_bits(lm_load_u32(floats + 4 * bad)));
	free(y);
}

static void
check_encode(const LmBlockType *type, const uint8_t *blocks, const uint8_t *floats, size_t n)
{
	size_t size;
	float *x = malloc(n * sizeof(float));
	uint8_t *got;

	lm_block_size(&size, type, n);
	got = malloc(size);
	for (size_t i = 0; i < n; i++)
		x[i] = lm_float_of_bits(lm_load_u32(floats + 4 * i));
	lm_block_encode(got, type, x, n);
	if (!ok(memcmp(got, blocks, size) == 0, "%s encodes to the reference's bytes", type->name))
		for (size_t i = 0; i < size; i++)
			if (got[i] != blocks[i])
			{
				printf("# byte %zu: got %d, wanted %d\n", i, got[i], blocks[i]);
				break;
			}
	free(got);
	free(x);
}

static void
test_fixture(void)
{
	size_t file_size, size;
	char *file = tap_read_file("test/fixtures/blocks.bin", &file_size);
	int n_records = 0;

	for (size_t at = 0; file && at + RECORD_HEADER <= file_size; n_records++)
	{
		char name[9] = {0};
		const uint8_t *record = (uint8_t *) file + at;
		size_t n = lm_load_u32(record + 8);
		const LmBlockType *type;

		memcpy(name, record, 8);
		type = lm_block_type_named(name);
		if (!type || !lm_block_size(&size, type, n) ||
			at + RECORD_HEADER + 4 * n + size > file_size)
			break;
		if (lm_load_u32(record + 12))
			check_encode(type, record + RECORD_HEADER + 4 * n, record + RECORD_HEADER, n);
		else
			check_decode(type, record + RECORD_HEADER + 4 * n, record + RECORD_HEADER, n,
						 "gguf-py");
		at += RECORD_HEADER + 4 * n + size;
	}
	is_int(n_records, 19, "the fixture has 14 decoded and 5 encoded types");
	free(file);
}

static void
test_shared_vectors(void)
{
	const char *folder = tap_data_folder();
	int n_found = 0;

	for (int i = 0; folder && i < lm_block_type_count(); i++)
	{
		const LmBlockType *type = lm_block_type(i);
		char path[4096];
		size_t blocks_size = 0, floats_size = 0, size = 0;
		char *blocks, *floats;

		snprintf(path, sizeof path, "%s/quant-vectors/%s.bin", folder, type->name);
		blocks = tap_read_file(path, &blocks_size);
		snprintf(path, sizeof path, "%s/quant-vectors/%s.f32", folder, type->name);
		floats = tap_read_file(path, &floats_size);
		if (blocks && floats && lm_block_size(&size, type, floats_size / 4) && size == blocks_size)
		{
			check_decode(type, (uint8_t *) blocks, (uint8_t *) floats, floats_size / 4, "libggml");
			n_found++;
		}
		free(blocks);
		free(floats);
	}
	if (folder)
		is_int(n_found, 8, "the shared folder has vectors of 8 types");
	else
		skip("vectors of libggml", "the shared test data are missing");
}

/* Each of the 65536 halves becomes a float and the same half again. */
static void
test_halves(void)
{
	int n_half = 0, n_bfloat = 0, n_value = 0;

	for (int i = 0; i < 65536; i++)
	{
		uint16_t bits = (uint16_t) i;
		float half = lm_half_to_float(bits), bfloat = lm_bfloat_to_float(bits);
		int exponent = bits >> 10 & 31, mantissa = bits & 1023;
		double value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);

		n_half += lm_half_from_float(half) == bits;
		n_bfloat += lm_bfloat_from_float(bfloat) == (isnan(bfloat) ? (bits | 0x40) : bits);
		n_value += exponent == 31 ? (mantissa ? isnan(half) : isinf(half) != 0)
								  : half == (bits >> 15 ? -value : value);
	}
	is_int(n_half, 65536, "each half comes back from its float");
	is_int(n_value, 65536, "each half has the value of IEEE 754");
	is_int(n_bfloat, 65536, "each bfloat16 comes back from its float, a NaN as a quiet one");
}

/* The nearest half by the distance to its neighbours, ties to the even one. */
static bool
nearest(float x, uint16_t half)
{
	double error = fabs((double) x - lm_half_to_float(half));

	for (int step = -1; step <= 1; step += 2)
	{
		uint16_t other = (uint16_t) (half + step);
		double distance = fabs((double) x - lm_half_to_float(other));

		if (distance < error || (distance == error && half & 1))
			return false;
	}
	return true;
}

static void
test_rounding(void)
{
	int n_good = 0, n = 0;

	/* Magnitudes from the smallest half to the largest, in steps that meet ties. */
	for (uint32_t bits = 0x33800000; bits < 0x477fe000; bits += 0x400, n++)
		n_good += nearest(lm_float_of_bits(bits), lm_half_from_float(lm_float_of_bits(bits)));
	is_int(n_good, n, "a float becomes the nearest half, a tie the even one");
	ok(lm_half_from_float(65519.99f) == 0x7bff && lm_half_from_float(65520) == 0x7c00,
	   "from 65520 on a half is infinite");
	ok(lm_half_from_float(0x1p-25f) == 0 && lm_half_from_float(0x1.000002p-25f) == 1,
	   "half of the smallest half is zero, more is not");
}

static void
test_table(void)
{
	size_t size;
	const LmBlockType *k = lm_block_type_named("Q4_K");

	for (int i = 0; i < lm_block_type_count(); i++)
	{
		const LmBlockType *type = lm_block_type(i);

		ok(lm_block_type_named(type->name) == type &&
			   lm_block_type_numbered(type->number) == type && type->elements <= LM_BLOCK_MOST &&
			   strlen(type->name) <= 8,
		   "%s is found by name and by number", type->name);
	}
	ok(!lm_block_type_named("Q9") && !lm_block_type_numbered(4) && !lm_block_type_numbered(-1) &&
		   !lm_block_type_numbered(1LL << 32),
	   "what is not in the table is not found");
	ok(lm_block_size(&size, k, 512) && size == 288, "two blocks of Q4_K have 288 bytes");
	ok(!lm_block_size(&size, k, 511), "a part of a block has no size");
	ok(!lm_block_size(&size, lm_block_type_named("F32"), SIZE_MAX / 2), "a size that overflows");
}

/* Numbers that are not finite reach no conversion to an integer, and show in the scale. */
static void
test_not_finite(void)
{
	static const char *const names[] = {"Q8_0", "Q4_0"};
	static const float values[] = {NAN, INFINITY, -INFINITY, 3e38f};

	for (int t = 0; t < 2; t++)
		for (int v = 0; v < 4; v++)
		{
			const LmBlockType *type = lm_block_type_named(names[t]);
			float x[32] = {1, 2, 3}, y[32];
			uint8_t block[34];

			x[7] = values[v];
			lm_block_encode(block, type, x, 32);
			lm_block_decode(y, type, block, 32);
			ok(!isfinite(y[7]), "%s of a block with %g is not finite", names[t], values[v]);
		}
}

int
main(void)
{
	test_table();
	test_halves();
	test_rounding();
	test_fixture();
	test_shared_vectors();
	test_not_finite();
	return done_testing();
}

/*
 * test/unit/test_bf16.c
 *
 * Products in bfloat16: rounding, packing and sums of each instruction set against plain C, bit by
 * bit.
 */
#include "kernels.h"
#include "kernels/bf16.h"
#include "kernels/f32.h"

/* Every exponent, both signs, and the cases on which rounding turns. */
static float
awkward(uint32_t i)
{
	uint32_t word[4], bits;
	float value;

	lm_random(word, lm_key(9, LM_RANDOM_INIT, 0, 0), i, 0, 0, 0);
	bits = word[0];
	if (i % 4 == 0)
		bits = (bits & 0xffff0000) | 0x8000;
	if (i % 16 == 1)
		bits &= 0x807fffff;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static void
test_rounding(void)
{
	bool nearest = true;

	for (uint32_t i = 0; i < 100000; i++)
	{
		float value = awkward(i), rounded = lm_bf16_to_float(lm_bf16_from_float(value));

		if (isnan(value) || isinf(value) || fabsf(value) < 0x1p-126f || fabsf(value) > 3e38f)
			continue;
		nearest &= fabs((double) rounded - value) <= fabs((double) value) * 0x1p-8;
	}
	ok(nearest, "rounding to bfloat16 changes a number by at most 2^-8 of it");
	is_int(lm_bf16_from_float(1.00390625f), 0x3f80, "a tie goes to the even neighbour below");
	is_int(lm_bf16_from_float(1.01171875f), 0x3f82, "a tie goes to the even neighbour above");
	is_int(lm_bf16_from_float(1e-40f), 0, "a denormal becomes zero");
	is_int(lm_bf16_from_float(INFINITY), 0x7f80, "infinity stays");
	ok(isnan(lm_bf16_to_float(lm_bf16_from_float(NAN))), "what is not a number stays so");
}

static void
test_packing(const LmTiles *kernel)
{
	_Alignas(64) uint16_t got[LM_TILE_BLOCK], wanted[LM_TILE_BLOCK];
	float from[32 * 40];

	for (uint32_t i = 0; i < 32 * 40; i++)
		from[i] = awkward(i);
	for (int packing = LM_TILE_ALONG; packing <= LM_TILE_ACROSS_TURNED; packing++)
	{
		int most_lines = packing <= LM_TILE_ALONG_TURNED ? 16 : 32,
			most = packing <= LM_TILE_ALONG_TURNED ? 32 : 16;
		bool agrees = true;

		for (int n_lines = 1; n_lines <= most_lines; n_lines++)
			for (int n = 1; n <= most; n++)
			{
				kernel->pack(got, from, 40, n_lines, n, packing);
				lm_bf16_plain_pack(wanted, from, 40, n_lines, n, packing);
				agrees &= memcmp(got, wanted, sizeof got) == 0;
			}
		ok(agrees, "%s packs blocks of every size as plain C does, packing %d", kernel->name,
		   packing);
	}
}

static uint16_t *
pack_operand(const float *x, int lines, int k, LmTilePacking packing)
{
	uint16_t *packed = aligned_alloc(64, lm_tile_count(lines, k) * sizeof *packed);
	int n_blocks = lm_tile_blocks(k);

	memset(packed, 0, lm_tile_count(lines, k) * sizeof *packed);
	for (int line = 0; line < lines; line += 16)
		for (int block = 0; block < n_blocks; block++)
			lm_bf16_plain_pack(packed +
								   ((size_t) (line / 16) * (size_t) n_blocks + (size_t) block) *
									   LM_TILE_BLOCK,
							   x + (size_t) line * k + block * 32, (size_t) k,
							   lines - line < 16 ? lines - line : 16,
							   k - block * 32 < 32 ? k - block * 32 : 32, packing);
	return packed;
}

static void
test_product(const LmTiles *kernel, const LmTiles *twin, int m, int n, int k, float deviation)
{
	float *x = random_floats((size_t) m * k, deviation, 1),
		  *w = random_floats((size_t) n * k, deviation, 2);
	int n_blocks = lm_tile_blocks(k), rows = (m + 31) / 32 * 32, columns = (n + 31) / 32 * 32;
	uint16_t *a = pack_operand(x, m, k, LM_TILE_ALONG),
			 *b = pack_operand(w, n, k, LM_TILE_ALONG_TURNED);
	size_t tile = (size_t) n_blocks * LM_TILE_BLOCK, count = (size_t) rows * columns;
	float *got = test_scratch(count * sizeof(float)), *wanted = test_scratch(count * sizeof(float));
	double worst = 0;

	for (int add = 0; add < 2; add++)
	{
		kernel->multiply(got, (size_t) columns, a, tile, b, tile, rows / 16, columns / 16, n_blocks,
						 add);
		twin->multiply(wanted, (size_t) columns, a, tile, b, tile, rows / 16, columns / 16,
					   n_blocks, add);
		ok(same_bits(got, wanted, count),
		   "%s: %d x %d over %d of deviation %g, %s: the bits of its twin", kernel->name, m, n, k,
		   deviation, add ? "added" : "from zero");
	}
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
		{
			double sum = 0;

			for (int p = 0; p < k; p++)
				sum += 2.0 * lm_bf16_to_float(lm_bf16_from_float(x[(size_t) i * k + p])) *
					   lm_bf16_to_float(lm_bf16_from_float(w[(size_t) j * k + p]));
			sum = fabs(sum - wanted[(size_t) i * columns + j]);
			worst = sum > worst ? sum : worst;
		}
	ok(worst <= 1e-6 * k * (double) deviation * deviation + 1e-36,
	   "%s: %d x %d over %d agrees with sums in float64", twin->name, m, n, k);
	free(x);
	free(w);
	free(a);
	free(b);
	free(got);
	free(wanted);
}

static void
test_finish(const LmTiles *kernel)
{
	float *sums = test_scratch(40 * 48 * sizeof(float)), *bias = random_floats(48, 1, 3);
	float *got = random_floats(40 * 50, 1, 4), *wanted = copy_floats(got, 40 * 50);

	lm_random_normal(sums, 40 * 48, 1, lm_key(7, LM_RANDOM_INIT, 0, 0));
	for (int i = 0; i < 4; i++)
		for (int n = 1; n <= 48; n += 5)
		{
			LmTileFinish finish = {got, 50, i % 2 ? bias : NULL, i / 2};

			kernel->finish(&finish, sums, 48, n % 40, n);
			finish.y = wanted;
			lm_f32_plain_finish(&finish, sums, 48, n % 40, n);
		}
	ok(same_bits(got, wanted, 40 * 50), "%s finishes sums as plain C does", kernel->name);
	free(sums);
	free(bias);
	free(got);
	free(wanted);
}

int
main(void)
{
	static const char *const names[] = {"avx512_bf16", "amx", "plain avx512_bf16", "plain amx"};
	static const LmTiles *const twins[] = {&lm_bf16_plain_avx512, &lm_bf16_plain_amx,
										   &lm_bf16_plain_avx512, &lm_bf16_plain_amx};

	test_rounding();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
	{
		const LmTiles *kernel = lm_bf16_named(names[i]);

		if (!kernel)
		{
			ok(i < 2, "%s does not run on this machine", names[i]);
			continue;
		}
		test_packing(kernel);
		test_finish(kernel);
		test_product(kernel, twins[i], 1, 1, 1, 1);
		test_product(kernel, twins[i], 1, 33, 7, 1);
		test_product(kernel, twins[i], 31, 17, 65, 1);
		test_product(kernel, twins[i], 64, 96, 200, 1);
		test_product(kernel, twins[i], 40, 40, 64, 1e-19f);
		test_product(kernel, twins[i], 40, 40, 64, 1e-37f);
	}
	ok(lm_bf16_named("none") == NULL, "a kernel that does not exist is not found");
	return done_testing();
}

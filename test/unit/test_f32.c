/*
 * test/unit/test_f32.c
 *
 * Products of float32 tiles: packing, sums and ends of products against plain C, bit by bit.
 */
#include "kernels.h"
#include "kernels/f32.h"

static void
test_packing(const LmTiles *kernel)
{
	_Alignas(64) float got[LM_TILE_BLOCK], wanted[LM_TILE_BLOCK];
	float *from = random_floats(32 * 40, 1, 1);

	for (int packing = LM_TILE_ALONG; packing <= LM_TILE_ACROSS_TURNED; packing++)
	{
		int most_lines = packing <= LM_TILE_ALONG_TURNED ? 16 : 32,
			most = packing <= LM_TILE_ALONG_TURNED ? 32 : 16;
		bool agrees = true;

		for (int n_lines = 0; n_lines <= most_lines; n_lines++)
			for (int n = 1; n <= most; n++)
			{
				kernel->pack(got, from, 40, n_lines, n, packing);
				lm_f32_plain.pack(wanted, from, 40, n_lines, n, packing);
				agrees &= memcmp(got, wanted, sizeof got) == 0;
			}
		ok(agrees, "%s packs blocks of every size as plain C does, packing %d", kernel->name,
		   packing);
	}
	free(from);
}

/* Operands that were packed by plain C, m and n multiples of 32. */
static float *
pack_operand(const float *x, int lines, int k)
{
	int n_blocks = lm_tile_blocks(k);
	float *packed = aligned_alloc(64, lm_tile_count(lines, k) * sizeof *packed);

	for (int line = 0; line < lines; line += LM_TILE)
		for (int block = 0; block < n_blocks; block++)
			lm_f32_plain.pack(packed +
								  ((size_t) (line / LM_TILE) * (size_t) n_blocks + (size_t) block) *
									  LM_TILE_BLOCK,
							  x + (size_t) line * k + block * LM_TILE_K, (size_t) k, LM_TILE,
							  k - block * LM_TILE_K < LM_TILE_K ? k - block * LM_TILE_K : LM_TILE_K,
							  LM_TILE_ALONG);
	return packed;
}

static void
test_product(const LmTiles *kernel, int m, int n, int k)
{
	float *x = random_floats((size_t) m * k, 1, 1), *w = random_floats((size_t) n * k, 1, 2);
	float *a = pack_operand(x, m, k), *b = pack_operand(w, n, k);
	size_t tile = (size_t) lm_tile_blocks(k) * LM_TILE_BLOCK, count = (size_t) m * n;
	float *got = test_scratch(count * sizeof(float)), *wanted = test_scratch(count * sizeof(float));
	double worst = 0;

	for (int add = 0; add < 2; add++)
	{
		kernel->multiply(got, (size_t) n, a, tile, b, tile, m / LM_TILE, n / LM_TILE,
						 lm_tile_blocks(k), add);
		lm_f32_plain.multiply(wanted, (size_t) n, a, tile, b, tile, m / LM_TILE, n / LM_TILE,
							  lm_tile_blocks(k), add);
		ok(same_bits(got, wanted, count), "%s: %d x %d over %d, %s: the bits of its twin",
		   kernel->name, m, n, k, add ? "added" : "from zero");
	}
	for (int i = 0; i < m; i++)
		for (int j = 0; j < n; j++)
		{
			double sum = 0;

			for (int p = 0; p < k; p++)
				sum += 2.0 * x[(size_t) i * k + p] * w[(size_t) j * k + p];
			sum = fabs(sum - got[(size_t) i * n + j]);
			worst = sum > worst ? sum : worst;
		}
	ok(worst <= 2e-6 * k, "%s: %d x %d over %d agrees with sums in float64", kernel->name, m, n, k);
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
			lm_f32_plain.finish(&finish, sums, 48, n % 40, n);
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
	const LmTiles *kernels[] = {&lm_f32_plain, lm_f32_best()};

	for (int i = 0; i < 2; i++)
	{
		if (!kernels[i])
		{
			ok(i == 1, "this machine leaves float32 to the matrix library");
			continue;
		}
		test_packing(kernels[i]);
		test_finish(kernels[i]);
		test_product(kernels[i], 32, 32, 1);
		test_product(kernels[i], 32, 96, 33);
		test_product(kernels[i], 64, 32, 200);
		ok(lm_f32_named(kernels[i]->name) == kernels[i], "%s is found by its name",
		   kernels[i]->name);
	}
	ok(lm_f32_named("none") == NULL, "a kernel that does not exist is not found");
	return done_testing();
}

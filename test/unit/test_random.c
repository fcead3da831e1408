/*
 * test/unit/test_random.c
 *
 * Philox against the known answers of its authors, and what is drawn from it.
 */
#include "kernels.h"

static void
test_known_answers(void)
{
	/* kat_vectors of Random123 (Salmon et al. 2011), philox4x32 10 */
	static const struct
	{
		uint32_t counter[4];
		uint32_t key[2];
		uint32_t out[4];
	} vectors[] = {
		{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
		 {0xffffffff, 0xffffffff},
		 {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
		 {0xa4093822, 0x299f31d0},
		 {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};

	for (int i = 0; i < 3; i++)
	{
		const uint32_t *counter = vectors[i].counter;
		uint32_t out[4];

		lm_random(out, (LmKey){{vectors[i].key[0], vectors[i].key[1]}}, counter[0], counter[1],
				  counter[2], counter[3]);
		ok(memcmp(out, vectors[i].out, sizeof out) == 0, "Philox4x32-10 gives known answer %d",
		   i + 1);
	}
}

static void
test_keys(void)
{
	LmKey keys[] = {lm_key(1, LM_RANDOM_INIT, 0, 0),
					lm_key(2, LM_RANDOM_INIT, 0, 0),
					lm_key(1, LM_RANDOM_ORDER, 0, 0),
					lm_key(1, LM_RANDOM_INIT, 1, 0),
					lm_key(1, LM_RANDOM_INIT, 0, 1),
					lm_key(1, LM_RANDOM_INIT, UINT64_C(1) << 32, 0),
					lm_key(UINT64_C(1) << 32, LM_RANDOM_INIT, 0, 0)};
	int n = sizeof keys / sizeof *keys, n_equal = 0;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < i; j++)
			n_equal += memcmp(&keys[i], &keys[j], sizeof keys[i]) == 0;
	is_int(n_equal, 0, "seed, purpose, step and layer each change the key");
}

static void
test_distributions(void)
{
	enum
	{
		COUNT = 200000
	};
	LmKey key = lm_key(42, LM_RANDOM_SAMPLE, 0, 0);
	double sum = 0, squares = 0, fourth = 0;
	float *x = malloc(COUNT * sizeof *x), *part = malloc(COUNT * sizeof *x);
	bool in_range = true;

	for (uint32_t i = 0; i < COUNT; i++)
	{
		double u = lm_random_uniform(key, i, 7, 9);

		in_range &= u >= 0 && u < 1;
		sum += u;
		squares += u * u;
	}
	ok(in_range, "uniform numbers are in [0, 1)");
	is_near(sum / COUNT, 0.5, 0.003, "uniform numbers have mean 1/2");
	is_near(squares / COUNT, 1.0 / 3, 0.003, "uniform numbers have mean square 1/3");
	lm_random_normal(x, COUNT, 0.02f, key);
	sum = squares = 0;
	for (int i = 0; i < COUNT; i++)
	{
		double value = x[i] / 0.02;

		sum += value;
		squares += value * value;
		fourth += value * value * value * value;
	}
	is_near(sum / COUNT, 0, 0.01, "normal numbers have mean 0");
	is_near(squares / COUNT, 1, 0.02, "normal numbers have the wanted deviation");
	is_near(fourth / COUNT, 3, 0.1, "normal numbers have kurtosis 3");
	lm_random_normal(part, 101, 0.02f, key);
	ok(same_bits(x, part, 101), "the i-th normal number does not depend on how many are drawn");
	free(x);
	free(part);
}

static void
test_permutation(void)
{
	static const uint64_t sizes[] = {1, 2, 3, 4, 5, 17, 64, 1000, 4097};
	bool bijective = true;
	int n_moved = 0, n_differ = 0;

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
	{
		char *seen = calloc(sizes[s], 1);

		for (uint64_t i = 0; i < sizes[s]; i++)
		{
			uint64_t j = lm_random_permute(lm_key(5, LM_RANDOM_ORDER, 0, 0), i, sizes[s]);

			bijective &= j < sizes[s] && !seen[j];
			if (j < sizes[s])
				seen[j] = 1;
		}
		free(seen);
	}
	ok(bijective, "a permutation is a bijection for sizes 1 to 4097");
	for (uint64_t i = 0; i < 1000; i++)
	{
		uint64_t j = lm_random_permute(lm_key(5, LM_RANDOM_ORDER, 0, 0), i, 1000);

		n_moved += j != i;
		n_differ += j != lm_random_permute(lm_key(6, LM_RANDOM_ORDER, 0, 0), i, 1000);
	}
	ok(n_moved > 980, "a permutation moves nearly all elements");
	ok(n_differ > 980, "another seed gives another permutation");
	ok(lm_random_permute(lm_key(5, LM_RANDOM_ORDER, 0, 0), 3, UINT64_C(1) << 60) < UINT64_C(1)
																					   << 60,
	   "a permutation of 2^60 elements stays in range");
}

static void
test_masks(void)
{
	enum
	{
		ROWS = 60,
		C = 200
	};
	int32_t examples[ROWS], positions[ROWS];
	LmDropout dropout = {0.25f, lm_key(9, LM_RANDOM_MLP_DROPOUT, 3, 2), examples, positions};
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);

	for (int i = 0; i < ROWS; i++)
	{
		examples[i] = i / 13;
		positions[i] = i % 13;
	}
	for (int s = 0; s < n_simds; s++)
	{
		bool equal = true;

		for (int row = 0; row < ROWS; row++)
		{
			float mask[256];
			LmMaskRow place = {
				dropout.key, (uint32_t) positions[row], (uint32_t) examples[row], 3, 16384,
				1 / 0.75f};

			simds[s]->dropout_mask(mask, &place, 64, C);
			for (int c = 0; c < C; c++)
				equal &= mask[c] == naive_mask(&dropout, row, 64 + c, 3);
		}
		ok(equal, "%s: masks are those of the scalar generator", simds[s]->name);
	}
}

static void
test_dropout(void)
{
	enum
	{
		ROWS = 300,
		C = 130
	};
	int32_t examples[ROWS], positions[ROWS];
	LmDropout dropout = {0.1f, lm_key(9, LM_RANDOM_MLP_DROPOUT, 3, 2), examples, positions};
	LmEngine *engine = test_engine(2, "");
	float *x = random_floats(ROWS * C, 1, 1), *whole = zero_array(ROWS * C),
		  *parts = copy_floats(x, ROWS * C);
	float *sum = random_floats(ROWS * C, 1, 2), *branch = random_floats(ROWS * C, 1, 2);
	float *normal = zero_array(ROWS * C), *wanted = zero_array(ROWS * C),
		  *weight = random_floats(C, 1, 3);
	float mean[ROWS], rstd[ROWS], wanted_mean[ROWS], wanted_rstd[ROWS];
	LmResidual residual = {sum, x, branch, &dropout};
	int n_dropped = 0;
	bool scaled = true, added = true;

	for (int i = 0; i < ROWS; i++)
	{
		examples[i] = i / 50;
		positions[i] = i % 50;
	}
	lm_dropout(engine, whole, x, &dropout, ROWS, C);
	for (int i = 0; i < ROWS * C; i++)
	{
		n_dropped += whole[i] == 0;
		scaled &= whole[i] == 0 || fabs(whole[i] - x[i] / 0.9) < 1e-4 * fabs(x[i]);
	}
	/* 39,000 draws: one standard deviation is 59 */
	is_near(n_dropped, 0.1 * ROWS * C, 300, "dropout drops the wanted share");
	ok(scaled, "what is kept is scaled by 1 / (1 - rate)");
	for (int first = 0; first < ROWS; first += 70)
	{
		LmDropout part = dropout;

		part.examples += first;
		part.positions += first;
		lm_dropout(engine, parts + first * C, parts + first * C, &part,
				   first + 70 > ROWS ? ROWS - first : 70, C);
	}
	ok(same_bits(whole, parts, ROWS * C), "rows cut into micro-batches get the same mask");
	lm_residual_norm_forward(engine, normal, mean, rstd, &residual, weight, NULL, ROWS, C, 1e-5f,
							 LM_LAYERNORM);
	for (int i = 0; i < ROWS * C; i++)
		added &= fabs(sum[i] - (x[i] + naive_mask(&dropout, i / C, i % C, 0) * branch[i])) < 1e-5;
	ok(added, "a residual connection adds the masked branch");
	lm_norm_forward(engine, wanted, wanted_mean, wanted_rstd, sum, weight, NULL, ROWS, C, 1e-5f,
					LM_LAYERNORM);
	ok(same_bits(normal, wanted, ROWS * C) && same_bits(mean, wanted_mean, ROWS) &&
		   same_bits(rstd, wanted_rstd, ROWS),
	   "and normalises the sum as if it came from memory");
	dropout.rate = 0;
	lm_residual_norm_forward(engine, normal, NULL, NULL, &residual, weight, NULL, ROWS, C, 1e-5f,
							 LM_LAYERNORM);
	for (int i = 0; i < ROWS * C; i++)
		added &= sum[i] == x[i] + branch[i];
	ok(added, "without dropout it adds the branch");
	lm_residual_norm_forward(engine, branch, NULL, NULL, &residual, weight, NULL, ROWS, C, 1e-5f,
							 LM_LAYERNORM);
	ok(same_bits(normal, branch, ROWS * C), "the norm may take the branch's place");
	memcpy(parts, x, ROWS * C * sizeof *x);
	lm_dropout(engine, parts, parts, &dropout, ROWS, C);
	ok(same_bits(parts, x, ROWS * C), "rate 0 changes nothing");
	free(x);
	free(whole);
	free(parts);
	free(sum);
	free(branch);
	free(normal);
	free(wanted);
	free(weight);
	lm_engine_stop(engine);
}

int
main(void)
{
	test_known_answers();
	test_keys();
	test_distributions();
	test_permutation();
	test_masks();
	test_dropout();
	return done_testing();
}

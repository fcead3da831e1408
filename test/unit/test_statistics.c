/*
 * test/unit/test_statistics.c
 *
 * Distances of samples and their probabilities: against values of SciPy 1.10, and against how often
 * samples of one distribution are that far apart.
 */
#include "engine/random.h"
#include "engine/statistics.h"
#include "tap.h"

#define TRIALS 2000
#define KEPT 256

static TapHost tap;
static LmHost host;
static LmKey key;
static uint32_t drawn;

static double
uniform(void)
{
	return lm_random_uniform(key, drawn++, 0, 0);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Sorted numbers, uniform from shift on; whole numbers below `distinct` where that is not 0. */
static void
sample(double *out, int n, double shift, int distinct)
{
	for (int i = 0; i < n; i++)
		out[i] = distinct > 0 ? floor((uniform() + shift) * distinct) : uniform() + shift;
	qsort(out, (size_t) n, sizeof(double), compare);
}

static void
check_known(void)
{
	static const double a[] = {0.1, 0.4, 0.4, 0.7, 1.3, 2.0, 2.2};
	static const double b[] = {0.2, 0.4, 1.5, 1.9, 2.6, 3.0, 3.1, 3.3, 4.0};
	static const double p[] = {10, 20, 30, 40};
	static const double q[] = {5, 25, 0, 70};
	static const struct
	{
		double x;
		double degrees;
		double wanted;
	} tails[] = {{3.84, 1.0, 0.05004352124870519},
				 {0.5, 2.5, 0.8638836284585889},
				 {300.0, 256.0, 0.03058993509924451},
				 {256.0, 256.0, 0.4882455490958771},
				 {10.0, 100.0, 1.0},
				 {10000.0, 9800.0, 0.07726359533787348},
				 {400.0, 256.5, 2.351173366584e-08},
				 {0.001, 0.3, 0.6572981223265579}};
	double parts = 0;

	is_near(lm_ks_distance(a, 7, b, 9), 0.5555555555555556, 1e-12,
			"the distance of two samples is SciPy's");
	is_near(lm_ks_distance(b, 9, a, 7), 0.5555555555555556, 1e-12, "in either order");
	ok(lm_ks_distance(a, 0, b, 9) == 0 && lm_ks_distance(a, 7, a, 7) == 0,
	   "and 0 of an empty one, and of the same");
	is_near(lm_ks_probability(0.1, 200, 300), 0.1712208163870983, 1e-9,
			"a distance of 0.1 of 200 and 300 numbers");
	is_near(lm_ks_probability(0.05, 1000, 1000), 0.15955408974378785, 1e-9,
			"a distance of 0.05 of 1000 and 1000 numbers");
	is_near(lm_ks_probability(0.02, 100, 100), 1.0, 1e-9,
			"a distance of 0.02 of 100 and 100 numbers");
	is_near(lm_ks_probability(0.3, 50, 80), 0.005928024057618441, 1e-9,
			"a distance of 0.3 of 50 and 80 numbers");
	ok(lm_ks_probability(0.5, 0, 10) == 1 && lm_ks_probability(0, 10, 10) == 1,
	   "no numbers and no distance are no sign");
	for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++)
	{
		double got = lm_chi_squared_probability(tails[i].x, tails[i].degrees);

		ok(fabs(got / tails[i].wanted - 1) < 1e-8, "chi-squared of %g with %g degrees", tails[i].x,
		   tails[i].degrees);
	}
	for (int i = 0; i < 4; i++)
		parts += lm_psi_part(p[i], q[i], 100, 100, 4);
	is_near(lm_psi(p, q, 4), 1.414509231873496, 1e-12, "the index of four shares");
	is_near(parts, lm_psi(p, q, 4), 1e-12, "is the sum of its parts");
	ok(lm_psi(p, p, 4) == 0, "and 0 of the same shares");
}

/* Quantiles of samples of any size, with and without equal numbers. */
static void
check_kept(void)
{
	double a[700];
	double b[900];
	double kept[KEPT + 1];
	double worst_above = 0;
	double worst_below = 0;
	bool shares = true;

	for (int trial = 0; trial < 300; trial++)
	{
		int n = 1 + (int) (uniform() * 699);
		int m = 1 + (int) (uniform() * 899);
		int distinct = trial % 3 == 0 ? 20 : 0;
		double full, short_of;

		sample(a, n, 0, distinct);
		sample(b, m, trial % 2 * 0.1, distinct);
		lm_quantiles(kept, KEPT, a, (size_t) n);
		full = lm_ks_distance(a, (size_t) n, b, (size_t) m);
		short_of = full - lm_ks_distance_kept(kept, KEPT, b, (size_t) m);
		worst_above = fmax(worst_above, -short_of);
		worst_below = fmax(worst_below, short_of);
		for (int i = 0; i < m; i += 50)
		{
			int below = 0;

			for (int k = 0; k < n; k++)
				below += a[k] <= b[i];
			shares &= fabs(lm_quantiles_share(kept, KEPT, b[i]) - (double) below / n) <=
					  1.0 / KEPT + 1e-12;
		}
	}
	ok(worst_above < 1e-12, "a distance by quantiles is at most the true one");
	ok(worst_below <= 1.0 / KEPT + 1e-12, "and short of it by at most 1/%d", KEPT);
	ok(shares, "shares by quantiles are as exact");
}

/* Of samples of one distribution, a share of p has a probability below p. */
static void
check_ks_chance(int n, int m)
{
	double a[400];
	double b[400];
	double kept[KEPT + 1];
	int below[2] = {0, 0};

	for (int trial = 0; trial < tap_repeat(TRIALS); trial++)
	{
		sample(a, n, 0, 0);
		sample(b, m, 0, 0);
		lm_quantiles(kept, KEPT, a, (size_t) n);
		below[0] += lm_ks_probability(lm_ks_distance(a, (size_t) n, b, (size_t) m), n, m) < 0.05;
		below[1] += lm_ks_probability(lm_ks_distance_kept(kept, KEPT, b, (size_t) m), n, m) < 0.05;
	}
	ok(below[0] < tap_repeat(TRIALS) * 0.07 && below[0] > tap_repeat(TRIALS) * 0.025,
	   "of %d and %d numbers of one distribution %d of %d have p < 0.05", n, m, below[0],
	   tap_repeat(TRIALS));
	ok(below[1] <= below[0], "with quantiles not more: %d", below[1]);
}

#define ROWS 250
#define ENTRIES 20
#define CATEGORIES 30

/*
 * Rows of many counts: each has its own favourite category, so that counts of a row are like each
 * other.
 */
static void
draw_texts(LmShareRows *rows, size_t *starts, uint16_t *categories, float *counts, int n)
{
	for (int row = 0; row <= n; row++)
		starts[row] = (size_t) row * ENTRIES;
	for (int i = 0; i < n * ENTRIES; i++)
	{
		static double favourite;

		if (i % ENTRIES == 0)
			favourite = uniform();
		categories[i] = (uint16_t) (CATEGORIES * (uniform() < 0.5 ? favourite : uniform()));
		counts[i] = 1;
	}
	*rows = (LmShareRows){(size_t) n, CATEGORIES, starts, categories, counts};
}

static void
add_up(double *sums, const LmShareRows *rows)
{
	memset(sums, 0, CATEGORIES * sizeof(double));
	for (size_t i = 0; i < rows->starts[rows->n_rows]; i++)
		sums[rows->categories[i]] += rows->counts[i];
}

static void
check_noise(void)
{
	static size_t starts[2][ROWS + 1];
	static uint16_t categories[2][ROWS * ENTRIES];
	static float counts[2][ROWS * ENTRIES];
	static double sums[2][CATEGORIES];
	LmShareRows rows[2];
	LmNoise noise, again;
	LmError error;
	int below = 0;
	int naive = 0;
	LmNoise single = {CATEGORIES - 1, 2 * (CATEGORIES - 1)};
	int trials = tap_repeat(160);

	for (int trial = 0; trial < trials; trial++)
	{
		double index;

		for (int side = 0; side < 2; side++)
		{
			draw_texts(&rows[side], starts[side], categories[side], counts[side],
					   ROWS - side * 150);
			add_up(sums[side], &rows[side]);
		}
		if (!lm_noise_measure(&noise, &rows[0], 1, &host, &error))
			ok(false, "%s", error.message);
		index = lm_psi(sums[0], sums[1], CATEGORIES);
		if (!lm_noise_measure(&again, &rows[1], 1, &host, &error))
			ok(false, "%s", error.message);
		below +=
			lm_psi_probability(index, lm_noise_of_index(ROWS, noise, ROWS - 150, again)) < 0.05;
		naive +=
			lm_psi_probability(index, lm_noise_of_index(ROWS * ENTRIES, single,
														(ROWS - 150) * ENTRIES, single)) < 0.05;
	}
	ok(below <= trials / 9, "of texts of one distribution %d of %d have p < 0.05", below, trials);
	ok(naive > trials / 2, "which without the noise of texts are %d", naive);
	ok(lm_noise_measure(&again, &rows[0], 1, &host, &error) && again.mean == noise.mean &&
		   again.variance == noise.variance,
	   "the noise follows from rows and seed");
	tap.stop = true;
	ok(!lm_noise_measure(&noise, &rows[0], 1, &host, &error) && error.code == LM_ERR_STOPPED,
	   "measuring it is stopped");
	tap.stop = false;
	tap.fail_after = 0;
	ok(!lm_noise_measure(&noise, &rows[0], 1, &host, &error) && error.code == LM_ERR_MEMORY,
	   "and fails without memory");
	tap.fail_after = -1;
	is_int(tap.live, 0, "nothing is left allocated");
}

/* One category a row: the index is a chi-squared variable. */
static void
check_single(void)
{
	size_t starts[ROWS + 1];
	uint16_t categories[ROWS];
	float counts[ROWS];
	LmShareRows rows = {ROWS, 10, starts, categories, counts};
	LmNoise nine = {9, 18};
	LmNoise noise = {0, 0};
	LmError error;

	for (int i = 0; i <= ROWS; i++)
		starts[i] = (size_t) i;
	for (int i = 0; i < ROWS; i++)
	{
		categories[i] = (uint16_t) (i % 10);
		counts[i] = 1;
	}
	if (!lm_noise_measure(&noise, &rows, 3, &host, &error))
		ok(false, "%s", error.message);
	ok(fabs(noise.mean - 9) < 1.5, "labels of ten kinds have a noise of 9: %.3g", noise.mean);
	is_near(
		lm_psi_probability(16.92 * (1.0 / 100 + 1.0 / 50), lm_noise_of_index(100, nine, 50, nine)),
		0.05, 1e-3, "which is that of a chi-squared variable");
	for (int i = 0; i < ROWS; i++)
		categories[i] = 0;
	ok(lm_noise_measure(&noise, &rows, 3, &host, &error) && noise.mean == 1 && noise.variance == 2,
	   "one category has the noise of two");
	ok(lm_psi_probability(1, (LmNoise){0, 0}) == 1, "no noise is no sign");
}

int
main(void)
{
	host = tap_host(&tap);
	key = lm_key(1, LM_RANDOM_RESAMPLE, 0, 0);
	check_known();
	check_kept();
	check_ks_chance(300, 400);
	check_ks_chance(40, 60);
	check_noise();
	check_single();
	return done_testing();
}

/*
 * test/unit/test_resample.c
 *
 * Measures of sums over rows, their intervals and the probabilities of differences: against values
 * of the papers' formulas by hand, plain loops over all pairs of rows, and how often intervals of
 * samples have the truth.
 */
#include "engine/overlap.h"
#include "engine/random.h"
#include "engine/resample.h"
#include "engine/roc.h"
#include "engine/statistics.h"
#include "tap.h"

#define MOST 400
#define COLUMNS 4 /* weight, tokens, loss, right */
#define SAMPLES 300

static TapHost tap;
static LmHost host;
static LmKey key;
static uint32_t drawn;
static LmError error;

static const LmMetric metrics[] = {{"loss", LM_METRIC_RATIO, 2, 1, 0},
								   {"perplexity", LM_METRIC_EXP, 2, 1, 0},
								   {"accuracy", LM_METRIC_SHARE, 3, 0, 0}};
#define N_METRICS ((int) (sizeof metrics / sizeof metrics[0]))

static double
uniform(void)
{
	return lm_random_uniform(key, drawn++, 1, 2);
}

static double
normal(void)
{
	return sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* ---- Measures ----------------------------------------------------------- */

static void
check_sums(void)
{
	/* weight, squared error, number, its square */
	static const double numbers[] = {1, 1, 2, 4, 2, 0.5, 0, 0, 1, 3, 5, 25};
	/* rows of labels 0, 1, 1, 1 that were given 0, 1, 0, 1; then two parts of a calibration */
	static const double weights[] = {1, 1, 1, 1};
	static const size_t starts[] = {0, 4, 8, 11, 15};
	static const uint32_t places[] = {2, 3, 4, 0, 5, 6, 7, 1, 6, 4, 0, 5, 6, 7, 1};
	static const double values[] = {1, 1, 1, -0.25, 1, 1, 1, -0.125, 1, 1, 0.75, 1, 1, 1, -0.125};
	const LmScores regression = {.n = 3, .n_columns = 4, .columns = numbers};
	const LmScores labels = {4, 1, 8, weights, starts, places, values};
	const LmMetric root = {"rmse", LM_METRIC_ROOT, 1, 0, 0};
	const LmMetric r2 = {"r2", LM_METRIC_R2, 1, 0, 0};
	const LmMetric macro = {"macro_f1", LM_METRIC_MACRO_F1, 2, 0, 0};
	const LmMetric micro = {"micro_f1", LM_METRIC_MICRO_F1, 2, 0, 0};
	const LmMetric calibration = {"calibration_error", LM_METRIC_CALIBRATION, 2, 0, 0};
	double sums[9];

	lm_scores_sum(sums, &regression);
	is_near(lm_metric_value(&root, sums, &regression), sqrt(4.5 / 4), 1e-12, "a root of a mean");
	is_near(lm_metric_value(&r2, sums, &regression), 1 - 4.5 / (29 - 49.0 / 4), 1e-12, "R2");
	lm_scores_sum(sums, &labels);
	is_near(lm_metric_value(&macro, sums, &labels), (2.0 / 3 + 0.8) / 2, 1e-12,
			"the mean of F1, and of F1 of both labels together");
	is_near(lm_metric_value(&micro, sums, &labels), 0.75, 1e-12, "which is the accuracy");
	is_near(lm_metric_value(&calibration, sums, &labels), (0.5 + 0.25) / 4, 1e-12,
			"the calibration error");
}

/* BLEU and chrF of sums are those of texts that were added to one another. */
static void
check_overlap(void)
{
	static const char *const texts[][2] = {{"the cat sat on the mat", "the cat sat on a mat"},
										   {"he is here today again", "she is here today again"}};
	const LmMetric bleu = {"bleu", LM_METRIC_BLEU, 0, 0, 0};
	const LmMetric chrf = {"chrf", LM_METRIC_CHRF, 0, 0, 0};
	LmOverlap all = {{0}};
	LmOverlap rows[2] = {{{0}}};
	LmScores scores = {.n = 2, .n_columns = sizeof(LmOverlap) / sizeof(double)};
	double sums[sizeof(LmOverlap) / sizeof(double)];

	for (int i = 0; i < 2; i++)
	{
		LmBytes found = {texts[i][0], strlen(texts[i][0])};
		LmBytes wanted = {texts[i][1], strlen(texts[i][1])};

		(void) lm_overlap_add(&all, &host, found, wanted, 1, &error);
		(void) lm_overlap_add(&rows[i], &host, found, wanted, 1, &error);
	}
	scores.columns = (const double *) rows;
	lm_scores_sum(sums, &scores);
	ok(lm_metric_value(&bleu, sums, &scores) == lm_overlap_bleu(&all) && lm_overlap_bleu(&all) > 20,
	   "BLEU of sums over rows is that of the corpus");
	ok(lm_metric_value(&chrf, sums, &scores) == lm_overlap_chrf(&all), "and chrF");
}

static void
check_shares(void)
{
	LmInterval interval = lm_share_interval(0.8, 100);

	/* by the formula of Wilson 1927 */
	is_near(interval.low, 0.711170834, 1e-8, "the low end of 80 of 100");
	is_near(interval.high, 0.866633066, 1e-8, "and the high one");
	interval = lm_share_interval(1, 20);
	ok(interval.high == 1 && interval.low > 0.8 && interval.low < 0.9, "all of 20 leave a doubt");
	is_near(lm_mcnemar(2, 8), 0.109375, 1e-12, "2 against 8 pairs: the binomial's two tails");
	is_near(lm_mcnemar(8, 2), 0.109375, 1e-12, "either way");
	ok(lm_mcnemar(0, 0) == 1 && lm_mcnemar(7, 7) == 1, "no difference is no sign");
	is_near(lm_mcnemar(10, 20), 0.070755545981, 1e-9, "10 against 20: mid-p");
	ok(fabs(lm_mcnemar(4900, 5100) / lm_mcnemar(4901, 5101) - 1) < 0.01,
	   "many pairs have nearly the same by the chi-squared distribution");
}

/* ---- Intervals ---------------------------------------------------------- */

/* Rows of a model: losses of 20 tokens or so, and whether it is right. */
static void
draw_rows(double *rows, double *other, int n, double gain)
{
	for (int i = 0; i < n; i++)
	{
		double tokens = 5 + floor(30 * uniform());
		double shared = fabs(normal());
		double *both[] = {rows + i * COLUMNS, other + i * COLUMNS};

		for (int k = 0; k < 2; k++)
		{
			both[k][0] = 1;
			both[k][1] = tokens;
			both[k][2] = tokens * (2 + shared + 0.3 * normal() - (k == 1 ? gain : 0));
			both[k][3] = shared + 0.5 * normal() < 1 + (k == 1 ? gain : 0);
		}
	}
}

static void
check_known(void)
{
	double rows[2][3 * COLUMNS];
	LmScores a = {.n = 3, .n_columns = COLUMNS, .columns = rows[0]};
	LmScores b = a;
	LmInterval first[N_METRICS], second[N_METRICS];

	b.columns = rows[1];
	draw_rows(rows[0], rows[1], 3, 0.1);
	(void) lm_bootstrap(first, &a, &a, metrics, N_METRICS, SAMPLES, 1, &host, &error);
	ok(first[0].low == 0 && first[0].high == 0 && first[0].p == 1, "a model against itself");
	(void) lm_bootstrap(first, &a, &b, metrics, N_METRICS, SAMPLES, 1, &host, &error);
	(void) lm_bootstrap(second, &a, &b, metrics, N_METRICS, SAMPLES, 1, &host, &error);
	ok(memcmp(first, second, sizeof first) == 0, "the same seed gives the same intervals");
	(void) lm_bootstrap(second, &a, &b, metrics, N_METRICS, SAMPLES, 2, &host, &error);
	ok(memcmp(first, second, sizeof first) != 0, "another one others");
	a.n = 1;
	ok(lm_bootstrap(first, &a, NULL, metrics, N_METRICS, SAMPLES, 1, &host, &error) &&
		   isnan(first[0].low),
	   "one row has no interval");
}

/* How often intervals have the truth, and how p is distributed where there is no difference. */
static void
check_chance(int n, int trials)
{
	double *rows[2];
	double *p = malloc((size_t) trials * sizeof(double));
	int inside[2 * N_METRICS] = {0};
	double least = tap_is_sanitized() ? 0.88 : 0.92; /* share of the trials; there are few */
	double most = tap_is_sanitized() ? 1 : 0.98;
	/* of the distribution: loss, its exponential, and the share that is right */
	double loss = 2 + sqrt(2 / M_PI);
	double distance;

	for (int k = 0; k < 2; k++)
		rows[k] = malloc((size_t) n * COLUMNS * sizeof(double));
	for (int trial = 0; trial < trials; trial++)
	{
		LmScores a = {.n = (size_t) n, .n_columns = COLUMNS, .columns = rows[0]};
		LmScores b = a;
		LmInterval interval[N_METRICS];

		b.columns = rows[1];
		draw_rows(rows[0], rows[1], n, 0);
		(void) lm_bootstrap(interval, &a, &b, metrics, N_METRICS, SAMPLES, 7, &host, &error);
		p[trial] = interval[0].p;
		for (int i = 0; i < N_METRICS; i++)
			inside[i] += interval[i].low <= 0 && interval[i].high >= 0;
		(void) lm_bootstrap(interval, &a, NULL, metrics, N_METRICS, SAMPLES, 7, &host, &error);
		inside[N_METRICS] += interval[0].low <= loss && interval[0].high >= loss;
		inside[N_METRICS + 1] += interval[1].low <= exp(loss) && interval[1].high >= exp(loss);
	}
	for (int i = 0; i < N_METRICS; i++)
		ok(inside[i] >= least * trials && inside[i] <= most * trials,
		   "%d of %d intervals of a difference in %s have the truth", inside[i], trials,
		   metrics[i].name);
	for (int i = 0; i < 2; i++)
		ok(inside[N_METRICS + i] >= least * trials && inside[N_METRICS + i] <= most * trials,
		   "%d of %d intervals of a %s have the truth", inside[N_METRICS + i], trials,
		   metrics[i].name);
	qsort(p, (size_t) trials, sizeof(double), compare);
	distance = 0;
	for (int i = 0; i < trials; i++)
		distance = fmax(distance, fabs(p[i] - (i + 0.5) / trials));
	ok(distance < 1.63 / sqrt(trials), "and p of equal models is uniform: %.3f away", distance);
	for (int k = 0; k < 2; k++)
		free(rows[k]);
	free(p);
}

/* ---- ROC ---------------------------------------------------------------- */

/* By all pairs of a row with the label and one without: DeLong's equations. */
static void
all_pairs(double *area, double *variance, const float *scores, const uint8_t *positive, int n)
{
	double parts[MOST] = {0};
	double counts[2] = {0};
	double squares[2] = {0};

	*area = 0;
	for (int i = 0; i < n; i++)
		counts[positive[i]]++;
	for (int i = 0; i < n; i++)
	{
		for (int k = 0; k < n; k++)
		{
			double right = scores[i] > scores[k] ? 1 : scores[i] == scores[k] ? 0.5 : 0;

			if (positive[i] == positive[k])
				continue;
			parts[i] += (positive[i] ? right : 1 - right) / counts[!positive[i]];
		}
		*area += positive[i] ? parts[i] / counts[1] : 0;
	}
	for (int i = 0; i < n; i++)
		squares[positive[i]] += (parts[i] - *area) * (parts[i] - *area);
	*variance = squares[0] / (counts[0] - 1) / counts[0] + squares[1] / (counts[1] - 1) / counts[1];
}

static void
check_roc(void)
{
	static const float known[] = {0.1f, 0.4f, 0.35f, 0.8f, 0.8f};
	static const uint8_t labels[] = {0, 0, 1, 1, 0};
	static const double weights[] = {1, 1, 2, 1, 1};
	static const uint8_t twice[] = {0, 0, 1, 1, 1, 0};
	static const float more[] = {0.1f, 0.4f, 0.35f, 0.35f, 0.8f, 0.8f};
	const LmRocRows rows = {5, known, labels, 1, NULL};
	const LmRocRows weighed = {5, known, labels, 1, weights};
	const LmRocRows repeated = {6, more, twice, 1, NULL};
	const LmRocRows none = {2, known, labels, 1, NULL};
	float scores[MOST];
	uint8_t positive[MOST];
	double influence[MOST] = {0};
	double area, variance, wanted;
	LmRoc roc, other;

	(void) lm_roc(&roc, NULL, 1, &rows, &host, &error);
	is_near(roc.area, 3.5 / 6, 1e-12, "the area is the share of pairs in the right order");
	ok(roc.threshold == (double) 0.35f, "the best threshold leaves the lowest row out");
	is_near(roc.f1, 2.0 / 3, 1e-12, "and its F1");
	(void) lm_roc(&roc, NULL, 1, &weighed, &host, &error);
	(void) lm_roc(&other, NULL, 1, &repeated, &host, &error);
	ok(roc.area == other.area && roc.f1 == other.f1, "a row of weight 2 is two rows");
	(void) lm_roc(&roc, NULL, 1, &none, &host, &error);
	ok(isnan(roc.area), "without both kinds of rows there is none");
	for (int i = 0; i < MOST; i++)
	{
		positive[i] = uniform() < 0.3;
		scores[i] = (float) (floor(20 * (uniform() + 0.3 * positive[i])) / 20);
	}
	(void) lm_roc(&roc, influence, 1, &(LmRocRows){MOST, scores, positive, 1, NULL}, &host, &error);
	all_pairs(&area, &wanted, scores, positive, MOST);
	variance = 0;
	for (int i = 0; i < MOST; i++)
		variance += influence[i] * influence[i];
	is_near(roc.area, area, 1e-12, "the area of many rows is that of all pairs");
	is_near(variance / wanted, 1, 1e-9, "and its variance DeLong's");
}

int
main(void)
{
	host = tap_host(&tap);
	key = lm_key(3, LM_RANDOM_RESAMPLE, 0, 0);
	check_sums();
	check_overlap();
	check_shares();
	check_known();
	check_chance(200, tap_is_sanitized() ? 100 : 400);
	check_roc();
	return done_testing();
}

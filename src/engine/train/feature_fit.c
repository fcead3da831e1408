/*
 * src/engine/train/feature_fit.c
 *
 * The linear part of a classifier: chooses the cost of an error, learns all training rows, and adds
 * the log-odds of naive Bayes where they help (after Wang and Manning 2012, "Baselines and bigrams:
 * simple, good sentiment and topic classification"): both are weights of the same features, so
 * their sum is one table.
 */
#include <math.h>

#include "text/array.h"
#include "text/utf8.h"
#include "train/blend.h"
#include "train/ridge.h"

#define LEAST_ROWS 40 /* below, and with fewer rows for each label, nothing is chosen */
#define LEAST_ROWS_PER_LABEL 5
/* passes over the rows, at most; fewer where the work of all would be above a bound */
#define MOST_PASSES 30
#define LEAST_PASSES 12
#define MOST_PASSES_WORK 4e9
/* Labels times entries of rows, each of which costs about as much as some entries more. */
#define ROW_ENTRIES 16
/* the first rows, as many as that and with as many entries, choose the cost */
#define MOST_CHOICE_WORK 1e8
#define MOST_CHOICE_ENTRIES ((size_t) 1 << 23)
#define CHOICE_SHARE 0.5 /* of the time that reading leaves */
#define MOST_WORK 4e9 /* rows beyond are left out */
#define LEAST_ENTRIES ((size_t) 1 << 18)
#define HELD_LOGITS ((size_t) 1 << 23) /* of rows that choose */
#define DEFAULT_COST 1.0
#define DEFAULT_SCALE 3.0 /* of margins as logits */
#define EXPECTED_ROWS 10
#define WORK_PER_POLL ((size_t) 1 << 20)
#define NETWORK_SHARE 0.5 /* is expected */

/* The likeliest come first, for the time may be over before the last. */
static const double costs[] = {1, 0.3, 3};
static const double ridge_costs[] = {0.8, 0.4, 1.6, 0.2, 3.2, 0.1};

struct LmFeatureFit
{
	LmEngine *engine;
	LmHost host;
	LmFeatureFitOptions options;
	LmFeatureRows rows;
	LmRowLabels train, validation;
	size_t all_rows; /* training windows, also those without room or time */
	size_t n_validation;
	float *weights; /* [n_features, labels], with margins of about 1 */
	float *alpha; /* [n_train, labels] of weights, while there is room (train/dual.h) */
	double cost;
	double bayes; /* factor of the log-odds */
	double scale; /* of the weights as logits by themselves */
	bool cut; /* by time */
};

/* Scratch of the choice. */
typedef struct Choice
{
	size_t *held; /* [n] training rows */
	size_t n;
	float *margins; /* [n, labels] */
	float *odds;
	float *bayes; /* [n_features, labels] */
} Choice;

static size_t
count_of(const LmFeatureFit *fit)
{
	return fit->rows.n_features * (size_t) fit->options.labels;
}

/* Asks for a stop, not at each row; *work is the caller's. */
static bool
go_on(size_t *work, const LmFeatureFit *fit, size_t row, LmError *error)
{
	*work +=
		(fit->rows.ends[row] - lm_row_begin(&fit->rows, row) + 1) * (size_t) fit->options.labels;
	if (*work < WORK_PER_POLL)
		return true;
	*work = 0;
	return lm_text_go_on(&fit->host, error);
}

/* ---- Weights ------------------------------------------------------------ */

/* The base's weights by margins, in the places of its features and labels; else zeros. */
static void
set_base(float *weights, const LmFeatureFit *fit)
{
	const LmFeatureTable *base = &fit->options.base;
	LmFeatureTable own = {.keys = fit->rows.keys, .n = (int) fit->rows.n_features};
	size_t n = (size_t) fit->options.labels, n_base = (size_t) base->labels;

	memset(weights, 0, count_of(fit) * sizeof *weights);
	/* A base whose linear part has no share says nothing. */
	for (size_t row = 0; row < (size_t) base->n && base->keys[2] > 0; row++)
	{
		size_t to = row == 0 ? 0 : lm_feature_find(&own, lm_feature_key_at(base, row));

		for (size_t k = 0; k < n_base && (row == 0 || to > 0); k++)
			weights[to * n + (size_t) fit->options.base_labels[k]] =
				base->weights[row * n_base + k] / base->keys[2];
	}
}

/*
 * Log-odds of naive Bayes with add-one smoothing: of a feature among the features of the label's
 * rows, and of all others.
 */
static bool
set_bayes(float *weights, const LmFeatureFit *fit, const LmDualOptions *options, LmError *error)
{
	const LmFeatureRows *rows = &fit->rows;
	size_t n = (size_t) fit->options.labels;
	double *totals = lm_array_allocate(&fit->host, rows->n_features + n, sizeof *totals, error);
	double *with = totals ? totals + rows->n_features : NULL, all = 0;
	size_t work = 0;
	bool good = true;

	if (!totals)
		return false;
	memset(weights, 0, count_of(fit) * sizeof *weights);
	for (size_t row = 0; good && row < rows->n_train; row++)
	{
		if (!lm_dual_learns(options, row))
			continue;
		for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
			totals[rows->features[i]]++;
		all += (double) (rows->ends[row] - lm_row_begin(rows, row));
		for (size_t label = 0; label < n; label++)
		{
			bool has = lm_row_has(&fit->train, row, (uint32_t) label);

			for (size_t i = lm_row_begin(rows, row); has && i < rows->ends[row]; i++)
			{
				weights[rows->features[i] * n + label]++;
				with[label]++;
			}
		}
		good = go_on(&work, fit, row, error);
	}
	for (size_t i = 1; good && i < rows->n_features; i++)
		for (size_t label = 0; label < n; label++)
		{
			double in = weights[i * n + label], out = totals[i] - in,
				   smooth = (double) rows->n_features;

			weights[i * n + label] = totals[i] == 0
										 ? 0
										 : (float) (log((in + 1) / (with[label] + smooth)) -
													log((out + 1) / (all - with[label] + smooth)));
		}
	lm_free(&fit->host, totals);
	return good;
}

/* logits [n, labels] of rows, numbered by list or from first on. */
static bool
set_logits(float *logits, const LmFeatureFit *fit, const float *weights, const size_t *list,
		   size_t first, size_t n, LmError *error)
{
	const LmFeatureRows *rows = &fit->rows;
	size_t labels = (size_t) fit->options.labels, work = 0;

	for (size_t i = 0; i < n; i++)
	{
		size_t row = list ? list[i] : first + i;
		float *y = logits + i * labels;

		memcpy(y, weights, labels * sizeof *y);
		for (size_t at = lm_row_begin(rows, row); at < rows->ends[row]; at++)
		{
			const float *w = weights + (size_t) rows->features[at] * labels;
			float value = rows->values[at];

			for (size_t k = 0; k < labels; k++)
				y[k] += value * w[k];
		}
		if (!go_on(&work, fit, row, error))
			return false;
	}
	return true;
}

/* ---- The choice --------------------------------------------------------- */

/* Held-out rows, whose logits have room. */
static size_t
most_logits(const LmFeatureFit *fit)
{
	size_t most = HELD_LOGITS;

	if (fit->options.most_floats > 0 && fit->options.most_floats < most)
		most = fit->options.most_floats;
	return most / (size_t) fit->options.labels + 1;
}

/* The first weights; with dual variables, each fit goes on from the one before. */
static bool
create_weights(LmFeatureFit *fit, LmError *error)
{
	size_t n = fit->rows.n_train * (size_t) fit->options.labels,
		   most = fit->options.most_floats > 0 ? fit->options.most_floats : LM_FIT_FLOATS;

	fit->weights = lm_array_allocate(&fit->host, count_of(fit), sizeof(float), error);
	if (!fit->weights)
		return false;
	set_base(fit->weights, fit);
	if (fit->options.number || n > most)
		return true;
	fit->alpha = lm_array_allocate(&fit->host, n + 1, sizeof(float), error);
	return fit->alpha != NULL;
}

static bool
create_choice(Choice *choice, const LmFeatureFit *fit, const LmDualOptions *options, LmError *error)
{
	size_t most = most_logits(fit);

	choice->held = lm_array_allocate(&fit->host, fit->rows.n_train / LM_DUAL_FOLDS + 1,
									 sizeof *choice->held, error);
	if (!choice->held)
		return false;
	for (size_t row = 0; row < fit->rows.n_train && choice->n < most; row++)
		if (row < options->n_rows && !lm_dual_learns(options, row))
			choice->held[choice->n++] = row;
	choice->margins = lm_array_allocate(&fit->host, choice->n * (size_t) fit->options.labels + 1,
										sizeof(float), error);
	choice->odds = lm_array_allocate(&fit->host, choice->n * (size_t) fit->options.labels + 1,
									 sizeof(float), error);
	choice->bayes = lm_array_allocate(&fit->host, count_of(fit), sizeof(float), error);
	return choice->margins && choice->odds && choice->bayes;
}

/* Notes that the time of a stage is over. */
static bool
is_over(LmFeatureFit *fit, const LmDualOptions *options)
{
	bool over = lm_fit_is_over(options->time, options->until);

	fit->cut = fit->cut || over;
	return over;
}

/* Learns four fifths of the rows at each cost, and keeps the best for the others. */
static bool
compare_costs(LmFeatureFit *fit, Choice *choice, LmDualOptions *options, LmError *error)
{
	bool has_bayes = fit->options.base.n == 0;
	LmBlendRows blend = {.logits = {choice->margins, has_bayes ? choice->odds : NULL},
						 .n = choice->n,
						 .rows = choice->held,
						 .labels = &fit->train};
	double least = INFINITY;

	if (has_bayes)
	{
		if (!set_bayes(choice->bayes, fit, options, error))
			return false;
		if (!set_logits(choice->odds, fit, choice->bayes, choice->held, 0, choice->n, error))
			return false;
	}
	for (size_t i = 0; i < sizeof costs / sizeof *costs && (i == 0 || !is_over(fit, options)); i++)
	{
		double factors[LM_BLEND_MEMBERS] = {DEFAULT_SCALE, has_bayes ? 0.1 : 0}, loss, accuracy;

		options->cost = costs[i];
		if (!fit->alpha)
			set_base(fit->weights, fit);
		if (!lm_dual_fit(fit->weights, fit->engine, &fit->rows, &fit->train, options, error) ||
			!set_logits(choice->margins, fit, fit->weights, choice->held, 0, choice->n, error) ||
			!lm_blend_fit(factors, &loss, &accuracy, &blend, EXPECTED_ROWS, &fit->host, error))
			return false;
		/* Passes that are missing make a cost look bad that is not. */
		if ((i > 0 && is_over(fit, options)) || !(loss < least) || factors[0] <= 0)
			continue;
		least = loss;
		fit->cost = costs[i];
		fit->scale = factors[0];
		fit->bayes = factors[1] / factors[0];
	}
	return true;
}

/* Does the same for numbers: the least squared error decides. */
static bool
compare_ridges(LmFeatureFit *fit, Choice *choice, LmDualOptions *options, LmError *error)
{
	double least = INFINITY;

	for (size_t i = 0;
		 i < sizeof ridge_costs / sizeof *ridge_costs && (i == 0 || !is_over(fit, options)); i++)
	{
		double sum = 0;

		options->cost = ridge_costs[i];
		set_base(fit->weights, fit);
		if (!lm_ridge_fit(fit->weights, &fit->rows, fit->train.windows, options, error))
			return false;
		for (size_t k = 0; k < choice->n; k++)
			sum += lm_ridge_error(fit->weights, &fit->rows, fit->train.windows, choice->held[k]);
		if ((i > 0 && is_over(fit, options)) || !(sum < least))
			continue;
		least = sum;
		fit->cost = ridge_costs[i];
	}
	return true;
}

/* What a pass over the first n rows costs. */
static double
work_of(const LmFeatureFit *fit, size_t n)
{
	return (double) (fit->rows.ends[n - 1] + n * ROW_ENTRIES) * fit->options.labels;
}

static bool
choose(LmFeatureFit *fit, LmError *error)
{
	double used = lm_fit_used(&fit->options.time);
	LmDualOptions options = {.fold = LM_DUAL_FOLDS - 1,
							 .seed = fit->options.seed,
							 .time = &fit->options.time,
							 .until = used + CHOICE_SHARE * (1 - used),
							 .most_floats = fit->options.most_floats,
							 .alpha = fit->alpha};
	Choice choice = {0};
	bool good = true;

	while (options.n_rows < fit->rows.n_train &&
		   work_of(fit, options.n_rows + 1) <= MOST_CHOICE_WORK &&
		   fit->rows.ends[options.n_rows] <= MOST_CHOICE_ENTRIES)
		options.n_rows++;
	options.most_passes = MOST_PASSES;
	if (options.n_rows >= LEAST_ROWS &&
		options.n_rows >= LEAST_ROWS_PER_LABEL * (size_t) fit->options.labels)
	{
		good =
			create_choice(&choice, fit, &options, error) &&
			(fit->options.number ? compare_ridges : compare_costs)(fit, &choice, &options, error);
		lm_free(&fit->host, choice.held);
		lm_free(&fit->host, choice.margins);
		lm_free(&fit->host, choice.odds);
		lm_free(&fit->host, choice.bayes);
	}
	return good;
}

/* Learns all training rows. */
static bool
learn(LmFeatureFit *fit, LmError *error)
{
	LmDualOptions options = {.cost = fit->cost,
							 .fold = -1,
							 .n_rows = fit->rows.n_train,
							 .seed = fit->options.seed,
							 .time = &fit->options.time,
							 .until = 1,
							 .most_floats = fit->options.most_floats,
							 .alpha = fit->alpha};
	size_t n = count_of(fit);
	double work = options.n_rows > 0 ? work_of(fit, options.n_rows) : 0;
	float *bayes;

	options.most_passes = work * MOST_PASSES <= MOST_PASSES_WORK
							  ? MOST_PASSES
							  : (int) fmax(MOST_PASSES_WORK / work, LEAST_PASSES);
	if (!fit->alpha)
		set_base(fit->weights, fit);
	if (fit->options.number
			? !lm_ridge_fit(fit->weights, &fit->rows, fit->train.windows, &options, error)
			: !lm_dual_fit(fit->weights, fit->engine, &fit->rows, &fit->train, &options, error))
		return false;
	is_over(fit, &options);
	lm_free(&fit->host, fit->alpha);
	fit->alpha = NULL;
	if (fit->bayes <= 0)
		return true;
	bayes = lm_array_allocate(&fit->host, n, sizeof(float), error);
	if (!bayes || !set_bayes(bayes, fit, &options, error))
	{
		lm_free(&fit->host, bayes);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		fit->weights[i] += (float) fit->bayes * bayes[i];
	lm_free(&fit->host, bayes);
	return true;
}

/* ---- Public ------------------------------------------------------------- */

LmFeatureFit *
lm_feature_fit_create(LmEngine *engine, const LmDataset *dataset, const LmTokenizer *tokenizer,
					  const LmFeatureFitOptions *options, LmError *error)
{
	const LmHost *host = lm_engine_host(engine);
	const LmLabelSets *sets = options->multi_label ? &dataset->sets : NULL;
	LmFeatureFit *fit = lm_array_allocate(host, 1, sizeof *fit, error);
	size_t most;

	if (!fit)
		return NULL;
	*fit = (LmFeatureFit){.engine = engine,
						  .host = *host,
						  .options = *options,
						  .cost = DEFAULT_COST,
						  .scale = DEFAULT_SCALE};
	most = (size_t) (MOST_WORK / options->labels);
	most = most > LEAST_ENTRIES ? most : LEAST_ENTRIES;
	if (fit->options.most_entries > most)
		fit->options.most_entries = most;
	fit->rows.host = *host;
	fit->train = (LmRowLabels){options->labels, dataset->windows, sets};
	fit->validation = fit->train;
	fit->validation.windows += dataset->header->n_train_windows;
	if (!lm_feature_rows_read(&fit->rows, host, dataset, tokenizer, &fit->options, error) ||
		!create_weights(fit, error) || !choose(fit, error) || !learn(fit, error))
	{
		lm_feature_fit_free(fit);
		return NULL;
	}
	fit->all_rows = (size_t) dataset->header->n_train_windows;
	fit->n_validation = fit->rows.n_rows - fit->rows.n_train;
	most = most_logits(fit);
	fit->n_validation = fit->n_validation < most ? fit->n_validation : most;
	return fit;
}

void
lm_feature_fit_free(LmFeatureFit *fit)
{
	LmHost host;

	if (!fit)
		return;
	host = fit->host;
	lm_feature_rows_free(&fit->rows);
	lm_free(&host, fit->weights);
	lm_free(&host, fit->alpha);
	lm_free(&host, fit);
}

LmFeatureFitLimits
lm_feature_fit_limits(const LmFeatureFit *fit)
{
	return (LmFeatureFitLimits){
		.rows = fit->rows.n_train,
		.all_rows = fit->all_rows,
		.features = fit->rows.features_left_out,
		.time = fit->cut || (fit->rows.n_train < fit->all_rows &&
							 fit->rows.ends[fit->rows.n_train - 1] < fit->options.most_entries)};
}

int
lm_feature_fit_count(const LmFeatureFit *fit)
{
	return (int) fit->rows.n_features;
}

size_t
lm_feature_fit_validation(const LmFeatureFit *fit)
{
	return fit->n_validation;
}

bool
lm_feature_fit_blend(LmBlend *blend, LmFeatureFit *fit, const float *logits, LmError *error)
{
	size_t n = fit->n_validation;
	float *own =
		lm_array_allocate(&fit->host, n * (size_t) fit->options.labels + 1, sizeof *own, error);
	LmBlendRows rows = {.logits = {logits, own}, .n = n, .labels = &fit->validation};
	double factors[LM_BLEND_MEMBERS] = {NETWORK_SHARE, (1 - NETWORK_SHARE) * fit->scale};
	bool good;

	if (!own)
		return false;
	good = set_logits(own, fit, fit->weights, NULL, fit->rows.n_train, n, error);
	if (good && fit->options.number)
	{
		const float *const both[] = {logits, own};

		factors[1] = 1 - NETWORK_SHARE;
		lm_ridge_blend(factors, &blend->loss, both, fit->validation.windows, n, EXPECTED_ROWS);
		blend->accuracy = NAN;
	}
	else if (good)
		good = lm_blend_fit(factors, &blend->loss, &blend->accuracy, &rows, EXPECTED_ROWS,
							&fit->host, error);
	blend->share = factors[0];
	blend->scale = factors[1];
	lm_free(&fit->host, own);
	return good;
}

void
lm_feature_fit_write(float *keys, float *weights, const LmFeatureFit *fit, double scale)
{
	memcpy(keys, fit->rows.keys, fit->rows.n_features * LM_FEATURE_KEY_COLUMNS * sizeof *keys);
	keys[2] = (float) scale;
	for (size_t i = 0; i < count_of(fit); i++)
		weights[i] = (float) (fit->weights[i] * scale);
}

/*
 * test/unit/test_feature_fit.c
 *
 * The linear part of a classifier: its table, the solver against the gradient of what it minimises,
 * naive twins of logits, the blend, and a training that goes on from a base.
 */
#include "engine/feature_fit.h"
#include "train/blend.h"
#include "train_support.h"

#define VOCABULARY 257
#define END 256

/* A token file of texts of bytes with labels. */
typedef struct File
{
	LmDatasetHeader header;
	uint64_t rest[1 << 15];
} File;

static const char *const things[] = {"the invoice is wrong", "my invoice was paid twice",
									 "the parcel is late",	 "where is my parcel",
									 "a parcel came broken", "an invoice without tax"};
static const int kinds[] = {0, 0, 1, 1, 1, 0};

static void
make_file(LmDataset *dataset, File *file, int n_train, int n_validation, int n_labels, int shift)
{
	uint16_t *ids = (uint16_t *) file->rest;
	LmWindow windows[512];
	size_t n = 0;
	LmError error;
	char *place;

	memset(file, 0, sizeof *file);
	for (int i = 0; i < n_train + n_validation; i++)
	{
		char text[64];
		int which = i % 6;

		snprintf(text, sizeof text, "%s, %d%s", things[which], i * 7 % 23,
				 n_labels > 2 && i % 5 == 0 ? " refund" : "");
		windows[i] = (LmWindow){n, (uint32_t) strlen(text) + 2, 0, 1, 0};
		windows[i].label = (uint32_t) (n_labels > 2 && i % 5 == 0 ? 2 : kinds[which] ^ shift);
		ids[n++] = END;
		for (size_t j = 0; text[j]; j++)
			ids[n++] = (unsigned char) text[j];
		ids[n++] = END;
		*(i < n_train ? &file->header.train_tokens : &file->header.validation_tokens) +=
			windows[i].length - 1;
	}
	memcpy(file->header.magic, LM_DATASET_MAGIC, 8);
	file->header.token_size = 2;
	file->header.vocabulary = VOCABULARY;
	file->header.n_tokens = n;
	file->header.n_train_windows = (uint64_t) n_train;
	file->header.n_validation_windows = (uint64_t) n_validation;
	file->header.validation_counted = (uint64_t) n_validation;
	file->header.n_labels = (uint64_t) n_labels;
	file->header.group = 1;
	file->header.windows_offset = sizeof file->header + (n * 2 + 7) / 8 * 8;
	place = (char *) file + file->header.windows_offset;
	memcpy(place, windows, (size_t) (n_train + n_validation) * sizeof *windows);
	place += (size_t) (n_train + n_validation) * sizeof *windows;
	for (int i = 0; i < n_labels; i++)
		place += snprintf(place, 8, "l%d", i) + 1;
	*dataset = (LmDataset){0};
	if (!lm_dataset_open(dataset, file, (size_t) (place - (char *) file), &error))
		printf("Bail out! %s\n", error.message);
}

static LmTokenizer *
bytes_tokenizer(const LmHost *host)
{
	static LmBytes tokens[VOCABULARY];
	static char bytes[END];
	static bool special[VOCABULARY] = {[END] = true};
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_BYTES,
							.n_tokens = VOCABULARY,
							.tokens = tokens,
							.special = special,
							.end_of_text = END,
							.beginning = -1,
							.unknown = -1};
	LmError error;

	for (int i = 0; i < END; i++)
	{
		bytes[i] = (char) i;
		tokens[i] = (LmBytes){bytes + i, 1};
	}
	tokens[END] = (LmBytes){LM_END_OF_TEXT, strlen(LM_END_OF_TEXT)};
	return lm_tokenizer_create(host, &spec, &error);
}

/* ---- The solver --------------------------------------------------------- */

/* The largest element of w - w0 - 2 C sum y x max(0, 1 - y w x), which is 0 at the solution. */
static double
largest_gradient(const LmFeatureRows *rows, const LmRowLabels *labels, const float *w, double cost,
				 size_t label)
{
	size_t n = (size_t) labels->labels;
	double *gradient = calloc(rows->n_features, sizeof(double)), largest = 0;

	for (size_t i = 0; i < rows->n_features; i++)
		gradient[i] = w[i * n + label];
	for (size_t row = 0; row < rows->n_train; row++)
	{
		double y = labels->windows[row].label == label ? 1 : -1, margin = w[label], loss;

		for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
			margin += w[rows->features[i] * n + label] * rows->values[i];
		loss = 1 - y * margin > 0 ? 1 - y * margin : 0;
		gradient[0] -= 2 * cost * y * loss;
		for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
			gradient[rows->features[i]] -= 2 * cost * y * loss * rows->values[i];
	}
	for (size_t i = 0; i < rows->n_features; i++)
		largest = fmax(largest, fabs(gradient[i]));
	free(gradient);
	return largest;
}

/* From dual variables of another cost and fewer rows, in memory for one group at a time. */
static void
test_going_on(LmEngine *engine, const LmFeatureRows *rows, const LmRowLabels *labels,
			  const LmDualOptions *options)
{
	size_t n = (size_t) labels->labels;
	float *w = calloc(rows->n_features * n, sizeof *w), *alpha = calloc(rows->n_train * n, 4);
	LmDualOptions dual = *options;
	double worst = 0;
	LmError error;

	dual.alpha = alpha;
	dual.fold = 2;
	dual.most_floats = 1;
	lm_dual_fit(w, engine, rows, labels, &dual, &error);
	dual.fold = -1;
	dual.cost = 1;
	ok(lm_dual_fit(w, engine, rows, labels, &dual, &error), "the solver goes on");
	for (size_t label = 0; label < n; label++)
		worst = fmax(worst, largest_gradient(rows, labels, w, dual.cost, label));
	ok(worst / (double) rows->n_train < 0.1, "its gradient is nearly 0 too (%g)", worst);
	free(w);
	free(alpha);
}

/* n_labels 2 is one label and its opposite, 20 are two groups. */
static void
test_solver(LmEngine *engine, const LmTokenizer *tokenizer, int n_labels)
{
	static File file;
	size_t n = (size_t) n_labels;
	LmDataset dataset;
	LmFeatureRows rows;
	LmFeatureFitOptions options = {.labels = n_labels, .most_entries = 1 << 20, .seed = 3};
	LmDualOptions dual = {.cost = 0.3, .fold = -1, .seed = 3, .most_passes = 60};
	LmRowLabels labels = {n_labels, NULL, NULL};
	LmError error;
	double worst = 0, length = 0;
	float *w;

	make_file(&dataset, &file, 100, 20, n_labels, 0);
	labels.windows = dataset.windows;
	ok(lm_feature_rows_read(&rows, lm_engine_host(engine), &dataset, tokenizer, &options, &error) &&
		   rows.n_train == 100 && rows.n_rows == 120,
	   "all windows become rows");
	for (size_t i = lm_row_begin(&rows, 7); i < rows.ends[7]; i++)
		length += (double) rows.values[i] * rows.values[i];
	ok(fabs(length - 1) < 1e-5, "a row has length 1");
	w = calloc(rows.n_features * n, sizeof *w);
	dual.n_rows = rows.n_train;
	ok(lm_dual_fit(w, engine, &rows, &labels, &dual, &error), "the solver ends");
	for (size_t label = 0; label < n; label++)
		worst = fmax(worst, largest_gradient(&rows, &labels, w, dual.cost, label));
	/* The solver ends where no row is further off than 0.1. */
	ok(worst / (double) rows.n_train < 0.1,
	   "the gradient of the loss of %d labels is nearly 0 (%g)", n_labels, worst);
	test_going_on(engine, &rows, &labels, &dual);
	free(w);
	lm_feature_rows_free(&rows);
}

/* ---- Blend -------------------------------------------------------------- */

static void
test_blend(const LmHost *host)
{
	enum
	{
		N = 4000
	};
	static float right[2 * N], noise[2 * N];
	static LmWindow windows[N];
	LmRowLabels labels = {2, windows, NULL};
	LmBlendRows rows = {.logits = {right, noise}, .n = N, .labels = &labels};
	double factors[2] = {0.5, 0.5}, loss, accuracy;
	LmKey key = lm_key(1, LM_RANDOM_SAMPLE, 0, 0);
	LmError error;

	for (uint32_t i = 0; i < N; i++)
	{
		double z = 4 * lm_random_uniform(key, i, 0, 0) - 2;
		bool second = lm_random_uniform(key, i, 1, 0) < 1 / (1 + exp(-z));

		right[2 * i + 1] = (float) (5 * z); /* five times too sure */
		noise[2 * i] = (float) lm_random_uniform(key, i, 2, 0);
		windows[i] = (LmWindow){.weight = 1, .label = second};
	}
	ok(lm_blend_fit(factors, &loss, &accuracy, &rows, 10, host, &error) &&
		   fabs(factors[0] - 0.2) < 0.02 && factors[1] < 0.2,
	   "a blend finds the temperature, and leaves noise out (%g, %g)", factors[0], factors[1]);
	rows.n = 0;
	factors[0] = factors[1] = 0.5;
	ok(lm_blend_fit(factors, &loss, &accuracy, &rows, 10, host, &error) && factors[0] == 0.5 &&
		   factors[1] == 0.5 && isnan(loss),
	   "without rows a blend stays as it is expected");
}

/* ---- The whole ---------------------------------------------------------- */

typedef struct Table
{
	LmFeatureTable table;
	float *keys, *weights;
} Table;

static Table
fit_table(LmEngine *engine, const LmDataset *dataset, const LmTokenizer *tokenizer,
		  const LmFeatureFitOptions *options, LmBlend *blend)
{
	LmError error;
	LmFeatureFit *fit = lm_feature_fit_create(engine, dataset, tokenizer, options, &error);
	size_t n = fit ? (size_t) lm_feature_fit_count(fit) : 0;
	float *logits = calloc(lm_feature_fit_validation(fit) * (size_t) options->labels + 1, 4);
	Table result;

	if (!lm_feature_fit_blend(blend, fit, logits, &error))
		printf("Bail out! %s\n", error.message);
	result.keys = calloc(n, LM_FEATURE_KEY_COLUMNS * sizeof(float));
	result.weights = calloc(n, (size_t) options->labels * sizeof(float));
	lm_feature_fit_write(result.keys, result.weights, fit, blend->scale);
	result.table = (LmFeatureTable){result.keys, result.weights, (int) n, options->labels};
	lm_feature_fit_free(fit);
	free(logits);
	return result;
}

static int
best_of(const LmHost *host, const LmTokenizer *tokenizer, const Table *table, const char *text)
{
	LmFeatures features = {0};
	LmFeatureText scratch = {0};
	double logits[8] = {0};
	int32_t ids[64] = {END};
	size_t n = 1;
	int best = 0;
	LmError error;

	for (; text[n - 1]; n++)
		ids[n] = (unsigned char) text[n - 1];
	if (!lm_features_of_ids(&features, &scratch, host, tokenizer, ids, n, &error))
		printf("# %s\n", error.message);
	lm_feature_add_logits(logits, &features, &table->table);
	for (int i = 1; i < table->table.labels; i++)
		best = logits[i] > logits[best] ? i : best;
	lm_features_free(&features, host);
	host->reallocate(host->context, scratch.bytes, 0);
	return best;
}

static void
free_table(Table *table)
{
	free(table->keys);
	free(table->weights);
}

static void
test_search(const Table *table)
{
	size_t wrong = 0;

	for (size_t row = 1; row < (size_t) table->table.n; row++)
	{
		uint64_t key = lm_feature_key_at(&table->table, row);

		wrong += lm_feature_find(&table->table, key) != row;
		wrong += lm_feature_find(&table->table, key + 1) != 0 &&
				 lm_feature_key_at(&table->table, row + 1) != key + 1;
	}
	ok(wrong == 0 && lm_feature_find(&table->table, 1) == 0 &&
		   lm_feature_find(&table->table, (UINT64_C(1) << LM_FEATURE_KEY_BITS) - 1) == 0,
	   "each key is found, and no other");
}

static void
test_whole(const LmHost *host, LmEngine *engine, const LmTokenizer *tokenizer)
{
	static File file;
	LmDataset dataset;
	LmFeatureFitOptions options = {.labels = 2, .most_entries = 1 << 20, .seed = 3};
	LmEngine *other = start_engine(host, 3);
	static const int same[] = {0, 1};
	LmBlend blend;
	Table first, again, more;

	make_file(&dataset, &file, 120, 40, 2, 0);
	first = fit_table(engine, &dataset, tokenizer, &options, &blend);
	ok(blend.accuracy == 1 && blend.loss < 0.2 && blend.scale > 0,
	   "the fit tells invoices from parcels (%g, %g)", blend.accuracy, blend.loss);
	ok(best_of(host, tokenizer, &first, "INVOICE!") == 0 &&
		   best_of(host, tokenizer, &first, "two parcels") == 1,
	   "a table classifies texts that it has not seen");
	test_search(&first);
	again = fit_table(other, &dataset, tokenizer, &options, &blend);
	ok(first.table.n == again.table.n &&
		   memcmp(first.weights, again.weights, (size_t) first.table.n * 8) == 0,
	   "three threads give the same bits as one");
	free_table(&again);

	/* Few rows of a third label do not make it forget. */
	make_file(&dataset, &file, 60, 0, 3, 0);
	options.labels = 3;
	options.base = first.table;
	options.base_labels = same;
	more = fit_table(engine, &dataset, tokenizer, &options, &blend);
	ok(best_of(host, tokenizer, &more, "refund") == 2 &&
		   best_of(host, tokenizer, &more, "two parcels") == 1 && more.table.n > first.table.n &&
		   blend.scale > 0,
	   "a further label joins a table, and the others stay");
	free_table(&first);
	free_table(&more);
	lm_engine_stop(other);
}

/* An LmFitTime: each question takes a part of the time. */
typedef struct Ticks
{
	double each;
	double used;
} Ticks;

static double
tick(void *context)
{
	Ticks *ticks = context;

	return ticks->used += ticks->each;
}

static void
test_limits(const LmHost *host, LmEngine *engine, const LmTokenizer *tokenizer)
{
	static File file;
	Ticks ticks = {1e-5, 0};
	LmFeatureFitOptions options = {.labels = 2, .most_entries = 1 << 20, .seed = 3};
	LmFeatureFitOptions timed = options, small = options;
	LmFeatureFitLimits limits;
	LmFeatureFit *fit;
	LmDataset dataset;
	LmBlend blend;
	LmError error;
	Table whole, other;

	make_file(&dataset, &file, 120, 40, 2, 0);
	timed.time = (LmFitTime){tick, &ticks};
	whole = fit_table(engine, &dataset, tokenizer, &options, &blend);
	other = fit_table(engine, &dataset, tokenizer, &timed, &blend);
	ok(whole.table.n == other.table.n &&
		   memcmp(whole.weights, other.weights, (size_t) whole.table.n * 8) == 0,
	   "a fit with more than enough time is the one without a limit");
	free_table(&whole);
	free_table(&other);
	ticks = (Ticks){0.01, 0};
	fit = lm_feature_fit_create(engine, &dataset, tokenizer, &timed, &error);
	limits = lm_feature_fit_limits(fit);
	ok(limits.time && limits.rows == 32 && limits.all_rows == 120 &&
		   lm_feature_fit_validation(fit) > 5 && lm_feature_fit_validation(fit) < 9,
	   "a fit without time learns some rows (%zu, %zu)", limits.rows,
	   lm_feature_fit_validation(fit));
	lm_feature_fit_free(fit);

	small.most_features = 100;
	small.most_floats = 1;
	fit = lm_feature_fit_create(engine, &dataset, tokenizer, &small, &error);
	limits = lm_feature_fit_limits(fit);
	ok(limits.features && !limits.time && limits.rows == 120 && lm_feature_fit_count(fit) <= 101,
	   "a fit with little memory leaves features out");
	lm_feature_fit_free(fit);
	small.most_floats = 0;
	other = fit_table(engine, &dataset, tokenizer, &small, &blend);
	ok(best_of(host, tokenizer, &other, "INVOICE!") == 0 &&
		   best_of(host, tokenizer, &other, "two parcels") == 1,
	   "the frequent ones stay, and tell invoices from parcels");
	free_table(&other);
}

/* A table of many features, which labels join until the features have no room. */
static void
test_room(const LmHost *host, const LmTokenizer *tokenizer)
{
	enum
	{
		LABELS = 10000,
		ROOM = LM_FEATURE_WEIGHTS / LABELS,
		N = 2 * ROOM
	};
	static File file;
	static float keys[N][LM_FEATURE_KEY_COLUMNS], weights[N][2];
	static const int same[] = {0, 1};
	LmFeatureFitOptions options = {.labels = LABELS,
								   .most_entries = 1 << 20,
								   .base = {keys[0], weights[0], N, 2},
								   .base_labels = same};
	LmFeatureTable own;
	LmDataset dataset;
	LmFeatureRows rows;
	LmError error;
	size_t strong = 0, weak = 0;

	for (int i = 0; i < N; i++)
	{
		keys[i][0] = (float) i;
		keys[i][2] = 1;
		weights[i][1] = (float) -i;
	}
	make_file(&dataset, &file, 60, 0, 3, 0);
	ok(lm_feature_rows_read(&rows, host, &dataset, tokenizer, &options, &error) &&
		   rows.n_features <= ROOM + 1,
	   "the features of a base have room beside many labels");
	own = (LmFeatureTable){.keys = rows.keys, .n = (int) rows.n_features};
	for (size_t i = 1; i < N; i++)
	{
		bool has = lm_feature_find(&own, lm_feature_key_at(&options.base, i)) > 0;

		strong += has && i >= N - ROOM / 2;
		weak += has && i < N - ROOM;
	}
	ok(strong == ROOM / 2 && weak == 0, "the strongest stay (%zu, %zu)", strong, weak);
	lm_feature_rows_free(&rows);
}

static void
test_failures(LmHost host, TapHost *tap, const LmTokenizer *tokenizer)
{
	static File file;
	LmDataset dataset;
	LmFeatureFitOptions options = {.labels = 2, .most_entries = 1 << 20, .most_features = 50};
	LmEngine *engine = start_engine(&host, 1);
	LmError error;
	int n = 0, before = tap->live;

	make_file(&dataset, &file, 60, 10, 2, 0);
	for (;; n++)
	{
		LmFeatureFit *fit;

		tap->fail_after = n;
		fit = lm_feature_fit_create(engine, &dataset, tokenizer, &options, &error);
		tap->fail_after = -1;
		lm_feature_fit_free(fit);
		if (fit || error.code != LM_ERR_MEMORY || tap->live != before)
			break;
	}
	ok(n > 10 && tap->live == before, "without memory a fit ends, whichever block it lacks (%d)",
	   n);
	tap->stop = true;
	ok(!lm_feature_fit_create(engine, &dataset, tokenizer, &options, &error) &&
		   error.code == LM_ERR_STOPPED && tap->live == before,
	   "a fit can be stopped");
	tap->stop = false;
	lm_engine_stop(engine);
}

int
main(void)
{
	TapHost tap = {.fail_after = -1};
	LmHost host = tap_host(&tap);
	LmEngine *engine = start_engine(&host, 1);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);

	for (int labels = 2; labels <= 20; labels += labels < 3 ? 1 : 17)
		test_solver(engine, tokenizer, labels);
	test_blend(&host);
	test_whole(&host, engine, tokenizer);
	test_limits(&host, engine, tokenizer);
	test_room(&host, tokenizer);
	test_failures(host, &tap, tokenizer);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	is_int(tap.live, 0, "all memory is given back");
	return done_testing();
}

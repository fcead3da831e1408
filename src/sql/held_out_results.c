/*
 * src/sql/held_out_results.c
 *
 * Answers about held-out rows go in; metrics with their intervals, the confusion matrix, the
 * calibration and the most surprising rows come out.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "corpus/numbers.h"
#include "sql/held_out_results.h"

#define Z 1.959964 /* of a normal variable, 95 % */
#define MOST_CONFUSED 50 /* labels; the rest are one */
#define CALIBRATION_PARTS 15 /* as gpt_evaluate has them */
#define MOST_SURPRISING 5
#define SURPRISING_SIZE 400 /* bytes of a row's text */
#define MOST_PAIRS 200
#define LEAST_PROBABILITY 1e-30
#define PROBABLE 0.5

/* A row: of a language model losses, tokens and bytes; else what it has and what it was given. */
typedef struct Result
{
	double loss; /* nats; of numbers the squared error */
	double tokens;
	double bytes;
	double error; /* of numbers, absolute */
	double target;
	double expected; /* of numbers */
	double confidence;
	int label; /* -1: not one single label */
	int predicted;
	bool right;
} Result;

typedef struct Surprising
{
	char *text;
	char *prompt; /* NULL: none */
	double score;
	Result result;
} Surprising;

struct GptResults
{
	MemoryContext context;
	const GptServed *served;
	int most;
	int n;
	Result *rows; /* [most] */
	double both, wanted, found; /* labels of a multi-label model */
	Surprising surprising[MOST_SURPRISING]; /* the most surprising first */
	int n_surprising;
};

static double judge(Result *result, GptResults *results, const float *probabilities,
					const uint32 *labels, int n_labels);
static double judge_set(Result *result, GptResults *results, const float *probabilities,
						const uint32 *labels, int n_labels);
static void add_surprising(GptResults *results, double score, const Result *result,
						   const GptMeterAnswer *answer);
static void write_metrics(GptJsonWriter *json, const GptResults *results);
static void write_confusion(GptJsonWriter *json, const GptResults *results);
static void write_calibration(GptJsonWriter *json, const GptResults *results);
static void write_pairs(GptJsonWriter *json, const GptResults *results);
static void write_surprising(GptJsonWriter *json, const GptResults *results);

GptResults *
gpt_results_create(const GptServed *served, int most)
{
	GptResults *results = palloc0(sizeof(GptResults));

	results->context = CurrentMemoryContext;
	results->served = served;
	results->most = most;
	results->rows = palloc(most * sizeof(Result));
	return results;
}

void
gpt_results_add(GptResults *results, const GptMeterAnswer *answer, const uint32 *labels,
				int n_labels, double target)
{
	const LmConfig *config = results->served->config;
	Result result = {.label = -1};
	double score;

	if (results->n == results->most)
		return;
	if (config->number)
	{
		GptNumbers numbers = gpt_numbers_of(config);

		result.target = target;
		result.expected = gpt_number_restore(&numbers, (double) answer->probabilities[0]);
		result.error = fabs(result.expected - target);
		result.loss = result.error * result.error;
		score = result.error;
	}
	else if (config->labels > 0)
		score = config->multi_label
					? judge_set(&result, results, answer->probabilities, labels, n_labels)
					: judge(&result, results, answer->probabilities, labels, n_labels);
	else
	{
		result.loss = -answer->logprob;
		result.tokens = (double) answer->n_tokens;
		result.bytes = (double) answer->text_size;
		score = result.loss / M_LN2 / Max(result.bytes, 1);
	}
	if (!isfinite(score))
		return;
	results->rows[results->n++] = result;
	add_surprising(results, score, &result, answer);
}

/* A row with one label; returns -log2 of its probability. */
static double
judge(Result *result, GptResults *results, const float *probabilities, const uint32 *labels,
	  int n_labels)
{
	int n = results->served->config->labels;

	if (n_labels != 1 || labels[0] >= (uint32) n)
		return NAN;
	result->label = (int) labels[0];
	for (int i = 1; i < n; i++)
	{
		if (probabilities[i] > probabilities[result->predicted])
			result->predicted = i;
	}
	result->confidence = (double) probabilities[result->predicted];
	result->right = result->predicted == result->label;
	result->loss = -log(Max((double) probabilities[result->label], LEAST_PROBABILITY));
	return result->loss / M_LN2;
}

/* A row with a set of labels; returns -log2 of the probability of exactly these. */
static double
judge_set(Result *result, GptResults *results, const float *probabilities, const uint32 *labels,
		  int n_labels)
{
	int n = results->served->config->labels;

	result->right = true;
	for (int i = 0, next = 0; i < n; i++)
	{
		bool wanted = next < n_labels && labels[next] == (uint32) i;
		bool found = (double) probabilities[i] >= PROBABLE;
		double probability = wanted ? (double) probabilities[i] : 1 - (double) probabilities[i];

		next += wanted;
		results->wanted += wanted;
		results->found += found;
		results->both += wanted && found;
		result->right &= wanted == found;
		result->loss -= log(Max(probability, LEAST_PROBABILITY));
	}
	return result->loss / M_LN2;
}

/*
 * The beginning of a text, whole characters of it, as a string; NULL for one that the server would
 * not take, because tokens of it are missing.
 */
static char *
copy_beginning(const GptResults *results, const char *text, size_t text_size, int most)
{
	int size = (int) Min(text_size, most);
	char *copy;

	size = pg_mbcliplen(text, (int) Min(text_size, 2 * most), size);
	if (!pg_verify_mbstr(GetDatabaseEncoding(), text, size, true) ||
		memchr(text, '\0', size) != NULL)
		return NULL;
	copy = MemoryContextAllocZero(results->context, size + 1);
	memcpy(copy, text, size);
	return copy;
}

static void
add_surprising(GptResults *results, double score, const Result *result,
			   const GptMeterAnswer *answer)
{
	size_t prompt_size = answer->text.size - answer->text_size;
	Surprising row = {.score = score, .result = *result};
	int at = results->n_surprising;

	while (at > 0 && results->surprising[at - 1].score < score)
		at--;
	if (at == MOST_SURPRISING)
		return;
	row.text = copy_beginning(results, answer->text.data + prompt_size, answer->text_size,
							  SURPRISING_SIZE);
	if (row.text == NULL)
		return;
	if (prompt_size > 0)
		row.prompt =
			copy_beginning(results, answer->text.data, prompt_size, GPT_RESULTS_PROMPT_SIZE);
	results->n_surprising = Min(results->n_surprising + 1, MOST_SURPRISING);
	for (int i = results->n_surprising - 1; i > at; i--)
		results->surprising[i] = results->surprising[i - 1];
	results->surprising[at] = row;
}

/* ---- Writing ------------------------------------------------------------ */

void
gpt_results_write(GptJsonWriter *json, const GptResults *results)
{
	const LmConfig *config = results->served->config;

	if (results->n == 0)
		return;
	gpt_json_put_integer(json, "rows", results->n);
	gpt_json_begin(json, "metrics");
	write_metrics(json, results);
	gpt_json_end(json);
	if (config->labels > 0 && !config->number && !config->multi_label)
	{
		write_confusion(json, results);
		write_calibration(json, results);
	}
	if (config->number)
		write_pairs(json, results);
	write_surprising(json, results);
}

/* Numbers of rows and those that the model expects. */
static void
write_pairs(GptJsonWriter *json, const GptResults *results)
{
	gpt_json_begin_array(json, "pairs");
	for (int i = 0; i < Min(results->n, MOST_PAIRS); i++)
	{
		gpt_json_begin_array(json, NULL);
		gpt_json_put_number(json, NULL, results->rows[i].target);
		gpt_json_put_number(json, NULL, results->rows[i].expected);
		gpt_json_end_array(json);
	}
	gpt_json_end_array(json);
}

static void
write_surprising(GptJsonWriter *json, const GptResults *results)
{
	const LmConfig *config = results->served->config;

	gpt_json_begin_array(json, "surprising");
	for (int i = 0; i < results->n_surprising; i++)
	{
		const Surprising *row = &results->surprising[i];

		gpt_json_begin(json, NULL);
		gpt_json_put_text(json, "text", row->text);
		if (row->prompt != NULL)
			gpt_json_put_text(json, "prompt", row->prompt);
		gpt_json_put_number(json, "score", row->score);
		if (config->number)
		{
			gpt_json_put_number(json, "label", row->result.target);
			gpt_json_put_number(json, "predicted", row->result.expected);
		}
		else if (row->result.label >= 0)
		{
			gpt_json_put_text(json, "label", pstrdup(results->served->labels[row->result.label]));
			gpt_json_put_text(json, "predicted",
							  pstrdup(results->served->labels[row->result.predicted]));
		}
		gpt_json_end(json);
	}
	gpt_json_end_array(json);
}

/* A value with the ends of its interval, of which NaN is none. */
static void
write_metric(GptJsonWriter *json, const GptResults *results, const char *name, double value,
			 double low, double high)
{
	gpt_json_begin(json, name);
	gpt_json_put_number(json, "value", value);
	gpt_json_put_number(json, "low", low);
	gpt_json_put_number(json, "high", high);
	gpt_json_put_integer(json, "rows", results->n);
	gpt_json_end(json);
}

/* Σ x / Σ y and its standard error; places of both in a Result, y 0: the number of rows. */
static double
ratio_of(double *error, const GptResults *results, size_t x_at, size_t y_at)
{
	double sums[2] = {0, 0};
	double squares = 0;
	double ratio;

	for (int pass = 0; pass < 2; pass++)
	{
		ratio = pass > 0 ? sums[0] / sums[1] : 0;
		for (int i = 0; i < results->n; i++)
		{
			const char *row = (const char *) &results->rows[i];
			double x = *(const double *) (row + x_at);
			double y = y_at > 0 ? *(const double *) (row + y_at) : 1;

			if (pass == 0)
			{
				sums[0] += x;
				sums[1] += y;
			}
			else
				squares += (x - ratio * y) * (x - ratio * y);
		}
	}
	*error = results->n > 1 ? sqrt(squares * results->n / (results->n - 1)) / sums[1] : NAN;
	return ratio;
}

/* Wilson 1927, "Probable inference, the law of succession, and statistical inference". */
static void
write_share(GptJsonWriter *json, const GptResults *results, const char *name, double share)
{
	double n = results->n;
	double middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n);
	double half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n));

	write_metric(json, results, name, share, Max(middle - half, 0), Min(middle + half, 1));
}

/* The mean of the f1 of all labels that occur or were given. */
static double
macro_f1(const GptResults *results)
{
	int n = results->served->config->labels;
	double *counts = palloc0(3 * n * sizeof(double));
	double sum = 0;
	int n_occurring = 0;

	for (int i = 0; i < results->n; i++)
	{
		const Result *row = &results->rows[i];

		counts[3 * row->label]++;
		counts[3 * row->predicted + 1]++;
		if (row->right)
			counts[3 * row->label + 2]++;
	}
	for (int i = 0; i < n; i++)
	{
		if (counts[3 * i] + counts[3 * i + 1] == 0)
			continue;
		sum += 2 * counts[3 * i + 2] / (counts[3 * i] + counts[3 * i + 1]);
		n_occurring++;
	}
	pfree(counts);
	return sum / n_occurring;
}

static void
write_labels_metrics(GptJsonWriter *json, const GptResults *results)
{
	double right = 0;

	for (int i = 0; i < results->n; i++)
		right += results->rows[i].right;
	write_share(json, results, "accuracy", right / results->n);
	if (results->served->config->multi_label)
		write_metric(json, results, "micro_f1",
					 2 * results->both / Max(results->wanted + results->found, 1), NAN, NAN);
	else
		write_metric(json, results, "macro_f1", macro_f1(results), NAN, NAN);
}

/* The share of the variance that the model explains; nothing where all numbers are equal. */
static void
write_r2(GptJsonWriter *json, const GptResults *results, double mean_square)
{
	double mean = 0;
	double variance = 0;

	for (int i = 0; i < results->n; i++)
		mean += results->rows[i].target / results->n;
	for (int i = 0; i < results->n; i++)
		variance += (results->rows[i].target - mean) * (results->rows[i].target - mean);
	if (variance > 0)
		write_metric(json, results, "r2", 1 - mean_square * results->n / variance, NAN, NAN);
}

static void
write_metrics(GptJsonWriter *json, const GptResults *results)
{
	const LmConfig *config = results->served->config;
	bool language = config->labels == 0;
	double error;
	double value =
		ratio_of(&error, results, offsetof(Result, loss), language ? offsetof(Result, tokens) : 0);

	if (config->number)
	{
		write_metric(json, results, "rmse", sqrt(value), sqrt(Max(value - Z * error, 0)),
					 sqrt(value + Z * error));
		write_r2(json, results, value);
		value = ratio_of(&error, results, offsetof(Result, error), 0);
		write_metric(json, results, "mae", value, Max(value - Z * error, 0), value + Z * error);
		return;
	}
	if (!language)
		write_labels_metrics(json, results);
	write_metric(json, results, "loss", value, value - Z * error, value + Z * error);
	if (!language)
		return;
	write_metric(json, results, "perplexity", exp(value), exp(value - Z * error),
				 exp(value + Z * error));
	value = ratio_of(&error, results, offsetof(Result, loss), offsetof(Result, bytes)) / M_LN2;
	error /= M_LN2;
	write_metric(json, results, "bits_per_byte", value, value - Z * error, value + Z * error);
}

/* ---- The confusion matrix ----------------------------------------------- */

typedef struct Frequency
{
	int label;
	int n;
} Frequency;

static int
compare_frequencies(const void *a, const void *b)
{
	const Frequency *x = a;
	const Frequency *y = b;

	return x->n != y->n ? y->n - x->n : x->label - y->label;
}

/*
 * Gives the most frequent labels places, in the order of the model's labels, and all others one
 * more; returns how many places there are. places [labels], names [MOST_CONFUSED + 1].
 */
static int
place_labels(int *places, const char **names, const GptResults *results)
{
	int n = results->served->config->labels;
	Frequency *labels = palloc0(n * sizeof(Frequency));
	int n_named = Min(n, MOST_CONFUSED);
	int n_places = 0;

	for (int i = 0; i < n; i++)
		labels[i].label = i;
	for (int i = 0; i < results->n; i++)
	{
		labels[results->rows[i].label].n++;
		labels[results->rows[i].predicted].n++;
	}
	qsort(labels, n, sizeof(Frequency), compare_frequencies);
	for (int i = 0; i < n; i++)
		places[i] = -1;
	for (int i = 0; i < n_named; i++)
		places[labels[i].label] = 0;
	for (int i = 0; i < n; i++)
	{
		if (places[i] < 0)
			continue;
		names[n_places] = results->served->labels[i];
		places[i] = n_places++;
	}
	for (int i = 0; i < n; i++)
		places[i] = places[i] < 0 ? n_places : places[i];
	pfree(labels);
	if (n > n_named)
		names[n_places++] = "other";
	return n_places;
}

static void
write_confusion(GptJsonWriter *json, const GptResults *results)
{
	int *places = palloc(results->served->config->labels * sizeof(int));
	const char *names[MOST_CONFUSED + 1];
	int n = place_labels(places, names, results);
	int *counts = palloc0(n * n * sizeof(int));

	for (int i = 0; i < results->n; i++)
		counts[places[results->rows[i].label] * n + places[results->rows[i].predicted]]++;
	gpt_json_begin(json, "confusion");
	gpt_json_begin_array(json, "labels");
	for (int i = 0; i < n; i++)
		gpt_json_put_text(json, NULL, pstrdup(names[i]));
	gpt_json_end_array(json);
	gpt_json_begin_array(json, "counts");
	for (int i = 0; i < n; i++)
	{
		gpt_json_begin_array(json, NULL);
		for (int k = 0; k < n; k++)
			gpt_json_put_integer(json, NULL, counts[i * n + k]);
		gpt_json_end_array(json);
	}
	gpt_json_end_array(json);
	gpt_json_end(json);
	pfree(counts);
	pfree(places);
}

/* Parts of 0 .. 1 by the probability of the label that was given. */
static void
write_calibration(GptJsonWriter *json, const GptResults *results)
{
	gpt_json_begin_array(json, "calibration");
	for (int part = 0; part < CALIBRATION_PARTS; part++)
	{
		double confidence = 0;
		double right = 0;
		int n = 0;

		for (int i = 0; i < results->n; i++)
		{
			const Result *row = &results->rows[i];

			if (Min((int) (row->confidence * CALIBRATION_PARTS), CALIBRATION_PARTS - 1) != part)
				continue;
			confidence += row->confidence;
			right += row->right;
			n++;
		}
		gpt_json_begin(json, NULL);
		gpt_json_put_share(json, "from", (double) part / CALIBRATION_PARTS);
		gpt_json_put_share(json, "to", (double) (part + 1) / CALIBRATION_PARTS);
		gpt_json_put_integer(json, "rows", n);
		gpt_json_put_number(json, "confidence", n > 0 ? confidence / n : NAN);
		gpt_json_put_number(json, "accuracy", n > 0 ? right / n : NAN);
		gpt_json_end(json);
	}
	gpt_json_end_array(json);
}

/*
 * src/sql/row_sample.c
 *
 * Rows go in as numbers and counts; a sample of bounded size stays.
 */
#include "postgres.h"

#include <math.h>

#include "core/bridge.h"
#include "core/words.h"
#include "sql/row_sample.h"

#define MOST_COUNTS ((size_t) 1 << 22) /* of all rows, at 12 bytes; then rows are left out too */
#define FIRST_COUNTS 4096

static void thin_out(GptRowSample *sample);

GPT_WORDS(
	gpt_row_number_name, [GPT_ROW_SURPRISAL] = "surprisal", [GPT_ROW_CONFIDENCE] = "confidence",
	[GPT_ROW_PREDICTION] = "prediction", [GPT_ROW_LABEL] = "label", [GPT_ROW_LENGTH] = "length",
	[GPT_ROW_LOGPROB] = "logprob", [GPT_ROW_MEAN_LOGPROB] = "mean_logprob");
GPT_WORDS(gpt_row_share_name, [GPT_ROW_PREDICTIONS] = "predictions", [GPT_ROW_LABELS] = "labels",
		  [GPT_ROW_TOKENS] = "tokens", [GPT_ROW_SCRIPTS] = "scripts");

GptRowSample *
gpt_row_sample_create(int most)
{
	GptRowSample *sample = palloc0(sizeof(GptRowSample));

	sample->context = CurrentMemoryContext;
	sample->most = most;
	sample->stride = 1;
	sample->numbers = palloc(most * sizeof(*sample->numbers));
	sample->predicted = palloc(most * sizeof(uint32));
	sample->starts = palloc0((most + 1) * sizeof(size_t));
	sample->counts_capacity = FIRST_COUNTS;
	sample->counts = palloc(FIRST_COUNTS * sizeof(GptRowCount));
	return sample;
}

bool
gpt_row_sample_full(const GptRowSample *sample)
{
	return sample->n == sample->most || (sample->n > 1 && sample->starts[sample->n] >= MOST_COUNTS);
}

bool
gpt_row_sample_begin(GptRowSample *sample)
{
	while (gpt_row_sample_full(sample))
		thin_out(sample);
	if (sample->seen++ % sample->stride != 0)
		return false;
	for (int i = 0; i < GPT_N_ROW_NUMBERS; i++)
		sample->numbers[sample->n][i] = NAN;
	sample->predicted[sample->n] = GPT_LABEL_UNASKED;
	sample->n++;
	sample->starts[sample->n] = sample->starts[sample->n - 1];
	return true;
}

/* Every second row goes. */
static void
thin_out(GptRowSample *sample)
{
	size_t end = 0;
	int n = 0;

	for (int row = 0; row < sample->n; row += 2, n++)
	{
		size_t begin = sample->starts[row];
		size_t count = sample->starts[row + 1] - begin;

		memcpy(sample->numbers[n], sample->numbers[row], sizeof(*sample->numbers));
		sample->predicted[n] = sample->predicted[row];
		memmove(sample->counts + end, sample->counts + begin, count * sizeof(GptRowCount));
		sample->starts[n] = end;
		end += count;
	}
	sample->starts[n] = end;
	sample->n = n;
	sample->stride *= 2;
}

void
gpt_row_sample_number(GptRowSample *sample, int row, GptRowNumber number, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", value);
	sample->numbers[row][number] = strtod(text, NULL);
}

void
gpt_row_sample_predict(GptRowSample *sample, int row, uint32 label)
{
	sample->predicted[row] = label;
}

void
gpt_row_sample_count(GptRowSample *sample, GptRowShare share, uint32 category, float n)
{
	size_t end = sample->starts[sample->n];

	if (end == sample->counts_capacity)
	{
		gpt_bridge_check_memory(2 * sample->counts_capacity * sizeof(GptRowCount));
		sample->counts_capacity *= 2;
		sample->counts =
			repalloc_huge(sample->counts, sample->counts_capacity * sizeof(GptRowCount));
	}
	sample->counts[end] = (GptRowCount){category, (uint8) share, n};
	sample->starts[sample->n]++;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

int
gpt_row_sample_numbers(double **values, const GptRowSample *sample, GptRowNumber number)
{
	int n = 0;

	*values = palloc((sample->n + 1) * sizeof(double));
	for (int row = 0; row < sample->n; row++)
	{
		if (isfinite(sample->numbers[row][number]))
			(*values)[n++] = sample->numbers[row][number];
	}
	qsort(*values, n, sizeof(double), compare);
	return n;
}

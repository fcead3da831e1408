/*
 * src/corpus/label_roc.c
 *
 * Probabilities and labels of rows go in; areas under ROC curves come out, one label against the
 * rest, and the mean over labels (Fawcett 2006, "An introduction to ROC analysis", section 9, with
 * equal weights).
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/label_roc.h"

#define FIRST_CAPACITY 256
#define Z 1.959963984540054 /* of a normal variable, 95 % */

struct GptLabelRoc
{
	MemoryContext context;
	int n_labels;
	size_t n;
	size_t capacity;
	bool full; /* there were too many rows */
	float *probabilities; /* [n, n_labels] */
	uint8 *wanted; /* the same */
	double *weights; /* [n] */
	LmRoc *labels; /* [n_labels] */
	double *influence; /* [n] of rows on the mean; NULL before _finish */
	double area;
};

GptLabelRoc *
gpt_label_roc_create(int n_labels)
{
	GptLabelRoc *roc = palloc0(sizeof(GptLabelRoc));

	roc->context = CurrentMemoryContext;
	roc->n_labels = n_labels;
	roc->labels = palloc(n_labels * sizeof(LmRoc));
	for (int i = 0; i < n_labels; i++)
		roc->labels[i] = (LmRoc){NAN, NAN, 0};
	roc->area = NAN;
	return roc;
}

static void *
resize(GptLabelRoc *roc, void *block, size_t size)
{
	return block == NULL ? MemoryContextAllocHuge(roc->context, size) : repalloc_huge(block, size);
}

static void
grow(GptLabelRoc *roc)
{
	size_t capacity = Max(2 * roc->capacity, FIRST_CAPACITY);
	size_t n = capacity * roc->n_labels;

	gpt_bridge_check_memory(n * (sizeof(float) + 1) + capacity * sizeof(double));
	roc->probabilities = resize(roc, roc->probabilities, n * sizeof(float));
	roc->wanted = resize(roc, roc->wanted, n);
	roc->weights = resize(roc, roc->weights, capacity * sizeof(double));
	roc->capacity = capacity;
}

void
gpt_label_roc_add(GptLabelRoc *roc, const float *probabilities, const bool *wanted, double weight)
{
	size_t n_labels = roc->n_labels;

	if (roc->full || (roc->n + 1) * n_labels > GPT_MOST_PROBABILITIES)
	{
		roc->full = true;
		return;
	}
	if (roc->n == roc->capacity)
		grow(roc);
	memcpy(roc->probabilities + roc->n * n_labels, probabilities, n_labels * sizeof(float));
	for (size_t i = 0; i < n_labels; i++)
		roc->wanted[roc->n * n_labels + i] = wanted[i];
	roc->weights[roc->n++] = weight;
}

/* ---- Measures ----------------------------------------------------------- */

/* Adds a label's influences to those of the mean over n labels. */
static void
measure(GptLabelRoc *roc, int label, int n)
{
	LmRocRows rows = {roc->n, roc->probabilities + label, roc->wanted + label,
					  (size_t) roc->n_labels, roc->weights};
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt roc", ALLOCSET_DEFAULT_SIZES);
	LmError error;

	while (!lm_roc(&roc->labels[label], roc->influence, 1.0 / n, &rows, gpt_bridge_host(scratch),
				   &error))
		gpt_bridge_retry(&error);
	MemoryContextDelete(scratch);
}

/* Labels that some rows have and some have not. */
static int
count_parted(const GptLabelRoc *roc, bool *parted)
{
	int n = 0;

	for (int i = 0; i < roc->n_labels; i++)
	{
		parted[i] = false;
		for (size_t row = 1; row < roc->n && !parted[i]; row++)
			parted[i] = roc->wanted[row * roc->n_labels + i] != roc->wanted[i];
		n += parted[i];
	}
	return n;
}

void
gpt_label_roc_finish(GptLabelRoc *roc)
{
	bool *parted = palloc(roc->n_labels * sizeof(bool));
	int n = roc->full ? 0 : count_parted(roc, parted);
	double sum = 0;

	roc->influence = MemoryContextAllocExtended(roc->context, Max(roc->n, 1) * sizeof(double),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < roc->n_labels && n > 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!parted[i])
			continue;
		measure(roc, i, n);
		sum += roc->labels[i].area;
	}
	roc->area = n > 0 ? sum / n : NAN;
	pfree(parted);
}

LmRoc
gpt_label_roc_label(const GptLabelRoc *roc, int label)
{
	return roc->labels[label];
}

double
gpt_label_roc_area(const GptLabelRoc *roc)
{
	return roc->area;
}

LmInterval
gpt_label_roc_interval(const GptLabelRoc *roc)
{
	double variance = 0;

	if (isnan(roc->area))
		return (LmInterval){NAN, NAN, NAN};
	for (size_t i = 0; i < roc->n; i++)
		variance += roc->influence[i] * roc->influence[i];
	return (LmInterval){Max(roc->area - Z * sqrt(variance), 0),
						Min(roc->area + Z * sqrt(variance), 1), NAN};
}

LmInterval
gpt_label_roc_difference(const GptLabelRoc *first, const GptLabelRoc *second)
{
	double difference = second->area - first->area;
	double error = 0;

	if (isnan(difference) || first->n != second->n)
		return (LmInterval){NAN, NAN, NAN};
	for (size_t i = 0; i < first->n; i++)
		error += (second->influence[i] - first->influence[i]) *
				 (second->influence[i] - first->influence[i]);
	error = sqrt(error);
	return (LmInterval){difference - Z * error, difference + Z * error,
						difference == 0 ? 1 : erfc(fabs(difference) / error / M_SQRT2)};
}

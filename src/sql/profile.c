/*
 * src/sql/profile.c
 *
 * A sample of rows goes in, its profile comes out: quantiles, and counts of categories.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/bridge.h"
#include "engine/survey.h"
#include "sql/profile.h"

#define NOISE_SEED 1 /* any: the same sample has the same profile */

static void keep_number(GptKeptNumber *kept, const GptRowSample *sample, GptRowNumber number);
static void keep_shares(GptKeptShares *kept, const GptRowSample *sample, GptRowShare share);
static void choose_categories(GptKeptShares *kept, const GptRowSample *sample, GptRowShare share);
static void sort_rows(LmShareRows *rows, const GptKeptShares *kept, const GptRowSample *sample,
					  GptRowShare share);

GptProfile *
gpt_profile_create(const GptRowSample *sample)
{
	GptProfile *profile = palloc0(sizeof(GptProfile));

	profile->rows = sample->seen;
	for (int i = 0; i < GPT_N_ROW_NUMBERS; i++)
		keep_number(&profile->numbers[i], sample, (GptRowNumber) i);
	for (int i = 0; i < GPT_N_ROW_SHARES; i++)
		keep_shares(&profile->shares[i], sample, (GptRowShare) i);
	return profile;
}

static void
keep_number(GptKeptNumber *kept, const GptRowSample *sample, GptRowNumber number)
{
	double *values;

	kept->rows = gpt_row_sample_numbers(&values, sample, number);
	if (kept->rows > 0)
		lm_quantiles(kept->quantiles, GPT_PROFILE_QUANTILES, values, (size_t) kept->rows);
	pfree(values);
}

static void
keep_shares(GptKeptShares *kept, const GptRowSample *sample, GptRowShare share)
{
	choose_categories(kept, sample, share);
	kept->rows = gpt_profile_count(kept->counts, &kept->noise, kept, sample, share);
}

/* ---- Categories --------------------------------------------------------- */

/* A category and how often all rows have it. */
typedef struct Total
{
	uint32 category;
	double n;
} Total;

static int
compare_categories(const void *a, const void *b)
{
	uint32 x = ((const Total *) a)->category;
	uint32 y = ((const Total *) b)->category;

	return (x > y) - (x < y);
}

static int
compare_totals(const void *a, const void *b)
{
	double x = ((const Total *) a)->n;
	double y = ((const Total *) b)->n;

	return x != y ? (x < y) - (x > y) : compare_categories(a, b);
}

/* All counts of a share, palloc'd; returns their number. */
static size_t
list_totals(Total **totals, const GptRowSample *sample, GptRowShare share)
{
	size_t all = share == GPT_ROW_PREDICTIONS ? (size_t) sample->n : sample->starts[sample->n];
	size_t n = 0;

	*totals = MemoryContextAllocHuge(CurrentMemoryContext, (all + 1) * sizeof(Total));
	for (size_t i = 0; i < all; i++)
	{
		if (share != GPT_ROW_PREDICTIONS && sample->counts[i].share == share)
			(*totals)[n++] = (Total){sample->counts[i].category, (double) sample->counts[i].n};
		else if (share == GPT_ROW_PREDICTIONS && sample->predicted[i] != GPT_LABEL_UNASKED)
			(*totals)[n++] = (Total){sample->predicted[i], 1};
	}
	return n;
}

static void
choose_categories(GptKeptShares *kept, const GptRowSample *sample, GptRowShare share)
{
	Total *totals;
	size_t n = list_totals(&totals, sample, share);
	size_t n_categories = 0;

	qsort(totals, n, sizeof(Total), compare_categories);
	CHECK_FOR_INTERRUPTS();
	for (size_t i = 0; i < n; i++)
	{
		if (n_categories > 0 && totals[n_categories - 1].category == totals[i].category)
			totals[n_categories - 1].n += totals[i].n;
		else
			totals[n_categories++] = totals[i];
	}
	qsort(totals, n_categories, sizeof(Total), compare_totals);
	kept->n = (int) Min(n_categories, GPT_PROFILE_CATEGORIES);
	for (int i = 0; i < kept->n; i++)
		kept->categories[i] = totals[i].category;
	pfree(totals);
}

/* ---- Rows in these categories ------------------------------------------- */

/* The places of categories in kept shares, in the order of the categories. */
typedef struct Places
{
	int n;
	struct
	{
		uint32 category;
		int place;
	} sorted[GPT_PROFILE_CATEGORIES];
} Places;

static int
compare_places(const void *a, const void *b)
{
	return compare_categories(a, b);
}

static void
list_places(Places *places, const GptKeptShares *kept)
{
	places->n = kept->n;
	for (int i = 0; i < kept->n; i++)
	{
		places->sorted[i].category = kept->categories[i];
		places->sorted[i].place = i;
	}
	qsort(places->sorted, places->n, sizeof(places->sorted[0]), compare_places);
}

/* The number of a category; that of all others is the last. */
static int
place_of(const Places *places, uint32 category)
{
	int low = 0;
	int high = places->n;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (places->sorted[middle].category < category)
			low = middle + 1;
		else
			high = middle;
	}
	return low < places->n && places->sorted[low].category == category ? places->sorted[low].place
																	   : places->n;
}

/* Rows without a count of the share are left out; what is not kept is summed up in a row. */
static void
sort_rows(LmShareRows *rows, const GptKeptShares *kept, const GptRowSample *sample,
		  GptRowShare share)
{
	size_t most = share == GPT_ROW_PREDICTIONS ? (size_t) sample->n : sample->starts[sample->n];
	size_t *starts = palloc((sample->n + 1) * sizeof(size_t));
	uint16 *categories = MemoryContextAllocHuge(CurrentMemoryContext, (most + 1) * sizeof(uint16));
	float *counts = MemoryContextAllocHuge(CurrentMemoryContext, (most + 1) * sizeof(float));
	Places places;
	size_t n_rows = 0;
	size_t end = 0;

	list_places(&places, kept);
	starts[0] = 0;
	for (int row = 0; row < sample->n; row++)
	{
		float others = 0;

		CHECK_FOR_INTERRUPTS();
		if (share == GPT_ROW_PREDICTIONS && sample->predicted[row] != GPT_LABEL_UNASKED)
		{
			categories[end] = (uint16) place_of(&places, sample->predicted[row]);
			counts[end++] = 1;
		}
		for (size_t i = sample->starts[row]; i < sample->starts[row + 1]; i++)
		{
			const GptRowCount *count = &sample->counts[i];
			int place = count->share == share ? place_of(&places, count->category) : -1;

			if (place == kept->n)
				others += count->n;
			if (place < 0 || place == kept->n)
				continue;
			categories[end] = (uint16) place;
			counts[end++] = count->n;
		}
		if (others > 0)
		{
			categories[end] = (uint16) kept->n;
			counts[end++] = others;
		}
		if (end > starts[n_rows])
			starts[++n_rows] = end;
	}
	*rows = (LmShareRows){n_rows, kept->n + 1, starts, categories, counts};
}

int
gpt_profile_count(double *counts, LmNoise *noise, const GptKeptShares *kept,
				  const GptRowSample *sample, GptRowShare share)
{
	LmShareRows rows;
	LmError error;

	sort_rows(&rows, kept, sample, share);
	memset(counts, 0, (kept->n + 1) * sizeof(double));
	for (size_t i = 0; i < rows.starts[rows.n_rows]; i++)
		counts[rows.categories[i]] += (double) rows.counts[i];
	while (rows.n_rows > 0 && !lm_noise_measure(noise, &rows, NOISE_SEED,
												gpt_bridge_host(CurrentMemoryContext), &error))
		gpt_bridge_retry(&error);
	pfree(unconstify(size_t *, rows.starts));
	pfree(unconstify(uint16 *, rows.categories));
	pfree(unconstify(float *, rows.counts));
	return (int) rows.n_rows;
}

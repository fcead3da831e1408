/*
 * src/sql/drift.c
 *
 * A profile and a sample of later rows go in, how far these have moved comes out.
 *
 * The usual bounds of the index are 0.1 and 0.25 (Lewis 1994, "An introduction to credit scoring";
 * Siddiqi 2006, "Credit risk scorecards", chapter 9). They say nothing of chance: the index of a
 * few rows exceeds them always. So a verdict needs an index that chance does not give, and what
 * counts against the bounds is the part of it that exceeds chance.
 *
 * Bounds of the distance of Kolmogorov and Smirnov are those that a normal variable reaches when
 * its shift makes the index reach its own: a shift of d deviations has an index of d * d and a
 * distance of 2 Φ(d / 2) - 1.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "core/bridge.h"
#include "sql/drift.h"
#include "sql/named_tokenizer.h"

#define CHANCE 0.001 /* what is more probable is stable */
#define PSI_MODERATE 0.1
#define PSI_DRIFTED 0.25
#define KS_MODERATE 0.1256 /* 2 Φ(0.3162 / 2) - 1 */
#define KS_DRIFTED 0.1974 /* 2 Φ(0.5 / 2) - 1 */
#define BINS 10 /* of numbers, with equal shares of the reference */
#define MOST_ITEMS 5 /* that are shown of shares that have moved */

typedef struct Drift
{
	const GptProfile *reference;
	const GptRowSample *current;
	const GptServed *served;
	void (*put)(void *context, const GptDriftRow *row);
	void *context;
} Drift;

static void compare_number(const Drift *drift, GptRowNumber number);
static void compare_shares(const Drift *drift, GptRowShare share);
static void put_items(const Drift *drift, GptRowShare share, const double *counts);
static const char *verdict(double size, double moderate, double drifted, double p_value);

void
gpt_drift_compare(const GptProfile *reference, const GptRowSample *current, const GptServed *served,
				  void (*put)(void *context, const GptDriftRow *row), void *context)
{
	Drift drift = {reference, current, served, put, context};
	GptDriftRow rows = {.measure = "rows",
						.reference = (double) reference->rows,
						.current = (double) current->seen,
						.statistic = NAN,
						.p_value = NAN};

	put(context, &rows);
	for (int i = 0; i < GPT_N_COMPARED_NUMBERS; i++)
		compare_number(&drift, (GptRowNumber) i);
	for (int i = 0; i < GPT_N_ROW_SHARES; i++)
		compare_shares(&drift, (GptRowShare) i);
}

static const char *
verdict(double size, double moderate, double drifted, double p_value)
{
	if (p_value >= CHANCE || size < moderate)
		return "stable";
	return size < drifted ? "moderate" : "drifted";
}

/* Puts the row of an index with its chance; returns whether something has moved. */
static bool
put_index(const Drift *drift, GptDriftRow *row, double index, LmNoise noise)
{
	row->test = "psi";
	row->statistic = index;
	row->p_value = lm_psi_probability(index, noise);
	row->verdict = verdict(index - noise.mean, PSI_MODERATE, PSI_DRIFTED, row->p_value);
	drift->put(drift->context, row);
	return strcmp(row->verdict, "stable") != 0;
}

/* ---- Numbers ------------------------------------------------------------ */

/*
 * Counts of both samples in bins whose ends are tenths of the reference; ends that are equal are
 * one. Returns the number of bins. reference and current [BINS].
 */
static int
count_bins(double *reference, double *current, const GptKeptNumber *kept, const double *values,
		   int n)
{
	double below = 0;
	int at = 0;
	int n_bins = 0;

	for (int bin = 1; bin <= BINS; bin++)
	{
		double end = kept->quantiles[bin * GPT_PROFILE_QUANTILES / BINS];
		double share =
			bin < BINS ? lm_quantiles_share(kept->quantiles, GPT_PROFILE_QUANTILES, end) : 1;
		int first = at;

		if (bin < BINS && share <= below)
			continue;
		while (at < n && (bin == BINS || values[at] <= end))
			at++;
		reference[n_bins] = (share - below) * kept->rows;
		current[n_bins++] = at - first;
		below = share;
	}
	return n_bins;
}

static void
compare_number(const Drift *drift, GptRowNumber number)
{
	const GptKeptNumber *kept = &drift->reference->numbers[number];
	GptDriftRow row = {.measure = gpt_row_number_name((int) number), .test = "ks"};
	double reference[BINS];
	double current[BINS];
	double *values;
	int n = gpt_row_sample_numbers(&values, drift->current, number);
	LmNoise noise;
	int n_bins;

	CHECK_FOR_INTERRUPTS();
	if (kept->rows == 0 || n == 0)
		return;
	row.reference = kept->quantiles[GPT_PROFILE_QUANTILES / 2];
	row.current = values[(n - 1) / 2];
	row.statistic = lm_ks_distance_kept(kept->quantiles, GPT_PROFILE_QUANTILES, values, (size_t) n);
	row.p_value = lm_ks_probability(row.statistic, kept->rows, n);
	row.verdict = verdict(row.statistic, KS_MODERATE, KS_DRIFTED, row.p_value);
	drift->put(drift->context, &row);
	n_bins = count_bins(reference, current, kept, values, n);
	noise = (LmNoise){Max(n_bins - 1, 1), 2 * Max(n_bins - 1, 1)};
	(void) put_index(drift, &row, lm_psi(reference, current, n_bins),
					 lm_noise_of_index(kept->rows, noise, n, noise));
	pfree(values);
}

/* ---- Shares ------------------------------------------------------------- */

static void
compare_shares(const Drift *drift, GptRowShare share)
{
	const GptKeptShares *kept = &drift->reference->shares[share];
	GptDriftRow row = {
		.measure = gpt_row_share_name((int) share), .reference = NAN, .current = NAN};
	double counts[GPT_PROFILE_CATEGORIES + 1];
	LmNoise noise;
	int n;

	CHECK_FOR_INTERRUPTS();
	if (kept->rows == 0)
		return;
	n = gpt_profile_count(counts, &noise, kept, drift->current, share);
	if (n > 0 && put_index(drift, &row, lm_psi(kept->counts, counts, kept->n + 1),
						   lm_noise_of_index(kept->rows, kept->noise, n, noise)))
		put_items(drift, share, counts);
}

/* The name of a category; that of a token is what it spells, in quotes, as spaces do not show. */
static char *
item_name(const Drift *drift, GptRowShare share, int place)
{
	const GptKeptShares *kept = &drift->reference->shares[share];

	if (place == kept->n)
		return pstrdup("(others)");
	if (share != GPT_ROW_TOKENS)
		return gpt_profile_item(drift->served, share, kept->categories[place]);
	if (kept->categories[place] >= (uint32) lm_tokenizer_spec(drift->served->tokenizer)->n_tokens)
		return gpt_profile_item(drift->served, share, kept->categories[place]);
	return psprintf("\"%s\"",
					gpt_token_spelled(drift->served->tokenizer, (int32) kept->categories[place]));
}

/* The categories with the largest parts of the index. */
static void
put_items(const Drift *drift, GptRowShare share, const double *counts)
{
	const GptKeptShares *kept = &drift->reference->shares[share];
	double parts[GPT_PROFILE_CATEGORIES + 1];
	double n = 0;
	double m = 0;

	for (int i = 0; i <= kept->n; i++)
	{
		n += kept->counts[i];
		m += counts[i];
	}
	for (int i = 0; i <= kept->n; i++)
		parts[i] = lm_psi_part(kept->counts[i], counts[i], n, m, kept->n + 1);
	for (int rank = 0; rank < Min(MOST_ITEMS, kept->n + 1); rank++)
	{
		GptDriftRow row = {.measure = gpt_row_share_name((int) share), .p_value = NAN};
		int largest = 0;

		for (int i = 1; i <= kept->n; i++)
		{
			if (parts[i] > parts[largest])
				largest = i;
		}
		if (parts[largest] <= 0)
			return;
		row.item = item_name(drift, share, largest);
		row.reference = kept->counts[largest] / n;
		row.current = counts[largest] / m;
		row.statistic = parts[largest];
		parts[largest] = 0;
		drift->put(drift->context, &row);
	}
}

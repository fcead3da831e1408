/*
 * src/sql/profile.h
 *
 * The profile of rows: what stays of a sample of them, for comparisons with later ones. Of a number
 * its quantiles, of shares the counts of the most frequent categories, and how far such shares go
 * by chance. The column profile of gpt_versions has it as JSON:
 *
 *   {"rows": 4096,
 *    "length": {"rows": 4096, "quantiles": [GPT_PROFILE_QUANTILES + 1 numbers]}, "surprisal": ...,
 *    "tokens": {"rows": 4096, "items": [262, 12, ...], "counts": [...], "noise": [mean, variance]},
 *    "labels": {"rows": 4096, "items": ["ham", "spam"], ...}, "scripts": ...}
 *
 * items are ids, names of labels (null: a label that the model does not know, or none) or names of
 * scripts, the most frequent first; counts has one number more, of all others. What the rows do not
 * have is left out.
 */
#ifndef GPT_PROFILE_H
#define GPT_PROFILE_H

#include "engine/statistics.h"
#include "serve/cache.h"
#include "sql/row_sample.h"
#include "utils/jsonb.h"

#define GPT_PROFILE_QUANTILES 128
#define GPT_PROFILE_CATEGORIES 256

/* The distribution of a number. */
typedef struct GptKeptNumber
{
	int rows; /* that have it; 0: the rest is not set */
	double quantiles[GPT_PROFILE_QUANTILES + 1]; /* of lm_quantiles */
} GptKeptNumber;

/* Shares of categories. */
typedef struct GptKeptShares
{
	int rows; /* that have any; 0: the rest is not set */
	int n; /* categories; all others are one more */
	uint32 categories[GPT_PROFILE_CATEGORIES]; /* [n] the most frequent first */
	double counts[GPT_PROFILE_CATEGORIES + 1]; /* [n + 1] */
	LmNoise noise;
} GptKeptShares;

typedef struct GptProfile
{
	int64 rows;
	GptKeptNumber numbers[GPT_N_ROW_NUMBERS];
	GptKeptShares shares[GPT_N_ROW_SHARES];
} GptProfile;

/* The profile of a sample, palloc'd. Checks for interrupts. */
extern GptProfile *gpt_profile_create(const GptRowSample *sample);

/*
 * The counts of a sample in the categories of kept shares, [kept->n + 1], and its noise there;
 * returns the number of rows that have any.
 */
extern int gpt_profile_count(double *counts, LmNoise *noise, const GptKeptShares *kept,
							 const GptRowSample *sample, GptRowShare share);

/* The name of a category, palloc'd; "other" of labels that the model does not know. */
extern char *gpt_profile_item(const GptServed *served, GptRowShare share, uint32 category);

/*
 * As JSON and back, by the labels of the model. _read returns NULL where it is not a profile of
 * this form; categories that the model does not have any more are left out.
 */
extern Jsonb *gpt_profile_write(const GptProfile *profile, const GptServed *served);
extern GptProfile *gpt_profile_read(const char *json, const GptServed *served);

#endif /* GPT_PROFILE_H */

/*
 * src/sql/drift.h
 *
 * How far rows have moved from a profile of earlier ones: measures, their chance, and verdicts.
 */
#ifndef GPT_DRIFT_H
#define GPT_DRIFT_H

#include "sql/profile.h"

/* A row of gpt_drift; NULL and NaN are nulls. */
typedef struct GptDriftRow
{
	const char *measure;
	const char *item; /* a category of shares; NULL: all of them, or a number */
	const char *test; /* "ks" or "psi" */
	double reference; /* of a number the median, of an item its share */
	double current;
	double statistic;
	double p_value;
	const char *verdict;
} GptDriftRow;

/* Hands each row to put. Checks for interrupts. */
extern void gpt_drift_compare(const GptProfile *reference, const GptRowSample *current,
							  const GptServed *served,
							  void (*put)(void *context, const GptDriftRow *row), void *context);

#endif /* GPT_DRIFT_H */

/*
 * include/engine/roc.h
 *
 * How well a score parts rows that have a label from others, whatever threshold is used.
 */
#ifndef LM_ROC_H
#define LM_ROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/host.h"

/* Rows with a score, not NaN, and a weight above 0; the arrays are the caller's. */
typedef struct LmRocRows
{
	size_t n;
	const float *scores; /* of row i: scores[i * stride] */
	const uint8_t *positive; /* whether the row has the label: positive[i * stride] */
	size_t stride;
	const double *weights; /* [n]; NULL: all 1 */
} LmRocRows;

typedef struct LmRoc
{
	double area; /* NaN where all rows are positive, or none */
	/*
	 * rows with at least this score given the label have the best F1, which is the second; of
	 * several the highest threshold
	 */
	double threshold;
	double f1;
} LmRoc;

/*
 * The area under the curve: the probability that a positive row has a higher score than another
 * one, where equal scores count half (Hanley and McNeil 1982, "The meaning and use of the area
 * under a receiver operating characteristic (ROC) curve"). Adds to influence [n], unless NULL, how
 * far each row moves the area, times factor: the sum of their squares is the variance of the area,
 * and of a sum of areas of the same rows, and that of their differences that of a difference
 * (DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated
 * receiver operating characteristic curves", equations 3 to 6; by ranks, as Sun and Xu 2014).
 * Sorts: n log n. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_roc(LmRoc *roc, double *influence, double factor, const LmRocRows *rows, const LmHost *host,
			LmError *error);

#endif /* LM_ROC_H */

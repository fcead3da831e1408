/*
 * src/engine/base/roc.c
 *
 * Scores of rows with and without a label go in; the area under the ROC curve, its influences, and
 * the threshold of the best F1 come out.
 */
#include <math.h>
#include <stdlib.h>

#include "engine/roc.h"

/* A row by its score. */
typedef struct Place
{
	float score;
	uint8_t positive;
	uint32_t row;
	double weight;
} Place;

/* Weights of rows. */
typedef struct Weights
{
	double of[2]; /* without the label, with it */
	double count[2];
} Weights;

static int
compare_places(const void *a, const void *b)
{
	const Place *x = a;
	const Place *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

/* The end of the run of equal scores that begins at a place; adds its weights. */
static size_t
run_of(Weights *run, const Place *places, size_t begin, size_t n)
{
	size_t end = begin;

	*run = (Weights){{0, 0}, {0, 0}};
	for (; end < n && places[end].score == places[begin].score; end++)
	{
		run->of[places[end].positive] += places[end].weight;
		run->count[places[end].positive]++;
	}
	return end;
}

/* What a row of a class is worth: the share of the other class that it is on the right side of. */
static void
add_influence(double *influence, double factor, const Place *places, size_t n, const Weights *all,
			  double area)
{
	double before[2] = {0, 0};
	double scale[2]; /* as DeLong's variances divide by one less than the rows of the class */

	for (int kind = 0; kind < 2; kind++)
		scale[kind] = factor * sqrt(all->count[kind] / fmax(all->count[kind] - 1, 1));
	for (size_t begin = 0, end; begin < n; begin = end)
	{
		Weights run;
		double right[2];

		end = run_of(&run, places, begin, n);
		right[1] = (before[0] + run.of[0] / 2) / all->of[0];
		right[0] = 1 - (before[1] + run.of[1] / 2) / all->of[1];
		for (size_t i = begin; i < end; i++)
		{
			int kind = places[i].positive;

			influence[places[i].row] +=
				scale[kind] * places[i].weight / all->of[kind] * (right[kind] - area);
		}
		before[0] += run.of[0];
		before[1] += run.of[1];
	}
}

/* From the lowest score up: all rows from a run on are given the label. */
static void
walk(LmRoc *roc, const Place *places, size_t n, const Weights *all)
{
	double before[2] = {0, 0};
	double pairs = 0;

	for (size_t begin = 0, end; begin < n; begin = end)
	{
		Weights run;
		double both = all->of[1] - before[1];
		double f1 = 2 * both / (both + all->of[0] - before[0] + all->of[1]);

		if (both > 0 && f1 >= roc->f1)
		{
			roc->f1 = f1;
			roc->threshold = (double) places[begin].score;
		}
		end = run_of(&run, places, begin, n);
		pairs += run.of[1] * (before[0] + run.of[0] / 2);
		before[0] += run.of[0];
		before[1] += run.of[1];
	}
	roc->area = pairs / (all->of[0] * all->of[1]);
}

bool
lm_roc(LmRoc *roc, double *influence, double factor, const LmRocRows *rows, const LmHost *host,
	   LmError *error)
{
	Place *places = lm_allocate_unset(host, (rows->n + 1) * sizeof(Place));
	Weights all = {{0, 0}, {0, 0}};
	bool stopped = false;

	*roc = (LmRoc){NAN, NAN, 0};
	if (places == NULL)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
	for (size_t i = 0; i < rows->n; i++)
	{
		Place place = {rows->scores[i * rows->stride], rows->positive[i * rows->stride] != 0,
					   (uint32_t) i, rows->weights != NULL ? rows->weights[i] : 1};

		places[i] = place;
		all.of[place.positive] += place.weight;
		all.count[place.positive]++;
	}
	if (all.of[0] > 0 && all.of[1] > 0)
	{
		qsort(places, rows->n, sizeof(Place), compare_places);
		walk(roc, places, rows->n, &all);
		stopped = host->should_stop != NULL && host->should_stop(host->context);
		if (influence != NULL && !stopped)
			add_influence(influence, factor, places, rows->n, &all, roc->area);
	}
	lm_free(host, places);
	return !stopped || lm_fail(error, LM_ERR_STOPPED, -1, "measuring was stopped");
}

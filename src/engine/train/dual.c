/*
 * src/engine/train/dual.c
 *
 * Dual coordinate descent. A run of the threads is a piece of a pass of each label of a group.
 */
#include <math.h>

#include "text/array.h"
#include "train/dual.h"

#define ACCURACY 0.1 /* between the largest and the smallest projected gradient, at the end */
#define PIECE_ENTRIES ((size_t) 1 << 21) /* of rows: about 10 ms */
#define GROUP_FLOATS                                                             \
	((size_t) 1 << 24) /* memory of the labels that are solved beside each other \
						*/
#define MOST_GROUP 64

/* One label's problem. */
typedef struct Solver
{
	float *w; /* [n_features] */
	float *alpha; /* [n_train] */
	uint32_t *order; /* rows that are learnt: the active ones first */
	int8_t *sign; /* [n_train] */
	size_t n; /* in order */
	size_t active;
	size_t at; /* in the present pass */
	double upper; /* gradients above it shrink a row whose alpha is 0 */
	double largest, smallest; /* projected gradients of the pass */
	uint64_t random;
	int passes;
	bool done;
} Solver;

typedef struct Work
{
	const LmFeatureRows *rows;
	const LmRowLabels *labels;
	const LmDualOptions *options;
	const float *squares; /* [n_train] |x|^2, the constant feature included */
	double mean_weight;
	Solver *solvers;
} Work;

bool
lm_row_has(const LmRowLabels *labels, size_t row, uint32_t label)
{
	uint64_t n;
	const uint32_t *members;

	if (!labels->sets)
		return labels->windows[row].label == label;
	members = lm_label_set(&n, labels->sets, labels->windows[row].label);
	for (uint64_t i = 0; i < n; i++)
		if (members[i] == label)
			return true;
	return false;
}

/* Numbers of Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators". */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

static void
start_pass(Solver *solver)
{
	solver->at = 0;
	solver->largest = -INFINITY;
	solver->smallest = INFINITY;
	for (size_t i = solver->active; i > 1; i--)
	{
		size_t j = (size_t) (((unsigned __int128) next_random(&solver->random) * i) >> 64);
		uint32_t row = solver->order[i - 1];

		solver->order[i - 1] = solver->order[j];
		solver->order[j] = row;
	}
}

/* Ends a pass: the problem is solved, or shrinks, or is looked at as a whole once more. */
static void
end_pass(Solver *solver, int most_passes)
{
	solver->passes++;
	if (solver->active == 0 || solver->largest - solver->smallest <= ACCURACY)
	{
		if (solver->active == solver->n)
			solver->done = true;
		solver->active = solver->n;
		solver->upper = INFINITY;
	}
	else
		solver->upper = solver->largest > 0 ? solver->largest : INFINITY;
	solver->done |= solver->passes >= most_passes;
	if (!solver->done)
		start_pass(solver);
}

static double
product(const Solver *solver, const LmFeatureRows *rows, size_t row)
{
	double sum = solver->w[0];

	for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
		sum += (double) solver->w[rows->features[i]] * rows->values[i];
	return sum;
}

static void
add_row(Solver *solver, const LmFeatureRows *rows, size_t row, double factor)
{
	solver->w[0] += (float) factor;
	for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
		solver->w[rows->features[i]] += (float) (factor * rows->values[i]);
}

/* A step on the row at solver->at; a row that is shrunk gives its place to another one. */
static void
visit(const Work *work, Solver *solver)
{
	size_t row = solver->order[solver->at];
	double sign = solver->sign[row], alpha = solver->alpha[row];
	double diagonal = 0.5 * work->mean_weight /
					  (work->options->cost * (double) work->labels->windows[row].weight);
	double gradient = sign * product(solver, work->rows, row) - 1 + diagonal * alpha;
	double projected = alpha > 0 || gradient < 0 ? gradient : 0;

	if (alpha == 0 && gradient > solver->upper)
	{
		solver->active--;
		solver->order[solver->at] = solver->order[solver->active];
		solver->order[solver->active] = (uint32_t) row;
		return;
	}
	solver->at++;
	solver->largest = projected > solver->largest ? projected : solver->largest;
	solver->smallest = projected < solver->smallest ? projected : solver->smallest;
	if (fabs(projected) < 1e-12)
		return;
	alpha -= gradient / ((double) work->squares[row] + diagonal);
	alpha = alpha > 0 ? alpha : 0;
	add_row(solver, work->rows, row, (alpha - (double) solver->alpha[row]) * sign);
	solver->alpha[row] = (float) alpha;
}

/* A piece: goes on with one label until so many entries were read, or its pass ends. */
static void
go_on(void *context, int piece, int thread)
{
	const Work *work = context;
	Solver *solver = &work->solvers[piece];
	size_t entries = 0;

	(void) thread;
	if (solver->done)
		return;
	while (solver->at < solver->active && entries < PIECE_ENTRIES)
	{
		size_t row = solver->order[solver->at];

		entries += work->rows->ends[row] - lm_row_begin(work->rows, row) + 8;
		visit(work, solver);
	}
	if (solver->at >= solver->active)
		end_pass(solver, work->options->most_passes);
}

/* Prepares a label. */
static void
start(Work *work, Solver *solver, const float *weights, uint32_t label)
{
	const LmFeatureRows *rows = work->rows;

	for (size_t i = 0; i < rows->n_features; i++)
		solver->w[i] = weights[i * (size_t) work->labels->labels + label];
	solver->n = 0;
	for (size_t row = 0; row < rows->n_train; row++)
	{
		bool has = lm_row_has(work->labels, row, label);

		solver->sign[row] = has ? 1 : -1;
		solver->alpha[row] = 0;
		if (!lm_dual_learns(work->options, row))
			continue;
		solver->order[solver->n++] = (uint32_t) row;
	}
	solver->active = solver->n;
	solver->upper = INFINITY;
	solver->passes = 0;
	solver->done = solver->n == 0;
	solver->random = work->options->seed * 0x9E3779B97F4A7C15u + label;
	if (!solver->done)
		start_pass(solver);
}

/* Solves the labels [first, first + n). */
static void
solve(float *weights, LmEngine *engine, Work *work, uint32_t first, int n)
{
	size_t labels = (size_t) work->labels->labels;
	bool more = true;

	for (int i = 0; i < n; i++)
		start(work, &work->solvers[i], weights, first + (uint32_t) i);
	while (more && !lm_engine_stopped(engine))
	{
		lm_engine_run(engine, go_on, work, n);
		more = false;
		for (int i = 0; i < n; i++)
			more |= !work->solvers[i].done;
	}
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < work->rows->n_features; k++)
			weights[k * labels + first + (size_t) i] = work->solvers[i].w[k];
}

/* All arrays of a group's solvers in one block. */
static Solver *
create_solvers(const LmHost *host, const LmFeatureRows *rows, int n, LmError *error)
{
	size_t floats = rows->n_features + 2 * rows->n_train,
		   each = floats * sizeof(float) + (rows->n_train + 7) / 8 * 8;
	Solver *solvers = lm_array_allocate(host, (size_t) n, sizeof(Solver) + each, error);
	char *place = (char *) (solvers + n);

	for (int i = 0; solvers && i < n; i++, place += each)
	{
		solvers[i].w = (float *) (void *) place;
		solvers[i].alpha = solvers[i].w + rows->n_features;
		solvers[i].order = (uint32_t *) (void *) (solvers[i].alpha + rows->n_train);
		solvers[i].sign = (int8_t *) (solvers[i].order + rows->n_train);
	}
	return solvers;
}

/* |x|^2 of each row, and the mean weight of rows. */
static float *
create_squares(Work *work, const LmHost *host, LmError *error)
{
	const LmFeatureRows *rows = work->rows;
	float *squares = lm_array_allocate(host, rows->n_train + 1, sizeof *squares, error);
	double weight = 0;

	for (size_t row = 0; squares && row < rows->n_train; row++)
	{
		double sum = 1;

		for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
			sum += (double) rows->values[i] * rows->values[i];
		squares[row] = (float) sum;
		weight += (double) work->labels->windows[row].weight;
	}
	work->mean_weight = weight / (double) rows->n_train;
	return squares;
}

bool
lm_dual_fit(float *weights, LmEngine *engine, const LmFeatureRows *rows, const LmRowLabels *labels,
			const LmDualOptions *options, LmError *error)
{
	const LmHost *host = lm_engine_host(engine);
	Work work = {.rows = rows, .labels = labels, .options = options};
	size_t floats = rows->n_features + 2 * rows->n_train + 1, group = GROUP_FLOATS / floats;
	bool opposite = labels->labels == 2 && !labels->sets;
	int n = opposite ? 1 : labels->labels;
	float *squares = create_squares(&work, host, error);

	group = group > MOST_GROUP ? MOST_GROUP : group < 1 ? 1 : group;
	group = group > (size_t) n ? (size_t) n : group;
	work.squares = squares;
	work.solvers = squares ? create_solvers(host, rows, (int) group, error) : NULL;
	lm_engine_begin(engine);
	for (int first = 0; work.solvers && first < n && !lm_engine_stopped(engine);
		 first += (int) group)
		solve(weights, engine, &work, (uint32_t) first,
			  n - first < (int) group ? n - first : (int) group);
	for (size_t i = 0; work.solvers && opposite && i < rows->n_features; i++)
		weights[2 * i + 1] = -weights[2 * i];
	lm_free(host, squares);
	lm_free(host, work.solvers);
	if (!work.solvers)
		return false;
	return !lm_engine_stopped(engine) ||
		   lm_fail(error, LM_ERR_STOPPED, -1, "fitting a classifier was stopped");
}

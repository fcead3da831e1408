/*
 * src/engine/train/dual.c
 *
 * Dual coordinate descent. Up to sixteen labels are solved by the same visits of a row, because
 * reading its entries and fetching their weights costs more than the sums: weights of a feature
 * for these labels lie side by side. A run of the threads is a piece of a pass of each group.
 *
 *   w     [n_features, lanes]   lanes: labels, rounded up to a multiple of four; or one label
 *   alpha [n_train, lanes]
 */
#include <math.h>

#include "text/array.h"
#include "train/dual_rows.h"

#define ACCURACY 0.1 /* between the largest and the smallest projected gradient, at the end */
#define PIECE_ENTRIES ((size_t) 1 << 21) /* of rows, for four labels: about 10 ms */
#define MOST_SOLVERS 16 /* beside each other, where memory allows */

/* The problems of some labels. */
typedef struct Solver
{
	float *w;
	float *alpha;
	uint32_t *order; /* rows that are learnt: the active ones first */
	uint16_t *has; /* [n_train] bit i: the row has label first + i */
	size_t n; /* in order */
	size_t active;
	size_t at; /* in the present pass */
	/* of each label: gradients above it shrink a row whose alpha is 0 */
	float upper[MOST_LANES];
	float largest[MOST_LANES], smallest[MOST_LANES]; /* projected gradients of the pass */
	uint64_t random;
	uint32_t first; /* label */
	int labels;
	int lanes;
	int passes;
	unsigned open; /* bit i: label first + i is not solved */
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

/* ---- Passes ------------------------------------------------------------- */

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
	for (int k = 0; k < solver->labels; k++)
	{
		solver->largest[k] = -INFINITY;
		solver->smallest[k] = INFINITY;
	}
	for (size_t i = solver->active; i > 1; i--)
	{
		size_t j = (size_t) (((unsigned __int128) next_random(&solver->random) * i) >> 64);
		uint32_t row = solver->order[i - 1];

		solver->order[i - 1] = solver->order[j];
		solver->order[j] = row;
	}
}

/*
 * Ends a pass. A label is solved when a pass over all rows finds it so; when those over the active
 * ones find all labels so, all rows are looked at once more.
 */
static void
end_pass(Solver *solver, int most_passes)
{
	bool whole = solver->active == solver->n, good = true;

	solver->passes++;
	for (int k = 0; k < solver->labels; k++)
	{
		bool solved =
			solver->active == 0 || solver->largest[k] - solver->smallest[k] <= (float) ACCURACY;

		if (!(solver->open >> k & 1))
			continue;
		if (whole && solved)
			solver->open &= ~(1u << k);
		good = good && solved;
		solver->upper[k] = solver->largest[k] > 0 ? solver->largest[k] : INFINITY;
	}
	if (good)
	{
		solver->active = solver->n;
		for (int k = 0; k < solver->labels; k++)
			solver->upper[k] = INFINITY;
	}
	if (solver->passes >= most_passes)
		solver->open = 0;
	if (solver->open)
		start_pass(solver);
}

/* ---- Rows --------------------------------------------------------------- */

/*
 * A step on the row at solver->at, for each label that does not shrink it; a row that all labels
 * shrink gives its place to another one.
 */
static void
visit(const Work *work, Solver *solver)
{
	Four sums[MOST_FOURS], changes[MOST_FOURS] = {{0}};
	float *y = (float *) sums, *factors = (float *) changes;
	size_t row = solver->order[solver->at];
	float *alpha = solver->alpha + row * (size_t) solver->lanes;
	float diagonal = (float) (0.5 * work->mean_weight /
							  (work->options->cost * (double) work->labels->windows[row].weight));
	float step = 1 / (work->squares[row] + diagonal);
	bool active = false, changed = false;

	products(y, solver->w, solver->lanes, work->rows, row);
	for (int k = 0; k < solver->labels; k++)
	{
		float sign = solver->has[row] >> k & 1 ? 1 : -1, gradient, projected, next;

		if (!(solver->open >> k & 1))
			continue;
		gradient = sign * y[k] - 1 + diagonal * alpha[k];
		if (alpha[k] == 0 && gradient > solver->upper[k])
			continue;
		active = true;
		projected = alpha[k] > 0 || gradient < 0 ? gradient : 0;
		solver->largest[k] = fmaxf(projected, solver->largest[k]);
		solver->smallest[k] = fminf(projected, solver->smallest[k]);
		if (fabsf(projected) < 1e-12f)
			continue;
		next = fmaxf(alpha[k] - gradient * step, 0);
		factors[k] = (next - alpha[k]) * sign;
		changed = changed || factors[k] != 0;
		alpha[k] = next;
	}
	if (changed)
		add_row(solver->w, factors, solver->lanes, work->rows, row);
	if (active)
	{
		solver->at++;
		return;
	}
	solver->active--;
	solver->order[solver->at] = solver->order[solver->active];
	solver->order[solver->active] = (uint32_t) row;
}

/* A piece: goes on with one group until so many entries were read, or its pass ends. */
static void
go_on(void *context, int piece, int thread)
{
	const Work *work = context;
	Solver *solver = &work->solvers[piece];
	size_t entries = 0;

	(void) thread;
	if (!solver->open)
		return;
	while (solver->at < solver->active && entries < PIECE_ENTRIES)
	{
		size_t row = solver->order[solver->at];

		entries += (work->rows->ends[row] - lm_row_begin(work->rows, row) + 8) *
				   (size_t) ((solver->lanes + FOUR - 1) / FOUR);
		visit(work, solver);
	}
	if (solver->at >= solver->active)
		end_pass(solver, work->options->most_passes);
}

/* ---- Groups of labels --------------------------------------------------- */

/* Prepares n labels from first on. */
static void
start(const Work *work, Solver *solver, const float *weights, uint32_t first, int n)
{
	const LmFeatureRows *rows = work->rows;
	size_t lanes = (size_t) solver->lanes, labels = (size_t) work->labels->labels;

	solver->first = first;
	solver->labels = n;
	memset(solver->w, 0, rows->n_features * lanes * sizeof *solver->w);
	memset(solver->alpha, 0, rows->n_train * lanes * sizeof *solver->alpha);
	for (size_t i = 0; i < rows->n_features; i++)
		for (size_t k = 0; k < (size_t) n; k++)
			solver->w[i * lanes + k] = weights[i * labels + first + k];
	solver->n = 0;
	for (size_t row = 0; row < rows->n_train; row++)
	{
		if (!lm_dual_learns(work->options, row))
			continue;
		solver->has[row] = 0;
		for (uint32_t k = 0; k < (uint32_t) n; k++)
			solver->has[row] |=
				(uint16_t) ((unsigned) lm_row_has(work->labels, row, first + k) << k);
		for (size_t k = 0; work->options->alpha && k < (size_t) n; k++)
			solver->alpha[row * lanes + k] = work->options->alpha[row * labels + first + k];
		solver->order[solver->n++] = (uint32_t) row;
	}
	solver->active = solver->n;
	for (int k = 0; k < n; k++)
		solver->upper[k] = INFINITY;
	solver->passes = 0;
	solver->open = solver->n > 0 ? (1u << n) - 1 : 0;
	solver->random = work->options->seed * 0x9E3779B97F4A7C15u + first;
	if (solver->open)
		start_pass(solver);
}

/* Solves n groups, as far as time allows. */
static void
solve(float *weights, LmEngine *engine, Work *work, int n, double until)
{
	size_t labels = (size_t) work->labels->labels;
	bool more = true;

	while (more && !lm_engine_stopped(engine) && !lm_fit_is_over(work->options->time, until))
	{
		lm_engine_run(engine, go_on, work, n);
		more = false;
		for (int i = 0; i < n; i++)
			more |= work->solvers[i].open != 0;
	}
	for (int i = 0; i < n; i++)
	{
		const Solver *solver = &work->solvers[i];
		size_t lanes = (size_t) solver->lanes, count = (size_t) solver->labels;
		float *alpha = work->options->alpha;

		for (size_t j = 0; alpha && j < work->rows->n_train; j++)
			memcpy(alpha + j * labels + solver->first, solver->alpha + j * lanes,
				   count * sizeof *alpha);
		for (size_t j = 0; j < work->rows->n_features; j++)
			memcpy(weights + j * labels + solver->first, solver->w + j * lanes,
				   count * sizeof *weights);
	}
}

/* All arrays of n solvers in one block. */
static Solver *
create_solvers(const LmHost *host, const LmFeatureRows *rows, int n, int lanes, LmError *error)
{
	size_t w = rows->n_features * (size_t) lanes, alpha = rows->n_train * (size_t) lanes,
		   each = (w + alpha + rows->n_train + rows->n_train / 2 + 1) * sizeof(float);
	size_t head = ((size_t) n * sizeof(Solver) + 63) / 64 * 64;
	char *block;

	each = (each + 63) / 64 * 64;
	block = lm_array_allocate(host, 1, head + (size_t) n * each, error);
	for (int i = 0; block && i < n; i++)
	{
		Solver *solver = &((Solver *) (void *) block)[i];

		solver->lanes = lanes;
		solver->w = (float *) (void *) (block + head + (size_t) i * each);
		solver->alpha = solver->w + w;
		solver->order = (uint32_t *) (void *) (solver->alpha + alpha);
		solver->has = (uint16_t *) (void *) (solver->order + rows->n_train);
	}
	return (Solver *) (void *) block;
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

/* Solves all labels, so many groups beside each other, with equal shares of the time. */
static void
solve_all(float *weights, LmEngine *engine, Work *work, int labels, int n_solvers)
{
	const LmDualOptions *options = work->options;
	double begin = lm_fit_used(options->time);
	int lanes = work->solvers[0].lanes;

	for (int first = 0; first < labels && !lm_engine_stopped(engine);)
	{
		int n = 0;

		for (; n < n_solvers && first < labels; n++)
		{
			int count = labels - first < lanes ? labels - first : lanes;

			start(work, &work->solvers[n], weights, (uint32_t) first, count);
			first += count;
		}
		solve(weights, engine, work, n, begin + (options->until - begin) * first / labels);
	}
}

bool
lm_dual_fit(float *weights, LmEngine *engine, const LmFeatureRows *rows, const LmRowLabels *labels,
			const LmDualOptions *options, LmError *error)
{
	const LmHost *host = lm_engine_host(engine);
	Work work = {.rows = rows, .labels = labels, .options = options};
	bool opposite = labels->labels == 2 && !labels->sets;
	int n = opposite ? 1 : labels->labels, n_groups = (n + MOST_LANES - 1) / MOST_LANES, lanes;
	size_t most, most_floats = options->most_floats > 0 ? options->most_floats : LM_FIT_FLOATS;
	float *squares = create_squares(&work, host, error);

	/* As equal as fours allow, so that threads have as much to do. */
	lanes = n == 1 ? 1 : ((n + n_groups - 1) / n_groups + FOUR - 1) / FOUR * FOUR;
	most = most_floats / ((rows->n_features + rows->n_train) * (size_t) lanes + 2 * rows->n_train);
	/* A feature's weights for four labels at least: with few lanes rows are read again. */
	while (most == 0 && lanes > FOUR)
	{
		lanes -= FOUR;
		most =
			most_floats / ((rows->n_features + rows->n_train) * (size_t) lanes + 2 * rows->n_train);
	}
	most = most < 1 ? 1 : most > MOST_SOLVERS ? MOST_SOLVERS : most;
	n_groups = (n + lanes - 1) / lanes;
	n_groups = (size_t) n_groups > most ? (int) most : n_groups;
	work.squares = squares;
	work.solvers = squares ? create_solvers(host, rows, n_groups, lanes, error) : NULL;
	lm_engine_begin(engine);
	if (work.solvers)
		solve_all(weights, engine, &work, n, n_groups);
	for (size_t i = 0; work.solvers && opposite && i < rows->n_features; i++)
		weights[2 * i + 1] = -weights[2 * i];
	lm_free(host, squares);
	lm_free(host, work.solvers);
	if (!work.solvers)
		return false;
	return !lm_engine_stopped(engine) ||
		   lm_fail(error, LM_ERR_STOPPED, -1, "fitting a classifier was stopped");
}

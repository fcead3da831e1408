/*
 * src/engine/train/adamw.c
 *
 * AdamW (Loshchilov and Hutter 2019): one pass over all parameters. LmAdamW (ops.h) has the
 * equations.
 */
#include <math.h>

#include "kernels/pieces.h"
#include "kernels/simd.h"
#include "base/arena.h"
#include "train/adamw.h"

typedef struct SweepWork
{
	const LmSimd *simd;
	float *p;
	float *m;
	float *v;
	const float *gradient;
	const LmAdamWRange *ranges;
	int n_ranges;
} SweepWork;

static bool scratch_size(size_t *bytes, const LmConfig *config, const LmTrainOptions *options);
static void update_all(const LmUpdate *update);
static LmAdamW rule_of(const LmUpdate *update, bool in_head, bool decays);
static void sweep_piece(void *work, int piece, int thread);
static const LmAdamWRange *range_of(const SweepWork *work, int piece);

const LmOptimizer lm_adamw = {
	.name = "adamw",
	.n_moments = 2,
	.steps = 1000,
	.fewest = 1000,
	.scratch = scratch_size,
	.update = update_all,
};

static bool
scratch_size(size_t *bytes, const LmConfig *config, const LmTrainOptions *options)
{
	*bytes = lm_adamw_scratch(config);
	return true;
}

static void
update_all(const LmUpdate *update)
{
	lm_adamw_update(update, NULL);
}

size_t
lm_adamw_scratch(const LmConfig *config)
{
	LmArena arena = {0};

	lm_arena_take(&arena, lm_param_table_count(config), sizeof(LmAdamWRange));
	return arena.used;
}

void
lm_adamw_update(const LmUpdate *update, bool (*leaves)(const LmParam *param))
{
	LmAdamWRange *ranges = update->scratch;
	LmAdamW rules[2][2];
	int n_ranges = 0;

	for (int i = 0; i < 4; i++)
		rules[i / 2][i % 2] = rule_of(update, i / 2 == 1, i % 2 == 1);
	for (int i = 0; i < update->table->n_params; i++)
	{
		const LmParam *param = &update->table->params[i];

		if (!leaves || !leaves(param))
			ranges[n_ranges++] = (LmAdamWRange){param->offset, param->count,
												&rules[lm_param_in_head(param)][param->decay], 0};
	}
	lm_adamw_sweep(update->engine, update->params, update->moments[0], update->moments[1],
				   update->gradient, ranges, n_ranges);
}

/*
 * The rule for the parameters of a classifier's head or all others, with or without decay, which is
 * the learning rate's of all.
 */
static LmAdamW
rule_of(const LmUpdate *update, bool in_head, bool decays)
{
	const LmTrainOptions *options = update->options;
	double times = in_head ? options->head_rate : 1;
	double n_steps = (double) (update->step + 1);

	return (LmAdamW){
		.rate = (float) (update->learning_rate * times),
		.beta1 = (float) options->beta1,
		.beta2 = (float) options->beta2,
		.epsilon = (float) options->epsilon,
		.decay = decays ? (float) (options->weight_decay / times) : 0,
		.correction1 = (float) (1 - pow(options->beta1, n_steps)),
		.correction2 = (float) (1 - pow(options->beta2, n_steps)),
		.gradient_scale = update->gradient_scale,
	};
}

void
lm_adamw_sweep(LmEngine *engine, float *p, float *m, float *v, const float *gradient,
			   LmAdamWRange *ranges, int n_ranges)
{
	SweepWork work = {lm_simd(), p, m, v, gradient, ranges, n_ranges};
	int n_pieces = 0;

	for (int i = 0; i < n_ranges; i++)
	{
		ranges[i].first_piece = n_pieces;
		n_pieces += lm_divide_up(ranges[i].count, LM_PIECE_ELEMENTS);
	}
	lm_engine_run(engine, sweep_piece, &work, n_pieces);
}

static void
sweep_piece(void *argument, int piece, int thread)
{
	const SweepWork *work = argument;
	const LmAdamWRange *range = range_of(work, piece);
	size_t first = (size_t) (piece - range->first_piece) * LM_PIECE_ELEMENTS;
	size_t count = lm_piece_size(first, range->count, LM_PIECE_ELEMENTS);

	first += range->first;
	work->simd->adamw(work->p + first, work->m + first, work->v + first, work->gradient + first,
					  count, range->rule);
}

/* The last range whose first piece is not beyond. */
static const LmAdamWRange *
range_of(const SweepWork *work, int piece)
{
	int first = 0, last = work->n_ranges - 1;

	while (first < last)
	{
		int middle = (first + last + 1) / 2;

		if (work->ranges[middle].first_piece <= piece)
			first = middle;
		else
			last = middle - 1;
	}
	return &work->ranges[first];
}

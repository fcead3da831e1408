/*
 * src/engine/train/muon.c
 *
 * From gradients and momentum of the matrices of blocks to their update, a layer at a time.
 */
#include <math.h>

#include "base/engine_private.h"
#include "train/adamw.h"
#include "train/muon.h"
#include "train/newton_schulz.h"

#define NORM_EPSILON 1e-7
#define RMS_OF_ADAMW 0.2f

/* Blocks of parameters, and the places of a layer's matrices in them. */
typedef struct Layer
{
	LmNsSet set;
	size_t offsets[LM_NS_MATRICES];
	double *sums[LM_NS_MATRICES]; /* of squares of u, for each piece */
	const LmMuon *muon;
	float *params;
	float *moments;
	const float *directions;
	const float *gradient;
} Layer;

/* A piece of an elementwise pass. */
typedef struct Span
{
	int matrix;
	size_t first; /* in the matrix */
	size_t count;
	size_t place; /* in a block */
} Span;

static bool scratch_size(size_t *bytes, const LmConfig *config, const LmTrainOptions *options);
static LmMuon muon_of(const LmUpdate *update);
static void prepare(const LmUpdate *update);
static void update_all(const LmUpdate *update);
static Layer layer_of(LmEngine *engine, const LmParamTable *table, const LmMuon *muon, int number,
					  void *scratch);
static void add_matrix(Layer *layer, LmArena *arena, int rows, int columns, size_t offset);
static void run_elements(Layer *layer, LmPiece piece);
static Span span_of(const Layer *layer, int piece);
static int elements_pieces(const LmNsMatrix *matrix);
static void candidate_piece(void *work, int piece, int thread);
static void find_norms(Layer *layer);
static void update_piece(void *work, int piece, int thread);

/* Muon learns more in a step than AdamW; each step costs the same extra time. */
const LmOptimizer lm_muon = {
	.name = "muon",
	.about = "muon orthogonalises the updates of the blocks' matrices and uses adamw for the rest",
	.n_moments = 2,
	.no_adapters = "Muon orthogonalises updates of whole matrices; the matrices of an adapter have "
				   "a low rank.",
	.steps = 500,
	.fewest = 125,
	.scratch = scratch_size,
	.prepare = prepare,
	.update = update_all,
};

/* Scratch is AdamW's, then that of the directions. */
static bool
scratch_size(size_t *bytes, const LmConfig *config, const LmTrainOptions *options)
{
	return lm_muon_scratch(bytes, config, options->precision == LM_BFLOAT16) &&
		   lm_size_add(bytes, *bytes, lm_adamw_scratch(config));
}

static LmMuon
muon_of(const LmUpdate *update)
{
	return (LmMuon){
		.rate = (float) update->learning_rate,
		.decay = (float) update->options->weight_decay,
		.gradient_scale = update->gradient_scale,
		.bf16 = update->options->precision == LM_BFLOAT16,
	};
}

static void
prepare(const LmUpdate *update)
{
	LmMuon muon = muon_of(update);

	lm_muon_directions(update->engine, update->moments[1], update->moments[0], update->gradient,
					   update->table, &muon,
					   (char *) update->scratch + lm_adamw_scratch(&update->table->config));
}

static void
update_all(const LmUpdate *update)
{
	LmMuon muon = muon_of(update);

	lm_adamw_update(update, lm_muon_takes);
	lm_muon_update(update->engine, update->params, update->moments[0], update->moments[1],
				   update->gradient, update->table, &muon);
}

bool
lm_muon_takes(const LmParam *param)
{
	return param->layer >= 0 && !param->vector;
}

bool
lm_muon_scratch(size_t *bytes, const LmConfig *config, bool bf16)
{
	Layer layer = {.muon = &(LmMuon){.bf16 = bf16}};
	LmArena arena = {0};

	add_matrix(&layer, &arena, lm_config_query_channels(config), config->channels, 0);
	add_matrix(&layer, &arena, lm_config_kv_channels(config), config->channels, 0);
	add_matrix(&layer, &arena, lm_config_kv_channels(config), config->channels, 0);
	add_matrix(&layer, &arena, config->channels, lm_config_query_channels(config), 0);
	for (int i = 0; i < (lm_activation_is_gated(config->mlp) ? 2 : 1); i++)
		add_matrix(&layer, &arena, config->mlp_channels, config->channels, 0);
	add_matrix(&layer, &arena, config->channels, config->mlp_channels, 0);
	if (config->architecture == LM_ENCODER_DECODER)
	{
		add_matrix(&layer, &arena, lm_config_query_channels(config), config->channels, 0);
		add_matrix(&layer, &arena, lm_config_kv_channels(config), config->channels, 0);
		add_matrix(&layer, &arena, lm_config_kv_channels(config), config->channels, 0);
		add_matrix(&layer, &arena, config->channels, lm_config_query_channels(config), 0);
	}
	*bytes = arena.used;
	return !arena.overflow;
}

void
lm_muon_directions(LmEngine *engine, float *directions, const float *moments, const float *gradient,
				   const LmParamTable *table, const LmMuon *muon, void *scratch)
{
	for (int number = 0; number < lm_config_blocks(&table->config) && !lm_engine_stopped(engine);
		 number++)
	{
		Layer layer = layer_of(engine, table, muon, number, scratch);

		layer.moments = (float *) moments;
		layer.gradient = gradient;
		for (int i = 0; i < layer.set.n; i++)
			layer.set.matrices[i].result = directions + layer.offsets[i];
		run_elements(&layer, candidate_piece);
		if (lm_engine_stopped(engine))
			return;
		find_norms(&layer);
		lm_newton_schulz(&layer.set);
	}
}

void
lm_muon_update(LmEngine *engine, float *params, float *moments, const float *directions,
			   const float *gradient, const LmParamTable *table, const LmMuon *muon)
{
	for (int number = 0; number < lm_config_blocks(&table->config); number++)
	{
		Layer layer = layer_of(engine, table, muon, number, NULL);

		layer.params = params;
		layer.moments = moments;
		layer.directions = directions;
		layer.gradient = gradient;
		run_elements(&layer, update_piece);
	}
}

/* ---- Matrices ----------------------------------------------------------- */

/* Collects the matrices of a layer that Muon trains; some parameters are several of them. */
static Layer
layer_of(LmEngine *engine, const LmParamTable *table, const LmMuon *muon, int number, void *scratch)
{
	Layer layer = {.set = {.engine = engine, .simd = lm_simd()}, .muon = muon};
	LmArena arena = {.base = scratch};
	bool fits = muon->bf16;

	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		int rows[LM_FILE_PARTS], n = lm_param_stack(rows, param, &table->config);
		size_t offset = param->offset;

		if (param->layer != number || !lm_muon_takes(param))
			continue;
		for (int part = 0; part < n; part++)
		{
			fits = fits && lm_ns_fits_bf16(rows[part], param->columns);
			add_matrix(&layer, &arena, rows[part], param->columns, offset);
			offset += (size_t) rows[part] * (size_t) param->columns;
		}
	}
	layer.set.bf16 = fits ? engine->bf16 : NULL;
	return layer;
}

static void
add_matrix(Layer *layer, LmArena *arena, int rows, int columns, size_t offset)
{
	int i = layer->set.n++;

	layer->offsets[i] = offset;
	lm_ns_layout(&layer->set.matrices[i], arena, rows, columns, layer->muon->bf16);
	layer->sums[i] = lm_arena_take(arena, (size_t) rows * (size_t) columns / LM_PIECE_ELEMENTS + 1,
								   sizeof(double));
}

/* ---- Elements ----------------------------------------------------------- */

static int
elements_pieces(const LmNsMatrix *matrix)
{
	return lm_divide_up((size_t) matrix->rows * (size_t) matrix->columns, LM_PIECE_ELEMENTS);
}

static void
run_elements(Layer *layer, LmPiece piece)
{
	int n_pieces = 0;

	for (int i = 0; i < layer->set.n; i++)
		n_pieces += elements_pieces(&layer->set.matrices[i]);
	lm_engine_run(layer->set.engine, piece, layer, n_pieces);
}

static Span
span_of(const Layer *layer, int piece)
{
	const LmNsMatrix *matrix = lm_ns_matrix(&layer->set, &piece, elements_pieces);
	Span span = {.matrix = (int) (matrix - layer->set.matrices),
				 .first = (size_t) piece * LM_PIECE_ELEMENTS};

	span.count = lm_piece_size(span.first, (size_t) matrix->rows * (size_t) matrix->columns,
							   LM_PIECE_ELEMENTS);
	span.place = layer->offsets[span.matrix] + span.first;
	return span;
}

/* u, and the sum of its squares */
static void
candidate_piece(void *work, int piece, int thread)
{
	const Layer *layer = work;
	Span span = span_of(layer, piece);
	float *u = layer->set.matrices[span.matrix].x + span.first, momentum = LM_MUON_MOMENTUM;

	layer->set.simd->blend(u, (1 + momentum) * layer->muon->gradient_scale,
						   layer->gradient + span.place, momentum * momentum,
						   layer->moments + span.place, span.count);
	layer->sums[span.matrix][span.first / LM_PIECE_ELEMENTS] =
		layer->set.simd->sum_squares(u, span.count);
}

static void
find_norms(Layer *layer)
{
	for (int i = 0; i < layer->set.n; i++)
	{
		LmNsMatrix *matrix = &layer->set.matrices[i];
		double sum = 0;

		for (int piece = 0; piece < elements_pieces(matrix); piece++)
			sum += layer->sums[i][piece];
		matrix->inverse_norm = (float) (1 / (sqrt(sum) + NORM_EPSILON));
	}
}

/* m = momentum m + g, and p -= rate (decay p + 0.2 sqrt(larger side) direction), for one span. */
static void
update_piece(void *work, int piece, int thread)
{
	const Layer *layer = work;
	const LmMuon *muon = layer->muon;
	Span span = span_of(layer, piece);
	const LmNsMatrix *matrix = &layer->set.matrices[span.matrix];
	float larger = (float) (matrix->tall ? matrix->rows : matrix->columns);
	float *m = layer->moments + span.place, *p = layer->params + span.place;

	layer->set.simd->blend(m, muon->gradient_scale, layer->gradient + span.place, LM_MUON_MOMENTUM,
						   m, span.count);
	layer->set.simd->blend(p, 1 - muon->rate * muon->decay, p,
						   -muon->rate * RMS_OF_ADAMW * sqrtf(larger),
						   layer->directions + span.place, span.count);
}

/*
 * src/engine/serve/probe.c
 *
 * From an image and an adapter to a network in float32, and the passes over it.
 *
 * Blocks are recomputed: of each only its input is kept (model/network.c), so that a long text
 * fits.
 */
#include <string.h>

#include "model/objective.h"
#include "serve/probe.h"
#include "serve/reading.h"
#include "text/array.h"

#define PIECE_FLOATS 65536 /* of a matrix, in a piece of work */

/* The values of a parameter: a vector, or the rows of a packed matrix. */
typedef struct Source
{
	const float *values; /* NULL: linear has them */
	const LmLinear *linear;
	const void *a; /* of an adapter, packed; NULL: none */
	const void *b;
} Source;

/* A matrix that becomes float32. */
typedef struct Expansion
{
	LmProbe *probe;
	Source source;
	const LmParam *param;
	int piece_rows;
} Expansion;

static LmConfig network_config(const LmConfig *config);
static bool lay_out(LmProbe *probe, LmArena *arena, const LmConfig *config, size_t total,
					int capacity, int n_threads);
static bool create(LmProbe *probe, int capacity, LmError *error);
static Source source_of(const LmModel *model, const LmParam *param);
static Source source_in_block(const LmModel *model, const LmParam *param);
static void expand(LmProbe *probe, const LmParam *param);
static void expand_piece(void *work, int piece, int thread);

bool
lm_probe_check(const LmConfig *config, LmError *error)
{
	return config->architecture != LM_ENCODER_DECODER ||
		   lm_fail(error, LM_ERR_ARGUMENT, -1,
				   "the layers of a model with an encoder cannot be looked into");
}

/* The network below a head, as it computes without dropout. */
static LmConfig
network_config(const LmConfig *config)
{
	LmConfig network = lm_config_base(config);

	network.dropout = 0;
	return network;
}

bool
lm_probe_memory(size_t *bytes, const LmConfig *config, int capacity, int n_threads, LmError *error)
{
	LmConfig network = network_config(config);
	LmProbe counted = {0};
	LmArena arena = {0};
	size_t total;

	if (!lm_probe_check(config, error))
		return false;
	counted.network.objective = lm_objective(&network, &counted.options);
	if (!lm_param_total(&total, &network) ||
		!lay_out(&counted, &arena, config, total, capacity, n_threads))
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "looking into the model would need more memory than the address space has");
	*bytes = sizeof counted + arena.used + lm_param_table_size(&network);
	return true;
}

static void
lay_out_batch(LmBatch *batch, LmArena *arena, int capacity)
{
	size_t N = (size_t) capacity;

	*batch = (LmBatch){
		.capacity = capacity,
		.tokens = lm_arena_take(arena, N, sizeof(int32_t)),
		.targets = lm_arena_take(arena, N, sizeof(int32_t)),
		.weights = lm_arena_floats(arena, N, 1),
		.positions = lm_arena_take(arena, N, sizeof(int32_t)),
		.starts = lm_arena_take(arena, N, sizeof(int32_t)),
		.prefixes = lm_arena_take(arena, N, sizeof(int32_t)),
		.examples = lm_arena_take(arena, N, sizeof(int32_t)),
		.values = lm_arena_floats(arena, N, 1),
	};
}

/* Places all arrays; false on overflow. config: of the model. */
static bool
lay_out(LmProbe *probe, LmArena *arena, const LmConfig *config, size_t total, int capacity,
		int n_threads)
{
	LmConfig network = network_config(config);

	probe->params = lm_arena_floats(arena, 1, total);
	probe->inputs = lm_arena_floats(arena, (size_t) capacity, (size_t) network.channels);
	lay_out_batch(&probe->batch, arena, capacity);
	probe->network.recompute = true;
	lm_network_layout(&probe->network, arena, &network, capacity, n_threads, false);
	return !arena->overflow;
}

LmProbe *
lm_probe_create(const LmHost *host, const LmSession *session, int capacity, LmError *error)
{
	LmProbe *probe;

	if (!lm_probe_check(&session->config, error))
		return NULL;
	if (capacity < 1)
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "passes of %d tokens are not possible", capacity);
		return NULL;
	}
	probe = lm_array_allocate(host, 1, sizeof *probe, error);
	if (!probe)
		return NULL;
	probe->host = *host;
	probe->engine = probe->network.engine = session->engine;
	probe->model = session->model;
	if (create(probe, capacity, error))
		return probe;
	lm_probe_free(probe);
	return NULL;
}

static bool
create(LmProbe *probe, int capacity, LmError *error)
{
	const LmConfig *config = &probe->model->config;
	LmConfig network = network_config(config);
	int n_threads = lm_engine_threads(probe->engine);
	LmArena arena = {0};

	probe->network.objective = lm_objective(&network, &probe->options);
	probe->table = lm_param_table_create(&probe->host, &network, error);
	if (!probe->table)
		return false;
	if (!lay_out(probe, &arena, config, probe->table->total, capacity, n_threads))
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "looking into the model would need more memory than the address space has");
	probe->memory = lm_allocate_huge(&probe->host, arena.used);
	if (!probe->memory)
		return lm_fail(error, LM_ERR_MEMORY, -1,
					   "out of memory: looking into the model needs %zu MB", arena.used >> 20);
	arena = (LmArena){.base = probe->memory};
	(void) lay_out(probe, &arena, config, probe->table->total, capacity, n_threads);
	lm_network_bind(&probe->network, probe->table, probe->params, NULL, NULL, NULL);
	return true;
}

void
lm_probe_free(LmProbe *probe)
{
	LmHost host;

	if (!probe)
		return;
	host = probe->host;
	lm_param_table_free(&host, probe->table);
	lm_free(&host, probe->memory);
	lm_free(&host, probe);
}

int
lm_probe_capacity(const LmProbe *probe)
{
	return probe->network.capacity;
}

/* ---- Weights ------------------------------------------------------------- */

bool
lm_probe_fill(LmProbe *probe, LmError *error)
{
	lm_engine_begin(probe->engine);
	while (probe->n_filled < probe->table->n_params)
	{
		expand(probe, &probe->table->params[probe->n_filled]);
		if (lm_engine_stopped(probe->engine))
			return lm_fail(error, LM_ERR_STOPPED, -1, "reading the weights was stopped");
		probe->n_filled++;
	}
	return true;
}

static void
expand(LmProbe *probe, const LmParam *param)
{
	Expansion work = {.probe = probe, .source = source_of(probe->model, param), .param = param};
	float *to = probe->params + param->offset;

	if (work.source.values)
	{
		lm_copy(probe->engine, to, work.source.values, param->count);
		return;
	}
	if (!work.source.linear)
	{
		lm_zero(probe->engine, to, param->count);
		return;
	}
	work.piece_rows = 1 + PIECE_FLOATS / param->columns;
	lm_engine_run(probe->engine, expand_piece, &work,
				  (param->rows + work.piece_rows - 1) / work.piece_rows);
}

/* Rows of one piece: w, plus B A of the adapter. */
static void
expand_piece(void *work, int piece, int thread)
{
	const Expansion *of = work;
	size_t columns = (size_t) of->param->columns;
	int last = (piece + 1) * of->piece_rows;

	last = last < of->param->rows ? last : of->param->rows;
	for (int row = piece * of->piece_rows; row < last; row++)
	{
		float *to = of->probe->params + of->param->offset + (size_t) row * columns;

		lm_linear_weights(to, of->source.linear, row);
		if (of->source.a)
			lm_lora_add_weights(to, of->source.a, of->source.b, of->probe->model->config.lora_rank,
								row, of->param->columns,
								lm_adapter_is_short(of->probe->model->type));
	}
}

static Source
source_of(const LmModel *model, const LmParam *param)
{
	if (param->layer >= 0)
		return source_in_block(model, param);
	switch (param->kind)
	{
		case LM_TOKEN_EMBEDDING:
			return (Source){.values = model->token_embedding,
							.linear = model->token_embedding ? NULL : &model->head};
		case LM_POSITION_EMBEDDING:
			return (Source){.values = model->positions};
		case LM_HEAD_WEIGHT:
			return (Source){.linear = &model->head};
		case LM_FINAL_NORM_WEIGHT:
			return (Source){.values = model->final_norm_weight};
		case LM_FINAL_NORM_BIAS:
			return (Source){.values = model->final_norm_bias};
		default:
			return (Source){0};
	}
}

/* A matrix of a block, with what an adapter adds to it. */
static Source
matrix_of(const LmModel *model, const LmLinear *linear, LmTarget target, int layer)
{
	Source source = {.linear = linear};

	if (model->adapters)
	{
		source.a = model->adapters[layer].a[target];
		source.b = model->adapters[layer].b[target];
	}
	return source;
}

static Source
source_in_block(const LmModel *model, const LmParam *param)
{
	const LmImageBlock *w = &model->blocks[param->layer];

	switch (param->kind)
	{
		case LM_ATTENTION_WEIGHT:
			return matrix_of(model, &w->attention, LM_TARGET_ATTENTION, param->layer);
		case LM_PROJECTION_WEIGHT:
			return matrix_of(model, &w->projection, LM_TARGET_PROJECTION, param->layer);
		case LM_UP_WEIGHT:
			return matrix_of(model, &w->up, LM_TARGET_UP, param->layer);
		case LM_DOWN_WEIGHT:
			return matrix_of(model, &w->down, LM_TARGET_DOWN, param->layer);
		case LM_ATTENTION_BIAS:
			return (Source){.values = w->attention.bias};
		case LM_PROJECTION_BIAS:
			return (Source){.values = w->projection.bias};
		case LM_UP_BIAS:
			return (Source){.values = w->up.bias};
		case LM_DOWN_BIAS:
			return (Source){.values = w->down.bias};
		case LM_NORM1_WEIGHT:
			return (Source){.values = w->norm1_weight};
		case LM_NORM1_BIAS:
			return (Source){.values = w->norm1_bias};
		case LM_NORM2_WEIGHT:
			return (Source){.values = w->norm2_weight};
		case LM_NORM2_BIAS:
			return (Source){.values = w->norm2_bias};
		case LM_QUERY_NORM_WEIGHT:
			return (Source){.values = w->query_norm_weight};
		case LM_KEY_NORM_WEIGHT:
			return (Source){.values = w->key_norm_weight};
		case LM_POST_NORM1_WEIGHT:
			return (Source){.values = w->post_norm1_weight};
		case LM_POST_NORM1_BIAS:
			return (Source){.values = w->post_norm1_bias};
		case LM_POST_NORM2_WEIGHT:
			return (Source){.values = w->post_norm2_weight};
		case LM_POST_NORM2_BIAS:
			return (Source){.values = w->post_norm2_bias};
		default:
			return (Source){0};
	}
}

/* ---- Passes --------------------------------------------------------------- */

int
lm_probe_add_window(LmProbe *probe, const int32_t *ids, int n, int n_prefix)
{
	LmBatch *batch = &probe->batch;
	int first = batch->n_tokens;

	for (int i = 0; i < n; i++)
	{
		int row = first + i;

		batch->tokens[row] = ids[i];
		batch->targets[row] = -1;
		batch->weights[row] = 1;
		batch->positions[row] = i;
		batch->starts[row] = first;
		batch->prefixes[row] = first + n_prefix;
		batch->examples[row] = 0;
		batch->values[row] = 0;
	}
	batch->n_tokens += n;
	return first;
}

bool
lm_probe_encode(LmTokens *tokens, int *n_prefix, LmSession *session, LmBytes text, LmError *error)
{
	LmTask task = session->config.labels > 0 ? LM_TASK_CLASSIFY : LM_TASK_SCORE;
	LmRequest request = {.task = task, .text = text};
	int context = session->config.context;
	size_t n_skipped, prefix;

	if (task == LM_TASK_CLASSIFY && session->config.pair)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the model judges two texts together, not one");
	if (!lm_request_encode(tokens, &n_skipped, session, &request, error))
		return false;
	prefix = lm_request_prefix(session, &request, n_skipped);
	if (tokens->count > (size_t) context)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "the text has %zu tokens, the model's context is %d", tokens->count,
					   context);
	*n_prefix = (int) (prefix < tokens->count ? prefix : tokens->count);
	return true;
}

bool
lm_probe_read(LmProbe *probe, const int32_t *ids, int n, int n_prefix, LmError *error)
{
	LmPass pass = lm_probe_pass(probe, NULL);

	probe->n_read = 0;
	if (n < 1 || n > probe->network.capacity || n_prefix < 0 || n_prefix > n)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a text of %d tokens is not within 1 .. %d", n,
					   probe->network.capacity);
	probe->batch.n_tokens = 0;
	(void) lm_probe_add_window(probe, ids, n, n_prefix);
	if (!lm_network_check(&probe->network, &probe->batch, error))
		return false;
	lm_engine_begin(probe->engine);
	lm_probe_forward(probe, &pass);
	if (lm_engine_stopped(probe->engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "reading the text was stopped");
	probe->n_read = n;
	return true;
}

int64_t
lm_probe_computed(const LmProbe *probe)
{
	return probe->n_computed;
}

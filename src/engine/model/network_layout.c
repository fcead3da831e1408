/*
 * src/engine/model/network_layout.c
 *
 * The memory of the network in training: its activations in an arena, and where its tensors lie in
 * blocks of parameters and gradients.
 */
#include "model/objective.h"

#define LOGITS_BYTES ((size_t) 1 << 23) /* stays in the second and third level cache */
#define LOGITS_ROWS_MIN 128
#define LOGITS_ROWS_MAX 1024
/*
 * Each chunk packs the head again and adds to its gradient, which costs more than the cache gains.
 */
#define PACKED_LOGITS_BYTES ((size_t) 1 << 27)

static int logits_rows(const LmConfig *config, int capacity, bool bf16);
static void lay_out_lora(LmNetwork *network, LmArena *arena);
static void lay_out_stacks(LmNetwork *network, LmArena *arena);
static LmStackOutput lay_out_output(LmArena *arena, size_t N, size_t C);
static LmPredictions lay_out_predictions(LmArena *arena, size_t N, size_t R, size_t C);
static size_t larger(size_t a, size_t b);
static bool has_local_layers(const LmConfig *config);
static float *rotary_table(LmArena *arena, const LmConfig *config, bool exists);
static void fill_rotary(float *rotary, const LmConfig *config, bool local);
static size_t scratch_size(const LmNetwork *network, int n_threads);
static size_t packed_size(const LmNetwork *network);

/* A block of parameters with its table; nothing where the values are NULL. */
typedef struct Block
{
	const LmParamTable *table;
	float *values;
} Block;

static void bind_tensors(LmTensors *tensors, Block own, Block base);
static LmCrossTensors bind_cross(Block own, Block base, int layer);

void
lm_network_layout(LmNetwork *network, LmArena *arena, const LmConfig *config, int capacity,
				  int n_threads, bool bf16)
{
	size_t N = (size_t) capacity, C = (size_t) config->channels;
	size_t n_blocks = (size_t) lm_config_blocks(config);
	size_t M = (size_t) config->mlp_channels, A = (size_t) lm_config_query_channels(config);
	size_t Q = (size_t) lm_config_qkv_channels(config);
	LmActivations *a = &network->activations;
	size_t packed;

	network->config = *config;
	network->capacity = capacity;
	network->logits_rows = logits_rows(config, capacity, bf16);
	network->params.blocks = lm_arena_take(arena, n_blocks, sizeof(LmBlockTensors));
	network->gradient.blocks = lm_arena_take(arena, n_blocks, sizeof(LmBlockTensors));
	a->blocks = lm_arena_take(arena, n_blocks, sizeof(LmBlockActivations));
	lay_out_stacks(network, arena);
	a->x = lm_arena_floats(arena, N, C);
	a->norm = lm_arena_floats(arena, N, C);
	a->mean = lm_arena_floats(arena, N, 1);
	a->rstd = lm_arena_floats(arena, N, 1);
	a->logits = lm_arena_floats(arena, (size_t) network->logits_rows, (size_t) config->vocabulary);
	a->predictions = lay_out_predictions(arena, N, (size_t) network->logits_rows, C);
	if (config->logit_softcap > 0)
		a->capped =
			lm_arena_floats(arena, (size_t) network->logits_rows, (size_t) config->vocabulary);
	a->nll = lm_arena_floats(arena, N, 1);
	a->dx = lm_arena_floats(arena, N, C);
	a->dbranch = config->dropout > 0 ? lm_arena_floats(arena, N, C) : NULL;
	if (config->parallel_residual || config->post_norm)
		a->apart = lm_arena_floats(arena, N, C);
	a->narrow = lm_arena_floats(arena, N, larger(C, A));
	a->wide = lm_arena_floats(arena, N, larger(C, larger(M, Q)));
	a->sinusoid = config->position == LM_SINUSOIDAL
					  ? lm_arena_floats(arena, (size_t) config->context, C)
					  : NULL;
	a->rotary = rotary_table(arena, config, config->position == LM_ROPE);
	a->rotary_local = rotary_table(arena, config, has_local_layers(config));
	if (network->objective->layout)
		network->objective->layout(network, arena);
	lay_out_lora(network, arena);
	a->scratch = lm_arena_take(arena, scratch_size(network, n_threads), 1);
	a->bf16 = bf16;
	packed = packed_size(network);
	a->packed = packed > 0 ? lm_arena_take(arena, packed, 1) : NULL;
}

/* The blocks; with an encoder their place for any batch, the batch's parts, and its output. */
static void
lay_out_stacks(LmNetwork *network, LmArena *arena)
{
	const LmConfig *config = &network->config;
	size_t N = (size_t) network->capacity, C = (size_t) config->channels, size;
	LmActivations *a = &network->activations;

	if (config->architecture != LM_ENCODER_DECODER)
	{
		lm_blocks_layout(network, arena, network->capacity, 0);
		return;
	}
	arena->overflow |= !lm_blocks_size(&size, network);
	a->block_memory = lm_arena_take(arena, arena->overflow ? 0 : size, 1);
	lm_parts_layout(network, arena);
	a->encoded = lay_out_output(arena, N, C);
	a->dencoded = lm_arena_floats(arena, N, C);
	a->dkv = lm_arena_floats(arena, N, 2 * (size_t) lm_config_kv_channels(config));
}

static LmPredictions
lay_out_predictions(LmArena *arena, size_t N, size_t R, size_t C)
{
	return (LmPredictions){
		.rows = lm_arena_take(arena, N, sizeof(int32_t)),
		.targets = lm_arena_take(arena, N, sizeof(int32_t)),
		.weights = lm_arena_floats(arena, N, 1),
		.nll = lm_arena_floats(arena, N, 1),
		.x = lm_arena_floats(arena, R, C),
		.dx = lm_arena_floats(arena, R, C),
	};
}

static LmStackOutput
lay_out_output(LmArena *arena, size_t N, size_t C)
{
	return (LmStackOutput){
		.x = lm_arena_floats(arena, N, C),
		.norm = lm_arena_floats(arena, N, C),
		.mean = lm_arena_floats(arena, N, 1),
		.rstd = lm_arena_floats(arena, N, 1),
	};
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Whether a layer rotates by rope_local_base. */
static bool
has_local_layers(const LmConfig *config)
{
	for (int layer = 0; layer < lm_config_blocks(config); layer++)
		if (lm_config_rotates(config, layer) && lm_config_is_local(config, layer))
			return true;
	return false;
}

static float *
rotary_table(LmArena *arena, const LmConfig *config, bool exists)
{
	return exists ? lm_arena_floats(arena, (size_t) config->context,
									(size_t) lm_config_rotary_size(config))
				  : NULL;
}

/* Scratch of adapters: one layer at a time uses it, so it has the size of the widest. */
static void
lay_out_lora(LmNetwork *network, LmArena *arena)
{
	const LmConfig *config = &network->config;
	size_t N = (size_t) network->capacity, C = (size_t) config->channels,
		   M = (size_t) config->mlp_channels, A = (size_t) lm_config_query_channels(config);
	LmActivations *a = &network->activations;

	if (config->lora_rank == 0)
		return;
	a->lora_h = lm_arena_floats(arena, N, (size_t) config->lora_rank);
	a->lora_dh = lm_arena_floats(arena, N, (size_t) config->lora_rank);
	if (config->lora_dropout > 0)
		a->lora_masked = lm_arena_floats(arena, N, larger(M, larger(C, A)));
}

/* As many rows as fit LOGITS_BYTES or PACKED_LOGITS_BYTES, within the bounds and the capacity. */
static int
logits_rows(const LmConfig *config, int capacity, bool bf16)
{
	bool packed = lm_linear_packed_size(1, 1, 1, bf16) > 0;
	size_t row_size = (bf16 ? sizeof(uint16_t) : sizeof(float)) * (size_t) config->vocabulary;
	size_t rows = (packed ? PACKED_LOGITS_BYTES : LOGITS_BYTES) / row_size / LOGITS_ROWS_MIN *
				  LOGITS_ROWS_MIN;

	if (rows < LOGITS_ROWS_MIN)
		rows = LOGITS_ROWS_MIN;
	if (rows > LOGITS_ROWS_MAX)
		rows = LOGITS_ROWS_MAX;
	return rows < (size_t) capacity ? (int) rows : capacity;
}

/* The most bytes of scratch that an operation asks for. */
static size_t
scratch_size(const LmNetwork *network, int n_threads)
{
	const LmConfig *config = &network->config;
	int N = network->capacity, C = config->channels;
	size_t sizes[] = {
		lm_linear_backward_scratch(N, lm_config_qkv_channels(config)),
		lm_linear_backward_scratch(N, lm_config_up_channels(config)),
		lm_linear_backward_scratch(N, C),
		lm_norm_backward_scratch(N, C),
		lm_heads_backward_scratch(N, lm_config_head_size(config)),
		lm_attention_scratch_for(n_threads, N),
		network->objective->scratch ? network->objective->scratch(network) : 0,
	};
	size_t largest = 0;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		largest = sizes[i] > largest ? sizes[i] : largest;
	return largest;
}

/* Bytes that the layer with the largest operands asks for. */
static size_t
packed_size(const LmNetwork *network)
{
	const LmConfig *config = &network->config;
	int N = network->capacity, C = config->channels, M = config->mlp_channels;
	bool bf16 = network->activations.bf16;
	size_t sizes[] = {
		lm_linear_packed_size(N, C, lm_config_qkv_channels(config), bf16),
		lm_linear_packed_size(N, lm_config_query_channels(config), C, bf16),
		lm_linear_packed_size(N, C, lm_config_up_channels(config), bf16),
		lm_linear_packed_size(N, M, C, bf16),
		lm_linear_packed_size(network->logits_rows, C, config->vocabulary, bf16),
	};
	size_t largest = 0;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		largest = sizes[i] > largest ? sizes[i] : largest;
	return largest;
}

void
lm_network_bind(LmNetwork *network, const LmParamTable *table, float *params, float *gradient,
				const LmParamTable *base_table, float *base)
{
	bind_tensors(&network->params, (Block){table, params}, (Block){base_table, base});
	bind_tensors(&network->gradient, (Block){table, gradient}, (Block){NULL, NULL});
	if (network->activations.sinusoid)
		lm_sinusoid(network->activations.sinusoid, table->config.context, table->config.channels);
	fill_rotary(network->activations.rotary, &table->config, false);
	fill_rotary(network->activations.rotary_local, &table->config, true);
}

static void
fill_rotary(float *rotary, const LmConfig *config, bool local)
{
	LmRotation rotation = lm_config_rotation(config, local);

	if (rotary)
		lm_rotary(rotary, &rotation, config->context);
}

LmHeads
lm_network_heads(const LmNetwork *network, int layer)
{
	const LmBlockTensors *w = &network->params.blocks[layer];
	LmHeads heads = lm_config_heads(&network->config);

	heads.query_weight = w->query_norm_weight;
	heads.key_weight = w->key_norm_weight;
	if (lm_config_rotates(&network->config, layer))
		heads.rotary = lm_config_is_local(&network->config, layer)
						   ? network->activations.rotary_local
						   : network->activations.rotary;
	return heads;
}

static float *
find(Block block, LmParamKind kind, int layer)
{
	const LmParam *param = block.values ? lm_param_find(block.table, kind, layer) : NULL;

	return param ? block.values + param->offset : NULL;
}

static float *
tensor(Block own, Block base, LmParamKind kind, int layer)
{
	float *values = find(own, kind, layer);

	return values ? values : find(base, kind, layer);
}

static LmCrossTensors
bind_cross(Block own, Block base, int layer)
{
	return (LmCrossTensors){
		.norm_weight = tensor(own, base, LM_CROSS_NORM_WEIGHT, layer),
		.norm_bias = tensor(own, base, LM_CROSS_NORM_BIAS, layer),
		.query_weight = tensor(own, base, LM_CROSS_QUERY_WEIGHT, layer),
		.query_bias = tensor(own, base, LM_CROSS_QUERY_BIAS, layer),
		.key_value_weight = tensor(own, base, LM_CROSS_KEY_VALUE_WEIGHT, layer),
		.key_value_bias = tensor(own, base, LM_CROSS_KEY_VALUE_BIAS, layer),
		.query_norm_weight = tensor(own, base, LM_CROSS_QUERY_NORM_WEIGHT, layer),
		.key_norm_weight = tensor(own, base, LM_CROSS_KEY_NORM_WEIGHT, layer),
		.projection_weight = tensor(own, base, LM_CROSS_PROJECTION_WEIGHT, layer),
		.projection_bias = tensor(own, base, LM_CROSS_PROJECTION_BIAS, layer),
		.post_norm_weight = tensor(own, base, LM_CROSS_POST_NORM_WEIGHT, layer),
		.post_norm_bias = tensor(own, base, LM_CROSS_POST_NORM_BIAS, layer),
	};
}

/* Points each tensor into the own block or, for an adapter, the base's; NULL: neither has it. */
static void
bind_tensors(LmTensors *tensors, Block own, Block base)
{
	const LmConfig *config = &own.table->config;

	tensors->token_embedding = tensor(own, base, LM_TOKEN_EMBEDDING, -1);
	tensors->position_embedding = tensor(own, base, LM_POSITION_EMBEDDING, -1);
	tensors->final_norm_weight = tensor(own, base, LM_FINAL_NORM_WEIGHT, -1);
	tensors->final_norm_bias = tensor(own, base, LM_FINAL_NORM_BIAS, -1);
	tensors->head_weight =
		tensor(own, base, config->tie_embeddings ? LM_TOKEN_EMBEDDING : LM_HEAD_WEIGHT, -1);
	tensors->bag_embedding = tensor(own, base, LM_BAG_EMBEDDING, -1);
	tensors->label_weight = tensor(own, base, LM_LABEL_WEIGHT, -1);
	tensors->label_bias = tensor(own, base, LM_LABEL_BIAS, -1);
	tensors->embedding_runs = tensor(own, base, LM_EMBEDDING_RUNS, -1);
	tensors->embedding_hidden = tensor(own, base, LM_EMBEDDING_HIDDEN, -1);
	tensors->encoder_norm_weight = tensor(own, base, LM_ENCODER_NORM_WEIGHT, -1);
	tensors->encoder_norm_bias = tensor(own, base, LM_ENCODER_NORM_BIAS, -1);
	for (int layer = 0; layer < lm_config_blocks(config); layer++)
	{
		tensors->blocks[layer] = (LmBlockTensors){
			.norm1_weight = tensor(own, base, LM_NORM1_WEIGHT, layer),
			.norm1_bias = tensor(own, base, LM_NORM1_BIAS, layer),
			.attention_weight = tensor(own, base, LM_ATTENTION_WEIGHT, layer),
			.attention_bias = tensor(own, base, LM_ATTENTION_BIAS, layer),
			.query_norm_weight = tensor(own, base, LM_QUERY_NORM_WEIGHT, layer),
			.key_norm_weight = tensor(own, base, LM_KEY_NORM_WEIGHT, layer),
			.projection_weight = tensor(own, base, LM_PROJECTION_WEIGHT, layer),
			.projection_bias = tensor(own, base, LM_PROJECTION_BIAS, layer),
			.post_norm1_weight = tensor(own, base, LM_POST_NORM1_WEIGHT, layer),
			.post_norm1_bias = tensor(own, base, LM_POST_NORM1_BIAS, layer),
			.norm2_weight = tensor(own, base, LM_NORM2_WEIGHT, layer),
			.norm2_bias = tensor(own, base, LM_NORM2_BIAS, layer),
			.up_weight = tensor(own, base, LM_UP_WEIGHT, layer),
			.up_bias = tensor(own, base, LM_UP_BIAS, layer),
			.down_weight = tensor(own, base, LM_DOWN_WEIGHT, layer),
			.down_bias = tensor(own, base, LM_DOWN_BIAS, layer),
			.post_norm2_weight = tensor(own, base, LM_POST_NORM2_WEIGHT, layer),
			.post_norm2_bias = tensor(own, base, LM_POST_NORM2_BIAS, layer),
			.cross = bind_cross(own, base, layer),
		};
		for (int target = 0; target < LM_TARGETS; target++)
		{
			tensors->blocks[layer].lora_a[target] = tensor(own, base, LM_LORA_A(target), layer);
			tensors->blocks[layer].lora_b[target] = tensor(own, base, LM_LORA_B(target), layer);
		}
	}
}

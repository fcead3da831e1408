/*
 * src/engine/model/network.c
 *
 * The decoder in training: embeddings, blocks, final norm, head and loss, forward and backward.
 *
 *   x = dropout(wte[token] + wpe[position])
 *   x = block_l(x) for each layer
 *   logits = norm(x) head'
 *
 * With recomputation (Chen et al. 2016, "Training deep nets with sublinear memory cost", section 3)
 * all blocks keep their inner activations in one place, and each block is computed a second time
 * from its input before its backward pass. The operations are the same ones, so the gradient is the
 * same bits.
 *
 * Logits exist for a chunk of rows at a time: the loss turns them into their gradient in place, and
 * the head's backward pass follows at once, so that they are never computed twice.
 */
#include "model/labels.h"
#include "model/network.h"

#define LOGITS_BYTES ((size_t) 1 << 23) /* stays in the second and third level cache */
#define LOGITS_ROWS_MIN 128
#define LOGITS_ROWS_MAX 1024
/*
 * Each chunk packs the head again and adds to its gradient, which costs more than the cache gains.
 */
#define PACKED_LOGITS_BYTES ((size_t) 1 << 27)

static void leave_block(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
						int layer);
static void embedding_forward(LmNetwork *network, const LmPass *pass);
static void embedding_backward(LmNetwork *network, const LmPass *pass);
static LmLinear head_of(const LmNetwork *network);
static double weighted_sum(const float *nll, const LmBatch *batch);
static int logits_rows(const LmConfig *config, int capacity, bool bf16);
static void lay_out_lora(LmNetwork *network, LmArena *arena);
static void lay_out_blocks(LmNetwork *network, LmArena *arena);
static LmBlockActivations lay_out_block(const LmNetwork *network, LmArena *arena);
static size_t scratch_size(const LmNetwork *network, int n_threads);
static size_t packed_size(const LmNetwork *network);

/* A block of parameters with its table; nothing where the table is NULL. */
typedef struct Block
{
	const LmParamTable *table;
	float *values;
} Block;

static void bind_tensors(LmTensors *tensors, Block own, Block base);

void
lm_network_forward(LmNetwork *network, const LmPass *pass)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	const LmBlockActivations *first = &a->blocks[0];

	embedding_forward(network, pass);
	lm_norm_forward(network->engine, first->norm1, first->mean1, first->rstd1, first->x,
					network->params.blocks[0].norm1_weight, network->params.blocks[0].norm1_bias,
					pass->batch->n_tokens, config->channels, config->norm_epsilon, config->norm);
	for (int layer = 0; layer < config->layers; layer++)
	{
		/* Without a backward pass, every block works in the place of the first. */
		const LmBlockActivations *kept = pass->training ? &a->blocks[layer] : first;

		lm_block_forward(network, kept, pass, layer);
		leave_block(network, kept, pass, layer);
	}
}

/* The block's output, and the next norm of it: that of the next block, or the final one. */
static void
leave_block(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_MLP_DROPOUT, layer);
	LmResidual output = {a->x, kept->middle, a->narrow, &dropout};
	int n = pass->batch->n_tokens, C = config->channels;

	if (layer == config->layers - 1)
		lm_residual_norm_forward(network->engine, a->norm, a->mean, a->rstd, &output,
								 network->params.final_norm_weight, network->params.final_norm_bias,
								 n, C, config->norm_epsilon, config->norm);
	else
	{
		const LmBlockActivations *next = pass->training ? &a->blocks[layer + 1] : kept;
		const LmBlockTensors *w = &network->params.blocks[layer + 1];

		output.sum = next->x;
		lm_residual_norm_forward(network->engine, next->norm1, next->mean1, next->rstd1, &output,
								 w->norm1_weight, w->norm1_bias, n, C, config->norm_epsilon,
								 config->norm);
	}
}

void
lm_network_backward(LmNetwork *network, const LmPass *pass)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;

	/* norm = norm(x) */
	lm_zero(network->engine, a->dx, (size_t) n * C);
	lm_norm_backward(network->engine, a->dx, network->gradient.final_norm_weight,
					 network->gradient.final_norm_bias, a->narrow, a->x, a->mean, a->rstd,
					 network->params.final_norm_weight, n, C, config->norm, a->scratch);
	for (int layer = config->layers - 1; layer >= 0; layer--)
	{
		/* The activations of the last block are still there. */
		if (network->recompute && layer < config->layers - 1)
			lm_block_recompute(network, pass, layer);
		lm_block_backward(network, pass, layer);
	}
	if (network->gradient.token_embedding)
		embedding_backward(network, pass);
}

static void
embedding_forward(LmNetwork *network, const LmPass *pass)
{
	const LmBatch *batch = pass->batch;
	LmActivations *a = &network->activations;
	const float *wpe = a->sinusoid ? a->sinusoid : network->params.position_embedding;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_EMBEDDING_DROPOUT, 0);
	float *x = a->blocks[0].x;
	int C = network->config.channels;

	lm_embedding_forward(network->engine, x, batch->tokens, batch->positions,
						 network->params.token_embedding, wpe, batch->n_tokens, C);
	lm_dropout(network->engine, x, x, &dropout, batch->n_tokens, C);
}

static void
embedding_backward(LmNetwork *network, const LmPass *pass)
{
	const LmBatch *batch = pass->batch;
	LmActivations *a = &network->activations;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_EMBEDDING_DROPOUT, 0);
	int C = network->config.channels;

	/* x = dropout(wte[tokens] + wpe[positions]) */
	lm_dropout(network->engine, a->dx, a->dx, &dropout, batch->n_tokens, C);
	lm_embedding_backward(network->engine, network->gradient.token_embedding,
						  network->gradient.position_embedding, a->dx, batch->tokens,
						  batch->positions, batch->n_tokens, C);
}

double
lm_network_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	const LmBatch *batch = pass->batch;
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	LmLinear head = head_of(network);
	int C = network->config.channels, V = network->config.vocabulary;

	if (network->config.labels > 0)
		return lm_labels_loss(network, pass, scale);
	for (int first = 0; first < batch->n_tokens; first += network->logits_rows)
	{
		int left = batch->n_tokens - first;
		int n = left < network->logits_rows ? left : network->logits_rows;
		const float *x = a->norm + (size_t) first * C;

		lm_linear_forward(engine, a->logits, x, &head, n);
		if (scale > 0)
		{
			lm_cross_entropy(engine, a->logits, a->nll + first, batch->targets + first,
							 batch->weights + first, scale, pass->smoothing, n, V);
			/* logits = norm head' */
			head.overwrite = pass->first && first == 0;
			lm_linear_backward(engine, a->narrow + (size_t) first * C,
							   network->gradient.head_weight, NULL, a->logits, x, &head, n,
							   a->scratch);
		}
		else
			lm_cross_entropy_forward(engine, a->nll + first, a->logits, batch->targets + first, n,
									 V);
		if (lm_engine_stopped(engine))
			return 0;
	}
	return weighted_sum(a->nll, batch);
}

bool
lm_network_overwrites(const LmNetwork *network, const LmParam *param)
{
	if (param->layer >= 0)
		return !param->vector;
	return network->config.labels == 0 &&
		   param->kind == (network->config.tie_embeddings ? LM_TOKEN_EMBEDDING : LM_HEAD_WEIGHT);
}

void
lm_network_logits(LmNetwork *network, float *out, const LmPass *pass)
{
	LmLinear head = head_of(network);
	int C = network->config.channels, V = network->config.vocabulary;

	for (int first = 0; first < pass->batch->n_tokens; first += network->logits_rows)
	{
		int left = pass->batch->n_tokens - first;

		lm_linear_forward(network->engine, out + (size_t) first * V,
						  network->activations.norm + (size_t) first * C, &head,
						  left < network->logits_rows ? left : network->logits_rows);
	}
}

static LmLinear
head_of(const LmNetwork *network)
{
	return (LmLinear){
		.n_in = network->config.channels,
		.n_out = network->config.vocabulary,
		.w = network->params.head_weight,
		.packed = network->activations.packed,
		.bf16 = network->activations.bf16,
	};
}

static double
weighted_sum(const float *nll, const LmBatch *batch)
{
	double sum = 0;

	for (int i = 0; i < batch->n_tokens; i++)
		if (batch->targets[i] >= 0 && batch->weights[i] != 0)
			sum += (double) batch->weights[i] * nll[i];
	return sum;
}

void
lm_network_layout(LmNetwork *network, LmArena *arena, const LmConfig *config, int capacity,
				  int n_threads, bool bf16)
{
	size_t N = (size_t) capacity, C = (size_t) config->channels;
	size_t M = (size_t) config->mlp_channels, L = (size_t) config->layers;
	LmActivations *a = &network->activations;
	size_t packed;

	network->config = *config;
	network->capacity = capacity;
	network->logits_rows = logits_rows(config, capacity, bf16);
	network->params.blocks = lm_arena_take(arena, L, sizeof(LmBlockTensors));
	network->gradient.blocks = lm_arena_take(arena, L, sizeof(LmBlockTensors));
	a->blocks = lm_arena_take(arena, L, sizeof(LmBlockActivations));
	lay_out_blocks(network, arena);
	a->x = lm_arena_floats(arena, N, C);
	a->norm = lm_arena_floats(arena, N, C);
	a->mean = lm_arena_floats(arena, N, 1);
	a->rstd = lm_arena_floats(arena, N, 1);
	a->logits = lm_arena_floats(arena, (size_t) network->logits_rows, (size_t) config->vocabulary);
	a->nll = lm_arena_floats(arena, N, 1);
	a->dx = lm_arena_floats(arena, N, C);
	a->dbranch = config->dropout > 0 ? lm_arena_floats(arena, N, C) : NULL;
	a->narrow = lm_arena_floats(arena, N, C);
	a->wide = lm_arena_floats(arena, N, M > 3 * C ? M : 3 * C);
	a->sinusoid = config->position == LM_SINUSOIDAL
					  ? lm_arena_floats(arena, (size_t) config->context, C)
					  : NULL;
	a->rotary = config->position == LM_ROPE
					? lm_arena_floats(arena, (size_t) config->context,
									  (size_t) lm_config_rotary_size(config))
					: NULL;
	if (config->labels > 0)
		a->labels = lm_labels_layout(arena, config);
	lay_out_lora(network, arena);
	a->scratch = lm_arena_take(arena, scratch_size(network, n_threads), 1);
	a->bf16 = bf16;
	packed = packed_size(network);
	a->packed = packed > 0 ? lm_arena_take(arena, packed, 1) : NULL;
}

/* Scratch of adapters: one layer at a time uses it, so it has the size of the widest. */
static void
lay_out_lora(LmNetwork *network, LmArena *arena)
{
	const LmConfig *config = &network->config;
	size_t N = (size_t) network->capacity, C = (size_t) config->channels,
		   M = (size_t) config->mlp_channels;
	LmActivations *a = &network->activations;

	if (config->lora_rank == 0)
		return;
	a->lora_h = lm_arena_floats(arena, N, (size_t) config->lora_rank);
	a->lora_dh = lm_arena_floats(arena, N, (size_t) config->lora_rank);
	if (config->lora_dropout > 0)
		a->lora_masked = lm_arena_floats(arena, N, M > C ? M : C);
}

/*
 * With recomputation only the input of each block is kept; the rest is that of the block which was
 * computed last.
 */
static void
lay_out_blocks(LmNetwork *network, LmArena *arena)
{
	const LmConfig *config = &network->config;
	LmBlockActivations kept = {0};

	if (network->recompute)
		kept = lay_out_block(network, arena);
	for (int layer = 0; layer < config->layers; layer++)
	{
		if (!network->recompute)
			kept = lay_out_block(network, arena);
		kept.x = lm_arena_floats(arena, (size_t) network->capacity, (size_t) config->channels);
		if (arena->base)
			network->activations.blocks[layer] = kept;
	}
}

/* All but the input. */
static LmBlockActivations
lay_out_block(const LmNetwork *network, LmArena *arena)
{
	const LmConfig *config = &network->config;
	size_t N = (size_t) network->capacity, C = (size_t) config->channels,
		   M = (size_t) config->mlp_channels;

	return (LmBlockActivations){
		.norm1 = lm_arena_floats(arena, N, C),
		.mean1 = lm_arena_floats(arena, N, 1),
		.rstd1 = lm_arena_floats(arena, N, 1),
		.qkv = lm_arena_floats(arena, N, 3 * C),
		.raw = config->qk_norm ? lm_arena_floats(arena, N, 2 * C) : NULL,
		.head_rstd = config->qk_norm ? lm_arena_floats(arena, N, 2 * (size_t) config->heads) : NULL,
		.attention = lm_arena_floats(arena, N, C),
		.lse = lm_arena_floats(arena, N, (size_t) config->heads),
		.middle = lm_arena_floats(arena, N, C),
		.norm2 = lm_arena_floats(arena, N, C),
		.mean2 = lm_arena_floats(arena, N, 1),
		.rstd2 = lm_arena_floats(arena, N, 1),
		.up = lm_arena_floats(arena, N, M),
		.gelu = lm_arena_floats(arena, N, M),
	};
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
	int N = network->capacity, C = config->channels, M = config->mlp_channels;
	size_t sizes[] = {
		lm_linear_backward_scratch(N, M > 3 * C ? M : 3 * C),
		lm_norm_backward_scratch(N, C),
		lm_heads_backward_scratch(N, lm_config_head_size(config)),
		lm_attention_scratch_for(n_threads, N),
		config->labels > 0 ? lm_linear_backward_scratch(LM_LABEL_WINDOWS, config->labels) : 0,
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
		lm_linear_packed_size(N, C, 3 * C, bf16),
		lm_linear_packed_size(N, C, M, bf16),
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
	if (network->activations.rotary)
	{
		LmRotation rotation = lm_config_rotation(&table->config, false);

		lm_rotary(network->activations.rotary, &rotation, table->config.context);
	}
}

LmHeads
lm_network_heads(const LmNetwork *network, int layer)
{
	const LmBlockTensors *w = &network->params.blocks[layer];
	LmHeads heads = lm_config_heads(&network->config);

	heads.query_weight = w->query_norm_weight;
	heads.key_weight = w->key_norm_weight;
	heads.rotary = network->activations.rotary;
	return heads;
}

static float *
find(Block block, LmParamKind kind, int layer)
{
	const LmParam *param = block.table ? lm_param_find(block.table, kind, layer) : NULL;

	return param ? block.values + param->offset : NULL;
}

static float *
tensor(Block own, Block base, LmParamKind kind, int layer)
{
	float *values = find(own, kind, layer);

	return values ? values : find(base, kind, layer);
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
	for (int layer = 0; layer < config->layers; layer++)
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
			.norm2_weight = tensor(own, base, LM_NORM2_WEIGHT, layer),
			.norm2_bias = tensor(own, base, LM_NORM2_BIAS, layer),
			.up_weight = tensor(own, base, LM_UP_WEIGHT, layer),
			.up_bias = tensor(own, base, LM_UP_BIAS, layer),
			.down_weight = tensor(own, base, LM_DOWN_WEIGHT, layer),
			.down_bias = tensor(own, base, LM_DOWN_BIAS, layer),
		};
		for (int target = 0; target < LM_TARGETS; target++)
		{
			tensors->blocks[layer].lora_a[target] = tensor(own, base, LM_LORA_A(target), layer);
			tensors->blocks[layer].lora_b[target] = tensor(own, base, LM_LORA_B(target), layer);
		}
	}
}

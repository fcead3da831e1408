/*
 * src/engine/serve/infer.c
 *
 * From tokens, sequences and positions to logits: the one entry for prefill, decoding and scoring.
 *
 * Rows meet only in the pages: a row's query reads the keys and values of its own sequence, in the
 * order of positions. So a row's bits do not depend on the rows beside it. In the last block, once
 * keys and values are stored, only wanted rows go on.
 */
#include <string.h>

#include "kernels/pieces.h"
#include "serve/image.h"
#include "serve/infer.h"
#include "serve/pages.h"

/* Several threads share a block of attention only where it is long and blocks are few. */
#define SPLIT_BLOCKS 4
#define SPLIT_FLOATS 65536
#define STORE_ROWS 64 /* inputs whose keys and values are stored in a piece */
#define MAX_GROUPS 8

typedef struct Infer
{
	LmEngine *engine;
	const LmModel *model;
	LmPages *pages;
	LmSequence *sequences;
	const LmInput *inputs;
	int n; /* inputs */
	int n_wanted;

	/* the workspace */
	int *rows; /* [n] the input that a row of x stands for */
	int32_t *positions; /* [n] of the inputs */
	float *x; /* [n, C] residual stream of the rows */
	float *norm; /* [n, C] a norm, or a branch's output */
	float *qkv; /* [n, A + 2 K] of the inputs: channels of queries, keys and values */
	float *attention; /* [n, A] */
	float *wide; /* [n, M]; [n, 2 M] of a gated MLP */
	float *gated; /* [n, M]; NULL: not gated */
	float *norm2; /* [n, C]; NULL: the residual is not parallel */
	void *packed; /* lm_linear_infer_scratch of n rows of max(C, A, M) */
	float *lora_h; /* [n, rank]; NULL, as the next one, without an adapter */
	float *lora_sum; /* [n, the widest output] */
	float *scores; /* [threads] lm_attention_rows_scratch */
	int *blocks; /* [n + 1] the rows of x at which blocks of attention begin */
	const float **tables; /* [threads, 2, pages of a sequence] */

	int n_rows;
	int layer;
	int n_blocks;
	int n_groups; /* pieces that a block's heads are cut into */
} Infer;

static bool extend_sequences(Infer *infer, int n_sequences, LmError *error);
static bool check_input(const Infer *infer, const LmInput *input, int n_sequences, int i,
						LmError *error);
static void take_back(Infer *infer, int n);
static size_t scores_size(const LmConfig *config);
static void lay_out(Infer *infer, LmArena *arena, const LmConfig *config, int n, int n_threads);
static void embed(Infer *infer);
static void run_block(Infer *infer);
static void norm(Infer *infer, float *y, const float *x, const float *weight, const float *bias);
static void run_attention(Infer *infer, const LmImageBlock *w);
static void run_mlp(Infer *infer, const LmImageBlock *w, const float *norm2);
static void store_keys_and_values(Infer *infer);
static void store_piece(void *work, int piece, int thread);
static void store_run(const Infer *infer, int first, int n, int first_head, int end_head);
static bool is_alone(const Infer *infer, int i);
static void keep_wanted_rows(Infer *infer);
static void attend(Infer *infer);
static void cut_blocks(Infer *infer);
static void attention_piece(void *work, int piece, int thread);
static int first_page(const Infer *infer, const LmInput *input);
static bool run(float *logits, float *hidden, LmEngine *engine, const LmModel *model,
				LmPages *pages, LmSequence *sequences, int n_sequences, const LmInput *inputs,
				int n, void *workspace, LmError *error);
static void run_head(Infer *infer, float *logits, float *hidden);

bool
lm_infer(float *logits, LmEngine *engine, const LmModel *model, LmPages *pages,
		 LmSequence *sequences, int n_sequences, const LmInput *inputs, int n, void *workspace,
		 LmError *error)
{
	return run(logits, NULL, engine, model, pages, sequences, n_sequences, inputs, n, workspace,
			   error);
}

bool
lm_infer_hidden(float *hidden, LmEngine *engine, const LmModel *model, LmPages *pages,
				LmSequence *sequences, int n_sequences, const LmInput *inputs, int n,
				void *workspace, LmError *error)
{
	return run(NULL, hidden, engine, model, pages, sequences, n_sequences, inputs, n, workspace,
			   error);
}

/* logits or hidden is wanted, the other one NULL. */
static bool
run(float *logits, float *hidden, LmEngine *engine, const LmModel *model, LmPages *pages,
	LmSequence *sequences, int n_sequences, const LmInput *inputs, int n, void *workspace,
	LmError *error)
{
	Infer infer = {.engine = engine,
				   .model = model,
				   .pages = pages,
				   .sequences = sequences,
				   .inputs = inputs,
				   .n = n};
	LmArena arena = {.base = workspace};

	if (n == 0)
		return true;
	if (!extend_sequences(&infer, n_sequences, error))
		return false;
	lay_out(&infer, &arena, &model->config, n, lm_engine_threads(engine));
	lm_engine_begin(engine);
	embed(&infer);
	for (infer.layer = 0; infer.layer < model->config.layers && !lm_engine_stopped(engine);
		 infer.layer++)
		run_block(&infer);
	if (infer.n_wanted > 0)
		run_head(&infer, logits, hidden);
	if (!lm_engine_stopped(engine))
		return true;
	take_back(&infer, n);
	return lm_fail(error, LM_ERR_STOPPED, -1, "inference was stopped");
}

/* Checks the inputs and makes room for each in its sequence; all or nothing. */
static bool
extend_sequences(Infer *infer, int n_sequences, LmError *error)
{
	for (int i = 0; i < infer->n; i++)
	{
		const LmInput *input = &infer->inputs[i];
		bool good = check_input(infer, input, n_sequences, i, error);

		if (good && !lm_sequence_extend(&infer->sequences[input->sequence], infer->pages))
			good = lm_fail(error, LM_ERR_LIMIT, i, "all %d pages of keys and values are in use",
						   infer->pages->n_pages);
		if (!good)
		{
			take_back(infer, i);
			return false;
		}
		infer->n_wanted += input->wanted;
	}
	return true;
}

/* Token, sequence and position must be in range, the position the sequence's next. */
static bool
check_input(const Infer *infer, const LmInput *input, int n_sequences, int i, LmError *error)
{
	const LmConfig *config = &infer->model->config;

	if (input->token < 0 || input->token >= config->vocabulary)
		return lm_fail(error, LM_ERR_ARGUMENT, i,
					   "token %d is outside the model's vocabulary of %d", input->token,
					   config->vocabulary);
	if (input->sequence < 0 || input->sequence >= n_sequences)
		return lm_fail(error, LM_ERR_ARGUMENT, i, "sequence %d is not within 0 .. %d",
					   input->sequence, n_sequences - 1);
	if (input->position >= config->context ||
		input->position != infer->sequences[input->sequence].n_positions)
		return lm_fail(error, LM_ERR_ARGUMENT, i,
					   "position %d is not the sequence's next within a context of %d",
					   input->position, config->context);
	return true;
}

/* Undoes the room of the first n inputs. */
static void
take_back(Infer *infer, int n)
{
	for (int i = n - 1; i >= 0; i--)
	{
		LmSequence *sequence = &infer->sequences[infer->inputs[i].sequence];

		lm_sequence_truncate(sequence, infer->pages, infer->inputs[i].position);
	}
}

size_t
lm_infer_workspace(const LmModel *model, int n, int n_wanted, int n_threads)
{
	return lm_infer_workspace_for(&model->config, n, n_wanted, n_threads);
}

size_t
lm_infer_workspace_for(const LmConfig *config, int n, int n_wanted, int n_threads)
{
	Infer counted;
	LmArena arena = {0};

	(void) n_wanted;
	lay_out(&counted, &arena, config, n, n_threads);
	return arena.overflow ? 0 : arena.used;
}

/* Floats for the scores of a thread, whole cache lines. */
static size_t
scores_size(const LmConfig *config)
{
	return (lm_attention_rows_scratch(config->context, lm_config_head_size(config)) + 15) / 16 * 16;
}

static int
larger(int a, int b)
{
	return a > b ? a : b;
}

/* Places the arrays in the workspace; with an arena that only counts, gives their size. */
static void
lay_out(Infer *infer, LmArena *arena, const LmConfig *config, int n, int n_threads)
{
	int C = config->channels, A = lm_config_query_channels(config), M = config->mlp_channels,
		up = lm_config_up_channels(config), qkv = lm_config_qkv_channels(config);
	size_t N = (size_t) n, T = (size_t) config->context;

	infer->rows = lm_arena_take(arena, N, sizeof(int));
	infer->positions = lm_arena_take(arena, N, sizeof(int32_t));
	infer->x = lm_arena_floats(arena, N, (size_t) C);
	infer->norm = lm_arena_floats(arena, N, (size_t) C);
	infer->qkv = lm_arena_floats(arena, N, (size_t) qkv);
	infer->attention = lm_arena_floats(arena, N, (size_t) A);
	infer->wide = lm_arena_floats(arena, N, (size_t) up);
	infer->gated = up > M ? lm_arena_floats(arena, N, (size_t) M) : NULL;
	infer->norm2 = config->parallel_residual ? lm_arena_floats(arena, N, (size_t) C) : NULL;
	infer->packed = lm_arena_take(arena, lm_linear_infer_scratch(n, larger(larger(C, A), M)), 1);
	infer->lora_h = infer->lora_sum = NULL;
	if (config->lora_rank > 0)
	{
		infer->lora_h = lm_arena_floats(arena, N, (size_t) config->lora_rank);
		infer->lora_sum = lm_arena_floats(arena, N, (size_t) larger(larger(up, qkv), C));
	}
	infer->scores = lm_arena_floats(arena, (size_t) n_threads, scores_size(config));
	infer->blocks = lm_arena_take(arena, N + 1, sizeof(int));
	infer->tables = lm_arena_take(arena, (size_t) n_threads * 2 * ((T + LM_PAGE - 1) / LM_PAGE),
								  sizeof(float *));
}

static void
embed(Infer *infer)
{
	for (int i = 0; i < infer->n; i++)
	{
		infer->rows[i] = i;
		infer->positions[i] = infer->inputs[i].position;
		lm_model_embed(infer->x + (size_t) i * infer->model->config.channels, infer->model,
					   infer->inputs[i].token, infer->inputs[i].position);
	}
	infer->n_rows = infer->n;
}

/* A layer's product, with that of its adapter. */
static void
multiply(Infer *infer, float *y, const float *x, const LmLinear *linear, LmTarget target)
{
	lm_linear_infer(infer->engine, y, x, linear, infer->n_rows, infer->packed);
	lm_adapter_add(infer->engine, y, x, infer->model, target, infer->layer, infer->n_rows,
				   infer->lora_h, infer->lora_sum);
}

/*
 * One layer of all rows: x += attention branch, x += MLP branch, each on a norm of x; with a
 * parallel residual both on norms of the same x.
 */
static void
run_block(Infer *infer)
{
	const LmConfig *config = &infer->model->config;
	const LmImageBlock *w = &infer->model->blocks[infer->layer];
	LmEngine *engine = infer->engine;
	LmResidual attended = {infer->x, infer->x, infer->norm, NULL};
	int C = config->channels;

	norm(infer, infer->norm, infer->x, w->norm1_weight, w->norm1_bias);
	run_attention(infer, w);
	if (infer->n_rows == 0)
		return;
	if (config->parallel_residual)
	{
		norm(infer, infer->norm2, infer->x, w->norm2_weight, w->norm2_bias);
		lm_add(engine, infer->x, infer->norm, (size_t) infer->n_rows * (size_t) C);
		run_mlp(infer, w, infer->norm2);
	}
	else
	{
		lm_residual_norm_forward(engine, infer->norm, NULL, NULL, &attended, w->norm2_weight,
								 w->norm2_bias, infer->n_rows, C, config->norm_epsilon,
								 config->norm);
		run_mlp(infer, w, infer->norm);
	}
	lm_add(engine, infer->x, infer->norm, (size_t) infer->n_rows * (size_t) C);
}

/* y = the configuration's norm of the rows x; y may be x. */
static void
norm(Infer *infer, float *y, const float *x, const float *weight, const float *bias)
{
	const LmConfig *config = &infer->model->config;

	lm_norm_forward(infer->engine, y, NULL, NULL, x, weight, bias, infer->n_rows, config->channels,
					config->norm_epsilon, config->norm);
}

/* From norm1 in infer->norm to the output of attention's branch there. */
static void
run_attention(Infer *infer, const LmImageBlock *w)
{
	const LmConfig *config = &infer->model->config;
	LmHeads heads = lm_config_heads(config);

	heads.query_weight = w->query_norm_weight;
	heads.key_weight = w->key_norm_weight;
	if (lm_config_rotates(config, infer->layer))
		heads.rotary = lm_config_is_local(config, infer->layer) ? infer->model->local_rotary
																: infer->model->rotary;
	multiply(infer, infer->qkv, infer->norm, &w->attention, LM_TARGET_ATTENTION);
	lm_heads_forward(infer->engine, infer->qkv, NULL, NULL, infer->positions, &heads, infer->n);
	store_keys_and_values(infer);
	if (infer->layer == config->layers - 1)
		keep_wanted_rows(infer);
	if (infer->n_rows == 0)
		return;
	attend(infer);
	multiply(infer, infer->norm, infer->attention, &w->projection, LM_TARGET_PROJECTION);
	if (w->post_norm1_weight)
		norm(infer, infer->norm, infer->norm, w->post_norm1_weight, w->post_norm1_bias);
}

/* From norm2 to the output of the MLP's branch in infer->norm. */
static void
run_mlp(Infer *infer, const LmImageBlock *w, const float *norm2)
{
	const LmConfig *config = &infer->model->config;
	const float *activated = infer->gated ? infer->gated : infer->wide;

	multiply(infer, infer->wide, norm2, &w->up, LM_TARGET_UP);
	if (infer->gated)
		lm_gate_forward(infer->engine, infer->gated, infer->wide, infer->n_rows,
						config->mlp_channels, config->mlp);
	else
		lm_gelu_forward(infer->engine, infer->wide, infer->wide,
						(size_t) infer->n_rows * (size_t) config->mlp_channels, config->mlp);
	multiply(infer, infer->norm, activated, &w->down, LM_TARGET_DOWN);
	if (w->post_norm2_weight)
		norm(infer, infer->norm, infer->norm, w->post_norm2_weight, w->post_norm2_bias);
}

static void
store_keys_and_values(Infer *infer)
{
	lm_engine_run(infer->engine, store_piece, infer, lm_divide_up((size_t) infer->n, STORE_ROWS));
}

/*
 * Inputs that follow each other in one page are stored together. An input that is alone is stored
 * by its attention.
 */
static void
store_piece(void *work, int piece, int thread)
{
	const Infer *infer = work;
	int end = lm_smaller(infer->n, (piece + 1) * STORE_ROWS);

	for (int first = piece * STORE_ROWS, next; first < end; first = next)
	{
		const LmInput *input = &infer->inputs[first];
		int most = lm_smaller(end, first + LM_PAGE - input->position % LM_PAGE);

		for (next = first + 1; next < most && infer->inputs[next].sequence == input->sequence;)
			next++;
		if (!is_alone(infer, first))
			store_run(infer, first, next - first, 0, lm_config_kv_heads(&infer->model->config));
	}
}

/*
 * Whether input i is the only one of its sequence (inputs of a sequence follow each other), so that
 * no other input reads its keys and values. Its attention then stores them, because it reads the
 * same cache lines next: keys of 32 positions lie together, in a line or two for each channel.
 */
static bool
is_alone(const Infer *infer, int i)
{
	const LmInput *input = &infer->inputs[i];

	return input->position == infer->sequences[input->sequence].n_positions - 1 &&
		   (i == 0 || infer->inputs[i - 1].sequence != input->sequence) &&
		   (input->wanted || infer->layer < infer->model->config.layers - 1);
}

/* Copies keys (transposed) and values of n inputs, all on one page, for some of their heads. */
static void
store_run(const Infer *infer, int first, int n, int first_head, int end_head)
{
	const LmConfig *config = &infer->model->config;
	const LmInput *input = &infer->inputs[first];
	size_t A = (size_t) lm_config_query_channels(config),
		   K = (size_t) lm_config_kv_channels(config), width = A + 2 * K,
		   size = (size_t) lm_config_head_size(config), row = (size_t) (input->position % LM_PAGE),
		   begin = (size_t) first_head * size, end = (size_t) end_head * size;
	int page = infer->sequences[input->sequence].pages[input->position / LM_PAGE];
	const float *from = infer->qkv + (size_t) first * width + A;
	float *keys = lm_page_keys(infer->pages, page, infer->layer) + row;
	float *values = lm_page_values(infer->pages, page, infer->layer) + row * K;

	for (size_t c = begin; c < end; c++)
		for (int i = 0; i < n; i++)
			keys[c * LM_PAGE + (size_t) i] = from[(size_t) i * width + c];
	for (int i = 0; i < n; i++)
		memcpy(values + (size_t) i * K + begin, from + (size_t) i * width + K + begin,
			   (end - begin) * sizeof(float));
}

/* In the last layer only wanted rows go on: moves their x to the front. */
static void
keep_wanted_rows(Infer *infer)
{
	size_t C = (size_t) infer->model->config.channels;
	int kept = 0;

	for (int i = 0; i < infer->n; i++)
	{
		if (!infer->inputs[i].wanted)
			continue;
		if (kept != i)
			memcpy(infer->x + (size_t) kept * C, infer->x + (size_t) i * C, C * sizeof(float));
		infer->rows[kept++] = i;
	}
	infer->n_rows = kept;
}

/*
 * Runs attention over blocks of rows; few and long ones are cut by groups of heads too. Heads that
 * share keys stay together.
 */
static void
attend(Infer *infer)
{
	const LmConfig *config = &infer->model->config;
	int kv_heads = lm_config_kv_heads(config);
	size_t longest = 0;

	for (int row = 0; row < infer->n_rows; row++)
	{
		size_t n_keys = (size_t) infer->inputs[infer->rows[row]].position + 1;

		longest = n_keys > longest ? n_keys : longest;
	}
	cut_blocks(infer);
	infer->n_groups = 1;
	if (infer->n_blocks <= SPLIT_BLOCKS &&
		longest * (size_t) lm_config_query_channels(config) * (size_t) infer->n_rows >=
			SPLIT_FLOATS)
		infer->n_groups = lm_smaller(kv_heads, MAX_GROUPS);
	lm_engine_run(infer->engine, attention_piece, infer, infer->n_blocks * infer->n_groups);
}

/* Inputs that follow each other in one sequence share the reading of its keys and values. */
static void
cut_blocks(Infer *infer)
{
	infer->n_blocks = 0;
	for (int row = 0; row < infer->n_rows; row++)
	{
		int first = infer->n_blocks > 0 ? infer->blocks[infer->n_blocks - 1] : row;
		bool goes_on =
			row > first && row - first < LM_ATTENTION_ROWS &&
			infer->rows[row] == infer->rows[row - 1] + 1 &&
			infer->inputs[infer->rows[row]].sequence == infer->inputs[infer->rows[first]].sequence;

		if (!goes_on)
			infer->blocks[infer->n_blocks++] = row;
	}
	infer->blocks[infer->n_blocks] = infer->n_rows;
}

/*
 * The last block of a prompt has the most keys. It comes first, so that no thread works on it alone
 * at the end.
 */
static void
attention_piece(void *work, int piece, int thread)
{
	const Infer *infer = work;
	const LmConfig *config = &infer->model->config;
	int block = infer->n_blocks - 1 - piece / infer->n_groups, group = piece % infer->n_groups;
	int row = infer->blocks[block], n_rows = infer->blocks[block + 1] - row;
	const LmInput *input = &infer->inputs[infer->rows[row]];
	const LmSequence *sequence = &infer->sequences[input->sequence];
	int A = lm_config_query_channels(config), qkv = lm_config_qkv_channels(config),
		kv_heads = lm_config_kv_heads(config), shared = config->heads / kv_heads;
	int first = first_page(infer, input), last = (input->position + n_rows - 1) / LM_PAGE;
	int table_length = (config->context + LM_PAGE - 1) / LM_PAGE;
	int first_head = kv_heads * group / infer->n_groups,
		end_head = kv_heads * (group + 1) / infer->n_groups;
	const float **keys = infer->tables + (size_t) thread * 2 * (size_t) table_length;
	const float **values = keys + table_length;
	LmAttentionRows rows = {
		.out = infer->attention + (size_t) row * (size_t) A,
		.ld_out = A,
		.q = infer->qkv + (size_t) infer->rows[row] * (size_t) qkv,
		.ld_q = qkv,
		.n_rows = n_rows,
		.n_keys = input->position + 1,
		.key_pages = keys,
		.value_pages = values,
		.shape = lm_config_attention(config, infer->layer),
		.scratch = infer->scores + (size_t) thread * scores_size(config),
	};

	if (is_alone(infer, infer->rows[row]))
		store_run(infer, infer->rows[row], 1, first_head, end_head);
	for (int i = first; i <= last; i++)
	{
		keys[i] = lm_page_keys(infer->pages, sequence->pages[i], infer->layer);
		values[i] = lm_page_values(infer->pages, sequence->pages[i], infer->layer);
	}
	lm_attention_rows(&rows, first_head * shared, end_head * shared);
}

/* The first page that an input sees in this layer. */
static int
first_page(const Infer *infer, const LmInput *input)
{
	int window = lm_config_window(&infer->model->config, infer->layer);

	return window > 0 && input->position >= window ? (input->position + 1 - window) / LM_PAGE : 0;
}

static void
run_head(Infer *infer, float *logits, float *hidden)
{
	const LmModel *model = infer->model;
	const LmConfig *config = &model->config;

	norm(infer, hidden ? hidden : infer->norm, infer->x, model->final_norm_weight,
		 model->final_norm_bias);
	if (!logits)
		return;
	lm_linear_infer(infer->engine, logits, infer->norm, &model->head, infer->n_rows, infer->packed);
	if (config->logit_softcap > 0)
		lm_softcap_forward(infer->engine, logits, logits,
						   (size_t) infer->n_rows * (size_t) config->vocabulary,
						   config->logit_softcap);
}

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

#include "serve/infer.h"
#include "serve/infer_pass.h"

static bool extend_sequences(LmInferPass *pass, int n_sequences, LmError *error);
static bool check_input(const LmInferPass *pass, const LmInput *input, int n_sequences, int i,
						LmError *error);
static bool check_prefix(const LmInferPass *pass, const LmInput *input, int i, LmError *error);
static void take_back(LmInferPass *pass, int n);
static void lay_out(LmInferPass *pass, LmArena *arena, const LmConfig *config, int n,
					int n_threads);
static void run_attention(LmInferPass *pass, const LmImageBlock *w);
static void run_mlp(LmInferPass *pass, const LmImageBlock *w, const float *norm2);
static void keep_wanted_rows(LmInferPass *pass);
static bool run(float *logits, float *hidden, LmEngine *engine, const LmModel *model,
				LmPages *pages, LmSequence *sequences, int n_sequences, const LmInput *inputs,
				int n, void *workspace, LmError *error);
static void decode(LmInferPass *pass, float *logits, float *hidden);
static void run_head(LmInferPass *pass, float *logits, float *hidden);

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
	LmInferPass pass = {.engine = engine,
						.model = model,
						.pages = pages,
						.sequences = sequences,
						.inputs = inputs,
						.n = n};
	LmArena arena = {.base = workspace};

	if (n == 0)
		return true;
	if (!extend_sequences(&pass, n_sequences, error))
		return false;
	lay_out(&pass, &arena, &model->config, n, lm_engine_threads(engine));
	lm_engine_begin(engine);
	if (pass.parted && !lm_pass_encode(&pass, hidden, error))
	{
		take_back(&pass, n);
		return false;
	}
	decode(&pass, logits, hidden);
	if (!lm_engine_stopped(engine))
		return true;
	pass.inputs = inputs;
	take_back(&pass, n);
	return lm_fail(error, LM_ERR_STOPPED, -1, "inference was stopped");
}

/* The inputs of the decoder, of which there may be none beside an encoder. */
static void
decode(LmInferPass *pass, float *logits, float *hidden)
{
	if (pass->n == 0)
		return;
	lm_pass_embed(pass);
	for (pass->layer = 0;
		 pass->layer < pass->model->config.layers && !lm_engine_stopped(pass->engine);
		 pass->layer++)
	{
		pass->page_layer = pass->layer;
		lm_pass_block(pass);
	}
	if (pass->n_wanted > 0)
		run_head(pass, logits, hidden);
}

/* Checks the inputs and makes room for each in its sequence; all or nothing. */
static bool
extend_sequences(LmInferPass *pass, int n_sequences, LmError *error)
{
	for (int i = 0; i < pass->n; i++)
	{
		const LmInput *input = &pass->inputs[i];
		bool good = check_input(pass, input, n_sequences, i, error);

		if (good && !lm_sequence_extend(&pass->sequences[input->sequence], pass->pages))
			good = lm_fail(error, LM_ERR_LIMIT, i, "all %d pages of keys and values are in use",
						   pass->pages->n_pages);
		if (!good)
		{
			take_back(pass, i);
			return false;
		}
		pass->n_wanted += input->wanted;
	}
	return true;
}

/* Token, sequence and position must be in range, the position the sequence's next. */
static bool
check_input(const LmInferPass *pass, const LmInput *input, int n_sequences, int i, LmError *error)
{
	const LmConfig *config = &pass->model->config;

	if (input->token < 0 || input->token >= config->vocabulary)
		return lm_fail(error, LM_ERR_ARGUMENT, i,
					   "token %d is outside the model's vocabulary of %d", input->token,
					   config->vocabulary);
	if (input->sequence < 0 || input->sequence >= n_sequences)
		return lm_fail(error, LM_ERR_ARGUMENT, i, "sequence %d is not within 0 .. %d",
					   input->sequence, n_sequences - 1);
	if (input->position >= config->context ||
		input->position != pass->sequences[input->sequence].n_positions)
		return lm_fail(error, LM_ERR_ARGUMENT, i,
					   "position %d is not the sequence's next within a context of %d",
					   input->position, config->context);
	return lm_pass_check_adapter(pass, &pass->sequences[input->sequence], i, error) &&
		   check_prefix(pass, input, i, error);
}

/* All rows of a prefix see each other, so they must come together. */
static bool
check_prefix(const LmInferPass *pass, const LmInput *input, int i, LmError *error)
{
	int prefix = lm_pass_prefix(pass, input), last = i + prefix - 1;
	bool good = input->position >= prefix;

	if (!good && input->position == 0)
		good = last < pass->n && pass->inputs[last].sequence == input->sequence;
	else if (!good)
		good = i > 0 && pass->inputs[i - 1].sequence == input->sequence;
	return good || lm_fail(error, LM_ERR_ARGUMENT, i,
						   "the %d inputs of a prefix do not come together", prefix);
}

/* Undoes the room of the first n inputs. */
static void
take_back(LmInferPass *pass, int n)
{
	for (int i = n - 1; i >= 0; i--)
	{
		LmSequence *sequence = &pass->sequences[pass->inputs[i].sequence];

		lm_sequence_truncate(sequence, pass->pages, pass->inputs[i].position);
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
	LmInferPass counted;
	LmArena arena = {0};

	(void) n_wanted;
	lay_out(&counted, &arena, config, n, n_threads);
	return arena.overflow ? 0 : arena.used;
}

static int
larger(int a, int b)
{
	return a > b ? a : b;
}

/* Places the arrays in the workspace; with an arena that only counts, gives their size. */
static void
lay_out(LmInferPass *pass, LmArena *arena, const LmConfig *config, int n, int n_threads)
{
	int C = config->channels, A = lm_config_query_channels(config), M = config->mlp_channels,
		up = lm_config_up_channels(config), qkv = lm_config_qkv_channels(config);
	size_t N = (size_t) n, T = (size_t) config->context;

	pass->parted = NULL;
	if (config->architecture == LM_ENCODER_DECODER)
		pass->parted = lm_arena_take(arena, N, sizeof(LmInput));
	pass->rows = lm_arena_take(arena, N, sizeof(int));
	pass->positions = lm_arena_take(arena, N, sizeof(int32_t));
	pass->x = lm_arena_floats(arena, N, (size_t) C);
	pass->norm = lm_arena_floats(arena, N, (size_t) C);
	pass->qkv = lm_arena_floats(arena, N, (size_t) qkv);
	pass->attention = lm_arena_floats(arena, N, (size_t) A);
	pass->wide = lm_arena_floats(arena, N, (size_t) up);
	pass->gated = up > M ? lm_arena_floats(arena, N, (size_t) M) : NULL;
	pass->norm2 = config->parallel_residual ? lm_arena_floats(arena, N, (size_t) C) : NULL;
	pass->packed = lm_arena_take(arena, lm_linear_infer_scratch(n, larger(larger(C, A), M)), 1);
	pass->groups = lm_arena_take(arena, N, sizeof(LmPassGroup));
	pass->adapters = lm_arena_take(arena, N, sizeof(LmLoraRows));
	pass->group_of = lm_arena_take(arena, N, sizeof(int));
	pass->order = lm_arena_take(arena, N, sizeof(int));
	pass->scores = lm_arena_floats(arena, (size_t) n_threads, lm_pass_scores(config));
	pass->blocks = lm_arena_take(arena, N + 1, sizeof(int));
	pass->tables = lm_arena_take(arena, (size_t) n_threads * 2 * ((T + LM_PAGE - 1) / LM_PAGE),
								 sizeof(float *));
}

void
lm_pass_embed(LmInferPass *pass)
{
	for (int i = 0; i < pass->n; i++)
	{
		pass->rows[i] = i;
		pass->positions[i] = pass->inputs[i].position;
		lm_model_embed(pass->x + (size_t) i * pass->model->config.channels, pass->model,
					   pass->inputs[i].token, pass->inputs[i].position);
	}
	pass->n_rows = pass->n;
	lm_pass_group(pass);
}

/* A layer's product, with those of the rows' adapters. */
static void
multiply(LmInferPass *pass, float *y, const float *x, const LmLinear *linear, LmTarget target)
{
	lm_linear_infer(pass->engine, y, x, linear, pass->n_rows, pass->packed);
	lm_pass_add_adapters(pass, y, x, linear, target);
}

/*
 * x += attention branch, x += MLP branch, each on a norm of x; with a parallel residual both on
 * norms of the same x. Between the two, a decoder beside an encoder has cross-attention.
 */
void
lm_pass_block(LmInferPass *pass)
{
	const LmConfig *config = &pass->model->config;
	const LmImageBlock *w = &pass->model->blocks[pass->layer];
	LmEngine *engine = pass->engine;
	LmResidual attended = {pass->x, pass->x, pass->norm, NULL};
	int C = config->channels;

	lm_pass_norm(pass, pass->norm, pass->x, w->norm1_weight, w->norm1_bias);
	run_attention(pass, w);
	if (pass->n_rows == 0)
		return;
	if (w->cross.query.panels)
		lm_pass_cross(pass);
	if (config->parallel_residual)
	{
		lm_pass_norm(pass, pass->norm2, pass->x, w->norm2_weight, w->norm2_bias);
		lm_add(engine, pass->x, pass->norm, (size_t) pass->n_rows * (size_t) C);
		run_mlp(pass, w, pass->norm2);
	}
	else
	{
		lm_residual_norm_forward(engine, pass->norm, NULL, NULL, &attended, w->norm2_weight,
								 w->norm2_bias, pass->n_rows, C, config->norm_epsilon,
								 config->norm);
		run_mlp(pass, w, pass->norm);
	}
	lm_add(engine, pass->x, pass->norm, (size_t) pass->n_rows * (size_t) C);
}

void
lm_pass_norm(LmInferPass *pass, float *y, const float *x, const float *weight, const float *bias)
{
	const LmConfig *config = &pass->model->config;

	lm_norm_forward(pass->engine, y, NULL, NULL, x, weight, bias, pass->n_rows, config->channels,
					config->norm_epsilon, config->norm);
}

/* From norm1 in pass->norm to the output of attention's branch there. */
static void
run_attention(LmInferPass *pass, const LmImageBlock *w)
{
	const LmConfig *config = &pass->model->config;
	LmHeads heads = lm_config_heads(config);

	heads.query_weight = w->query_norm_weight;
	heads.key_weight = w->key_norm_weight;
	if (lm_config_rotates(config, pass->layer))
		heads.rotary = lm_config_is_local(config, pass->layer) ? pass->model->local_rotary
															   : pass->model->rotary;
	multiply(pass, pass->qkv, pass->norm, &w->attention, LM_TARGET_ATTENTION);
	lm_heads_forward(pass->engine, pass->qkv, NULL, NULL, pass->positions, &heads, pass->n);
	lm_pass_store(pass, pass->qkv + lm_config_query_channels(config),
				  lm_config_qkv_channels(config), true);
	if (pass->layer == config->layers - 1)
		keep_wanted_rows(pass);
	if (pass->n_rows == 0)
		return;
	pass->ld_q = lm_config_qkv_channels(config);
	lm_pass_attend(pass);
	multiply(pass, pass->norm, pass->attention, &w->projection, LM_TARGET_PROJECTION);
	if (w->post_norm1_weight)
		lm_pass_norm(pass, pass->norm, pass->norm, w->post_norm1_weight, w->post_norm1_bias);
}

/* From norm2 to the output of the MLP's branch in pass->norm. */
static void
run_mlp(LmInferPass *pass, const LmImageBlock *w, const float *norm2)
{
	const LmConfig *config = &pass->model->config;
	const float *activated = pass->gated ? pass->gated : pass->wide;

	multiply(pass, pass->wide, norm2, &w->up, LM_TARGET_UP);
	if (pass->gated)
		lm_gate_forward(pass->engine, pass->gated, pass->wide, pass->n_rows, config->mlp_channels,
						config->mlp);
	else
		lm_gelu_forward(pass->engine, pass->wide, pass->wide,
						(size_t) pass->n_rows * (size_t) config->mlp_channels, config->mlp);
	multiply(pass, pass->norm, activated, &w->down, LM_TARGET_DOWN);
	if (w->post_norm2_weight)
		lm_pass_norm(pass, pass->norm, pass->norm, w->post_norm2_weight, w->post_norm2_bias);
}

/* In the last layer only wanted rows go on: moves their x to the front. */
static void
keep_wanted_rows(LmInferPass *pass)
{
	size_t C = (size_t) pass->model->config.channels;
	int kept = 0;

	for (int i = 0; i < pass->n; i++)
	{
		if (!pass->inputs[i].wanted)
			continue;
		if (kept != i)
			memcpy(pass->x + (size_t) kept * C, pass->x + (size_t) i * C, C * sizeof(float));
		pass->rows[kept++] = i;
	}
	pass->n_rows = kept;
	lm_pass_group(pass);
}

static void
run_head(LmInferPass *pass, float *logits, float *hidden)
{
	const LmModel *model = pass->model;
	const LmConfig *config = &model->config;

	lm_pass_norm(pass, hidden ? hidden : pass->norm, pass->x, model->final_norm_weight,
				 model->final_norm_bias);
	if (!logits)
		return;
	lm_linear_infer(pass->engine, logits, pass->norm, &model->head, pass->n_rows, pass->packed);
	if (config->logit_softcap > 0)
		lm_softcap_forward(pass->engine, logits, logits,
						   (size_t) pass->n_rows * (size_t) config->vocabulary,
						   config->logit_softcap);
}

/*
 * src/engine/serve/infer_attention.c
 *
 * Keys and values of the rows of a pass go into the pages of their sequences, and queries read them
 * from there, in the order of positions.
 */
#include <string.h>

#include "kernels/pieces.h"
#include "serve/infer_pass.h"

/* Several threads share a block of attention only where it is long and blocks are few. */
#define SPLIT_BLOCKS 4
#define SPLIT_FLOATS 65536
#define STORE_ROWS 64 /* inputs whose keys and values are stored in a piece */
#define MAX_GROUPS 8

/* The keys of a block of rows. */
typedef struct Seen
{
	int first;
	int n; /* up to the last that the first row sees */
	bool alike; /* further rows see no more */
} Seen;

typedef struct Store
{
	const LmInferPass *pass;
	const float *from;
	int ld;
	bool is_self;
} Store;

static void store_piece(void *work, int piece, int thread);
static void store_run(const LmInferPass *pass, const float *from, int ld, int first, int n,
					  int first_head, int end_head);
static bool is_alone(const LmInferPass *pass, int i);
static Seen seen_by(const LmInferPass *pass, const LmInput *input);
static void cut_blocks(LmInferPass *pass);
static bool goes_on(const LmInferPass *pass, int first, int row);
static void attention_piece(void *work, int piece, int thread);
static int first_page(const LmInferPass *pass, const LmInput *input, Seen seen);

void
lm_pass_store(LmInferPass *pass, const float *from, int ld, bool is_self)
{
	Store store = {pass, from, ld, is_self};

	lm_engine_run(pass->engine, store_piece, &store, lm_divide_up((size_t) pass->n, STORE_ROWS));
}

/* Inputs that follow each other in one page are stored together. */
static void
store_piece(void *work, int piece, int thread)
{
	const Store *store = work;
	const LmInferPass *pass = store->pass;
	int end = lm_smaller(pass->n, (piece + 1) * STORE_ROWS);

	for (int first = piece * STORE_ROWS, next; first < end; first = next)
	{
		const LmInput *input = &pass->inputs[first];
		int most = lm_smaller(end, first + LM_PAGE - input->position % LM_PAGE);

		for (next = first + 1; next < most && pass->inputs[next].sequence == input->sequence;)
			next++;
		if (!store->is_self || !is_alone(pass, first))
			store_run(pass, store->from, store->ld, first, next - first, 0,
					  lm_config_kv_heads(&pass->model->config));
	}
}

/*
 * Whether input i is the only one of its sequence (inputs of a sequence follow each other), so that
 * no other input reads its keys and values. Its attention then stores them, because it reads the
 * same cache lines next: keys of 32 positions lie together, in a line or two for each channel.
 */
static bool
is_alone(const LmInferPass *pass, int i)
{
	const LmInput *input = &pass->inputs[i];

	return input->position == pass->sequences[input->sequence].n_positions - 1 &&
		   (i == 0 || pass->inputs[i - 1].sequence != input->sequence) &&
		   (input->wanted || pass->layer < pass->model->config.layers - 1);
}

/* Copies keys (transposed) and values of n inputs, all on one page, for some of their heads. */
static void
store_run(const LmInferPass *pass, const float *from, int ld, int first, int n, int first_head,
		  int end_head)
{
	const LmConfig *config = &pass->model->config;
	const LmInput *input = &pass->inputs[first];
	size_t K = (size_t) lm_config_kv_channels(config), width = (size_t) ld,
		   size = (size_t) lm_config_head_size(config), row = (size_t) (input->position % LM_PAGE),
		   begin = (size_t) first_head * size, end = (size_t) end_head * size;
	int page = pass->sequences[input->sequence].pages[input->position / LM_PAGE];
	float *keys = lm_page_keys(pass->pages, page, pass->page_layer) + row;
	float *values = lm_page_values(pass->pages, page, pass->page_layer) + row * K;

	from += (size_t) first * width;
	for (size_t c = begin; c < end; c++)
		for (int i = 0; i < n; i++)
			keys[c * LM_PAGE + (size_t) i] = from[(size_t) i * width + c];
	for (int i = 0; i < n; i++)
		memcpy(values + (size_t) i * K + begin, from + (size_t) i * width + K + begin,
			   (end - begin) * sizeof(float));
}

/*
 * Rows of a prefix see all of it. In a decoder beside an encoder, rows see the prefix by
 * cross-attention alone.
 */
static Seen
seen_by(const LmInferPass *pass, const LmInput *input)
{
	int prefix = lm_pass_prefix(pass, input);
	bool is_causal = input->position >= prefix;
	bool has_encoder = pass->model->config.architecture == LM_ENCODER_DECODER;

	if (pass->crosses || !is_causal)
		return (Seen){.n = prefix, .alike = true};
	return (Seen){.first = has_encoder ? prefix : 0, .n = input->position + 1};
}

/*
 * Runs attention over blocks of rows; few and long ones are cut by groups of heads too. Heads that
 * share keys stay together.
 */
void
lm_pass_attend(LmInferPass *pass)
{
	const LmConfig *config = &pass->model->config;
	int kv_heads = lm_config_kv_heads(config);
	size_t longest = 0;

	for (int row = 0; row < pass->n_rows; row++)
	{
		size_t n_keys = (size_t) seen_by(pass, &pass->inputs[pass->rows[row]]).n;

		longest = n_keys > longest ? n_keys : longest;
	}
	cut_blocks(pass);
	pass->n_groups = 1;
	if (pass->n_blocks <= SPLIT_BLOCKS &&
		longest * (size_t) lm_config_query_channels(config) * (size_t) pass->n_rows >= SPLIT_FLOATS)
		pass->n_groups = lm_smaller(kv_heads, MAX_GROUPS);
	lm_engine_run(pass->engine, attention_piece, pass, pass->n_blocks * pass->n_groups);
}

/* Inputs that follow each other in one sequence share the reading of its keys and values. */
static void
cut_blocks(LmInferPass *pass)
{
	pass->n_blocks = 0;
	for (int row = 0; row < pass->n_rows; row++)
	{
		int first = pass->n_blocks > 0 ? pass->blocks[pass->n_blocks - 1] : row;

		if (!goes_on(pass, first, row))
			pass->blocks[pass->n_blocks++] = row;
	}
	pass->blocks[pass->n_blocks] = pass->n_rows;
}

/* Whether a row belongs to the block that begins with another one. */
static bool
goes_on(const LmInferPass *pass, int first, int row)
{
	const LmInput *begin = &pass->inputs[pass->rows[first]],
				  *input = &pass->inputs[pass->rows[row]];

	return row > first && row - first < LM_ATTENTION_ROWS &&
		   pass->rows[row] == pass->rows[row - 1] + 1 && input->sequence == begin->sequence &&
		   seen_by(pass, input).alike == seen_by(pass, begin).alike;
}

/*
 * The last block of a prompt has the most keys. It comes first, so that no thread works on it alone
 * at the end.
 */
static void
attention_piece(void *work, int piece, int thread)
{
	const LmInferPass *pass = work;
	const LmConfig *config = &pass->model->config;
	int block = pass->n_blocks - 1 - piece / pass->n_groups, group = piece % pass->n_groups;
	int row = pass->blocks[block], n_rows = pass->blocks[block + 1] - row;
	int input_number = pass->rows[row];
	const LmInput *input = &pass->inputs[input_number];
	const LmSequence *sequence = &pass->sequences[input->sequence];
	Seen seen = seen_by(pass, input);
	int A = lm_config_query_channels(config), kv_heads = lm_config_kv_heads(config),
		shared = config->heads / kv_heads;
	int first = first_page(pass, input, seen),
		last = (seen.n - 1 + (seen.alike ? 0 : n_rows - 1)) / LM_PAGE;
	int table_length = (config->context + LM_PAGE - 1) / LM_PAGE;
	int first_head = kv_heads * group / pass->n_groups,
		end_head = kv_heads * (group + 1) / pass->n_groups;
	const float **keys = pass->tables + (size_t) thread * 2 * (size_t) table_length;
	const float **values = keys + table_length;
	LmAttentionRows rows = {
		.out = pass->attention + (size_t) row * (size_t) A,
		.ld_out = A,
		.q = pass->qkv + (size_t) (pass->crosses ? row : input_number) * (size_t) pass->ld_q,
		.ld_q = pass->ld_q,
		.n_rows = n_rows,
		.n_keys = seen.n,
		.alike = seen.alike,
		.first_key = seen.first,
		.key_pages = keys,
		.value_pages = values,
		.shape = lm_config_attention(config, pass->layer),
		.scratch = pass->scores + (size_t) thread * lm_pass_scores(config),
	};

	/* An empty prefix. */
	if (seen.n == 0)
	{
		if (group == 0)
			memset(rows.out, 0, (size_t) n_rows * (size_t) A * sizeof *rows.out);
		return;
	}
	if (!pass->crosses && is_alone(pass, input_number))
		store_run(pass, pass->qkv + A, pass->ld_q, input_number, 1, first_head, end_head);
	for (int i = first; i <= last; i++)
	{
		keys[i] = lm_page_keys(pass->pages, sequence->pages[i], pass->page_layer);
		values[i] = lm_page_values(pass->pages, sequence->pages[i], pass->page_layer);
	}
	lm_attention_rows(&rows, first_head * shared, end_head * shared);
}

/* The first page that an input sees in this layer. */
static int
first_page(const LmInferPass *pass, const LmInput *input, Seen seen)
{
	int window = lm_config_window(&pass->model->config, pass->layer);

	if (window > 0 && input->position >= window)
		return (input->position + 1 - window) / LM_PAGE;
	return seen.first / LM_PAGE;
}

/*
 * src/engine/formats/llama2c.c
 *
 * Reads the header of a llama2.c model, whose tensors stand one after another in an order that the
 * layout gives, and its tokenizer.bin.
 */
#include <stdio.h>
#include <string.h>

#include "engine/llama2c.h"
#include "formats/half.h"

#define MAGIC 0x616b3432
#define NAME_SIZE 64
#define LEGACY_HEADER 28
#define HEADER 256

/* Lengths of a tensor's dimensions. */
typedef enum Length
{
	ONE, /* the tensor is a vector */
	CHANNELS,
	MLP,
	KEYS, /* heads of keys and values times their size */
	VOCABULARY,
} Length;

/* A kind of tensor; %d in the name is the layer. */
typedef struct Kind
{
	const char *name;
	Length rows;
	Length columns;
} Kind;

enum
{
	EMBEDDING,
	NORM1,
	Q,
	K,
	V,
	O,
	NORM2,
	GATE,
	DOWN,
	UP,
	NORM,
	OUTPUT,
	ROTATION, /* the tables of the legacy layout, which is no tensor */
	END,
};

static const Kind kinds[] = {
	[EMBEDDING] = {"model.embed_tokens.weight", VOCABULARY, CHANNELS},
	[NORM1] = {"model.layers.%d.input_layernorm.weight", ONE, CHANNELS},
	[Q] = {"model.layers.%d.self_attn.q_proj.weight", CHANNELS, CHANNELS},
	[K] = {"model.layers.%d.self_attn.k_proj.weight", KEYS, CHANNELS},
	[V] = {"model.layers.%d.self_attn.v_proj.weight", KEYS, CHANNELS},
	[O] = {"model.layers.%d.self_attn.o_proj.weight", CHANNELS, CHANNELS},
	[NORM2] = {"model.layers.%d.post_attention_layernorm.weight", ONE, CHANNELS},
	[GATE] = {"model.layers.%d.mlp.gate_proj.weight", MLP, CHANNELS},
	[DOWN] = {"model.layers.%d.mlp.down_proj.weight", CHANNELS, MLP},
	[UP] = {"model.layers.%d.mlp.up_proj.weight", MLP, CHANNELS},
	[NORM] = {"model.norm.weight", ONE, CHANNELS},
	[OUTPUT] = {"lm_head.weight", VOCABULARY, CHANNELS},
};

/* export.py: legacy_export (w1 is the gate, w2 down, w3 up) and version1_export. */
static const uint8_t orders[2][14] = {
	{EMBEDDING, NORM1, Q, K, V, O, NORM2, GATE, DOWN, UP, NORM, ROTATION, OUTPUT, END},
	{NORM1, NORM2, NORM, EMBEDDING, Q, K, V, O, GATE, DOWN, UP, OUTPUT, END},
};

static bool read_header(LmLlama2c *model, LmCursor *cursor, LmError *error);
static void read_sizes(LmLlama2c *model, const uint8_t *bytes);
static bool check_sizes(const LmLlama2c *model, LmError *error);
static bool place(LmLlama2c *model, char *names, uint64_t file_size, LmError *error);
static bool place_kind(LmLlama2c *model, char *names, int kind, uint64_t *at, LmError *error);
static bool go_on(uint64_t *at, uint64_t n, LmError *error);
static uint64_t length(const LmLlama2c *model, Length which);

bool
lm_llama2c_looks(const LmFile *file)
{
	LmLlama2c model = {0};
	uint8_t bytes[LEGACY_HEADER];

	if (file->size < LEGACY_HEADER || !file->read(file->context, 0, bytes, sizeof bytes))
		return false;
	if (lm_load_u32(bytes) == MAGIC)
		return true;
	read_sizes(&model, bytes);
	return check_sizes(&model, NULL);
}

LmLlama2c *
lm_llama2c_open(const LmFile *file, const LmHost *host, LmError *error)
{
	LmLlama2c header = {0}, *model;
	LmCursor cursor;
	size_t size;

	if (file->size > INT64_MAX)
		return lm_fail(error, LM_ERR_LIMIT, -1, "the file has over 2^63 bytes"), NULL;
	lm_cursor_start(&cursor, file, host, 0);
	if (!read_header(&header, &cursor, error) || !check_sizes(&header, error) ||
		!place(&header, NULL, file->size, error))
		return NULL;
	size = sizeof *model + header.n_tensors * (sizeof *model->tensors + NAME_SIZE);
	model = lm_allocate(host, size);
	if (!model)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a list of %zu bytes", size),
			   NULL;
	*model = header;
	model->tensors = (LmFileTensor *) (model + 1);
	if (place(model, (char *) (model->tensors + model->n_tensors), file->size, error))
		return model;
	lm_free(host, model);
	return NULL;
}

static bool
read_header(LmLlama2c *model, LmCursor *cursor, LmError *error)
{
	const uint8_t *bytes = lm_cursor_take(cursor, LEGACY_HEADER, error);

	if (!bytes)
		return false;
	if (lm_load_u32(bytes) != MAGIC)
	{
		read_sizes(model, bytes);
		model->tied = model->vocabulary > 0;
		if (model->vocabulary < 0 && model->vocabulary != INT32_MIN)
			model->vocabulary = -model->vocabulary;
		return true;
	}
	lm_cursor_start(cursor, &cursor->file, cursor->host, 0);
	if (!(bytes = lm_cursor_take(cursor, HEADER, error)))
		return false;
	model->version = (int) lm_load_u32(bytes + 4);
	if (model->version != 1)
		return lm_fail(error, LM_ERR_FORMAT, 4,
					   "llama2.c version is %d, the legacy layout and version 1 are read",
					   model->version);
	read_sizes(model, bytes + 8);
	model->tied = bytes[36] != 0;
	if (bytes[36] > 1)
		return lm_fail(error, LM_ERR_FORMAT, 36, "the byte for a tied output is %d, must be 0 or 1",
					   bytes[36]);
	return true;
}

static void
read_sizes(LmLlama2c *model, const uint8_t *bytes)
{
	int32_t *const sizes[] = {&model->channels, &model->mlp_channels, &model->layers, &model->heads,
							  &model->kv_heads, &model->vocabulary,	  &model->context};

	for (int i = 0; i < 7; i++)
		*sizes[i] = (int32_t) lm_load_u32(bytes + 4 * i);
}

/* A negative vocabulary is one of the legacy layout that was not yet made positive. */
static bool
check_sizes(const LmLlama2c *model, LmError *error)
{
	if (model->channels < 1 || model->mlp_channels < 1 || model->heads < 1 || model->kv_heads < 1 ||
		model->vocabulary == 0 || model->vocabulary == INT32_MIN || model->context < 1 ||
		(model->version == 1 && model->vocabulary < 1))
		return lm_fail(error, LM_ERR_FORMAT, 0,
					   "a llama2.c file has channels %d, mlp %d, heads %d, kv heads %d, vocabulary "
					   "%d, context %d: a size is not above 0",
					   model->channels, model->mlp_channels, model->heads, model->kv_heads,
					   model->vocabulary, model->context);
	if (model->layers < 1 || model->layers > LM_LLAMA2C_MOST_LAYERS)
		return lm_fail(error, LM_ERR_FORMAT, 0,
					   "a llama2.c file has %d layers, 1 to %d are allowed", model->layers,
					   LM_LLAMA2C_MOST_LAYERS);
	if (model->channels % model->heads != 0 || model->channels / model->heads % 2 != 0 ||
		model->heads % model->kv_heads != 0)
		return lm_fail(error, LM_ERR_FORMAT, 0,
					   "a llama2.c file has %d channels, %d heads and %d kv heads, which do not "
					   "divide one another",
					   model->channels, model->heads, model->kv_heads);
	return true;
}

/* Goes through the tensors in the file's order; lists them where there is a list. */
static bool
place(LmLlama2c *model, char *names, uint64_t file_size, LmError *error)
{
	uint64_t at = model->version == 0 ? LEGACY_HEADER : HEADER;

	model->n_tensors = 0;
	for (const uint8_t *kind = orders[model->version]; *kind != END; kind++)
		if (!place_kind(model, names, *kind, &at, error))
			return false;
	if (at != file_size)
		return lm_fail(error, LM_ERR_FORMAT, 0,
					   "a llama2.c file of these sizes has %llu bytes, this one has %llu",
					   (unsigned long long) at, (unsigned long long) file_size);
	return true;
}

/* The tensors of a kind, of all layers. */
static bool
place_kind(LmLlama2c *model, char *names, int number, uint64_t *at, LmError *error)
{
	const Kind *kind = &kinds[number];
	int n;

	if (number == ROTATION)
		return go_on(at, (uint64_t) model->context * (uint64_t) (model->channels / model->heads),
					 error);
	if (number == OUTPUT && model->tied)
		return true;
	n = strchr(kind->name, '%') ? model->layers : 1;
	for (int layer = 0; layer < n; layer++)
	{
		LmFileTensor tensor = {.name = kind->name, .n_dimensions = kind->rows == ONE ? 1 : 2};
		int last = tensor.n_dimensions - 1;

		for (int i = 0; i < LM_FILE_DIMENSIONS; i++)
			tensor.shape[i] = 1;
		tensor.type = lm_block_type_named("F32");
		tensor.type_name = tensor.type->name;
		tensor.shape[0] = length(model, kind->rows);
		tensor.shape[last] = length(model, kind->columns);
		tensor.offset = *at;
		if (!lm_file_tensor_size(&tensor, error) || !go_on(at, tensor.size / 4, error))
			return false;
		if (names)
		{
			char *name = names + model->n_tensors * NAME_SIZE;

			snprintf(name, NAME_SIZE, kind->name, layer);
			tensor.name = name;
			model->tensors[model->n_tensors] = tensor;
		}
		model->n_tensors++;
	}
	return true;
}

/* *at += the bytes of n floats, n below 2^62. */
static bool
go_on(uint64_t *at, uint64_t n, LmError *error)
{
	if (__builtin_add_overflow(*at, 4 * n, at) || *at > INT64_MAX)
		return lm_fail(error, LM_ERR_FORMAT, 0,
					   "a llama2.c file of these sizes has over 2^63 bytes");
	return true;
}

static uint64_t
length(const LmLlama2c *model, Length which)
{
	switch (which)
	{
		case ONE:
			return 1;
		case CHANNELS:
			return (uint64_t) model->channels;
		case MLP:
			return (uint64_t) model->mlp_channels;
		case KEYS:
			return (uint64_t) (model->channels / model->heads * model->kv_heads);
		case VOCABULARY:
			break;
	}
	return (uint64_t) model->vocabulary;
}

bool
lm_llama2c_tokens(LmLlama2cTokens *tokens, const LmFile *file, const LmHost *host, LmError *error)
{
	uint32_t longest;

	tokens->n = 0;
	lm_cursor_start(&tokens->cursor, file, host, 0);
	if (!lm_cursor_u32(&tokens->cursor, &longest, error))
		return false;
	if (longest < 1 || longest > LM_CURSOR_MOST)
		return lm_fail(error, LM_ERR_FORMAT, 0,
					   "the longest token of tokenizer.bin has %u bytes, 1 to %zu are allowed",
					   longest, LM_CURSOR_MOST);
	tokens->longest = (int32_t) longest;
	return true;
}

bool
lm_llama2c_more(const LmLlama2cTokens *tokens)
{
	return lm_cursor_left(&tokens->cursor) > 0;
}

bool
lm_llama2c_next(const char **bytes, size_t *size, float *score, LmLlama2cTokens *tokens,
				LmError *error)
{
	LmCursor *cursor = &tokens->cursor;
	uint32_t score_bits, n;

	snprintf(cursor->part, sizeof cursor->part, "token %lld of tokenizer.bin",
			 (long long) tokens->n);
	if (!lm_cursor_u32(cursor, &score_bits, error) || !lm_cursor_u32(cursor, &n, error))
		return false;
	if (n > (uint32_t) tokens->longest)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has %u bytes, the longest has %d", cursor->part, n, tokens->longest);
	if (!(*bytes = (const char *) lm_cursor_take(cursor, n, error)))
		return false;
	*size = n;
	*score = lm_float_of_bits(score_bits);
	tokens->n++;
	return true;
}

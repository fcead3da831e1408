/*
 * include/engine/llama2c.h
 *
 * The files of llama2.c, little endian: a Llama model's .bin in its two layouts of float32, and
 * tokenizer.bin. Layouts: export.py and tokenizer.py of https://github.com/karpathy/llama2.c.
 *
 *   legacy:    i32 C, M, L, H, K, V, T | tensors; V is negative where the output is untied; two
 *              tables of T * C / H / 2 floats for the rotation follow the last norm
 *   version 1: "24ka" | i32 1 | the same i32, V positive | u8 tied | zeros up to 256 | tensors
 *
 *   C channels, M of the MLP, L layers, H heads, K heads of keys and values, V vocabulary, T
 * context
 *
 * Tensors have the names of Hugging Face's Llama, one for each layer. The rows of q_proj and k_proj
 * are in the order of Meta's Llama: a rotation takes neighbours (interleaved), not halves.
 */
#ifndef LM_LLAMA2C_H
#define LM_LLAMA2C_H

#include "engine/file.h"

#define LM_LLAMA2C_MOST_LAYERS 1024

/* A model's file. */
typedef struct LmLlama2c
{
	int version; /* 0: legacy */
	int32_t channels;
	int32_t mlp_channels;
	int32_t layers;
	int32_t heads;
	int32_t kv_heads;
	int32_t vocabulary;
	int32_t context;
	bool tied; /* the output has the weights of the token embedding */
	size_t n_tensors;
	LmFileTensor *tensors; /* in the order of the file */
} LmLlama2c;

/* Whether the file may be one: its first bytes are those of a header with sizes above 0. */
bool lm_llama2c_looks(const LmFile *file);

/*
 * Reads the header, checks that the file has exactly the bytes of its tensors, and lists them. One
 * block of memory of the host, of at most 200 bytes for each tensor, which the caller frees by
 * lm_free. NULL with an error.
 */
LmLlama2c *lm_llama2c_open(const LmFile *file, const LmHost *host, LmError *error);

/*
 * Reads tokenizer.bin: i32 longest | for each token: f32 score | i32 size | bytes. A byte token is
 * "<0x0A>"; blanks are blanks; the file does not say how many tokens it has.
 */
typedef struct LmLlama2cTokens
{
	int64_t n; /* tokens so far */
	int32_t longest;
	LmCursor cursor;
} LmLlama2cTokens;

bool lm_llama2c_tokens(LmLlama2cTokens *tokens, const LmFile *file, const LmHost *host,
					   LmError *error);
/* Whether a further token follows. */
bool lm_llama2c_more(const LmLlama2cTokens *tokens);
/* The next token; its bytes are valid until the next call. */
bool lm_llama2c_next(const char **bytes, size_t *size, float *score, LmLlama2cTokens *tokens,
					 LmError *error);

#endif /* LM_LLAMA2C_H */

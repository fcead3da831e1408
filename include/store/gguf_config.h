/*
 * include/store/gguf_config.h
 *
 * The metadata of a GGUF file that describe an architecture, and a model's configuration, both
 * ways. Keys: https://github.com/ggml-org/llama.cpp, gguf-py/gguf/constants.py.
 */
#ifndef GPT_GGUF_CONFIG_H
#define GPT_GGUF_CONFIG_H

#include "engine/config.h"
#include "engine/gguf.h"

/* A key with its value. */
typedef struct GptGgufValue
{
	const char *key;
	LmGgufType type; /* a number, LM_GGUF_BOOL or LM_GGUF_STRING; LM_GGUF_ARRAY: not read */
	double number;
	const char *text; /* of a string */
} GptGgufValue;

/* The keys of an architecture, and what tensors say about it. */
typedef struct GptGgufValues
{
	int n;
	GptGgufValue *values; /* [n] */
	int vocabulary; /* rows of token_embd.weight */
	bool has_head; /* output.weight is a matrix of its own */
	bool has_attention_bias; /* blk.0.attn_q.bias */
	int n_factors; /* of rope_freqs.weight; 0: there is none */
	float *factors; /* [n_factors] the wavelength of a rotation is so many times as long */
} GptGgufValues;

/*
 * Sets the configuration, with at most `context` positions (0: the file's). Raises
 * ERRCODE_FEATURE_NOT_SUPPORTED, naming key and value, for an architecture outside the family.
 */
extern void gpt_gguf_config_read(LmConfig *config, const GptGgufValues *values, int context);

/*
 * The keys and factors of a configuration, palloc'd, general.architecture first. Raises
 * ERRCODE_FEATURE_NOT_SUPPORTED, naming the field, for one that reading them would not restore:
 * llama.cpp has no such architecture.
 */
extern GptGgufValues *gpt_gguf_config_write(const LmConfig *config);

#endif /* GPT_GGUF_CONFIG_H */

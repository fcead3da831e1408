/*
 * src/store/import_names.c
 *
 * The names of a parameter's tensors by format. Hugging Face's are in the parameter table; GGUF's
 * are those of llama.cpp, https://github.com/ggml-org/llama.cpp, gguf-py/gguf/constants.py.
 */
#include "postgres.h"

#include "store/import.h"
#include "store/import_parts.h"

/* The names of the parts of a kind in GGUF; in a block they follow "blk.3.". */
typedef struct GgufName
{
	LmParamKind kind;
	int n_parts;
	const char *names[LM_FILE_PARTS];
} GgufName;

static const GgufName gguf_names[] = {
	{LM_TOKEN_EMBEDDING, 1, {"token_embd.weight"}},
	{LM_POSITION_EMBEDDING, 1, {"position_embd.weight"}},
	{LM_NORM1_WEIGHT, 1, {"attn_norm.weight"}},
	{LM_NORM1_BIAS, 1, {"attn_norm.bias"}},
	{LM_ATTENTION_WEIGHT, 1, {"attn_qkv.weight"}},
	{LM_ATTENTION_WEIGHT, 3, {"attn_q.weight", "attn_k.weight", "attn_v.weight"}},
	{LM_ATTENTION_BIAS, 1, {"attn_qkv.bias"}},
	{LM_ATTENTION_BIAS, 3, {"attn_q.bias", "attn_k.bias", "attn_v.bias"}},
	{LM_QUERY_NORM_WEIGHT, 1, {"attn_q_norm.weight"}},
	{LM_KEY_NORM_WEIGHT, 1, {"attn_k_norm.weight"}},
	{LM_PROJECTION_WEIGHT, 1, {"attn_output.weight"}},
	{LM_PROJECTION_BIAS, 1, {"attn_output.bias"}},
	{LM_POST_NORM1_WEIGHT, 1, {"post_attention_norm.weight"}},
	{LM_NORM2_WEIGHT, 1, {"ffn_norm.weight"}},
	{LM_NORM2_BIAS, 1, {"ffn_norm.bias"}},
	{LM_UP_WEIGHT, 1, {"ffn_up.weight"}},
	{LM_UP_WEIGHT, 2, {"ffn_gate.weight", "ffn_up.weight"}},
	{LM_UP_BIAS, 1, {"ffn_up.bias"}},
	{LM_UP_BIAS, 2, {"ffn_gate.bias", "ffn_up.bias"}},
	{LM_DOWN_WEIGHT, 1, {"ffn_down.weight"}},
	{LM_DOWN_BIAS, 1, {"ffn_down.bias"}},
	{LM_POST_NORM2_WEIGHT, 1, {"post_ffw_norm.weight"}},
	{LM_FINAL_NORM_WEIGHT, 1, {"output_norm.weight"}},
	{LM_FINAL_NORM_BIAS, 1, {"output_norm.bias"}},
	{LM_HEAD_WEIGHT, 1, {"output.weight"}},
};

/*
 * Ends of names of tensors that are no parameters. Older files of Transformers have the causal
 * mask, the value of masked scores and the frequencies of the rotation, which follow from the
 * configuration; the frequencies of GGUF are read with its metadata.
 */
static const char *const ignored[] = {
	".attn.bias",			".attn.masked_bias",
	".attn.attention.bias", ".attn.attention.masked_bias",
	".attention.bias",		".attention.masked_bias",
	"rotary_emb.inv_freq",
};
static const char *const ignored_in_gguf[] = {"rope_freqs.weight"};

bool
gpt_import_name(char *name, size_t size, const GptImport *import, const LmParam *param, int part)
{
	if (import->format == GPT_IMPORT_GGUF)
		return gpt_gguf_tensor_name(name, size, param, part);
	strlcpy(name, param->parts[part].name, size);
	return true;
}

bool
gpt_gguf_tensor_name(char *name, size_t size, const LmParam *param, int part)
{
	for (int i = 0; i < lengthof(gguf_names); i++)
	{
		if (gguf_names[i].kind != param->kind || gguf_names[i].n_parts != param->n_parts)
			continue;
		if (param->layer >= 0)
			snprintf(name, size, "blk.%d.%s", param->layer, gguf_names[i].names[part]);
		else
			strlcpy(name, gguf_names[i].names[part], size);
		return true;
	}
	return false;
}

static bool
ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), end_size = strlen(end);

	return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

bool
gpt_import_ignores(const GptImport *import, const char *name)
{
	if (import->format == GPT_IMPORT_GGUF)
	{
		for (int i = 0; i < lengthof(ignored_in_gguf); i++)
			if (strcmp(name, ignored_in_gguf[i]) == 0)
				return true;
		return false;
	}
	for (int i = 0; i < lengthof(ignored); i++)
		if (ends_with(name, ignored[i]))
			return true;
	return false;
}

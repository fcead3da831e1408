/*
 * src/engine/model/param_names.c
 *
 * The names of tensors in files, by model_type: those of Hugging Face's Transformers
 * (https://github.com/huggingface/transformers), as a model's state_dict has them, and for adapters
 * those of PEFT (https://github.com/huggingface/peft).
 */
#include <stdio.h>
#include <string.h>

#include "model/param_names.h"

#define ADAPTER_PREFIX "base_model.model."

/* Names of the parts of one kind; inside a block they follow the block's own name and number. */
typedef const char *Names[LM_FILE_PARTS];

typedef struct Architecture
{
	const char *block; /* the name of the list of blocks */
	const char *encoder; /* of those of the encoder; NULL: it has none */
	const Names *names; /* [LM_PARAM_KINDS] */
	bool transposed; /* matrices of linear layers of blocks */
	LmRowOrder qkv_order;
	float norm_offset; /* LmParam.file_offset of the weights of norms */
} Architecture;

/*
 * GPT-2's names; those of what GPT-2 does not have continue them. Transformers' GPT-2 has the names
 * of cross-attention, those of its layers and norm, and no encoder.
 */
static const Names gpt_names[LM_PARAM_KINDS] = {
	[LM_TOKEN_EMBEDDING] = {"transformer.wte.weight"},
	[LM_POSITION_EMBEDDING] = {"transformer.wpe.weight"},
	[LM_NORM1_WEIGHT] = {"ln_1.weight"},
	[LM_NORM1_BIAS] = {"ln_1.bias"},
	[LM_ATTENTION_WEIGHT] = {"attn.c_attn.weight"},
	[LM_ATTENTION_BIAS] = {"attn.c_attn.bias"},
	[LM_QUERY_NORM_WEIGHT] = {"attn.q_norm.weight"},
	[LM_KEY_NORM_WEIGHT] = {"attn.k_norm.weight"},
	[LM_PROJECTION_WEIGHT] = {"attn.c_proj.weight"},
	[LM_PROJECTION_BIAS] = {"attn.c_proj.bias"},
	[LM_POST_NORM1_WEIGHT] = {"post_ln_1.weight"},
	[LM_POST_NORM1_BIAS] = {"post_ln_1.bias"},
	[LM_CROSS_NORM_WEIGHT] = {"ln_cross_attn.weight"},
	[LM_CROSS_NORM_BIAS] = {"ln_cross_attn.bias"},
	[LM_CROSS_QUERY_WEIGHT] = {"crossattention.q_attn.weight"},
	[LM_CROSS_QUERY_BIAS] = {"crossattention.q_attn.bias"},
	[LM_CROSS_KEY_VALUE_WEIGHT] = {"crossattention.c_attn.weight"},
	[LM_CROSS_KEY_VALUE_BIAS] = {"crossattention.c_attn.bias"},
	[LM_CROSS_QUERY_NORM_WEIGHT] = {"crossattention.q_norm.weight"},
	[LM_CROSS_KEY_NORM_WEIGHT] = {"crossattention.k_norm.weight"},
	[LM_CROSS_PROJECTION_WEIGHT] = {"crossattention.c_proj.weight"},
	[LM_CROSS_PROJECTION_BIAS] = {"crossattention.c_proj.bias"},
	[LM_CROSS_POST_NORM_WEIGHT] = {"post_ln_cross_attn.weight"},
	[LM_CROSS_POST_NORM_BIAS] = {"post_ln_cross_attn.bias"},
	[LM_NORM2_WEIGHT] = {"ln_2.weight"},
	[LM_NORM2_BIAS] = {"ln_2.bias"},
	[LM_UP_WEIGHT] = {"mlp.c_fc.weight"},
	[LM_UP_BIAS] = {"mlp.c_fc.bias"},
	[LM_DOWN_WEIGHT] = {"mlp.c_proj.weight"},
	[LM_DOWN_BIAS] = {"mlp.c_proj.bias"},
	[LM_POST_NORM2_WEIGHT] = {"post_ln_2.weight"},
	[LM_POST_NORM2_BIAS] = {"post_ln_2.bias"},
	[LM_LORA_ATTENTION_A] = {"attn.c_attn.lora_A.weight"},
	[LM_LORA_ATTENTION_B] = {"attn.c_attn.lora_B.weight"},
	[LM_LORA_PROJECTION_A] = {"attn.c_proj.lora_A.weight"},
	[LM_LORA_PROJECTION_B] = {"attn.c_proj.lora_B.weight"},
	[LM_LORA_UP_A] = {"mlp.c_fc.lora_A.weight"},
	[LM_LORA_UP_B] = {"mlp.c_fc.lora_B.weight"},
	[LM_LORA_DOWN_A] = {"mlp.c_proj.lora_A.weight"},
	[LM_LORA_DOWN_B] = {"mlp.c_proj.lora_B.weight"},
	[LM_ENCODER_NORM_WEIGHT] = {"encoder.ln_f.weight"},
	[LM_ENCODER_NORM_BIAS] = {"encoder.ln_f.bias"},
	[LM_FINAL_NORM_WEIGHT] = {"transformer.ln_f.weight"},
	[LM_FINAL_NORM_BIAS] = {"transformer.ln_f.bias"},
	[LM_HEAD_WEIGHT] = {"lm_head.weight"},
};

static const Names gpt_neo_names[LM_PARAM_KINDS] = {
	[LM_TOKEN_EMBEDDING] = {"transformer.wte.weight"},
	[LM_POSITION_EMBEDDING] = {"transformer.wpe.weight"},
	[LM_NORM1_WEIGHT] = {"ln_1.weight"},
	[LM_NORM1_BIAS] = {"ln_1.bias"},
	[LM_ATTENTION_WEIGHT] = {"attn.attention.q_proj.weight", "attn.attention.k_proj.weight",
							 "attn.attention.v_proj.weight"},
	[LM_ATTENTION_BIAS] = {"attn.attention.q_proj.bias", "attn.attention.k_proj.bias",
						   "attn.attention.v_proj.bias"},
	[LM_PROJECTION_WEIGHT] = {"attn.attention.out_proj.weight"},
	[LM_PROJECTION_BIAS] = {"attn.attention.out_proj.bias"},
	[LM_NORM2_WEIGHT] = {"ln_2.weight"},
	[LM_NORM2_BIAS] = {"ln_2.bias"},
	[LM_UP_WEIGHT] = {"mlp.c_fc.weight"},
	[LM_UP_BIAS] = {"mlp.c_fc.bias"},
	[LM_DOWN_WEIGHT] = {"mlp.c_proj.weight"},
	[LM_DOWN_BIAS] = {"mlp.c_proj.bias"},
	[LM_LORA_ATTENTION_A] = {"attn.attention.qkv_proj.lora_A.weight"},
	[LM_LORA_ATTENTION_B] = {"attn.attention.qkv_proj.lora_B.weight"},
	[LM_LORA_PROJECTION_A] = {"attn.attention.out_proj.lora_A.weight"},
	[LM_LORA_PROJECTION_B] = {"attn.attention.out_proj.lora_B.weight"},
	[LM_LORA_UP_A] = {"mlp.c_fc.lora_A.weight"},
	[LM_LORA_UP_B] = {"mlp.c_fc.lora_B.weight"},
	[LM_LORA_DOWN_A] = {"mlp.c_proj.lora_A.weight"},
	[LM_LORA_DOWN_B] = {"mlp.c_proj.lora_B.weight"},
	[LM_FINAL_NORM_WEIGHT] = {"transformer.ln_f.weight"},
	[LM_FINAL_NORM_BIAS] = {"transformer.ln_f.bias"},
	[LM_HEAD_WEIGHT] = {"lm_head.weight"},
};

static const Names gpt_neox_names[LM_PARAM_KINDS] = {
	[LM_TOKEN_EMBEDDING] = {"gpt_neox.embed_in.weight"},
	[LM_NORM1_WEIGHT] = {"input_layernorm.weight"},
	[LM_NORM1_BIAS] = {"input_layernorm.bias"},
	[LM_ATTENTION_WEIGHT] = {"attention.query_key_value.weight"},
	[LM_ATTENTION_BIAS] = {"attention.query_key_value.bias"},
	[LM_PROJECTION_WEIGHT] = {"attention.dense.weight"},
	[LM_PROJECTION_BIAS] = {"attention.dense.bias"},
	[LM_NORM2_WEIGHT] = {"post_attention_layernorm.weight"},
	[LM_NORM2_BIAS] = {"post_attention_layernorm.bias"},
	[LM_UP_WEIGHT] = {"mlp.dense_h_to_4h.weight"},
	[LM_UP_BIAS] = {"mlp.dense_h_to_4h.bias"},
	[LM_DOWN_WEIGHT] = {"mlp.dense_4h_to_h.weight"},
	[LM_DOWN_BIAS] = {"mlp.dense_4h_to_h.bias"},
	[LM_LORA_ATTENTION_A] = {"attention.query_key_value.lora_A.weight"},
	[LM_LORA_ATTENTION_B] = {"attention.query_key_value.lora_B.weight"},
	[LM_LORA_PROJECTION_A] = {"attention.dense.lora_A.weight"},
	[LM_LORA_PROJECTION_B] = {"attention.dense.lora_B.weight"},
	[LM_LORA_UP_A] = {"mlp.dense_h_to_4h.lora_A.weight"},
	[LM_LORA_UP_B] = {"mlp.dense_h_to_4h.lora_B.weight"},
	[LM_LORA_DOWN_A] = {"mlp.dense_4h_to_h.lora_A.weight"},
	[LM_LORA_DOWN_B] = {"mlp.dense_4h_to_h.lora_B.weight"},
	[LM_FINAL_NORM_WEIGHT] = {"gpt_neox.final_layer_norm.weight"},
	[LM_FINAL_NORM_BIAS] = {"gpt_neox.final_layer_norm.bias"},
	[LM_HEAD_WEIGHT] = {"embed_out.weight"},
};

/* clang-format off */
/* What the names of Llama and of Gemma have in common: all but the second norm of a block. */
#define LLAMA_NAMES \
	[LM_TOKEN_EMBEDDING] = {"model.embed_tokens.weight"}, \
	[LM_NORM1_WEIGHT] = {"input_layernorm.weight"}, \
	[LM_ATTENTION_WEIGHT] = {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"}, \
	[LM_ATTENTION_BIAS] = {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"}, \
	[LM_QUERY_NORM_WEIGHT] = {"self_attn.q_norm.weight"}, \
	[LM_KEY_NORM_WEIGHT] = {"self_attn.k_norm.weight"}, \
	[LM_PROJECTION_WEIGHT] = {"self_attn.o_proj.weight"}, \
	[LM_PROJECTION_BIAS] = {"self_attn.o_proj.bias"}, \
	[LM_UP_WEIGHT] = {"mlp.gate_proj.weight", "mlp.up_proj.weight"}, \
	[LM_UP_BIAS] = {"mlp.gate_proj.bias", "mlp.up_proj.bias"}, \
	[LM_DOWN_WEIGHT] = {"mlp.down_proj.weight"}, \
	[LM_DOWN_BIAS] = {"mlp.down_proj.bias"}, \
	[LM_LORA_ATTENTION_A] = {"self_attn.qkv_proj.lora_A.weight"}, \
	[LM_LORA_ATTENTION_B] = {"self_attn.qkv_proj.lora_B.weight"}, \
	[LM_LORA_PROJECTION_A] = {"self_attn.o_proj.lora_A.weight"}, \
	[LM_LORA_PROJECTION_B] = {"self_attn.o_proj.lora_B.weight"}, \
	[LM_LORA_UP_A] = {"mlp.gate_up_proj.lora_A.weight"}, \
	[LM_LORA_UP_B] = {"mlp.gate_up_proj.lora_B.weight"}, \
	[LM_LORA_DOWN_A] = {"mlp.down_proj.lora_A.weight"}, \
	[LM_LORA_DOWN_B] = {"mlp.down_proj.lora_B.weight"}, \
	[LM_FINAL_NORM_WEIGHT] = {"model.norm.weight"}, \
	[LM_HEAD_WEIGHT] = {"lm_head.weight"}
/* clang-format on */

static const Names llama_names[LM_PARAM_KINDS] = {
	LLAMA_NAMES,
	[LM_NORM2_WEIGHT] = {"post_attention_layernorm.weight"},
};

static const Names gemma_names[LM_PARAM_KINDS] = {
	LLAMA_NAMES,
	[LM_POST_NORM1_WEIGHT] = {"post_attention_layernorm.weight"},
	[LM_NORM2_WEIGHT] = {"pre_feedforward_layernorm.weight"},
	[LM_POST_NORM2_WEIGHT] = {"post_feedforward_layernorm.weight"},
};

/* A classifier's head is this project's own: its names are the same in all files. */
static const Names head_names[LM_PARAM_KINDS] = {
	[LM_BAG_EMBEDDING] = {"classifier.bag.weight"},
	[LM_LABEL_WEIGHT] = {"classifier.weight"},
	[LM_LABEL_BIAS] = {"classifier.bias"},
	[LM_EMBEDDING_RUNS] = {"embedding.runs.weight"},
	[LM_EMBEDDING_HIDDEN] = {"embedding.hidden.weight"},
	[LM_NGRAM_TOKENS] = {"ngram.tokens"},
	[LM_NGRAM_ORDER] = {"ngram.order"},
	[LM_NGRAM_WEIGHTING] = {"ngram.weights"},
	[LM_FEATURE_KEY] = {"classifier.features.key"},
	[LM_FEATURE_WEIGHT] = {"classifier.features.weight"},
};

#define LLAMA                                                         \
	{                                                                 \
		"model.layers", NULL, llama_names, false, LM_ROWS_IN_ORDER, 0 \
	}
#define GEMMA                                                         \
	{                                                                 \
		"model.layers", NULL, gemma_names, false, LM_ROWS_IN_ORDER, 1 \
	}

static const Architecture architectures[] = {
	[LM_GPT] = {"transformer.h", "encoder.h", gpt_names, true, LM_ROWS_IN_ORDER, 0},
	[LM_GPT_NEO] = {"transformer.h", NULL, gpt_neo_names, false, LM_ROWS_IN_ORDER, 0},
	[LM_GPT_NEOX] = {"gpt_neox.layers", NULL, gpt_neox_names, false, LM_ROWS_BY_HEAD, 0},
	[LM_LLAMA] = LLAMA,
	[LM_MISTRAL] = LLAMA,
	[LM_QWEN2] = LLAMA,
	[LM_QWEN3] = LLAMA,
	[LM_SMOLLM3] = LLAMA,
	[LM_GEMMA2] = GEMMA,
	[LM_GEMMA3] = GEMMA,
};

static const Names *
names_of(LmParamKind kind, const LmConfig *config)
{
	return head_names[kind][0] ? &head_names[kind] : &architectures[config->model_type].names[kind];
}

bool
lm_param_has_name(LmParamKind kind, const LmConfig *config)
{
	const Names *names = names_of(kind, config);
	bool is_up = kind == LM_UP_WEIGHT || kind == LM_UP_BIAS;

	return (*names)[0] && (!is_up || !(*names)[1] || lm_activation_is_gated(config->mlp));
}

/* The rows of part i of a parameter that has n_parts; of three, keys and values have fewer. */
static int
rows_of(int i, int n_parts, int rows, const LmConfig *config)
{
	if (n_parts == 3)
		return i == 0 ? lm_config_query_channels(config) : lm_config_kv_channels(config);
	return rows / n_parts;
}

static bool
is_norm_weight(LmParamKind kind)
{
	return kind == LM_NORM1_WEIGHT || kind == LM_NORM2_WEIGHT || kind == LM_POST_NORM1_WEIGHT ||
		   kind == LM_POST_NORM2_WEIGHT || kind == LM_QUERY_NORM_WEIGHT ||
		   kind == LM_KEY_NORM_WEIGHT || kind == LM_FINAL_NORM_WEIGHT;
}

void
lm_param_set_names(LmParam *param, const LmConfig *config)
{
	const Architecture *architecture = &architectures[config->model_type];
	const Names *names = names_of(param->kind, config);
	const char *prefix = config->lora_rank > 0 ? ADAPTER_PREFIX : "";
	bool is_qkv = param->kind == LM_ATTENTION_WEIGHT || param->kind == LM_ATTENTION_BIAS ||
				  param->kind == LM_LORA_ATTENTION_B;
	bool is_adapter = param->kind >= LM_LORA_ATTENTION_A && param->kind <= LM_LORA_DOWN_B;
	int rows = param->vector ? param->columns : param->rows, first = 0;

	param->transposed =
		architecture->transposed && param->layer >= 0 && !param->vector && !is_adapter;
	param->file_offset = is_norm_weight(param->kind) ? architecture->norm_offset : 0;
	param->head_size = lm_config_head_size(config);
	while (param->n_parts < LM_FILE_PARTS && (*names)[param->n_parts])
		param->n_parts++;
	for (int i = 0; i < param->n_parts; i++)
	{
		LmFilePart *part = &param->parts[i];

		part->first_row = first;
		part->n_rows = rows_of(i, param->n_parts, rows, config);
		part->order = is_qkv ? architecture->qkv_order : LM_ROWS_IN_ORDER;
		first += part->n_rows;
		if (param->layer >= config->layers)
			snprintf(part->name, sizeof part->name, "%s%s.%d.%s", prefix, architecture->encoder,
					 param->layer - config->layers, (*names)[i]);
		else if (param->layer >= 0)
			snprintf(part->name, sizeof part->name, "%s%s.%d.%s", prefix, architecture->block,
					 param->layer, (*names)[i]);
		else
			snprintf(part->name, sizeof part->name, "%s%s", prefix, (*names)[i]);
	}
}

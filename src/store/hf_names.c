/*
 * src/store/hf_names.c
 *
 * The fields of config.json that are no plain numbers of LmConfig, and those that say nothing about
 * the arithmetic of a model.
 */
#include "postgres.h"

#include "store/hf_fields.h"

/* A field that is read by a function of its own. */
typedef struct Special
{
	const char *name;
	unsigned types;
} Special;

/* Fields that hf_layers.c or read_switches reads, or that an architecture does not look at. */
static const Special special[] = {
	{"model_type", ~0u},
	{"attention_bias", HF(LM_GPT_NEOX)},
	{"mlp_bias", HF(LM_LLAMA) | HF(LM_SMOLLM3)},
	{"hidden_act", HF_GEMMAS},
	{"rope_theta", HF_LLAMAS | HF(LM_GPT_NEOX)},
	{"rope_scaling", HF_LLAMAS | HF(LM_GPT_NEOX)},
	{"rope_parameters", HF_LLAMAS | HF(LM_GPT_NEOX)},
	{"partial_rotary_factor", HF_LLAMAS | HF(LM_GPT_NEOX)},
	{"original_max_position_embeddings", HF_LLAMAS | HF(LM_GPT_NEOX)},
	{"rotary_emb_base", HF(LM_GPT_NEOX)},
	{"rotary_pct", HF(LM_GPT_NEOX)},
	{"rope_local_base_freq", HF(LM_GEMMA3)},
	{"sliding_window", HF_LLAMAS},
	{"use_sliding_window", HF_QWENS | HF(LM_SMOLLM3) | HF(LM_LLAMA) | HF(LM_MISTRAL)},
	{"max_window_layers", HF_QWENS | HF(LM_SMOLLM3) | HF(LM_LLAMA) | HF(LM_MISTRAL)},
	{"layer_types", HF_QWENS | HF(LM_SMOLLM3) | HF_GEMMAS},
	{"sliding_window_pattern", HF(LM_GEMMA3)},
	{"sliding_window_size", HF(LM_GEMMA2)},
	{"_sliding_window_pattern", HF(LM_GEMMA3)},
	{"window_size", HF(LM_GPT_NEO)},
	{"attention_types", HF(LM_GPT_NEO)},
	{"attention_layers", HF(LM_GPT_NEO)},
	{"no_rope_layers", HF(LM_SMOLLM3)},
	{"no_rope_layer_interval", HF(LM_SMOLLM3)},
};

/*
 * Fields that leave the arithmetic of inference as it is: names, training, generation, sizes that
 * follow from others, notes of tools.
 */
static const char *const harmless[] = {
	"architectures",
	"attention_dropout",
	"_attn_implementation",
	"attn_implementation",
	"_attn_implementation_autoset",
	"_attn_implementation_internal",
	"attn_pdrop",
	"auto_map",
	"begin_suppress_tokens",
	"bos_token_id",
	"cache_implementation",
	"chunk_size_feed_forward",
	"classifier_dropout",
	"_commit_hash",
	"decoder_start_token_id",
	"do_sample",
	"dtype",
	"embd_pdrop",
	"embed_dropout",
	"eos_token_id",
	"finetuning_task",
	"gradient_checkpointing",
	"hidden_dropout",
	"id2label",
	"initializer_range",
	"is_decoder",
	"is_llama_config",
	"label2id",
	"length_penalty",
	"max_length",
	"max_sequence_length",
	"min_length",
	"model_max_length",
	"n_ctx",
	"n_special",
	"_name_or_path",
	"neftune_noise_alpha",
	"num_beam_groups",
	"num_beams",
	"num_return_sequences",
	"output_attentions",
	"output_hidden_states",
	"output_past",
	"output_scores",
	"pad_token_id",
	"predict_special_tokens",
	"prefix",
	"pretraining_tp",
	"problem_type",
	"reorder_and_upcast_attn",
	"repetition_penalty",
	"resid_dropout",
	"resid_pdrop",
	"return_dict",
	"return_dict_in_generate",
	"sep_token_id",
	"summary_activation",
	"summary_first_dropout",
	"summary_proj_to_labels",
	"summary_type",
	"summary_use_proj",
	"suppress_tokens",
	"task_specific_params",
	"temperature",
	"tie_encoder_decoder",
	"tokenizer_class",
	"top_k",
	"top_p",
	"torch_dtype",
	"torchscript",
	"transformers.js_config",
	"transformers_version",
	"typical_p",
	"unsloth_fixed",
	"unsloth_version",
	"use_bfloat16",
	"use_cache",
};

bool
gpt_hf_knows(const char *name, LmModelType type)
{
	for (int i = 0; i < lengthof(special); i++)
		if ((special[i].types & HF(type)) && strcmp(special[i].name, name) == 0)
			return true;
	for (int i = 0; i < lengthof(harmless); i++)
		if (strcmp(harmless[i], name) == 0)
			return true;
	return false;
}

/*
 * src/core/option_words.c
 *
 * One table for each list of words that an option of the server takes.
 */
#include "postgres.h"

#include "core/option_words.h"

/*
 * Shapes whose parameters come near to 1, 3, 11, 30 and 124 million with the vocabularies that data
 * of that size has.
 */
static const GptPreset presets[] = {
	{"nano", 4, 4, 128}, {"mini", 6, 6, 192},	{"small", 6, 6, 384},
	{"base", 8, 8, 512}, {"gpt2", 12, 12, 768},
};

GPT_WORDS(gpt_switch_name, [GPT_SWITCH_TRUE] = "true", [GPT_SWITCH_FALSE] = "false");
GPT_WORDS(gpt_normalize_name, [GPT_NORMALIZE_NONE] = "none", [GPT_NORMALIZE_NFC] = "NFC",
		  [GPT_NORMALIZE_NFKC] = "NFKC");
GPT_WORDS(gpt_trained_kind_name, [GPT_TRAINED_BPE] = "bpe", [GPT_TRAINED_CHARS] = "chars",
		  [GPT_TRAINED_UNIGRAM] = "unigram");
GPT_WORDS(gpt_dedup_name, [GPT_DEDUP_NONE] = "none", [GPT_DEDUP_EXACT] = "exact",
		  [GPT_DEDUP_NEAR] = "near");
GPT_WORDS(gpt_publish_name, [GPT_PUBLISH_BEST] = "best", [GPT_PUBLISH_LAST] = "last");
GPT_WORDS(gpt_publish_if_name, [GPT_PUBLISH_ALWAYS] = "always", [GPT_PUBLISH_BETTER] = "better");
GPT_WORDS(
	gpt_metric_name, [GPT_METRIC_LOSS] = "loss", [GPT_METRIC_PERPLEXITY] = "perplexity",
	[GPT_METRIC_BITS_PER_BYTE] = "bits_per_byte", [GPT_METRIC_RMSE] = "rmse",
	[GPT_METRIC_MAE] = "mae", [GPT_METRIC_ACCURACY] = "accuracy",
	[GPT_METRIC_MACRO_F1] = "macro_f1", [GPT_METRIC_MICRO_F1] = "micro_f1", [GPT_METRIC_R2] = "r2",
	[GPT_METRIC_SPEARMAN] = "spearman", [GPT_METRIC_PREFERENCE_ACCURACY] = "preference_accuracy",
	[GPT_METRIC_REWARD_MARGIN] = "reward_margin", [GPT_METRIC_EXACT_MATCH] = "exact_match",
	[GPT_METRIC_ROUGE_L] = "rouge_l", [GPT_METRIC_BLEU] = "bleu", [GPT_METRIC_CHRF] = "chrf");
GPT_WORDS(gpt_preference_name, [GPT_PREFERENCE_DPO] = "dpo", [GPT_PREFERENCE_ORPO] = "orpo");
GPT_WORDS(gpt_family_name, [GPT_FAMILY_GPT2] = "gpt2", [GPT_FAMILY_MODERN] = "modern");
GPT_WORDS(gpt_method_name, [GPT_METHOD_FULL] = "full", [GPT_METHOD_LORA] = "lora");
GPT_WORDS(gpt_base_type_name, [GPT_BASE_FLOAT32] = "float32", [GPT_BASE_BFLOAT16] = "bfloat16",
		  [GPT_BASE_FLOAT16] = "float16", [GPT_BASE_INT8] = "int8");
GPT_WORDS(gpt_existing_name, [GPT_EXISTING_ALL] = "all", [GPT_EXISTING_MISSING] = "missing",
		  [GPT_EXISTING_NONE] = "none");
GPT_WORDS(gpt_on_error_name, [GPT_ON_ERROR_KEEP] = "keep", [GPT_ON_ERROR_NULL] = "null");
GPT_WORDS(gpt_gradient_type_name, [GPT_GRADIENT_FLOAT32] = "float32",
		  [GPT_GRADIENT_BFLOAT16] = "bfloat16");
GPT_WORDS(gpt_data_name, [GPT_DATA_LOCAL] = "local", [GPT_DATA_DEALT] = "dealt");
GPT_WORDS(gpt_on_loss_name, [GPT_ON_LOSS_WAIT] = "wait", [GPT_ON_LOSS_CONTINUE] = "continue",
		  [GPT_ON_LOSS_FAIL] = "fail");
GPT_WORDS(gpt_since_name, [GPT_SINCE_WATERMARK] = "watermark");
GPT_WORDS(gpt_if_running_name, [GPT_IF_RUNNING_ERROR] = "error", [GPT_IF_RUNNING_SKIP] = "skip",
		  [GPT_IF_RUNNING_QUEUE] = "queue");

const GptPreset *
gpt_preset(int number)
{
	return number >= 0 && number < lengthof(presets) ? &presets[number] : NULL;
}

const char *
gpt_preset_name(int number)
{
	const GptPreset *preset = gpt_preset(number);

	return preset != NULL ? preset->name : NULL;
}

/*
 * include/core/option_words.h
 *
 * The words that the server's own options take, and their enumerators. The words of the engine's
 * options stand beside its enumerations: lm_optimizer_name, lm_schedule_name ...
 *
 * In an option, -1 (GPT_CHOSEN) stands for "auto", or for an option that has no default and was not
 * given.
 */
#ifndef GPT_OPTION_WORDS_H
#define GPT_OPTION_WORDS_H

#include "core/words.h"

/* The shape of a model whose size has a name. */
typedef struct GptPreset
{
	const char *name;
	int layers;
	int heads;
	int channels;
} GptPreset;

/* The presets by number, smallest first; NULL after the largest. */
extern const GptPreset *gpt_preset(int number);
extern const char *gpt_preset_name(int number);

/* Values of options that are true, false, or chosen by the job. */
typedef enum GptSwitch
{
	GPT_SWITCH_AUTO = -1,
	GPT_SWITCH_TRUE,
	GPT_SWITCH_FALSE,
} GptSwitch;

/* The word of a GptSwitch; NULL beyond the last. The functions below do the same for their lists.
 */
extern const char *gpt_switch_name(int number);

/* Values of option "normalize": the normalisation of texts before they are split. */
typedef enum GptNormalize
{
	GPT_NORMALIZE_NONE,
	GPT_NORMALIZE_NFC,
	GPT_NORMALIZE_NFKC,
} GptNormalize;
extern const char *gpt_normalize_name(int number);

/* Values of option "kind" of gpt_train_tokenizer: the tokenizers that can be trained. */
typedef enum GptTrainedKind
{
	GPT_TRAINED_BPE,
	GPT_TRAINED_CHARS,
	GPT_TRAINED_UNIGRAM,
} GptTrainedKind;
extern const char *gpt_trained_kind_name(int number);

/* Values of option "dedup": the repeated rows that are no documents. Each takes those before it. */
typedef enum GptDedup
{
	GPT_DEDUP_NONE,
	GPT_DEDUP_EXACT, /* equal in all learnt columns */
	GPT_DEDUP_NEAR, /* nearly equal text, and the same label */
} GptDedup;
extern const char *gpt_dedup_name(int number);

/* Values of option "publish": the weights that become the final version. */
typedef enum GptPublish
{
	GPT_PUBLISH_BEST,
	GPT_PUBLISH_LAST,
} GptPublish;
extern const char *gpt_publish_name(int number);

/* Values of option "publish_if": what the weights must be to become the current version. */
typedef enum GptPublishIf
{
	GPT_PUBLISH_ALWAYS,
	GPT_PUBLISH_BETTER, /* not worse than the current version on the same rows */
} GptPublishIf;
extern const char *gpt_publish_if_name(int number);

/* Values of option "publish_metric": metrics of gpt_evaluate. */
typedef enum GptMetric
{
	GPT_METRIC_LOSS,
	GPT_METRIC_PERPLEXITY,
	GPT_METRIC_BITS_PER_BYTE,
	GPT_METRIC_RMSE,
	GPT_METRIC_MAE,
	GPT_METRIC_ACCURACY, /* of this one and the following, more is better */
	GPT_METRIC_MACRO_F1,
	GPT_METRIC_MICRO_F1,
	GPT_METRIC_R2,
	GPT_METRIC_SPEARMAN,
	GPT_METRIC_PREFERENCE_ACCURACY,
	GPT_METRIC_REWARD_MARGIN,
	GPT_METRIC_EXACT_MATCH, /* this one and the following compare generated texts */
	GPT_METRIC_ROUGE_L,
	GPT_METRIC_BLEU,
	GPT_METRIC_CHRF,
} GptMetric;
extern const char *gpt_metric_name(int number);

/* Values of option "preference": how pairs of answers are learnt. */
typedef enum GptPreference
{
	GPT_PREFERENCE_DPO,
	GPT_PREFERENCE_ORPO,
} GptPreference;
extern const char *gpt_preference_name(int number);

/* Values of option "family": a set of defaults for the architecture. */
typedef enum GptFamily
{
	GPT_FAMILY_AUTO = -1,
	GPT_FAMILY_GPT2,
	GPT_FAMILY_MODERN,
} GptFamily;
extern const char *gpt_family_name(int number);

/* Values of option "method": train all weights, or an adapter. */
typedef enum GptMethod
{
	GPT_METHOD_FULL,
	GPT_METHOD_LORA,
} GptMethod;
extern const char *gpt_method_name(int number);

/* Values of option "base_type": how an adapter's base is kept in memory. */
typedef enum GptBaseType
{
	GPT_BASE_FLOAT32,
	GPT_BASE_BFLOAT16,
	GPT_BASE_FLOAT16,
	GPT_BASE_INT8,
} GptBaseType;
extern const char *gpt_base_type_name(int number);

/* Values of option "since": the rows that a fine-tune reads. */
typedef enum GptSince
{
	GPT_SINCE_EVER = -1, /* not given: all rows */
	GPT_SINCE_WATERMARK,
} GptSince;
extern const char *gpt_since_name(int number);

/* Values of option "existing": the rows that gpt_maintain finds and fills. */
typedef enum GptExisting
{
	GPT_EXISTING_ALL,
	GPT_EXISTING_MISSING, /* those where the column is null */
	GPT_EXISTING_NONE,
} GptExisting;
extern const char *gpt_existing_name(int number);

/* Values of option "on_error": the column of a row whose last try failed. */
typedef enum GptOnError
{
	GPT_ON_ERROR_KEEP, /* the value that it has */
	GPT_ON_ERROR_NULL,
} GptOnError;
extern const char *gpt_on_error_name(int number);

/* Values of option "data": the rows that the servers of a training read. */
typedef enum GptData
{
	GPT_DATA_LOCAL, /* each reads its own */
	GPT_DATA_DEALT, /* all are read here, and dealt out */
} GptData;
extern const char *gpt_data_name(int number);

/* Values of option "gradient_type". */
typedef enum GptGradientType
{
	GPT_GRADIENT_FLOAT32,
	GPT_GRADIENT_BFLOAT16,
} GptGradientType;
extern const char *gpt_gradient_type_name(int number);

/* Values of option "on_loss": what a training does without one of its servers. */
typedef enum GptOnLoss
{
	GPT_ON_LOSS_WAIT,
	GPT_ON_LOSS_CONTINUE,
	GPT_ON_LOSS_FAIL,
} GptOnLoss;
extern const char *gpt_on_loss_name(int number);

/* Values of option "if_running": what happens when a job already makes the model. */
typedef enum GptIfRunning
{
	GPT_IF_RUNNING_ERROR,
	GPT_IF_RUNNING_SKIP,
	GPT_IF_RUNNING_QUEUE,
} GptIfRunning;
extern const char *gpt_if_running_name(int number);

#endif /* GPT_OPTION_WORDS_H */

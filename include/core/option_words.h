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

/* The presets, from the smallest on; NULL after the largest. */
extern const GptPreset *gpt_preset(int number);
extern const char *gpt_preset_name(int number);

/* Options that are true or false unless the job chooses. */
typedef enum GptSwitch
{
	GPT_SWITCH_AUTO = -1,
	GPT_SWITCH_TRUE,
	GPT_SWITCH_FALSE,
} GptSwitch;

extern const char *gpt_switch_name(int number);

typedef enum GptNormalize
{
	GPT_NORMALIZE_NONE,
	GPT_NORMALIZE_NFC,
} GptNormalize;

extern const char *gpt_normalize_name(int number);

typedef enum GptPublish
{
	GPT_PUBLISH_BEST,
	GPT_PUBLISH_LAST,
} GptPublish;

extern const char *gpt_publish_name(int number);

typedef enum GptFamily
{
	GPT_FAMILY_AUTO = -1,
	GPT_FAMILY_GPT2,
	GPT_FAMILY_MODERN,
} GptFamily;

extern const char *gpt_family_name(int number);

typedef enum GptMethod
{
	GPT_METHOD_FULL,
	GPT_METHOD_LORA,
} GptMethod;

extern const char *gpt_method_name(int number);

typedef enum GptSince
{
	GPT_SINCE_EVER = -1, /* not given: all rows */
	GPT_SINCE_WATERMARK,
} GptSince;

extern const char *gpt_since_name(int number);

typedef enum GptIfRunning
{
	GPT_IF_RUNNING_ERROR,
	GPT_IF_RUNNING_SKIP,
	GPT_IF_RUNNING_QUEUE,
} GptIfRunning;

extern const char *gpt_if_running_name(int number);

#endif /* GPT_OPTION_WORDS_H */

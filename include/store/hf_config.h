/*
 * include/store/hf_config.h
 *
 * The config.json of Hugging Face and a model's configuration, both ways. One table of fields
 * serves reading and writing; names and defaults are those of Transformers 5.12.
 */
#ifndef GPT_HF_CONFIG_H
#define GPT_HF_CONFIG_H

#include "core/json_tree.h"
#include "engine/config.h"

#define GPT_MAX_HF_CONFIG (1024 * 1024) /* bytes of a config.json; real ones have 1 to 100 KB */

/*
 * Parses the text of config.json, generation_config.json or tokenizer_config.json; noun names it in
 * messages. Raises an error for text that is not a JSON object.
 */
extern const GptJson *gpt_hf_json_parse(const char *json, size_t size, const char *noun);

/* The part of a config.json that describes the text model: Gemma 3 without images has it inside. */
extern const GptJson *gpt_hf_config_text(const GptJson *json);

/*
 * Reads a config.json. context: at most so many positions, 0 means those of the file; may be fewer.
 * Raises ERRCODE_FEATURE_NOT_SUPPORTED, naming field and value in the detail, for an architecture
 * outside the family, and for a field that is not known to leave the arithmetic as it is.
 * lm_config_check has been called.
 */
extern void gpt_hf_config_read(LmConfig *config, const GptJson *json, int context);

/*
 * The ids of the tokens that end a text (eos_token_id, a number or an array) in a config.json or
 * generation_config.json, palloc'd; their number is returned, 0 if it names none.
 */
extern int gpt_hf_end_tokens(int **ids, const GptJson *json);

/*
 * Writes the text of a config.json, palloc'd, for a configuration without labels and adapter.
 * beginning, end: ids of BOS and EOS, -1: none. type: "float32", "bfloat16" or "float16". Raises
 * ERRCODE_FEATURE_NOT_SUPPORTED, naming the field, for one that reading the text would not restore:
 * Transformers has no such architecture.
 */
extern char *gpt_hf_config_write(const LmConfig *config, int beginning, int end, const char *type);

#endif /* GPT_HF_CONFIG_H */

/*
 * src/store/hf_fields.h
 *
 * Parts of the reader and writer of config.json: values of fields, and the fields that describe all
 * layers at once: rotation, windows, layers without positions.
 */
#ifndef GPT_HF_FIELDS_H
#define GPT_HF_FIELDS_H

#include "core/compat.h"
#include "core/json_tree.h"
#include "engine/config.h"
#include "lib/stringinfo.h"

/* Sets of architectures. */
#define HF(model_type) (1u << (model_type))
#define HF_GPTS (HF(LM_GPT) | HF(LM_GPT_NEO) | HF(LM_GPT_NEOX))
#define HF_GEMMAS (HF(LM_GEMMA2) | HF(LM_GEMMA3))
#define HF_QWENS (HF(LM_QWEN2) | HF(LM_QWEN3))
#define HF_LLAMAS (HF(LM_LLAMA) | HF(LM_MISTRAL) | HF_QWENS | HF(LM_SMOLLM3) | HF_GEMMAS)

/* The field of an object, also a null; NULL if it is missing. A field that occurs twice is an
 * error. */
extern const GptJson *gpt_hf_find(const GptJson *object, const char *name);

/*
 * Values of a field; `absent` if it is missing, and 0 if it is null. A value of another type, or
 * one outside int, is an error.
 */
extern double gpt_hf_number(const GptJson *object, const char *name, double absent);
extern int gpt_hf_integer(const GptJson *object, const char *name, int absent);
extern bool gpt_hf_boolean(const GptJson *object, const char *name, bool absent);

/* Whether a value says nothing: null, false, 0, "", [] or {}. */
extern bool gpt_hf_is_empty(const GptJson *node);

/* The value as JSON for a message, shortened. */
extern char *gpt_hf_show(const GptJson *node);

/*
 * src/store/hf_names.c: whether a field is read by a function of its own, or does not change the
 * arithmetic of an architecture.
 */
extern bool gpt_hf_knows(const char *name, LmModelType type);

/* Raises the error for a field outside the family; supported: a full sentence, or NULL. */
pg_noreturn extern void gpt_hf_refuse(const char *name, const GptJson *value,
									  const char *supported);

/* Appends ", "name": " and a number: as an integer, or always with a fraction or exponent. */
extern void gpt_hf_append_integer(StringInfo json, const char *name, int value);
extern void gpt_hf_append_real(StringInfo json, const char *name, double value);

/* src/store/hf_layers.c: both ways, for an architecture with model_type, layers and heads set. */
extern void gpt_hf_read_rotation(LmConfig *config, const GptJson *json);
extern void gpt_hf_write_rotation(StringInfo json, const LmConfig *config);
extern void gpt_hf_read_windows(LmConfig *config, const GptJson *json);
extern void gpt_hf_write_windows(StringInfo json, const LmConfig *config);

/*
 * The pattern of layers that see all (full) and that have the window. False if no period has it.
 * Shared with GGUF's metadata.
 */
extern bool gpt_hf_set_windows(LmConfig *config, const bool *full, int window);

#endif /* GPT_HF_FIELDS_H */

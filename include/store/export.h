/*
 * include/store/export.h
 *
 * A version of a model as files of other projects: safetensors in the names of Hugging Face,
 * adapters in those of PEFT, GGUF for llama.cpp, and the texts that stand beside the weights.
 *
 * The caller holds an active snapshot and has checked that the current role may use the version.
 */
#ifndef GPT_EXPORT_H
#define GPT_EXPORT_H

#include "engine/block_type.h"
#include "store/catalog.h"

/* Values of option "type": the types that matrices have in the file. */
typedef enum GptExportType
{
	GPT_EXPORT_AUTO, /* the version's; float32 where the format's readers do not know that type */
	GPT_EXPORT_KEEP, /* the version's, whatever other readers make of it */
	GPT_EXPORT_FLOAT32,
	GPT_EXPORT_FLOAT16,
	GPT_EXPORT_BFLOAT16,
	GPT_EXPORT_Q8_0,
	GPT_EXPORT_Q4_0,
} GptExportType;

extern const char *gpt_export_type_name(int number);

/* The block type of a value; NULL for auto and keep. */
extern const LmBlockType *gpt_export_block_type(GptExportType type);

/*
 * Writes the version as one safetensors file into a new large object of the current role, and
 * returns its oid. An adapter's file is that of PEFT: each matrix of the base that is a tensor of
 * its own has an adapter of its own. Errors: ERRCODE_FEATURE_NOT_SUPPORTED for a type that
 * safetensors does not have.
 */
extern Oid gpt_export_safetensors(const GptVersion *version, GptExportType type);
extern Oid gpt_export_adapter(const GptVersion *adapter);

/*
 * The same as GGUF, with the tokenizer, for llama.cpp. Vectors and position embeddings are float32,
 * and so are matrices whose rows the type's blocks do not divide. Errors
 * (ERRCODE_FEATURE_NOT_SUPPORTED): llama.cpp has no such architecture or tokenizer.
 */
extern Oid gpt_export_gguf(const GptVersion *version, GptExportType type);

/*
 * The text of a file that stands beside the weights; NULL for a name that is none of
 * gpt_export_file_name: 0 .. n - 1, NULL beyond the last. Files of the other kind of version
 * (adapter or not) are NULL, too.
 */
extern char *gpt_export_text(const GptVersion *version, const char *name);
extern const char *gpt_export_file_name(const GptVersion *version, int number);

#endif /* GPT_EXPORT_H */

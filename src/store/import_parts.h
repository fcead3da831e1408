/*
 * src/store/import_parts.h
 *
 * What the files of an import share: lists of tensors by format, and configurations in metadata.
 */
#ifndef GPT_IMPORT_PARTS_H
#define GPT_IMPORT_PARTS_H

#include "engine/tokenizer.h"
#include "store/import.h"

#define GPT_IMPORT_MAX_TENSORS 65536

/* Opens an object, with the errors of gpt_import_open. */
extern void gpt_import_open_file(GptImportFile *file, Oid object);
/* The same for bytes in memory. _close_file releases either. */
extern void gpt_import_open_memory(GptImportFile *file, const char *data, size_t size);
extern void gpt_import_close_file(GptImportFile *file);

/* Orders the tensors by name; an error if two have the same. */
extern void gpt_import_sort(GptImport *import);

/* Makes room for n further tensors, zeroed, at the end of the list. */
extern GptImportTensor *gpt_import_add(GptImport *import, int n);

/* src/store/import_safetensors.c: appends the tensors of a file, and reads its metadata. */
extern void gpt_import_list_safetensors(GptImport *import, GptImportFile *file);

/* src/store/import_llama2c.c: appends the tensors of a file; its sizes. */
extern void gpt_import_list_llama2c(GptImport *import, GptImportFile *file);
extern void gpt_import_config_llama2c(LmConfig *config, GptImport *import, int context);

/* src/store/import_tokens.c: whether a file begins like a tokenizer.bin, and what is in it. */
extern bool gpt_import_is_llama2c_tokens(const unsigned char *bytes, size_t size);
extern LmTokenizerSpec *gpt_import_llama2c_tokens(GptImportFile *file);

/* src/store/import_names.c: the name of a part in a file of the format; false if it has none. */
extern bool gpt_import_name(char *name, size_t size, const GptImport *import, const LmParam *param,
							int part);
/* The name of a part in GGUF. */
extern bool gpt_gguf_tensor_name(char *name, size_t size, const LmParam *param, int part);
/* Whether a tensor of that name is known to be no parameter. */
extern bool gpt_import_ignores(const GptImport *import, const char *name);

#endif /* GPT_IMPORT_PARTS_H */

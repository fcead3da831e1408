/*
 * include/store/import_tokenizer.h
 *
 * The tokenizer of an imported model: given by name or text, or in the file; with as many tokens as
 * the model has.
 */
#ifndef GPT_IMPORT_TOKENIZER_H
#define GPT_IMPORT_TOKENIZER_H

#include "engine/tokenizer.h"
#include "store/import.h"

/*
 * The tokenizer of a name (of a tokenizer or a model), or of the text of a tokenizer.json. Errors:
 * the name does not exist, the current role may not use it, the text is not valid.
 */
extern LmTokenizerSpec *gpt_import_tokenizer_given(const char *text);

/* The tokenizer in the metadata of a GGUF file; NULL if there is none. */
extern LmTokenizerSpec *gpt_import_tokenizer_of_file(GptImport *import);

/*
 * Gives the tokenizer as many tokens as the model has rows of embeddings: files pad the embeddings
 * (Qwen's to a multiple of 128), and a tokenizer may have special tokens that the model does not
 * have. A missing token becomes a special one, which is never sampled; a further token that is not
 * special is an error.
 */
extern void gpt_import_tokenizer_fit(LmTokenizerSpec *spec, int vocabulary);

/* Raises an error unless the engine accepts the tokenizer. */
extern void gpt_import_tokenizer_check(const LmTokenizerSpec *spec);

#endif /* GPT_IMPORT_TOKENIZER_H */

/*
 * include/store/import_tokenizer.h
 *
 * The tokenizer of an imported model: given by name or text, or in the file; with as many tokens as
 * the model has.
 */
#ifndef GPT_IMPORT_TOKENIZER_H
#define GPT_IMPORT_TOKENIZER_H

#include "core/json_tree.h"
#include "engine/tokenizer.h"
#include "store/import.h"

/*
 * The tokenizer of a name (of a tokenizer or a model), or of the text of a tokenizer.json. Errors:
 * the name does not exist, the current role may not use it, the text is not valid.
 */
extern LmTokenizerSpec *gpt_import_tokenizer_given(const char *text);

/*
 * The tokenizer in a large object: a tokenizer.json, tokenizer.model, tokenizer.bin of llama2.c,
 * the ranks of tiktoken, or a GGUF file.
 */
extern LmTokenizerSpec *gpt_import_tokenizer_stored(Oid object);

/* The tokenizer in the metadata of a GGUF file; NULL if there is none. */
extern LmTokenizerSpec *gpt_import_tokenizer_of_file(GptImport *import);

/*
 * Gives the tokenizer as many tokens as the model has rows of embeddings: files pad the embeddings
 * (Qwen's to a multiple of 128), and a tokenizer may have special tokens that the model does not
 * have. A missing token becomes a special one, which is never sampled. Further tokens that are not
 * special, or many missing ones, are an error: the tokenizer is another model's.
 */
extern void gpt_import_tokenizer_fit(LmTokenizerSpec *spec, int vocabulary);

/*
 * Sets the tokens at the ends of a text where the tokenizer itself has none: the end that
 * generation_config or config name by id, and the beginning that tokenizer_config names where it
 * says that texts have one. Each may be NULL. Only special tokens are taken.
 */
extern void gpt_import_tokenizer_ends(LmTokenizerSpec *spec, const GptJson *config,
									  const GptJson *generation_config,
									  const GptJson *tokenizer_config);

/* Raises an error unless the engine accepts the tokenizer. */
extern void gpt_import_tokenizer_check(const LmTokenizerSpec *spec);

#endif /* GPT_IMPORT_TOKENIZER_H */

/*
 * src/store/tokenizer_reader.h
 *
 * The state of reading a tokenizer.json, shared by the two files that do it: tokenizer_json.c for
 * the steps of the pipeline, tokenizer_reader.c for the vocabulary.
 */
#ifndef GPT_TOKENIZER_READER_H
#define GPT_TOKENIZER_READER_H

#include "core/compat.h"
#include "core/json_tree.h"
#include "engine/token_table.h"

/* The state of one reading; the result is spec. */
typedef struct GptTokenizerReader
{
	LmTokenizerSpec *spec;
	MemoryContext context; /* of the spec; everything else is scratch in the current context */
	const char *unknown; /* name of the model's unk_token */
	LmTokenTable table;
} GptTokenizerReader;

/* Allocates the spec for the tokens of both, up to the largest id. `added` may be NULL. */
extern void gpt_reader_allocate(GptTokenizerReader *reader, const GptJson *vocabulary,
								const GptJson *added);

/* The id in a node, for the token `content`; raises an error if it is not a valid id. */
extern int gpt_reader_token_id(const GptJson *node, const char *content);

/* Sets the bytes of a token; raises an error if the id is taken. content: its name in messages. */
extern void gpt_reader_set_token(GptTokenizerReader *reader, int id, const char *content,
								 LmBytes bytes, bool special);

/*
 * Read the special tokens first, then all others, which must fill the gaps. `letters`: tokens are
 * spelled in the ByteLevel alphabet.
 */
extern void gpt_reader_added_tokens(GptTokenizerReader *reader, const GptJson *added);
extern void gpt_reader_vocabulary(GptTokenizerReader *reader, const GptJson *vocabulary,
								  bool letters);

/*
 * Builds the hash table of tokens, which the merges need; raises an error if two tokens are equal.
 */
extern void gpt_reader_index(GptTokenizerReader *reader);

/*
 * Read merges from an array of "left right" or of ["left", "right"]; or from lines "left right", of
 * which the first may be a version.
 */
extern void gpt_reader_merges(GptTokenizerReader *reader, const GptJson *merges);
extern void gpt_reader_merges_text(GptTokenizerReader *reader, const char *lines);

/*
 * Raise errors: for a defect of the file, given as a sentence; for an unsupported feature, given by
 * name.
 */
pg_noreturn extern void gpt_reader_malformed(const char *detail, ...) pg_attribute_printf(1, 2);
pg_noreturn extern void gpt_reader_unsupported(const char *feature, ...) pg_attribute_printf(1, 2);

#endif /* GPT_TOKENIZER_READER_H */

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

typedef struct GptTokenizerReader
{
	LmTokenizerSpec *spec;
	MemoryContext context; /* of the spec; everything else is scratch in the current context */
	const char *unknown; /* name of the model's unk_token */
	LmTokenTable table;
} GptTokenizerReader;

/* Room for the tokens of both, by the largest id. `added` may be NULL. */
extern void gpt_reader_allocate(GptTokenizerReader *reader, const GptJson *vocabulary,
								const GptJson *added);

/* The id that node is, for the token `content`. */
extern int gpt_reader_token_id(const GptJson *node, const char *content);

extern void gpt_reader_set_token(GptTokenizerReader *reader, int id, const char *content,
								 LmBytes bytes, bool special);

/*
 * The special tokens, then all others, which must fill the gaps; `letters`: they are in the
 * ByteLevel alphabet.
 */
extern void gpt_reader_added_tokens(GptTokenizerReader *reader, const GptJson *added);
extern void gpt_reader_vocabulary(GptTokenizerReader *reader, const GptJson *vocabulary,
								  bool letters);

/* Makes the tokens findable, which the merges need; ERROR when two are the same. */
extern void gpt_reader_index(GptTokenizerReader *reader);

/*
 * An array of "left right" or of ["left", "right"]; or lines "left right", the first of them maybe
 * a version.
 */
extern void gpt_reader_merges(GptTokenizerReader *reader, const GptJson *merges);
extern void gpt_reader_merges_text(GptTokenizerReader *reader, const char *lines);

/* Raise errors: a defect of the file, as a sentence; and a feature that is not supported. */
pg_noreturn extern void gpt_reader_malformed(const char *detail, ...) pg_attribute_printf(1, 2);
pg_noreturn extern void gpt_reader_unsupported(const char *feature, ...) pg_attribute_printf(1, 2);

#endif /* GPT_TOKENIZER_READER_H */

/*
 * src/store/tokenizer_reader.h
 *
 * The state of reading a tokenizer, shared by the files that do it: tokenizer_json.c for the
 * models, tokenizer_steps.c and tokenizer_template.c for the steps around them, tokenizer_reader.c
 * for the vocabulary.
 */
#ifndef GPT_TOKENIZER_READER_H
#define GPT_TOKENIZER_READER_H

#include "core/compat.h"
#include "core/json_tree.h"
#include "engine/token_table.h"

/* How a vocabulary spells the bytes of its tokens. */
typedef enum GptSpelling
{
	GPT_SPELLED_PLAIN,
	GPT_SPELLED_LETTERS, /* in the ByteLevel alphabet */
	GPT_SPELLED_SIGNS, /* U+2581 is a space */
} GptSpelling;

/* The state of one reading; the result is spec. */
typedef struct GptTokenizerReader
{
	LmTokenizerSpec *spec;
	MemoryContext context; /* of the spec; everything else is scratch in the current context */
	const char *unknown; /* name of the model's unk_token */
	GptSpelling spelling;
	bool byte_fallback; /* tokens of the form <0x0A> are bytes */
	bool byte_level; /* the pre-tokenizer makes bytes of the pieces */
	bool strips, joins; /* the normalizer drops spaces at both ends, makes one of several */
	int n_patterns;
	LmTokenTable table;
} GptTokenizerReader;

/* Begins to read into a spec in the current memory context, where nothing else will stay. */
extern void gpt_reader_begin(GptTokenizerReader *reader);

/* Allocates n_tokens tokens, and flags for them. */
extern void gpt_reader_allocate_tokens(GptTokenizerReader *reader, int n_tokens);

/* Allocates the spec for the tokens of both, up to the largest id. `added` may be NULL. */
extern void gpt_reader_allocate(GptTokenizerReader *reader, const GptJson *vocabulary,
								const GptJson *added);

/* The id in a node, for the token `content`; raises an error if it is not a valid id. */
extern int gpt_reader_token_id(const GptJson *node, const char *content);

/* Sets the bytes of a token; raises an error if the id is taken. content: its name in messages. */
extern void gpt_reader_set_token(GptTokenizerReader *reader, int id, const char *content,
								 LmBytes bytes, bool special);

/*
 * Sets a token of the vocabulary from its spelling. An added token of the same id stays if it is
 * the same token.
 */
extern void gpt_reader_set_spelled(GptTokenizerReader *reader, int id, const char *name);

/* Read the added tokens first, then all others, which must fill the gaps. */
extern void gpt_reader_added_tokens(GptTokenizerReader *reader, const GptJson *added);
extern void gpt_reader_vocabulary(GptTokenizerReader *reader, const GptJson *vocabulary);

/* Raises an error if an id has no token. */
extern void gpt_reader_check_gaps(const GptTokenizerReader *reader);

/* The vocabulary of a unigram model, [["token", score], ...], with the added tokens. */
extern void gpt_reader_scores(GptTokenizerReader *reader, const GptJson *vocabulary,
							  const GptJson *added, const GptJson *unknown);

/*
 * Builds the hash table of tokens, which the merges need; raises an error if two tokens are equal.
 */
extern void gpt_reader_index(GptTokenizerReader *reader);
/* The id of a token of that table, or -1. */
extern int32 gpt_reader_find(const GptTokenizerReader *reader, LmBytes bytes);

/*
 * Read merges from an array of "left right" or of ["left", "right"]; or from lines "left right", of
 * which the first may be a version.
 */
extern void gpt_reader_merges(GptTokenizerReader *reader, const GptJson *merges);
extern void gpt_reader_merges_text(GptTokenizerReader *reader, const char *lines);
/* Allocates n merges; _add_merge appends one, of tokens as the vocabulary spells them. */
extern void gpt_reader_start_merges(GptTokenizerReader *reader, int n_merges);
extern void gpt_reader_add_merge(GptTokenizerReader *reader, LmBytes left, LmBytes right);

/*
 * src/store/tokenizer_pair.c: {"encoder": {"token": id, ...}, "merges": "text of vocab.bpe"}; and a
 * vocabulary alone, {"token": id, ...}, which is one of characters.
 */
extern void gpt_reader_pair(GptTokenizerReader *reader, const GptJson *root);
extern bool gpt_reader_is_vocabulary(const GptJson *root);
extern void gpt_reader_letters(GptTokenizerReader *reader, const GptJson *vocabulary);

/* The type of an object that must have one; a field that is true or false. */
extern const char *gpt_reader_type(const GptJson *node);
extern bool gpt_reader_switch(const GptJson *object, const char *name, bool missing);

/*
 * Raise errors: for a defect of the file, given as a sentence; for an unsupported feature, given by
 * name.
 */
pg_noreturn extern void gpt_reader_malformed(const char *detail, ...) pg_attribute_printf(1, 2);
pg_noreturn extern void gpt_reader_unsupported(const char *feature, ...) pg_attribute_printf(1, 2);

#endif /* GPT_TOKENIZER_READER_H */

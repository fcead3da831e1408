/*
 * include/store/tokenizer_pieces.h
 *
 * Tokenizers in other files than a tokenizer.json: SentencePiece's tokenizer.model, the metadata of
 * GGUF, the ranks of tiktoken, a vocabulary and its merges. Specs lie in the current memory
 * context; the engine still has to check them. Errors: class 22 with a detail that has the place
 * for malformed files, ERRCODE_FEATURE_NOT_SUPPORTED.
 */
#ifndef GPT_TOKENIZER_PIECES_H
#define GPT_TOKENIZER_PIECES_H

#include "engine/gguf_writer.h"
#include "engine/sentencepiece.h"
#include "store/import.h"

/* Pieces of SentencePiece, and what becomes of a text before it is cut into them. */
typedef struct GptPieces
{
	int n;
	LmSentencePiece *pieces; /* [n] a space is U+2581 in their texts */
	bool unigram; /* else BPE: of two neighbours those with the largest score are merged */
	bool prefix; /* a space comes in front of a text */
	LmBytes charsmap; /* size 0: characters stay */
	bool collapse_spaces;
	bool single_precision; /* of sums of scores */
} GptPieces;

/* A special token that the caller of an import names. */
typedef struct GptSpecialToken
{
	const char *name;
	int id;
} GptSpecialToken;

/* What a file does not say; all 0: it says everything. */
typedef struct GptTokenizerOptions
{
	const char *split; /* as gpt_tokenizer_split_option takes it; NULL: that of the file */
	int n_special;
	GptSpecialToken *special; /* [n_special] */
} GptTokenizerOptions;

extern LmTokenizerSpec *gpt_tokenizer_from_pieces(const GptPieces *pieces);

/* Raises an error if two pieces have the same text. */
extern void gpt_pieces_check(const GptPieces *pieces);

/* A tokenizer.model. */
extern LmTokenizerSpec *gpt_tokenizer_from_model(const char *data, size_t size);

/*
 * The tokenizer in the metadata of an opened GGUF file; NULL if it has none. split: instead of the
 * one that the file names, or NULL.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_gguf(GptImport *import, const char *split);

/*
 * Any of these files, a tokenizer.json, or tokenizer.bin of llama2.c, in a large object, under the
 * active snapshot (errors of gpt_import_open), or in memory.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_object(Oid object, const GptTokenizerOptions *options);
extern LmTokenizerSpec *gpt_tokenizer_from_bytes(const char *data, size_t size,
												 const GptTokenizerOptions *options);

/*
 * A text that ends in a NUL: a tokenizer.json, a vocabulary of characters, or the ranks of
 * tiktoken. What is no text of a tokenizer, such as the name of a file, is an error that says what
 * to give.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_text(const char *text, size_t size,
												const GptTokenizerOptions *options);

/* The texts of vocab.json and merges.txt (or encoder.json and vocab.bpe), which end in a NUL. */
extern LmTokenizerSpec *gpt_tokenizer_from_pair(const char *vocabulary, const char *merges,
												const GptTokenizerOptions *options);

/*
 * Makes the tokens of the options special: tokens of the vocabulary, or further ones. A token
 * without a name between them and the vocabulary is <|unused_N|>.
 */
extern void gpt_tokenizer_add_special(LmTokenizerSpec *spec, const GptTokenizerOptions *options);

/* Adds special tokens called <|unused_N|> until there are n_tokens. */
extern void gpt_tokenizer_grow(LmTokenizerSpec *spec, int n_tokens);

/*
 * Lines of a token in base64 and its rank. split: as gpt_tokenizer_split_option takes it, or NULL
 * for that of the known vocabulary of this size.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_tiktoken(const char *text, size_t size,
													const char *split);

#endif /* GPT_TOKENIZER_PIECES_H */

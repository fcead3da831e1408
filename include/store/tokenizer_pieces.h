/*
 * include/store/tokenizer_pieces.h
 *
 * Tokenizers in other files than a tokenizer.json: SentencePiece's tokenizer.model, the metadata of
 * GGUF, and the ranks of tiktoken. Specs lie in the current memory context; the engine still has to
 * check them. Errors: class 22 with a detail for malformed files, ERRCODE_FEATURE_NOT_SUPPORTED.
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
	bool nfkc;
} GptPieces;

extern LmTokenizerSpec *gpt_tokenizer_from_pieces(const GptPieces *pieces);

/* Raises an error if two pieces have the same text. */
extern void gpt_pieces_check(const GptPieces *pieces);

/* A tokenizer.model. */
extern LmTokenizerSpec *gpt_tokenizer_from_model(const char *data, size_t size);

/* The tokenizer in the metadata of an opened GGUF file; NULL if it has none. */
extern LmTokenizerSpec *gpt_tokenizer_from_gguf(GptImport *import);

/*
 * Any of these files in a large object, a tokenizer.json, or tokenizer.bin of llama2.c, under the
 * active snapshot. Errors of gpt_import_open.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_object(Oid object, const char *split);

/*
 * Lines of a token in base64 and its rank. split: a name of gpt_tokenizer_split, or NULL for that
 * of the known vocabulary of this size.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_tiktoken(const char *text, size_t size,
													const char *split);

/*
 * Any of these files but GGUF, or a tokenizer.json, by what it begins with; split is only for the
 * ranks of tiktoken.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_file(const char *data, size_t size, const char *split);

#endif /* GPT_TOKENIZER_PIECES_H */

/*
 * src/engine/text/tokenizer_parts.h
 *
 * The inside of a tokenizer.
 */
#ifndef LM_TEXT_TOKENIZER_PARTS_H
#define LM_TEXT_TOKENIZER_PARTS_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/chars.h"
#include "text/split.h"
#include "text/utf8.h"
#include "text/normalize.h"
#include "text/unigram.h"

/* The tokens that merges can make by their bytes: a table as LmTokenTable's. */
typedef struct LmTokenIndex
{
	int32_t *slots; /* id + 1; NULL: there is no index */
	uint32_t mask;
	LmHashKey key;
} LmTokenIndex;

/* Only the members of its kind are set. */
struct LmTokenizer
{
	LmHost host;
	bool forked; /* spec and tables are another's */
	bool mapped; /* tables are an image's */
	LmTokenizerSpec
		*spec; /* of a mapped one: without merges, and without tokens but for CHARS, BYTES */
	const uint32_t *offsets; /* of a mapped one: token id is bytes [offsets[id], offsets[id + 1]) */
	const char *bytes;
	LmSplit splits[LM_MAX_PATTERNS]; /* BPE: one after the other */
	int n_splits;
	LmPieces *pieces; /* [n_splits] scratch */
	LmBpe bpe; /* BPE, SENTENCEPIECE; of UNIGRAM its byte_ids */
	LmLetters letters; /* SENTENCEPIECE, UNIGRAM */
	LmUnigram unigram; /* UNIGRAM */
	LmAdded added;
	LmTokenIndex index; /* BPE: where a piece that is a token is not merged */
	LmChars *chars; /* CHARS */
	/* [n_ordered] tokens in the order of their bytes, special ones left out; NULL: not sorted */
	const int32_t *order;
	int32_t n_ordered;
	int32_t *sorted; /* order, where it is the tokenizer's own */
	LmText normalized, spaced; /* scratch, empty between calls */
};

/* The bytes of a token, a special one's name among them; id is in range. */
static inline LmBytes
lm_tokenizer_token(const LmTokenizer *tokenizer, int32_t id)
{
	if (tokenizer->offsets)
		return (LmBytes){tokenizer->bytes + tokenizer->offsets[id],
						 tokenizer->offsets[id + 1] - tokenizer->offsets[id]};
	return tokenizer->spec->tokens[id];
}

/* Sorts ids by the bytes of their tokens; LM_ERR_STOPPED. */
bool lm_tokenizer_sort_ids(const LmTokenizer *tokenizer, int32_t *ids, int32_t n, LmError *error);

/* Makes the splits of a spec, with their scratch; LM_ERR_FORMAT, _LIMIT, _LIBRARY, _MEMORY. */
bool lm_tokenizer_open_splits(LmTokenizer *tokenizer, LmError *error);

/* Releases the texts that a call normalised. */
void lm_tokenizer_free_scratch(LmTokenizer *tokenizer);

/* Makes the index of a tokenizer with ignore_merges; LM_ERR_MEMORY, _STOPPED. */
bool lm_token_index_create(LmTokenizer *tokenizer, LmError *error);
/* The token with these bytes, or -1. */
int32_t lm_token_index_find(const LmTokenizer *tokenizer, LmBytes bytes);

#endif /* LM_TEXT_TOKENIZER_PARTS_H */

/*
 * src/engine/text/tokenizer_parts.h
 *
 * The inside of a tokenizer.
 */
#ifndef LM_TEXT_TOKENIZER_PARTS_H
#define LM_TEXT_TOKENIZER_PARTS_H

#include "text/bpe.h"
#include "text/chars.h"
#include "text/split.h"
#include "text/utf8.h"
#include "text/normalize.h"

/* Only the members of its kind are set. */
struct LmTokenizer
{
	LmHost host;
	bool forked; /* spec, merges and the characters' ids are another's */
	bool mapped; /* merges are an image's */
	LmTokenizerSpec *spec; /* of a mapped BPE: without tokens and merges */
	const uint32_t *offsets; /* of a mapped one: token id is bytes [offsets[id], offsets[id + 1]) */
	const char *bytes;
	LmSplit split; /* BPE */
	LmBpe bpe; /* BPE */
	LmChars *chars; /* CHARS */
	/*
	 * BPE: [n_ordered] tokens in the order of their bytes, the special ones left out; NULL: not
	 * sorted
	 */
	const int32_t *order;
	int32_t n_ordered;
	int32_t *sorted; /* order, where it is the tokenizer's own */
	struct LmNamedTokens *named; /* of text/named_tokens.h, once a template is encoded */
	LmPieces pieces; /* scratch */
	LmText normalized; /* scratch, empty between calls */
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

#endif /* LM_TEXT_TOKENIZER_PARTS_H */

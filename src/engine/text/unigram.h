/*
 * src/engine/text/unigram.h
 *
 * The unigram model of SentencePiece (Kudo 2018): of all ways to cut a piece into tokens, the one
 * whose scores have the largest sum (Viterbi 1967).
 */
#ifndef LM_TEXT_UNIGRAM_H
#define LM_TEXT_UNIGRAM_H

#include "engine/tokenizer.h"

/* The best way to an offset of a piece. */
typedef struct LmUnigramNode
{
	double score;
	int32_t start; /* where its last token starts; -1: there is no way */
	int32_t next; /* on the best way: where the token that starts here ends */
	int32_t id; /* of its last token; -1: a character without a token */
} LmUnigramNode;

/* The scratch and the constants of a tokenizer of this kind. */
typedef struct LmUnigram
{
	double unknown_score; /* of a character without a token */
	bool single_precision; /* of the sums of scores */
	int32_t first[257]; /* places in the order of tokens of those that begin with a byte */
	/* of the way to the piece: sums of scores are rounded as if the text had not been cut */
	double score;
	bool after_unknown; /* the last id was `unknown`, which the next one may join */
	LmUnigramNode *nodes;
	size_t capacity;
} LmUnigram;

/* From a checked spec whose tokens are sorted. */
void lm_unigram_open(LmTokenizer *tokenizer);

/*
 * Appends the ids of one piece. LM_ERR_MEMORY, _LIMIT (the piece is too long), _STOPPED, _ENCODING
 * for a character that has neither a token nor bytes where there is no `unknown`.
 */
bool lm_unigram_encode(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes piece, LmError *error);

#endif /* LM_TEXT_UNIGRAM_H */

/*
 * src/engine/text/cuts.h
 *
 * Where a piece of byte-level BPE may be cut without a change of its tokens.
 *
 * Two neighbouring characters that no token has on its two sides are never in one token, whatever
 * is merged, so that a piece has the tokens of its parts between such neighbours. Chinese, whose
 * pieces are clauses, falls into parts of one to three characters, which repeat and so are cached.
 *
 * A token may begin or end within a character. Then all that is known of the pair are the last byte
 * in front of the boundary and the first one after it; the pairs of bytes that have such a token
 * are never cut. The whole characters of the others are in a set of bits by their hash. A pair that
 * the set takes for another one only makes a part longer.
 */
#ifndef LM_TEXT_CUTS_H
#define LM_TEXT_CUTS_H

#include "text/array.h"

#define LM_CUT_BITS ((size_t) 1 << 20)
#define LM_CUT_WORDS (LM_CUT_BITS / 64)
#define LM_MIXED_WORDS ((size_t) 65536 / 64)

/* The two sets, one after the other in one block, which may be an image's. */
typedef struct LmCuts
{
	uint64_t *mixed; /* [LM_MIXED_WORDS] bit last byte << 8 | first byte; NULL: nothing is cut */
	uint64_t *pairs; /* [LM_CUT_WORDS] */
	LmHashKey key;
} LmCuts;

#define LM_CUTS_WORDS (LM_MIXED_WORDS + LM_CUT_WORDS)

/* From a checked spec of BPE; false with LM_ERR_MEMORY or _STOPPED. */
bool lm_cuts_create(LmCuts *cuts, const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
/* Over LM_CUTS_WORDS words of an image. */
void lm_cuts_open(LmCuts *cuts, uint64_t *words, LmHashKey key);
void lm_cuts_free(LmCuts *cuts, const LmHost *host);

/*
 * The end of the part of a piece, which is valid UTF-8, that starts at position; a part that is
 * longer than LM_MAX_PIECE_SIZE may end anywhere.
 */
size_t lm_cuts_end(const LmCuts *cuts, LmBytes piece, size_t position);

#endif /* LM_TEXT_CUTS_H */

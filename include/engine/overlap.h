/*
 * include/engine/overlap.h
 *
 * The n-grams that texts have in common with the wanted ones, over a corpus: BLEU and chrF, by the
 * definitions of sacreBLEU (Post 2018, "A call for clarity in reporting BLEU scores").
 */
#ifndef LM_OVERLAP_H
#define LM_OVERLAP_H

#include "engine/error.h"
#include "engine/host.h"
#include "engine/tokenizer.h"

#define LM_BLEU_ORDER 4 /* words of an n-gram, at most */
#define LM_CHRF_ORDER 6 /* characters */

/* Weighted sums over pairs of texts, by the length of n-grams. Zero it before the first pair. */
typedef struct LmOverlap
{
	/* words of mteval-v13a */
	double word_matches[LM_BLEU_ORDER];
	double found_words[LM_BLEU_ORDER];
	double wanted_words[LM_BLEU_ORDER];
	/* characters without white space; found ones only where as long ones are wanted */
	double character_matches[LM_CHRF_ORDER];
	double found_characters[LM_CHRF_ORDER];
	double wanted_characters[LM_CHRF_ORDER];
} LmOverlap;

/*
 * Adds a pair of texts. Time and memory are linear in their sizes. LM_ERR_LIMIT for a text of more
 * than 16 MB, LM_ERR_ENCODING, LM_ERR_STOPPED, LM_ERR_MEMORY; overlap is then as it was.
 */
bool lm_overlap_add(LmOverlap *overlap, const LmHost *host, LmBytes found, LmBytes wanted,
					double weight, LmError *error);

/* Adds what was counted of other pairs; every member is a double. */
void lm_overlap_sum(LmOverlap *overlap, const LmOverlap *other);

/*
 * BLEU of the corpus (Papineni et al. 2002), 0 to 100, with brevity penalty, where precisions
 * without a match are smoothed as in mteval-v13a (Chen and Cherry 2014, method 3).
 * Signature: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp
 */
double lm_overlap_bleu(const LmOverlap *overlap);

/*
 * chrF2 of the corpus (Popovic 2015), 0 to 100: recall counts twice; precisions and recalls are
 * means over the lengths that both sides have.
 * Signature: nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no
 */
double lm_overlap_chrf(const LmOverlap *overlap);

#endif /* LM_OVERLAP_H */

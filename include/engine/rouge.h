/*
 * include/engine/rouge.h
 *
 * The share of words that two texts have in common, in the same order.
 */
#ifndef LM_ROUGE_H
#define LM_ROUGE_H

#include "engine/error.h"
#include "engine/host.h"
#include "engine/tokenizer.h"

/*
 * ROUGE-L of two texts (Lin 2004, "ROUGE: A package for automatic evaluation of summaries",
 * equations 2 to 4 with beta 1): twice the length of the longest common subsequence of their words
 * over the number of both texts' words. Words are those of UAX 29 that have a letter, a digit or an
 * ideograph, case-folded. Two texts without words have 1, one and none 0. LM_ERR_LIMIT for a text
 * of more than 16 MB, LM_ERR_ENCODING, LM_ERR_STOPPED, LM_ERR_MEMORY.
 */
bool lm_rouge_l(double *rouge, const LmHost *host, LmBytes one, LmBytes other, LmError *error);

#endif /* LM_ROUGE_H */

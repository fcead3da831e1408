/*
 * src/engine/serve/healing.h
 *
 * A prompt that ends within a token of the text that it begins ("The pho", or "The phone " before " works"): its own last tokens were
 * never seen there, and the next one is unlikely. So the next token is drawn from all ways to go on with the prompt's bytes at once:
 *
 *   boundary 0     The| phone| |         any token
 *   boundary 1     The| phone|           a token that begins with " " and is longer
 *   boundary 2     The|                  a token that begins with " phone " and is longer
 *
 * A boundary drops as many of the prompt's last tokens as its number says. The probability of a token x there is that of the prompt's tokens
 * up to the boundary and of x behind them, so each way counts as the model believes in it; the part of x that the prompt has is not
 * given out. (Phan et al. 2024, "Exact byte-level probabilities from tokenized language models", section 3, with the boundaries that the prompt's own
 * tokens have.)
 *
 * Probabilities at the boundaries are those of the pass that reads the prompt anyway: its last rows are looked at, not one.
 */
#ifndef LM_HEALING_H
#define LM_HEALING_H

#include "engine/tokenizer.h"

#define LM_HEALING_TOKENS 16 /* that are dropped at most */

struct LmSession;

typedef struct LmBoundary
{
	LmTokenRange longer; /* the tokens that may stand here, by the order of the tokenizer */
	int at; /* of the first of them among all candidates */
	int32_t dropped; /* the token that the prompt has behind the boundary */
	size_t size; /* bytes that the prompt has behind it */
	double normaliser; /* of the row of logits, its log-sum-exp ... */
	double logprob; /* ... and log p of the dropped token there */
} LmBoundary;

typedef struct LmHealing
{
	int depth; /* the last boundary that has candidates; 0: the prompt is as good as any */
	int n; /* candidates, at most a vocabulary */
	LmBoundary boundaries[LM_HEALING_TOKENS + 1]; /* [depth + 1]; of number 0 nothing is known */
	float *logits; /* [n] of the candidates, each of its own row; the caller's */
} LmHealing;

/* Of the last of n ids, of which n_kept at least stay. logits is not set. */
void lm_healing_plan(LmHealing *healing, const struct LmSession *session, const int32_t *ids, size_t n, size_t n_kept);

/* Takes what is wanted of a boundary's row of logits [V], of a boundary from 1 to depth. Several may be taken at once. */
void lm_healing_observe(LmHealing *healing, int boundary, const struct LmSession *session, const float *logits);

/*
 * What is added to a logit of each boundary's row, so that it compares to those of boundary 0, whose row has that log-sum-exp: shifts [depth + 1],
 * the first of which is 0.
 */
void lm_healing_shifts(double *shifts, const LmHealing *healing, double normaliser);

/* The token of a candidate, and its boundary. */
int32_t lm_healing_token(int *boundary, const LmHealing *healing, const struct LmSession *session, int candidate);

#endif /* LM_HEALING_H */

/*
 * src/engine/serve/healing.h
 *
 * Token healing. A prompt may end within a token of the text that it begins ("The pho", or "The
 * phone " before " works"). The model has never seen the prompt's last tokens in front of such a
 * text, so the right next token is unlikely. Healing considers all ways to go on with the prompt's
 * bytes:
 *
 *   boundary 0     The| phone| |         any token
 *   boundary 1     The| phone|           a token that begins with " " and is longer
 *   boundary 2     The|                  a token that begins with " phone " and is longer
 *
 * A boundary drops as many of the prompt's last tokens as its number says. Its probability is that
 * of the prompt's tokens up to it, and of all tokens that may stand there, so each counts by its
 * probability. It is drawn first, then the token; the part of it that the prompt already has is not
 * given out. (Phan et al. 2024, "Exact byte-level probabilities from tokenized language
 * models", section 3, with the boundaries that the prompt's own tokens have.) At temperature 1 this
 * is the distribution of what follows the prompt's bytes. Without it, the most likely of all tokens
 * at all boundaries would be taken when the temperature is 0: "phones" where "phone" and one of a
 * thousand words is far more likely than "phones", but none of the words is.
 *
 * Probabilities at the boundaries cost no further pass: they come from the last rows of the pass
 * that reads the prompt anyway.
 */
#ifndef LM_HEALING_H
#define LM_HEALING_H

#include "engine/tokenizer.h"

#define LM_HEALING_TOKENS 16 /* that are dropped at most */

/* serve/session.h includes this file. */
struct LmSession;
struct LmBanned;

/* One way to go on: the prompt without its last tokens, and the tokens that may follow. */
typedef struct LmBoundary
{
	LmTokenRange longer; /* the tokens that may stand here, by the order of the tokenizer */
	int at; /* of the first of them among all candidates */
	int32_t dropped; /* the token that the prompt has after the boundary */
	size_t size; /* bytes that the prompt has after it */
	double logprob; /* of the dropped token there ... */
	double logmass; /* ... and of the tokens that may stand there, together */
	double normaliser; /* of the row of logits */
} LmBoundary;

/* The boundaries of one prompt. The generation owns it. */
typedef struct LmHealing
{
	int depth; /* the last boundary that has candidates; 0: the prompt is as good as any */
	int n; /* candidates, at most a vocabulary */
	LmBoundary boundaries[LM_HEALING_TOKENS + 1]; /* [depth + 1]; of number 0 nothing is known */
	float *logits; /* [n] of the candidates, each of its own row; the caller's */
	uint8_t *allowed; /* [n] NULL, or which of them a constraint allows; the caller's */
} LmHealing;

/*
 * Plans the boundaries among the last of n ids, of which at least n_kept stay. logits is not set.
 */
void lm_healing_plan(LmHealing *healing, const struct LmSession *session, const int32_t *ids,
					 size_t n, size_t n_kept);

/*
 * Copies the candidates' logits of a boundary (1 to depth) from its row of logits [V], with minus
 * infinity where the text could not go on with the rest of a candidate's bytes, or these have a
 * banned text in them (NULL: none is banned). Threads may do several boundaries at once.
 */
void lm_healing_observe(LmHealing *healing, int boundary, const struct LmSession *session,
						const struct LmBanned *banned, const float *logits);

/*
 * logprobs [depth + 1] gets the log probabilities of the boundaries, up to a constant that they
 * share.
 */
void lm_healing_weigh(float *logprobs, const LmHealing *healing);

/*
 * The number of candidates of a boundary, which are numbered from boundary->at on; and the token of
 * a candidate, with its boundary.
 */
int lm_healing_count(const LmBoundary *boundary);
int32_t lm_healing_token(int *boundary, const LmHealing *healing, const struct LmSession *session,
						 int candidate);

#endif /* LM_HEALING_H */

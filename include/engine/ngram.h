/*
 * include/engine/ngram.h
 *
 * N-grams beside the network of a language model: how often each token followed the last tokens in
 * the training text, and in the text that is being read. They help a model of little text, which
 * has seen a name or a phrase once: a network forgets it, and copies it badly.
 *
 * For each order k, 1 .. LM_NGRAM_ORDERS, the places of a source at which the last k tokens
 * occurred before give a share of the probability to the tokens that followed there. The network
 * has what is left:
 *
 *   P = network; for each order k, and there first both texts together, then the text that is read:
 *   P(t) = (1 - w) P(t) + w count(t) / places,   w = sigmoid(weights . features)
 *
 * as in interpolated models of n-grams (Chen and Goodman 1998, "An empirical study of smoothing
 * techniques for language modeling", section 2.8) and in the continuous cache (Grave et al. 2017,
 * "Improving neural language models with a continuous cache"). Features are how many places and
 * different tokens there are, how many occurred once, and the share of the most frequent one.
 * Weights are fitted to validation text (lm_ngram_fit). The sum over all tokens stays 1.
 *
 * All work for a token is bounded: orders with more than LM_NGRAM_PLACES places in the training
 * text are left out (the network knows those) but the longest one, of which so many places count,
 * at equal distances; and of the text that is read the last LM_NGRAM_HISTORY tokens count, with at
 * most LM_NGRAM_PLACES places.
 */
#ifndef LM_NGRAM_H
#define LM_NGRAM_H

#include <stdint.h>

#include "engine/batch.h"

#define LM_NGRAM_ORDERS 12
#define LM_NGRAM_FEATURES 5
#define LM_NGRAM_SOURCES 2 /* training text and the text that is read; the latter alone */
/* the factor of the network's logits, then features of each order of each source */
#define LM_NGRAM_WEIGHTS (1 + LM_NGRAM_SOURCES * LM_NGRAM_ORDERS * LM_NGRAM_FEATURES)
#define LM_NGRAM_PLACES 256
#define LM_NGRAM_HISTORY 4096
#define LM_NGRAM_LARGEST (1 << 20) /* tokens of training text that a model keeps, at most */
#define LM_NGRAM_FIT_ROWS 8192 /* predictions that weights are fitted to, at most */

/* The n-grams of a model; the arrays are parameters of it (engine/params.h), and the caller's. */
typedef struct LmNgram
{
	int n; /* tokens; 0: none */
	const float *tokens; /* [n] ids of the training text */
	/* [n] places in it, in the order of the tokens before them, the nearest first */
	const float *order;
	const float *weights; /* [LM_NGRAM_WEIGHTS] */
} LmNgram;

/*
 * Bytes at most that it takes to make the n-grams of n tokens: their arrays, and what sorting or
 * fitting allocates beside them, or else the copy of the arrays among the weights of the version.
 */
size_t lm_ngram_memory(int n, int vocabulary);

/*
 * The number of ids of the training windows, and of the validation windows where they are wanted,
 * each once, and at most LM_NGRAM_LARGEST of the last of them in tokens [so many]; with tokens NULL
 * only the number. A text is an end token, its tokens, and an end token, which is the first one of
 * the next text.
 */
int lm_ngram_text(float *tokens, const LmDataset *dataset, bool with_validation);

/*
 * Fills order [n] from tokens [n], ids below vocabulary. LM_ERR_MEMORY, LM_ERR_STOPPED;
 * LM_ERR_ARGUMENT for an id out of range or n above LM_NGRAM_LARGEST.
 */
bool lm_ngram_sort(float *order, const float *tokens, int n, int vocabulary, const LmHost *host,
				   LmError *error);

/*
 * Changes a row of logits [vocabulary] so that their softmax is the mixture after the tokens of
 * history [n_history], which are all that the text has so far. Several threads may do so at once.
 */
void lm_ngram_mix(float *logits, int vocabulary, const LmNgram *ngram, const int32_t *history,
				  size_t n_history);

/*
 * Fits weights. _begin allocates room for LM_NGRAM_FIT_ROWS predictions; ngram->weights is not
 * read, its other arrays must live until _free. _add takes the network's log probabilities
 * [vocabulary] of the token after a history, and the token that came; rows in excess are ignored.
 * _finish writes the weights and two losses in nats a row: of the network alone, and of the mixture
 * on rows that the weights were not fitted to (each half of the rows with weights of the other
 * half). NULL with LM_ERR_MEMORY; LM_ERR_STOPPED; LM_ERR_ARGUMENT without rows.
 */
typedef struct LmNgramFit LmNgramFit;
LmNgramFit *lm_ngram_fit_begin(const LmNgram *ngram, int vocabulary, const LmHost *host,
							   LmError *error);
int lm_ngram_fit_rows(const LmNgramFit *fit); /* that it has */
void lm_ngram_fit_add(LmNgramFit *fit, const float *logprobs, int32_t target,
					  const int32_t *history, size_t n_history);
bool lm_ngram_fit_finish(float *weights, double *network, double *mixture, LmNgramFit *fit,
						 LmError *error);
void lm_ngram_fit_free(LmNgramFit *fit);

#endif /* LM_NGRAM_H */

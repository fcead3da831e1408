/*
 * src/engine/model/pair.h
 *
 * What a head sees of two texts: the means u and v of their outputs, and how they differ (Conneau
 * et al. 2017, "Supervised learning of universal sentence representations", section 3.1,
 * https://arxiv.org/abs/1705.02364)
 *
 *   [ u | v | |u - v| | u v ]
 *
 * and how many of their tokens and runs of tokens they share.
 */
#ifndef LM_PAIR_H
#define LM_PAIR_H

#include "engine/config.h"
#include "engine/params.h"

/* features [4 n]: the first 2 n are u and v; makes the others of them. */
void lm_pair_combine(double *features, int n);

/*
 * The same in training; and the gradients of u and v [n] from that of all, [4 n]. du and dv may be
 * the places of u and v.
 */
void lm_pair_forward(float *features, int n);
void lm_pair_backward(float *du, float *dv, const float *dfeatures, const float *features, int n);

/*
 * Of runs of 1 to 4 tokens, how many of all different ones both texts have, and how many of those
 * of the text with fewer: overlaps [LM_PAIR_OVERLAPS]. The first n_first of n tokens are those of
 * the first text. Runs are hashed to some thousand bits: of long texts the numbers are rough.
 */
void lm_pair_overlaps(double *overlaps, const int32_t *tokens, size_t n_first, size_t n);

#endif /* LM_PAIR_H */

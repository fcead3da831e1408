/*
 * src/engine/model/contrastive.h
 *
 * Contrastive training: of each group of windows the first is a query, the second what should be
 * found for it (its positive), a third one what should not (its negative). The embedding of a
 * window is
 *
 *   f = A r + B h, z = f / |f|
 *
 * r: the projection of its runs of letters (engine/search.h), h: the mean output of its rows, times
 * LM_CONTRAST_HIDDEN / sqrt(channels); A = embedding_runs, B = embedding_hidden. The loss of a
 * group is the mean of two, with s(a, b) = z_a z_b / temperature:
 *
 *   - log softmax of s(query, positive) among s(query, all positives and negatives)
 *   - log softmax of s(positive, query) among s(positive, all queries)
 *
 * (van den Oord et al. 2018, "Representation learning with contrastive predictive coding", equation
 * 4; symmetric as Radford et al. 2021, "Learning transferable visual models", section 2.3; with the
 * negatives of other groups as Gao et al. 2021, "SimCSE", equation 5). Texts are compared with
 * those of the same batch, at most LM_CONTRAST_WINDOWS at a time. A text that equals the query or
 * the positive of a group is no negative of it, and groups with equal queries have none of each
 * other.
 *
 * In training with dropout, r is dropped out too, at the model's rate: so a text that is its own
 * positive has two embeddings.
 *
 * The figure is recall at 1: the share of queries whose positive is nearer than all other
 * candidates.
 */
#ifndef LM_CONTRASTIVE_H
#define LM_CONTRASTIVE_H

#include "model/objective.h"

#define LM_CONTRAST_HIDDEN 0.3f

void lm_contrastive_layout(LmNetwork *network, LmArena *arena);
double lm_contrastive_loss(LmNetwork *network, const LmPass *pass, float scale);

#endif /* LM_CONTRASTIVE_H */

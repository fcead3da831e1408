/*
 * src/engine/model/preference.h
 *
 * Learning from pairs: the first window of a group has the answer that was chosen, the second the
 * one that was rejected, after the same prompt. With the log-likelihoods of the two answers under
 * the model, c and r (the sums over the rows with a target), and under the reference, c0 and r0
 * (LmBatch.values at the windows' last rows):
 *
 *   DPO    h = beta ((c - c0) - (r - r0))
 *          loss = -(1 - e) log sigmoid(h) - e log sigmoid(-h)
 *
 * Rafailov et al. 2023, "Direct preference optimization", equation 7
 * (https://arxiv.org/abs/2305.18290). e is options->label_smoothing, the share of pairs that are
 * believed to be swapped: Mitchell 2023, "A note on DPO with noisy preferences"
 * (https://ericmitchell.ai/cdpo.pdf), equation 3. With n and m rows of the answers, c' = c / n, and
 * r' = r / m:
 *
 *   ORPO   loss = -c' - beta log sigmoid(logodds(c') - logodds(r')),
 *          logodds(x) = x - log(1 - exp x)
 *
 * Hong et al. 2024, "ORPO: monolithic preference optimization without reference model", equations 4
 * to 7 (https://arxiv.org/abs/2403.07691). Their lambda is beta here.
 *
 * The figures are the reward margin, h, and the share of the pairs where it is above 0. ORPO has no
 * reference; its margin is beta (c' - r').
 */
#ifndef LM_PREFERENCE_H
#define LM_PREFERENCE_H

#include "model/objective.h"

/* The slices of the activations, and the losses, as in the table of objectives. */
void lm_preference_layout(LmNetwork *network, LmArena *arena);
double lm_dpo_loss(LmNetwork *network, const LmPass *pass, float scale);
double lm_orpo_loss(LmNetwork *network, const LmPass *pass, float scale);

#endif /* LM_PREFERENCE_H */

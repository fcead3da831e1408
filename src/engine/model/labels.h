/*
 * src/engine/model/labels.h
 *
 * The head of a classifier, which reads a whole window:
 *
 *   f = [mean of the last block's outputs | mean of the bag's rows]
 *   logits = f label_weight' + label_bias
 *
 * The bag is model/bag.h's.
 */
#ifndef LM_LABELS_H
#define LM_LABELS_H

#include "model/network.h"

/* Slices of the head's activations; NULLs while the arena only counts. */
void lm_labels_layout(LmNetwork *network, LmArena *arena);
size_t lm_labels_scratch(const LmNetwork *network);

/*
 * Loss of the batch's windows after lm_network_forward: a window's label, or set of labels of the
 * batch, is the target of its last row, with that row's weight; its other rows have target -1.
 * Returns Σ weight nll. scale > 0: adds the gradient of scale times the loss to the head's
 * gradient, and leaves that of the last norm's output in activations.narrow.
 */
double lm_labels_loss(LmNetwork *network, const LmPass *pass, float scale);

/* The logits of the first n windows of the batch, [n, labels], after lm_network_forward. */
void lm_labels_logits(float *logits, size_t n, LmNetwork *network, const LmPass *pass);

#endif /* LM_LABELS_H */

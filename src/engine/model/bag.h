/*
 * src/engine/model/bag.h
 *
 * The bag of a classifier: an embedding [lm_bag_channels] for each token, and for each run of two to LM_BAG_RUN tokens. A text is the mean
 * of those of its tokens and runs.
 *
 * A bag that begins anew begins with naive Bayes: channel y of a run r is how much r speaks for label y,
 *
 *   log (c(r, y) + 1) / (c(y) + R)  -  log (c(r, not y) + 1) / (c(not y) + R)
 *
 * of the training rows, where c counts runs by their rows' weights and R is how many different ones were seen; of others it is 0. After Wang and
 * Manning 2012, "Baselines and bigrams: simple, good sentiment and topic classification", for each label against the rest. Training
 * then goes on from there. It needs a channel for each label and one to count in, so at most LM_BAYES_LABELS.
 */
#ifndef LM_BAG_H
#define LM_BAG_H

#include "model/network.h"

/* Adds the rows of the runs that end at tokens[first .. last) of a text to sums [lm_bag_channels]. */
void lm_bag_add(double *sums, const float *bag, const LmConfig *config, const int32_t *tokens, size_t first, size_t last);

/* How many rows a text of n tokens has. */
size_t lm_bag_count(size_t n);

/* Adds dmean [lm_bag_channels], the gradient of the mean of a text, to that of the bag. */
void lm_bag_add_gradient(float *gradient, const float *dmean, const LmConfig *config, const int32_t *tokens, size_t n);

/*
 * Naive Bayes in three steps: counts take the place of the embeddings; texts are counted, each with its labels, ascending, and its
 * weight; log ratios take the place of the counts, and label_weight [labels, C + lm_bag_channels] reads them.
 */
void lm_bag_clear(float *bag, const LmConfig *config);
void lm_bag_count_text(float *bag, const LmConfig *config, const int32_t *tokens, size_t n, const uint32_t *labels, size_t n_labels, float weight);
void lm_bag_weigh(float *bag, float *label_weight, const LmConfig *config);

#endif /* LM_BAG_H */

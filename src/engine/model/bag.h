/*
 * src/engine/model/bag.h
 *
 * The bag of a classifier: an embedding [lm_bag_channels] for each token, and for each run of two
 * to LM_BAG_RUN tokens. A text is the mean of those of its tokens and runs.
 */
#ifndef LM_BAG_H
#define LM_BAG_H

#include "model/network.h"

/*
 * Adds the rows of the runs that end at tokens[first .. last) of a text to sums [lm_bag_channels].
 */
void lm_bag_add(double *sums, const float *bag, const LmConfig *config, const int32_t *tokens,
				size_t first, size_t last);

/*
 * The same of the runs that have a token that is not fixed, fixed [n] being 0 for it. weights [n]
 * += what each such run adds to a score, dsums [lm_bag_channels] being the derivatives by the sums:
 * in even shares of its tokens that are not fixed.
 */
void lm_bag_add_free(double *sums, const float *bag, const LmConfig *config, const int32_t *tokens,
					 const uint8_t *fixed, size_t first, size_t last);
void lm_bag_share(double *weights, const double *dsums, const float *bag, const LmConfig *config,
				  const int32_t *tokens, const uint8_t *fixed, size_t first, size_t last);

/* The number of rows that a text of n tokens adds up. */
size_t lm_bag_count(size_t n);

/* Adds dmean [lm_bag_channels], the gradient of the mean of a text, to that of the bag. */
void lm_bag_add_gradient(float *gradient, const float *dmean, const LmConfig *config,
						 const int32_t *tokens, size_t n);

#endif /* LM_BAG_H */

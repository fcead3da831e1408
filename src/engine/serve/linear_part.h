/*
 * src/engine/serve/linear_part.h
 *
 * The linear part of a classifier in use: a text's tokens go in, what its features add to the
 * labels' logits comes out. It is scratch of a session, one text at a time.
 */
#ifndef LM_LINEAR_PART_H
#define LM_LINEAR_PART_H

#include "serve/image.h"
#include "serve/session.h"

typedef struct LmLinearPart
{
	LmFeatures features;
	LmFeaturePair pair;
	LmFeatureText text;
	double *logits; /* [labels] */
} LmLinearPart;

/* NULL with LM_ERR_MEMORY. _free: NULL is fine. */
LmLinearPart *lm_linear_part_create(const LmSession *session, LmError *error);
void lm_linear_part_free(LmLinearPart *part, const LmHost *host);

/* Sets logits for a text of n ids, or for two texts, of which the first has n_first of them.
 * LM_ERR_MEMORY, LM_ERR_STOPPED, LM_ERR_LIMIT. */
bool lm_linear_part_read(LmLinearPart *part, const LmSession *session, const int32_t *ids,
						 size_t n_first, size_t n, LmError *error);

#endif /* LM_LINEAR_PART_H */

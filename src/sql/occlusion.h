/*
 * src/sql/occlusion.h
 *
 * Occlusion: a text goes in, and how much the score of an answer falls without each of its words.
 */
#ifndef GPT_OCCLUSION_H
#define GPT_OCCLUSION_H

#include "engine/explain.h"
#include "serve/cache.h"

#define GPT_OCCLUSION_WORDS 4096 /* of both texts of a pair, at most */

/* The answer of a model that is explained. */
typedef struct GptAnswerExplained
{
	LmBytes texts[2]; /* clean; a pair's both, else the first */
	int n_texts;
	bool is_target; /* of a language model, else of a head */
	LmBytes target; /* with its end */
	bool is_end; /* the target is the end of the text, which has no bytes */
	int label; /* of a classifier; below 0: the most probable, which the explanation sets */
} GptAnswerExplained;

/* The words of a text, and the fall of the score without each. */
typedef struct GptOccluded
{
	LmWordSpan *words;
	size_t n;
	double *weights; /* [n] */
} GptOccluded;

/*
 * Fills occluded [n_texts], palloc'd, and returns the score of the whole. An error for more than
 * GPT_OCCLUSION_WORDS words. Checks for interrupts.
 */
extern double gpt_occlude(GptOccluded *occluded, GptAnswerExplained *answer,
						  const GptServed *served);

#endif /* GPT_OCCLUSION_H */

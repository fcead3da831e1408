/*
 * include/corpus/numbers.h
 *
 * The numbers of regression: how they become ones of mean 0 and standard deviation 1, and back.
 */
#ifndef GPT_NUMBERS_H
#define GPT_NUMBERS_H

#include "engine/config.h"

/* Values of a configuration, which has them as float32. */
typedef struct GptNumbers
{
	float mean;
	float scale; /* above 0; 0: not known yet */
} GptNumbers;

/* The moments of numbers with weights. */
typedef struct GptMoments
{
	double weight; /* of all */
	double mean;
	double squares; /* weighted, of differences from the mean */
} GptMoments;

/*
 * Adds the moments of further numbers (Chan et al. 1979, "Updating formulae and a pairwise
 * algorithm for computing sample variances", equation 2.1). _numbers: mean and standard deviation.
 */
extern void gpt_moments_add(GptMoments *moments, const GptMoments *further);
extern GptNumbers gpt_moments_numbers(const GptMoments *moments);

/* Those of a model of numbers. */
static inline GptNumbers
gpt_numbers_of(const LmConfig *config)
{
	return (GptNumbers){config->number_mean, config->number ? config->number_scale : 0};
}

static inline double
gpt_number_standardize(const GptNumbers *numbers, double number)
{
	return (number - (double) numbers->mean) / (double) numbers->scale;
}

static inline double
gpt_number_restore(const GptNumbers *numbers, double standardized)
{
	return (double) numbers->mean + (double) numbers->scale * standardized;
}

#endif /* GPT_NUMBERS_H */

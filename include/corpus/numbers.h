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

/*
 * include/train/train_architecture.h
 *
 * The architecture of a training.
 */
#ifndef GPT_TRAIN_ARCHITECTURE_H
#define GPT_TRAIN_ARCHITECTURE_H

#include "core/options.h"
#include "corpus/corpus.h"
#include "corpus/source.h"

/*
 * Raises an error if rows of the shape cannot be learnt with the architecture of the options, or
 * else of the base (NULL: there is none).
 */
extern void gpt_architecture_check(const GptTrainOptions *options, const GptSourceShape *shape,
								   const LmConfig *base);

/*
 * Sets the architecture of a fine-tune to that of its base unless it is given; raises an error if
 * the base cannot become what is given.
 */
extern void gpt_architecture_take(GptTrainOptions *options, const LmConfig *base);

/* Whether a base has the weights of a configuration: a decoder has those of a prefix. */
extern bool gpt_architecture_fits(const LmConfig *base, const LmConfig *config);

/* The architecture of the options or, where they leave it open, the one for the corpus. */
extern LmArchitecture gpt_architecture_choose(const GptTrainOptions *options,
											  const GptCorpus *corpus);

/*
 * Sets encoder_layers of a configuration whose architecture is set, and layers of one whose layers
 * are a preset's, which are those of both stacks together.
 */
extern void gpt_architecture_split(LmConfig *config, const GptTrainOptions *options);

#endif /* GPT_TRAIN_ARCHITECTURE_H */

/*
 * include/train/train_measure.h
 *
 * The end of a training, before the publication: the weights are measured on the held-out rows of
 * the token file. Models are asked by an upper room, which says at the start of the library how.
 */
#ifndef GPT_TRAIN_MEASURE_H
#define GPT_TRAIN_MEASURE_H

#include "corpus/corpus.h"
#include "train/train_base.h"
#include "train/train_features.h"
#include "train/train_loop.h"
#include "train/train_plan.h"

/* The weights that will be published, and what is measured of them. */
typedef struct GptMeasuring
{
	const char *model; /* its name */
	const GptCorpus *corpus;
	const LmParamTable *table;
	const float *block;
	const char *labels; /* names, one after another, or NULL */
	const GptVersion *base; /* the full version that an adapter rests on, or NULL */
	uint64 held; /* bytes that the training holds */
	int64 most_tokens; /* about which the model is asked */
	MemoryContext context; /* of the results */
	Jsonb *evaluation; /* columns of gpt_versions; NULL: none */
	Jsonb *profile;
} GptMeasuring;

/* Called by _PG_init. measure runs in a transaction; an error ends the measuring, not the job. */
extern void gpt_train_ask_measure(void (*measure)(GptMeasuring *measuring));

/*
 * Measures what the training has made, by a twentieth of its computation at most, but for very
 * short ones. Returns the results in the current memory context, and in *note why there are none,
 * or NULL. Outside of transactions. Raises an error only if the job was asked to stop.
 */
extern GptMeasuring *gpt_train_measure(char **note, const GptJob *job, const GptTrainPlan *plan,
									   const GptTrainBase *base, const GptCorpus *corpus,
									   const GptTrainResult *result,
									   const GptTrainFeatures *features, GptProgress *progress);

#endif /* GPT_TRAIN_MEASURE_H */

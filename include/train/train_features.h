/*
 * include/train/train_features.h
 *
 * The linear part of a classifier (engine/feature_fit.h) in a job: it is fitted before the steps,
 * weighed against the network after them, and published with it. A job that continues from a
 * checkpoint fits it again, to the same bits unless time cuts the fit short.
 *
 * The fit takes what memory gpt.max_memory leaves, and at most half of the time that `minutes`
 * leave after reading.
 */
#ifndef GPT_TRAIN_FEATURES_H
#define GPT_TRAIN_FEATURES_H

#include "core/json_writer.h"
#include "corpus/corpus.h"
#include "engine/feature_fit.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/progress.h"
#include "train/train_base.h"
#include "train/train_loop.h"
#include "train/train_plan.h"

typedef struct GptTrainFeatures
{
	LmFeatureFit *fit;
	TimestampTz started_at;
	double most_time; /* microseconds, of the fit of a job with a time limit */
	bool short_of_memory; /* for features, and ... */
	bool short_of_entries; /* ... for those of all rows */
	LmBlend blend; /* afterwards */
} GptTrainFeatures;

/*
 * NULL where rows have no labels. The linear part of the base's version, if it has one, is learnt
 * further; base may be NULL for a fine-tune that continues from a checkpoint. Lives in the current
 * memory context. Outside of transactions.
 */
extern GptTrainFeatures *gpt_train_features_fit(const GptJob *job, const GptTrainPlan *plan,
												const GptCorpus *corpus, const GptTrainBase *base,
												GptProgress *progress);

/*
 * Weighs network and linear part on the validation rows, scales the network's head in the trainer,
 * which gets the weights to publish (result->best becomes NULL), and sets the validation loss to
 * that of the whole. NULL features do nothing.
 */
extern void gpt_train_features_blend(GptTrainFeatures *features, GptTrainResult *result,
									 const GptTrainPlan *plan, const GptCorpus *corpus);

/*
 * Gives a publication, which has the trainer's weights, the linear part: a table and a block of its
 * own, palloc'd.
 */
extern void gpt_train_features_publish(GptPublication *publication,
									   const GptTrainFeatures *features);

/* A note on what the linear part could not have for lack of memory or time; NULL: it has all. */
extern const char *gpt_train_features_note(const GptTrainFeatures *features);

/* Writes the member "classifier" of the job's report: sizes and shares of both parts. */
extern void gpt_train_features_report(GptJsonWriter *json, const GptTrainFeatures *features);

#endif /* GPT_TRAIN_FEATURES_H */

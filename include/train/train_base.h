/*
 * include/train/train_base.h
 *
 * The weights that a training begins with, where it does not begin with random ones: those of the
 * base of a fine-tune, or of the newest partial version of an interrupted run whose checkpoint is
 * lost (after a fail-over).
 */
#ifndef GPT_TRAIN_BASE_H
#define GPT_TRAIN_BASE_H

#include "core/compat.h"
#include "core/options.h"
#include "corpus/corpus.h"
#include "corpus/source.h"
#include "engine/trainer.h"
#include "store/catalog.h"
#include "store/job.h"

typedef struct GptTrainBase
{
	GptVersion *version;
	GptVersion *full; /* the same, or what it rests on where it is an adapter */
	int64 step; /* that the weights are of: 0 for a fine-tune */
	GptGivenTokenizer tokenizer;
} GptTrainBase;

/*
 * NULL where the job begins with random weights. lost: no checkpoint is left, so that a partial
 * version of its own will do. Otherwise sets the options of the model's shape, which the base
 * decides, and writes the base's version into the job's row. The base of a fine-tune is the current
 * version when the job first starts. Errors: it does not exist, or the current role may not use it.
 * Outside of transactions.
 */
extern GptTrainBase *gpt_train_base_find(const GptJob *job, GptTrainOptions *options, bool lost);

/*
 * Sets the labels of given to those of the version that the job's row names, which a run from a
 * checkpoint does not look for otherwise; leaves them where there is no such version any more.
 * Outside of transactions.
 */
extern void gpt_train_base_labels(GptGivenTokenizer *given, const GptJob *job);

/*
 * The value beyond which rows are read, by the version that the fine-tune starts from (base, or
 * that of the job's row); sets options->watermark to its column. NULL where the options do not ask
 * for it. Error where the version has no watermark of that column. Outside of transactions.
 */
extern char *gpt_train_base_since(const GptJob *job, GptTrainOptions *options,
								  const GptTrainBase *base);

/* The same in a transaction, for a version. */
extern char *gpt_train_since(GptTrainOptions *options, const GptVersion *version);

/*
 * Error when the options ask for an adapter of another shape than the version, which is one itself;
 * sets those that they leave open to its own.
 */
extern void gpt_train_check_method(GptTrainOptions *options, const GptVersion *version);

/* Error when the version is a classifier and the query has no labels, or not of its kind. */
extern void gpt_train_check_columns(const GptSourceShape *shape, const GptVersion *version);

/* Raises the error of a base that is another model than the one that the job began with. */
pg_noreturn extern void gpt_train_base_changed(const GptTrainBase *base);

/*
 * Reads the weights into the trainer: all of them, with an adapter folded in where the version is
 * one; or, where the trainer has an adapter, the frozen ones, and where the version is one its
 * matrices. frozen_only: the rest comes from a checkpoint. Outside of transactions.
 */
extern void gpt_train_base_read(LmTrainer *trainer, const GptTrainBase *base, bool frozen_only);

#endif /* GPT_TRAIN_BASE_H */

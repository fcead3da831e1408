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

/* The version whose weights a training starts from. */
typedef struct GptTrainBase
{
	GptVersion *version;
	GptVersion *full; /* the same; for an adapter the version that it rests on */
	int64 step; /* of a partial version of the same run; 0: a fine-tune */
	GptGivenTokenizer tokenizer;
} GptTrainBase;

/*
 * The base of a job; NULL if it starts with random weights. lost: the job has run before and no
 * checkpoint is left, so that a partial version of its own run is used. Otherwise sets the options
 * of the model's shape, which the base decides, and writes the base's version into the job's row. A
 * fine-tune starts from the version that is current when it first runs. Errors: the base does not
 * exist, or the current role may not use it. Outside of transactions.
 */
extern GptTrainBase *gpt_train_base_find(const GptJob *job, GptTrainOptions *options, bool lost);

/*
 * Sets the labels and extras of given to those of the base version in the job's row, for a run that
 * continues from a checkpoint; leaves them if that version no longer exists. Outside of
 * transactions.
 */
extern void gpt_train_base_labels(GptGivenTokenizer *given, const GptJob *job);

/*
 * The watermark of the version that the fine-tune starts from (base, or that of the job's row);
 * only rows beyond it are read. Sets options->watermark to its column. NULL if the options do not
 * ask for it. Raises an error if the version has no watermark of that column. Outside of
 * transactions.
 */
extern char *gpt_train_base_since(const GptJob *job, GptTrainOptions *options,
								  const GptTrainBase *base);

/* The same for a given version, inside a transaction. */
extern char *gpt_train_since(GptTrainOptions *options, const GptVersion *version);

/*
 * Raises an error if the version is an adapter and the options ask for one of another shape;
 * options that are not given take its values.
 */
extern void gpt_train_check_method(GptTrainOptions *options, const GptVersion *version);

/* LmTrainOptions.base_type for an adapter that rests on the version, or continues it. */
extern int gpt_train_base_type(const GptVersion *version);

/*
 * Raises an error if the version is a classifier and the query has no labels, or labels of another
 * kind.
 */
extern void gpt_train_check_columns(const GptSourceShape *shape, const GptVersion *version);

/* Raises the error that the base now has other weights than when the job began. */
pg_noreturn extern void gpt_train_base_changed(const GptTrainBase *base);

/*
 * Reads the base's weights into the trainer. If the trainer trains all weights, an adapter is
 * folded into its base. If it trains an adapter, the frozen weights are read, and the matrices of
 * the version if it is an adapter. frozen_only: a checkpoint has the rest. Outside of transactions.
 */
extern void gpt_train_base_read(LmTrainer *trainer, const GptTrainBase *base, bool frozen_only);

/*
 * For a member of a training over servers, inside a transaction: a version of this server that the
 * current role may use, and the weights of it, or of its base, below an adapter.
 */
extern GptTrainBase *gpt_train_base_named(const char *name);
extern void gpt_train_base_read_frozen(LmTrainer *trainer, const GptTrainBase *base);

/* gpt_train_base_read of all weights, inside a transaction. */
extern void gpt_train_base_read_here(LmTrainer *trainer, const GptTrainBase *base);

#endif /* GPT_TRAIN_BASE_H */

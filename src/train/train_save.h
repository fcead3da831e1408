/*
 * src/train/train_save.h
 *
 * What a running training leaves for later: checkpoints by gpt.checkpoint_interval, partial
 * versions by gpt.publish_interval; and how one goes on from there.
 */
#ifndef GPT_TRAIN_SAVE_H
#define GPT_TRAIN_SAVE_H

#include "engine/gradient_tree.h"
#include "store/job.h"
#include "train/checkpoint.h"
#include "train/members.h"
#include "train/train_base.h"
#include "train/train_loop.h"

/* Saves a training: the context of its hooks. */
typedef struct GptTrainSaver
{
	const GptJob *job;
	const GptCorpus *corpus;
	GptProgress *progress;
	GptCheckpoint *from; /* the run continues from it, or NULL; closed after reading */
	/* the weights to start from without a checkpoint, or NULL; always set for an adapter */
	const GptTrainBase *base;
	GptMembers *members; /* other servers that train with this one, or NULL */
	LmTreeStep alone; /* for option "sync" "step" on this server alone; no leaves: none */
	GptCheckpoint next; /* with everything that all checkpoints of the run share */
	TimestampTz saved_at; /* last checkpoint */
	TimestampTz published_at; /* last partial version */
} GptTrainSaver;

/* Prepares a saver; all pointers must outlive it. _hooks returns the hooks that use it. */
extern void gpt_train_saver_init(GptTrainSaver *saver, const GptJob *job, const GptTrainPlan *plan,
								 const GptCorpus *corpus, GptProgress *progress);
extern GptTrainHooks gpt_train_saver_hooks(GptTrainSaver *saver);

/*
 * Sets what all versions of the job share: name, run, base of an adapter, parameter table, and the
 * tokenizer, which it stores if needed. best: the weights to publish; NULL: the trainer's. Inside a
 * transaction.
 */
extern void gpt_train_publication(GptPublication *publication, const GptJob *job,
								  const GptTrainBase *base, const GptCorpus *corpus,
								  LmTrainer *trainer, const float *best);

/* One line with the processor and the kernels of this process. */
extern const char *gpt_train_machine(const GptTrainPlan *plan);

#endif /* GPT_TRAIN_SAVE_H */

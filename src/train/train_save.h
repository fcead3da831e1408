/*
 * src/train/train_save.h
 *
 * What a running training leaves for later: checkpoints by gpt.checkpoint_interval, partial
 * versions by gpt.publish_interval; and how one goes on from there.
 */
#ifndef GPT_TRAIN_SAVE_H
#define GPT_TRAIN_SAVE_H

#include "store/job.h"
#include "train/checkpoint.h"
#include "train/train_base.h"
#include "train/train_loop.h"

typedef struct GptTrainSaver
{
	const GptJob *job;
	const GptCorpus *corpus;
	GptProgress *progress;
	GptCheckpoint *from; /* what is continued, or NULL; closed after it was read */
	/* otherwise: whose weights to begin with, or NULL; always there for an adapter */
	const GptTrainBase *base;
	GptCheckpoint next; /* what does not change from one checkpoint to the next is set */
	TimestampTz saved_at;
	TimestampTz published_at;
} GptTrainSaver;

extern void gpt_train_saver_init(GptTrainSaver *saver, const GptJob *job, const GptTrainPlan *plan,
								 const GptCorpus *corpus, GptProgress *progress);
extern GptTrainHooks gpt_train_saver_hooks(GptTrainSaver *saver);

/*
 * Fills what all versions of the job have: name, run, base of an adapter, tokenizer, which is
 * stored where it is not; table and losses of the state. In a transaction.
 */
extern void gpt_train_publication(GptPublication *publication, const GptJob *job,
								  const GptTrainBase *base, const GptCorpus *corpus,
								  LmTrainer *trainer, const float *best);

/* The processor and the kernels of this process, as one line. */
extern const char *gpt_train_machine(const GptTrainPlan *plan);

#endif /* GPT_TRAIN_SAVE_H */

/*
 * include/train/checkpoint.h
 *
 * The checkpoint of a running job, gpt/pgsql_tmp_<run id>.ckpt: everything that the rest of its run
 * depends on besides the token file. A run that is continued from it ends in the same weights, bit
 * for bit.
 *
 *   | Beginning | section | section | ... | end section |
 *   section: | kind: uint32 | crc32c: uint32, of kind, size and bytes | size: uint64 | bytes |
 *
 * The sections are: corpus, plan, tokenizer.json; and once a step has been done: state, parameters,
 * both moments, the best parameters where they are not the present ones, what is kept of the base,
 * and the state of outer steps. Numbers are in the machine's own form: the file leaves it only for
 * machines of the same form, which are members of the same training.
 */
#ifndef GPT_CHECKPOINT_H
#define GPT_CHECKPOINT_H

#include "corpus/corpus.h"
#include "engine/trainer.h"
#include "store/progress.h"
#include "train/train_loop.h"
#include "train/train_plan.h"

/* The state from which a job continues; palloc'd by gpt_checkpoint_open. */
typedef struct GptCheckpoint
{
	pg_uuid_t run_id;
	const char *extension; /* of the run's file (run_files.h); NULL: GPT_CHECKPOINT */
	const char *path; /* NULL: the file was received */
	int file;
	off_t offset; /* where the next read begins */
	char machine[256]; /* the processor and the kernels that wrote it */
	GptCorpusRecord corpus;
	GptTrainPlan plan;
	char preset[32];
	char *tokenizer; /* a tokenizer.json */
	size_t tokenizer_size;
	bool has_weights; /* then `state` and the rest of the file exist */
	GptTrainState state;
	/*
	 * of a training over several servers: the state of its outer steps, of a member what packing
	 * has left; in the caller's memory
	 */
	float *outer;
	size_t outer_count; /* 0: there is none, or it is not wanted */
} GptCheckpoint;

/*
 * Replaces the run's checkpoint; an interrupted or failed write leaves the old one. The caller has
 * set tokenizer, corpus, plan and machine. trainer: NULL if there are no weights yet, nor a
 * reference. best: the weights that keep_best has put aside, or NULL. Calls gpt_progress_tick after
 * each megabyte. Errors name the file.
 */
extern void gpt_checkpoint_write(const GptCheckpoint *checkpoint, LmTrainer *trainer,
								 const float *best, const GptReference *reference,
								 GptProgress *progress);

/*
 * The same for a file that may be lost with the machine: it is not synced, which would take most of
 * the time, and that it cannot be written is a warning; false then.
 */
extern bool gpt_checkpoint_try_write(const GptCheckpoint *checkpoint, LmTrainer *trainer,
									 const float *best, const GptReference *reference,
									 GptProgress *progress);

/*
 * Opens the run's checkpoint and reads it up to the weights. NULL if there is none, or another
 * version of the library wrote it; ERRCODE_DATA_CORRUPTED if it is damaged.
 */
extern GptCheckpoint *gpt_checkpoint_open(const pg_uuid_t *run_id);

/*
 * The same of an open file, which stays the caller's: path NULL: another server has sent it. Raises
 * an error for another version of the library, too. All bytes are those of the sender: what the
 * caller uses of the numbers in plan, corpus and state, it checks before.
 */
extern GptCheckpoint *gpt_checkpoint_receive(int file, const char *path, const pg_uuid_t *run_id);

/*
 * Reads the weights into the trainer, the best ones into `best`, which the caller allocates if
 * state.has_best, and the reference; reference NULL: that is of other rows, and passed. _close
 * closes the file and frees the checkpoint.
 */
extern void gpt_checkpoint_read_weights(GptCheckpoint *checkpoint, LmTrainer *trainer, float *best,
										const GptReference *reference, GptProgress *progress);
extern void gpt_checkpoint_close(GptCheckpoint *checkpoint);

/*
 * The database whose job wrote the run's checkpoint; InvalidOid if there is none that can be read.
 */
extern Oid gpt_checkpoint_database(const pg_uuid_t *run_id);

#endif /* GPT_CHECKPOINT_H */

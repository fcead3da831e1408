/*
 * include/train/members.h
 *
 * A training over several servers, as its coordinator sees it: the job's worker, which is member 0
 * and trains as any worker does, and the sessions of other servers that train with it
 * (membership.h). Option "servers" names them; option "sync" says how they become one model.
 *
 * DiLoCo (engine/outer.h): all begin a round with the same weights, make so many steps on rows of
 * their own, and then apply the same update. A member that comes back gets a checkpoint of the
 * coordinator at the beginning of a round, as a member that joins for the first time does. It has
 * the coordinator's moments then. Where option "on_loss" is "wait", members keep on their servers
 * what only they have, and come back with it, in the middle of a round too: then the weights are
 * those of a training without the loss.
 *
 * Steps of all (option "sync" is "step"): all have the same weights and moments after each step,
 * whose gradient is summed along a tree of micro-batches (engine/gradient_tree.h) over a mesh of
 * all members (gradient_mesh.h). A mesh that fails is the end of an epoch: a step that was not made
 * is done again in the next one.
 *
 * A member is lost when its connection ends, when its server does not answer a second connection
 * for GPT_MEMBERS_DEAD_MS, or when its session is silent for gpt.peer_timeout. Option "on_loss"
 * says whether the training waits for it, or the round ends without it.
 *
 * Outside of transactions. All functions may raise errors of connections, with the server's name.
 */
#ifndef GPT_MEMBERS_H
#define GPT_MEMBERS_H

#include "core/options.h"
#include "engine/gradient_tree.h"
#include "store/job.h"
#include "store/progress.h"
#include "train/train_base.h"
#include "train/job_slot.h"
#include "train/train_loop.h"
#include "train/train_plan.h"

#define GPT_MEMBERS_BEAT_MS 250 /* between two questions whether a server is alive */
#define GPT_MEMBERS_DEAD_MS 900 /* without an answer */

typedef struct GptMembers GptMembers;

/*
 * The members of a job, with connections to all of them; NULL where the options name no servers.
 * base: what the job starts from, or NULL; members that need it have the same version. continued:
 * the job had begun before; then a server that cannot be reached is lost, while at the
 * beginning it is an error. slot: that of the job, which outlives the members. Lives in the current
 * memory context.
 */
extern GptMembers *gpt_members_create(const GptJob *job, const GptTrainOptions *options,
									  const GptTrainBase *base, bool continued,
									  const GptJobSlot *slot, GptProgress *progress);

/* Waits until all servers are members: before rows are read, where no checkpoint has them. */
extern void gpt_members_await(GptMembers *members);

/* Before the plan is made: how many servers there are, and rows of all of them. */
extern void gpt_members_tell_plan(const GptMembers *members, GptTrainOptions *options);

/* Makes a plan one for several servers: validations at the ends of rounds, memory. */
extern void gpt_members_plan(const GptMembers *members, GptTrainPlan *plan);

/*
 * For option "sync" "step", also of one server (members NULL): the number of micro-batches where
 * the options leave it open, and the memory of their tree.
 */
extern void gpt_members_choose_leaves(const GptMembers *members, GptTrainOptions *options);
extern void gpt_members_plan_leaves(GptTrainPlan *plan);

/* The servers of the training, this one included. */
extern int gpt_members_count(const GptMembers *members);

/*
 * How the job's corpus is made together with those of the members, which have rows of their own;
 * NULL where rows are dealt out, or there are no members. given: the tokenizer of the base, or
 * NULL; it must outlive this.
 */
extern const GptTogether *gpt_members_together(GptMembers *members, const GptGivenTokenizer *given);

/* Makes the corpus the share of this server, where rows are dealt out. */
extern void gpt_members_deal(GptMembers *members, GptCorpus *corpus);

/*
 * Before the first step: allocates the state of outer steps, zeros, and returns it for the
 * checkpoint.
 */
extern float *gpt_members_outer(GptMembers *members, size_t *count, const GptTrainPlan *plan,
								LmTrainer *trainer);

/* Whether all members have the weights of the trainer, so that a checkpoint may be written. */
extern bool gpt_members_are_common(const GptMembers *members);

/*
 * Before each step. _begin starts a round where none goes on; false: _join comes first. _join takes
 * lost servers back, and returns whether a member needs a checkpoint; the caller then writes one,
 * and calls _supply.
 */
extern bool gpt_members_join(GptMembers *members, const GptTrainState *state);
extern void gpt_members_supply(GptMembers *members, const GptTrainState *state, LmTrainer *trainer);

/*
 * After _join: members that have kept the state of this step take it. True if no one needs a
 * checkpoint.
 */
extern bool gpt_members_supply_kept(GptMembers *members, const GptTrainState *state,
									LmTrainer *trainer);

/* From now on the job would continue at that step, whose checkpoint was read or written. */
extern void gpt_members_saved(GptMembers *members, int64 step);
extern bool gpt_members_begin(GptMembers *members, const GptTrainState *state, LmTrainer *trainer);

/* After each step: at the end of a round, and after the last step, makes the weights common. */
extern void gpt_members_after_step(GptMembers *members, const GptTrainState *state,
								   LmTrainer *trainer, bool last);

/* The tree of the next step; NULL: none, or this server is alone. */
extern const LmTreeStep *gpt_members_tree(const GptMembers *members);

/* A step along the tree could not be made: the round ends, and _begin starts another one. */
extern void gpt_members_failed_step(GptMembers *members, const GptTrainState *state,
									LmTrainer *trainer, const LmError *error);

/*
 * The training has ended: members leave, connections are closed. _forget, once the model is
 * published: they remove what they have kept for the case that the job has to be continued.
 */
extern void gpt_members_end(GptMembers *members);
extern void gpt_members_forget(GptMembers *members);

#endif /* GPT_MEMBERS_H */

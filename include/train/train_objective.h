/*
 * include/train/train_objective.h
 *
 * Which of the engine's objectives a job has: by the columns of its query and its options.
 */
#ifndef GPT_TRAIN_OBJECTIVE_H
#define GPT_TRAIN_OBJECTIVE_H

#include "core/options.h"
#include "corpus/corpus.h"

extern LmObjectiveKind gpt_objective_of(const GptTrainOptions *options, const GptTask *task);

/*
 * The word of option "preference" for DPO and ORPO, and their beta: that of the options, or else
 * their own. NULL and 0 for objectives that do not learn preferences.
 */
extern const char *gpt_objective_preference(LmObjectiveKind objective);
extern double gpt_objective_beta(const GptTrainOptions *options, LmObjectiveKind objective);

/* Whether an objective learns from groups that are compared with the base. */
extern bool gpt_objective_has_reference(LmObjectiveKind objective);

/* Raises an error for options of another objective, or with values that it cannot have. */
extern void gpt_objective_check(const GptTrainOptions *options, const GptTask *task);

/*
 * Whether most of the first pairs of a contrastive training are the same text twice, whose two
 * embeddings differ by dropout alone.
 */
extern bool gpt_objective_needs_noise(const GptCorpus *corpus);

#endif /* GPT_TRAIN_OBJECTIVE_H */

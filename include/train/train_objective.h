/*
 * include/train/train_objective.h
 *
 * Which of the engine's objectives a job has: by the columns of its query and its options.
 */
#ifndef GPT_TRAIN_OBJECTIVE_H
#define GPT_TRAIN_OBJECTIVE_H

#include "core/options.h"
#include "corpus/source_task.h"

extern LmObjectiveKind gpt_objective_of(const GptTrainOptions *options, const GptTask *task);

/* Whether an objective learns from groups that are compared with the base. */
extern bool gpt_objective_has_reference(LmObjectiveKind objective);

/* Raises an error for options of another objective, or with values that it cannot have. */
extern void gpt_objective_check(const GptTrainOptions *options, const GptTask *task);

#endif /* GPT_TRAIN_OBJECTIVE_H */

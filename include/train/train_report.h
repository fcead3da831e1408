/*
 * include/train/train_report.h
 *
 * What the row of a job says about its rows and its run: `conditions`, on which the result rests,
 * and `report`, which gpt_estimate gives for a query before it is trained on.
 */
#ifndef GPT_TRAIN_REPORT_H
#define GPT_TRAIN_REPORT_H

#include "corpus/corpus.h"
#include "train/train_loop.h"
#include "train/train_plan.h"

/* The name of the option that ended a training. */
extern const char *gpt_train_end_name(int end);

/*
 * The conditions of the result: with the same rows, seed and these, the weights are the same bits,
 * unless time ended the training. result: NULL before the end.
 */
extern Jsonb *gpt_report_conditions(const GptTrainPlan *plan, const GptCorpus *corpus,
									const GptTrainResult *result);

/* The report of a job after its rows were read and made tokens. */
extern Jsonb *gpt_report_corpus(const GptCorpus *corpus);

#endif /* GPT_TRAIN_REPORT_H */

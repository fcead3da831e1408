/*
 * include/train/train_report.h
 *
 * What the row of a job says about its rows and its run: `conditions`, on which the result rests,
 * and `report`, which gpt_estimate gives for a query before it is trained on.
 */
#ifndef GPT_TRAIN_REPORT_H
#define GPT_TRAIN_REPORT_H

#include "core/json_writer.h"
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

/*
 * The report of a job, member by member: of the rows after they were read and made tokens
 * (corpus->facts is not NULL), and of the choices of the plan. seconds: estimate of the time that
 * the training takes; 0: not known. result: NULL before the end.
 */
extern void gpt_report_corpus(GptJsonWriter *json, const GptCorpus *corpus);
extern void gpt_report_choices(GptJsonWriter *json, const GptTrainPlan *plan, double seconds,
							   const GptTrainResult *result);

/* The member "measures": those of the validation rows that the task has beside the loss, if any. */
extern void gpt_report_measures(GptJsonWriter *json, const GptTrainResult *result);

/*
 * src/train/train_warnings.c: the member "warnings", an array of sentences. plan: NULL before it is
 * made.
 */
extern void gpt_report_warnings(GptJsonWriter *json, const GptCorpus *corpus,
								const GptTrainPlan *plan, const GptTrainOptions *options);

#endif /* GPT_TRAIN_REPORT_H */

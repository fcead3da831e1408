/*
 * src/train/train_estimate.c
 *
 * A query and the options of a training go in; a report as a job would write it comes out, without
 * a job.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "train/train_estimate.h"
#include "train/train_report.h"

#define MOST_SECONDS 2.0 /* of each measurement of steps */

/*
 * The engine is that of a training. Its threads end here, and with them all that it allocated,
 * before an error frees the sample that they read.
 */
Jsonb *
gpt_train_estimate(const char *query, const GptTrainOptions *options)
{
	GptPlanTiming timing = {.most_seconds = MOST_SECONDS};
	GptJsonWriter json = {NULL};
	GptTrainPlan plan;
	GptProgress progress;
	GptCorpus *corpus;

	gpt_progress_start(&progress, GPT_NO_JOB);
	corpus = gpt_corpus_estimate(query, options, &progress);
	PG_TRY();
	{
		gpt_plan_estimate(&plan, &timing, options, corpus, &progress);
	}
	PG_FINALLY();
	{
		gpt_bridge_stop_engine();
	}
	PG_END_TRY();

	gpt_json_begin(&json, NULL);
	gpt_report_corpus(&json, corpus);
	gpt_report_choices(&json, &plan, timing.seconds, NULL);
	gpt_report_warnings(&json, corpus, &plan, options);
	return gpt_json_finish(&json);
}

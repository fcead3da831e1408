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

#define MOST_SECONDS 1.0 /* of each measurement of steps; the first step is not counted */

static void
stop_engine(void *unused)
{
	gpt_bridge_stop_engine();
}

/*
 * The engine is that of a training. Its threads end with the memory context, also after an error:
 * before the sample that they read is freed, and with all that the engine allocated.
 */
static void
keep_engine(void)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	*callback = (MemoryContextCallback){.func = stop_engine};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

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
	keep_engine();
	gpt_plan_estimate(&plan, &timing, options, corpus, &progress);

	gpt_json_begin(&json, NULL);
	gpt_report_corpus(&json, corpus);
	gpt_report_choices(&json, &plan, timing.seconds, NULL);
	gpt_report_warnings(&json, corpus, &plan, options);
	return gpt_json_finish(&json);
}

/*
 * src/sql/gpt.c
 *
 * The library's beginning: what the server needs to load it, settings, callbacks, and the launcher
 * where the library is preloaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "core/compat.h"
#include "core/settings.h"
#include "jobs/job_launch.h"
#include "jobs/launcher.h"
#include "serve/batching.h"
#include "serve/explain.h"
#include "serve/planning.h"
#include "serve/stats.h"
#include "sql/call_kinds.h"
#include "sql/version_measure.h"
#include "store/blob.h"
#include "store/catalog.h"

GPT_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static const GptCallKind *const batched[] = {&gpt_score_call,	&gpt_generate_call,
											 &gpt_logprob_call, &gpt_classify_call,
											 &gpt_predict_call, &gpt_embed_call,
											 &gpt_chat_call,	&gpt_generate_as_call,
											 &gpt_extract_call, NULL};

void
_PG_init(void)
{
	gpt_settings_define();
	MarkGUCPrefixReserved("gpt");
	gpt_blob_init();
	gpt_batching_init(batched);
	gpt_planning_init();
	gpt_stats_init();
	gpt_row_errors_init();
	gpt_explain_init();
	gpt_catalog_ask_pending(gpt_job_launch_pending);
	gpt_train_ask_measure(gpt_version_measure);
	gpt_launcher_init();
}

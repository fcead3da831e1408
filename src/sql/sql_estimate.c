/*
 * src/sql/sql_estimate.c
 *
 * gpt_estimate: a query goes in; facts about its rows and the choices of a training come out.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/options.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "train/train_estimate.h"

PG_FUNCTION_INFO_V1(gpt_estimate);

/*
 * gpt_estimate(query text, options jsonb DEFAULT '{}') -> jsonb
 *
 * The query runs read-only as the caller, here and now; nothing is stored. NULL query is an error,
 * NULL options are the defaults.
 */
Datum
gpt_estimate(PG_FUNCTION_ARGS)
{
	MemoryContext old_context;
	MemoryContext context;
	GptTrainOptions *options;
	GptSourceShape shape;
	Jsonb *json;
	Jsonb *report;
	char *query;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "query");
	query = gpt_argument_text(fcinfo, 0);
	json = PG_ARGISNULL(1) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
						   : PG_GETARG_JSONB_P(1);
	gpt_bridge_check_encoding();
	options = gpt_options_parse(json, GPT_FUNCTION_TRAIN);
	gpt_submit_check_training(&shape, query, options);
	gpt_submit_check_servers(options, &shape);

	/* Now do the work. */
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt estimate", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	report = gpt_train_estimate(query, options);
	MemoryContextSwitchTo(old_context);
	report = memcpy(palloc(VARSIZE(report)), report, VARSIZE(report));
	MemoryContextDelete(context);
	PG_RETURN_JSONB_P(report);
}

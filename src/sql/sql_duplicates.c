/*
 * src/sql/sql_duplicates.c
 *
 * gpt_duplicates: a query goes in; the rows that repeat others come out.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/spool.h"
#include "sql/arguments.h"

/* The spool keeps a float, which has seven digits: 0.9 shall not become 0.89999998. */
#define SIMILARITY_STEPS 1e7

PG_FUNCTION_INFO_V1(gpt_duplicates);

static GptDedup
kind_of(const char *word)
{
	for (GptDedup kind = GPT_DEDUP_EXACT; kind <= GPT_DEDUP_NEAR; kind++)
	{
		if (strcmp(word, gpt_dedup_name((int) kind)) == 0)
			return kind;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("kind \"%s\" of duplicates does not exist", word),
					errhint("Kinds are \"exact\" and \"near\".")));
}

static void
put_repeats(ReturnSetInfo *result, const GptSpool *spool)
{
	GptRepeat repeat;

	for (int64 number = 0; gpt_spool_repeat(&repeat, spool, number); number++)
	{
		bool nulls[3] = {false};
		Datum values[3] = {
			Int64GetDatum((int64) repeat.row), Int64GetDatum((int64) repeat.kept),
			Float8GetDatum(rint(repeat.similarity * SIMILARITY_STEPS) / SIMILARITY_STEPS)};

		CHECK_FOR_INTERRUPTS();
		if (repeat.kept != 0)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * gpt_duplicates(query text, kind text DEFAULT 'near') -> setof (row bigint, kept_row bigint,
 * similarity float8)
 *
 * The rows that a training with "dedup" of that kind would not use, in the order of the query. The
 * query runs read-only as the caller. NULL query is an error, NULL kind is the default.
 */
Datum
gpt_duplicates(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GptSpoolOptions options = {.in_transaction = true, .list = true};
	MemoryContext context;
	MemoryContext old_context;
	GptSpool *spool;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "query");
	options.query = gpt_argument_text(fcinfo, 0);
	options.compare =
		PG_ARGISNULL(1) ? GPT_DEDUP_NEAR : kind_of(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);

	/* Now do the work. */
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt duplicates", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	spool = gpt_spool_read(&options);
	put_repeats(result, spool);
	gpt_spool_free(spool);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return (Datum) 0;
}

/*
 * src/sql/sql_train_tokenizer.c
 *
 * gpt_train_tokenizer submits a job that makes a tokenizer.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/snapmgr.h"

#include "core/options.h"
#include "corpus/bpe_options.h"
#include "corpus/source.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "store/catalog.h"
#include "store/job.h"

PG_FUNCTION_INFO_V1(gpt_train_tokenizer);

/*
 * gpt_train_tokenizer(name text, query text, options jsonb DEFAULT '{}') -> bigint
 *
 * Queues the training of a tokenizer on the texts of the query; a worker starts when the
 * transaction commits. NULL name or query is an error, NULL options are the defaults. NULL comes
 * out only of "if_running": "skip", where the other job is not committed.
 */
Datum
gpt_train_tokenizer(PG_FUNCTION_ARGS)
{
	GptJobOrder order = {NULL};
	GptTrainOptions *options;
	GptSourceShape shape;
	int64 other;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "name");
	gpt_argument_required(fcinfo, 1, "query");
	order.tokenizer = gpt_argument_text(fcinfo, 0);
	order.query = gpt_argument_text(fcinfo, 1);
	order.options = gpt_argument_options(fcinfo, 2);
	gpt_submit_check_server("gpt_train_tokenizer()");
	options = gpt_options_parse(order.options, GPT_FUNCTION_TRAIN_TOKENIZER);
	gpt_bpe_options_check(options);
	gpt_catalog_check_new_tokenizer(order.tokenizer);
	gpt_source_check(&shape, order.query, GPT_SOURCE_TOKENIZER, NULL);
	gpt_submit_check_owner();
	switch (gpt_submit_take_turn(&other, &order, options->if_running))
	{
		case GPT_TURN_OURS:
			break;
		case GPT_TURN_OTHER_JOB:
			PG_RETURN_INT64(other);
		case GPT_TURN_OTHER_SESSION:
			PG_RETURN_NULL();
	}

	/* A new snapshot sees changes that were made while this transaction waited for the lock. */
	PushActiveSnapshot(GetLatestSnapshot());
	gpt_catalog_check_new_tokenizer(order.tokenizer);
	PopActiveSnapshot();

	/* Now do the work. */
	PG_RETURN_INT64(gpt_submit_job(&order));
}

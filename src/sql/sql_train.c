/*
 * src/sql/sql_train.c
 *
 * gpt_train and gpt_finetune submit jobs that make models: arguments go in; a queued row comes out,
 * and a worker when the transaction commits.
 */
#include "postgres.h"

#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/json_tree.h"
#include "core/options.h"
#include "corpus/source.h"
#include "remote/connection.h"
#include "remote/mesh.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/model_extras.h"
#include "train/membership.h"
#include "train/train_architecture.h"
#include "train/train_base.h"
#include "train/train_objective.h"
#include "train/train_plan.h"

PG_FUNCTION_INFO_V1(gpt_train);
PG_FUNCTION_INFO_V1(gpt_finetune);

static char *model_of_reference(const char *reference);
static void check_queries(GptSourceShape *shape, const char *query, const GptTrainOptions *options);
static void check_tokenizer(const char *name);
static void check_own_rows(const char *server, const GptSourceShape *shape);
static int32 check_base(GptTrainOptions *options, const char *base);
static void check_finetune(const GptTrainOptions *options, const GptSourceShape *shape,
						   const char *base);
static void check_target(const char *model);
static Datum submit(FunctionCallInfo fcinfo, const char *model, const char *base,
					GptTrainFunction function);

/*
 * gpt_train(model text, query text, options jsonb DEFAULT '{}') -> bigint
 *
 * Queues the training of a new model on the rows of the query; a worker starts when the transaction
 * commits. NULL model or query is an error, NULL options are the defaults. NULL comes out only of
 * "if_running": "skip", where the other job is not committed.
 */
Datum
gpt_train(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	return submit(fcinfo, gpt_argument_text(fcinfo, 0), NULL, GPT_FUNCTION_TRAIN);
}

/*
 * gpt_finetune(model text, query text, options jsonb DEFAULT '{}') -> bigint
 *
 * Queues the further training of a model, from the version that is current when the job starts, to
 * a new version of it or of the model that "into" names. NULLs as for gpt_train.
 */
Datum
gpt_finetune(PG_FUNCTION_ARGS)
{
	char *base;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	base = gpt_argument_text(fcinfo, 0);
	return submit(fcinfo, model_of_reference(base), base, GPT_FUNCTION_FINETUNE);
}

/* "name@3" is a version of "name". */
static char *
model_of_reference(const char *reference)
{
	return pnstrdup(reference, strcspn(reference, "@"));
}

/*
 * Arguments 2 and 3 are query and options; model is the name that the job makes unless the options
 * give another, base NULL for gpt_train.
 */
static Datum
submit(FunctionCallInfo fcinfo, const char *model, const char *base, GptTrainFunction function)
{
	GptTrainOptions *options;
	GptSourceShape shape;
	GptJobOrder order = {.base = base != NULL ? model_of_reference(base) : NULL};
	int32 base_version = 0;
	int64 other;
	int64 job;

	gpt_argument_required(fcinfo, 1, "query");
	order.query = gpt_argument_text(fcinfo, 1);
	order.options = gpt_argument_options(fcinfo, 2);

	gpt_catalog_check_name(model);
	gpt_submit_check_server(base == NULL ? "gpt_train()" : "gpt_finetune()");
	options = gpt_options_parse(order.options, function);
	if (options->into != NULL)
	{
		gpt_catalog_check_name(options->into);
		model = options->into;
	}
	if (base != NULL)
	{
		(void) check_base(options, base);
		check_queries(&shape, order.query, options);
		check_finetune(options, &shape, base);
	}
	else
		gpt_submit_check_training(&shape, order.query, options);
	gpt_submit_check_owner();
	gpt_submit_check_servers(options, &shape);
	if (base != NULL)
		check_target(model);
	else
		gpt_submit_check_new(model, NULL);
	order.model = model;
	switch (gpt_submit_take_turn(&other, &order, options->if_running))
	{
		case GPT_TURN_OURS:
			break;
		case GPT_TURN_OTHER_JOB:
			PG_RETURN_INT64(other);
		case GPT_TURN_OTHER_SESSION:
			PG_RETURN_NULL();
	}

	/* A new snapshot sees changes that were made while this transaction waited for locks. */
	PushActiveSnapshot(GetLatestSnapshot());
	if (base != NULL)
		base_version = check_base(options, base);
	else
		gpt_submit_check_new(model, NULL);
	if (!gpt_catalog_model_exists(model, NULL))
		gpt_catalog_check_model_name(model);
	PopActiveSnapshot();

	/* Now do the work. */
	job = gpt_submit_job(&order);
	gpt_job_set_task(job, gpt_source_task(&shape));
	if (base_version > 0)
		gpt_job_set_base(job, base_version);
	PG_RETURN_INT64(job);
}

/* ---- Checks ------------------------------------------------------------- */

/* Checks both queries before the job is submitted; *shape is that of the training query. */
static void
check_queries(GptSourceShape *shape, const char *query, const GptTrainOptions *options)
{
	GptSourceShape validation_shape;

	gpt_source_check(shape, query, GPT_SOURCE_TRAIN, options->watermark);
	gpt_objective_check(options, shape->task);
	if (!options->shuffle && !shape->ordered)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"shuffle\" is false, but query has no ORDER BY at its top level"),
				 errhint("Without it the rows have no order to keep.")));
	if (options->documents == LM_DOCUMENTS_JOINED)
		gpt_source_check_joined(shape);
	if (options->validation_query == NULL)
		return;
	gpt_source_check(&validation_shape, options->validation_query, GPT_SOURCE_VALIDATION, NULL);
	gpt_source_check_validation(shape, &validation_shape);
}

void
gpt_submit_check_training(GptSourceShape *shape, const char *query, const GptTrainOptions *options)
{
	gpt_plan_check(options);
	check_tokenizer(options->tokenizer);
	check_queries(shape, query, options);
	gpt_architecture_check(options, shape, NULL);
}

static void
check_tokenizer(const char *name)
{
	uint8 sha256[GPT_SHA256_SIZE];

	if (name == NULL || gpt_catalog_tokenizer_is_reserved(name))
		return;
	if (!gpt_catalog_resolve_tokenizer(name, sha256))
		gpt_catalog_raise_missing_tokenizer(name, GPT_WANTED_TOKENIZER);
}

/* A name typed wrong is an error here, not of the job. Whether they answer, the job sees. */
void
gpt_submit_check_servers(const GptTrainOptions *options, const GptSourceShape *shape)
{
	const char *servers = options->servers;
	const GptJson *name;

	if (servers == NULL)
		return;
	name =
		gpt_json_parse(servers, strlen(servers), GPT_MOST_MEMBERS + 1, "option \"servers\"")->first;
	for (; name != NULL; name = name->next)
	{
		gpt_remote_require(gpt_json_string(name));
		if (options->data == GPT_DATA_LOCAL)
			check_own_rows(gpt_json_string(name), shape);
	}
	if (options->sync == 0)
		gpt_mesh_check_address();
}

/* Rows of a server would be learnt twice, and leave it. */
static void
check_own_rows(const char *server, const GptSourceShape *shape)
{
	Oid number = GetForeignServerByName(server, false)->serverid;
	ListCell *cell;

	foreach (cell, shape->foreign_tables)
	{
		if (GetForeignTable(lfirst_oid(cell))->serverid != number)
			continue;
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("query reads foreign table \"%s\" of server \"%s\"",
					get_rel_name(lfirst_oid(cell)), server),
			 errdetail("That server trains on its own rows, by the same query."),
			 errhint("Let the query name a table that each server has itself, or give option "
					 "\"data\" \"dealt\": then the rows are read here, and the others get their "
					 "tokens.")));
	}
}

/*
 * The number of the version that base names; 0 where it means the one that is current when the job
 * starts.
 */
static int32
check_base(GptTrainOptions *options, const char *base)
{
	const GptVersion *version = gpt_catalog_version(base, false);
	GptTrainOptions copy = *options; /* for another version may be current when the job starts */

	gpt_catalog_check_use(version);
	gpt_train_check_method(&copy, version);
	if (options->since != GPT_SINCE_EVER)
		(void) gpt_train_since(options, version);
	return strchr(base, '@') != NULL ? version->version : 0;
}

/*
 * Errors that would make the job fail, as far as they are known now: another version may be current
 * later, so the worker checks again.
 */
static void
check_finetune(const GptTrainOptions *options, const GptSourceShape *shape, const char *base)
{
	const GptVersion *version = gpt_catalog_version(base, false);
	GptTrainOptions copy = *options;

	gpt_train_check_columns(shape, version);
	gpt_architecture_check(options, shape, &version->config);
	gpt_source_check_chat(shape, options->chat_template != NULL ||
									 gpt_extras_chat(version->extras) != NULL);
	gpt_train_check_method(&copy, version);
	copy.file_type = gpt_train_base_type(version);
	gpt_plan_check_base(&copy, &version->config);
}

/* A new version is the owner's to publish; a new name is free to take. */
static void
check_target(const char *model)
{
	const GptVersion *version = gpt_catalog_version(model, true);

	if (version != NULL && !has_privs_of_role(GetUserId(), gpt_blob_owner(version->weights)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", model),
						errdetail("A fine-tune publishes a new version of it."),
						errhint("Choose a model of your own with the option \"into\".")));
}

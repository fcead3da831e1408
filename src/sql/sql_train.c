/*
 * src/sql/sql_train.c
 *
 * SQL functions that submit training jobs: arguments go in; a queued row comes out, and a worker
 * when the transaction commits.
 *
 * A transaction that submits a job holds the lock on the name of the model that the job makes until
 * its end. So two sessions cannot submit one at the same time, and jobs of the same model have
 * numbers in the order of their commits. A shared lock keeps the name of the model that a fine-tune
 * starts from: nobody drops or renames it before the job is visible.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/options.h"
#include "corpus/source.h"
#include "jobs/job_launch.h"
#include "jobs/job_settings.h"
#include "jobs/launcher.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/model_extras.h"
#include "store/name_lock.h"
#include "train/train_base.h"
#include "train/train_plan.h"

PG_FUNCTION_INFO_V1(gpt_train);
PG_FUNCTION_INFO_V1(gpt_finetune);

/* The result of the attempt to be the session that submits. */
typedef enum Turn
{
	TURN_OURS,
	TURN_OTHER_JOB, /* the caller returns *other */
	TURN_OTHER_SESSION, /* its job has no number that could be relied on */
} Turn;

static char *model_of_reference(const char *reference);
static void check_owner_can_connect(void);
static void check_queries(GptSourceShape *shape, const char *query, const GptTrainOptions *options);
static void check_tokenizer(const char *name);
static int32 check_base(GptTrainOptions *options, const char *base);
static void check_finetune(const GptTrainOptions *options, const GptSourceShape *shape,
						   const char *base);
static void check_target(const char *model);
static Turn take_names(int64 *other, const char *model, const char *base, GptIfRunning if_running);
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
	const char *note = gpt_launcher_present() ? NULL : GPT_NOTE_WITHOUT_PRELOAD;
	GptTrainOptions *options;
	GptSourceShape shape;
	GptJobTicket ticket;
	Jsonb *json;
	char *query;
	int32 base_version = 0;
	int64 other;

	gpt_argument_required(fcinfo, 1, "query");
	query = gpt_argument_text(fcinfo, 1);
	json = PG_ARGISNULL(2) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
						   : PG_GETARG_JSONB_P(2);

	gpt_catalog_check_name(model);
	gpt_submit_check_server(base == NULL ? "gpt_train()" : "gpt_finetune()");
	options = gpt_options_parse(json, function);
	if (options->into != NULL)
	{
		gpt_catalog_check_name(options->into);
		model = options->into;
	}
	if (base != NULL)
	{
		(void) check_base(options, base);
		check_queries(&shape, query, options);
		check_finetune(options, &shape, base);
	}
	else
		gpt_submit_check_training(&shape, query, options);
	check_owner_can_connect();
	if (base != NULL)
		check_target(model);
	else
		gpt_submit_check_new(model, NULL);
	switch (take_names(&other, model, base, options->if_running))
	{
		case TURN_OURS:
			break;
		case TURN_OTHER_JOB:
			PG_RETURN_INT64(other);
		case TURN_OTHER_SESSION:
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
	ticket.job = gpt_job_insert(model, base != NULL ? model_of_reference(base) : NULL, query, json,
								gpt_job_settings_capture(), note, &ticket.run_id);
	gpt_job_set_task(ticket.job, gpt_source_task(&shape));
	if (base_version > 0)
		gpt_job_set_base(ticket.job, base_version);
	ticket.database = MyDatabaseId;
	ticket.owner = GetUserId();
	gpt_job_launch_at_commit(&ticket);
	gpt_job_notify(ticket.job, GPT_JOB_QUEUED);
	PG_RETURN_INT64(ticket.job);
}

/* ---- Checks ------------------------------------------------------------- */

void
gpt_submit_check_server(const char *function)
{
	gpt_bridge_check_encoding();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
						errmsg("cannot train on a standby server"),
						errhint("Train on the primary server; its models can be used here.")));
	PreventCommandIfReadOnly(function);
}

/* The worker logs in as the owner of the job. */
static void
check_owner_can_connect(void)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool can_login = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!can_login)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("role \"%s\" is not permitted to log in",
							   GetUserNameFromId(GetUserId(), false)),
						errdetail("The worker of a job connects as the role that submits it."),
						errhint("Submit the job as a role with LOGIN.")));
	if (gpt_database_aclcheck(MyDatabaseId, GetUserId(), ACL_CONNECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" does not have the CONNECT privilege on database \"%s\"",
						GetUserNameFromId(GetUserId(), false), get_database_name(MyDatabaseId)),
				 errdetail("The worker of a job connects as the role that submits it.")));
}

/* Checks both queries before the job is submitted; *shape is that of the training query. */
static void
check_queries(GptSourceShape *shape, const char *query, const GptTrainOptions *options)
{
	GptSourceShape validation_shape;

	gpt_source_check(shape, query, GPT_SOURCE_TRAIN, options->watermark);
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
	if (shape->messages_column != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("gpt_train cannot learn from conversations"),
				 errdetail("query has a column \"messages\" of type %s.",
						   format_type_be(shape->columns[shape->messages_column - 1].type)),
				 errhint("Fine-tune a model on them with gpt_finetune, or cast the column to "
						 "text to train on it as on any text.")));
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

void
gpt_submit_check_new(const char *model, const pg_uuid_t *but_run)
{
	if (gpt_catalog_model_exists(model, but_run))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", model),
				 errhint("Choose another name, train the model further with gpt_finetune, or "
						 "remove it with gpt_drop_model.")));
}

/* ---- Who is first ------------------------------------------------------- */

static void
raise_other_session(const char *model)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("another transaction is submitting a job for model \"%s\"", model)));
}

static void
raise_other_job(const char *model, int64 other)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("job " INT64_FORMAT " is training model \"%s\" already", other, model),
					errhint("Wait for it with gpt_wait, cancel it with gpt_cancel, or give the "
							"option \"if_running\".")));
}

/* For "skip": the notice names the job that runs. */
static Turn
turn_or_skip(int64 other, const char *model, bool locked)
{
	if (other == 0 && locked)
		return TURN_OURS;
	if (other == 0)
	{
		ereport(
			NOTICE,
			(errmsg("another transaction is submitting a job for model \"%s\", skipping", model)));
		return TURN_OTHER_SESSION;
	}
	ereport(NOTICE, (errmsg("job " INT64_FORMAT " is training model \"%s\" already, skipping",
							other, model)));
	return TURN_OTHER_JOB;
}

/*
 * Takes the lock on the model's name, without waiting but for "queue", and looks for a job that
 * makes the model. The look comes after the lock: a submission that has just been committed is
 * seen.
 */
static Turn
take_turn(int64 *other, const char *model, GptIfRunning if_running)
{
	bool locked = gpt_name_try_lock(model);

	if (!locked && if_running == GPT_IF_RUNNING_QUEUE)
		gpt_name_lock(model);
	*other = gpt_job_of_model(model);
	switch (if_running)
	{
		case GPT_IF_RUNNING_QUEUE:
			return TURN_OURS;
		case GPT_IF_RUNNING_SKIP:
			return turn_or_skip(*other, model, locked);
		case GPT_IF_RUNNING_ERROR:
			if (!locked)
				raise_other_session(model);
			if (*other != 0)
				raise_other_job(model, *other);
			return TURN_OURS;
	}
	elog(ERROR, "kind of submission %d is unknown", (int) if_running);
}

/* Also keeps the name of the base (NULL: none), in the order of name_lock.h. */
static Turn
take_names(int64 *other, const char *model, const char *base, GptIfRunning if_running)
{
	const char *kept = base != NULL ? model_of_reference(base) : model;
	bool other_name = strcmp(kept, model) != 0;
	bool first = other_name && gpt_name_precedes(kept, model);
	Turn turn;

	if (first)
		gpt_name_keep(kept);
	turn = take_turn(other, model, if_running);
	if (turn == TURN_OURS && other_name && !first)
		gpt_name_keep(kept);
	return turn;
}

void
gpt_submit_check_model(const char *model, const char *base)
{
	int64 other;

	(void) take_names(&other, model, base, GPT_IF_RUNNING_ERROR);
}

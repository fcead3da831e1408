/*
 * src/sql/submit.c
 *
 * The part of a submission that all jobs share: who may submit one, which of two comes first, the
 * queued row, and the worker that starts at commit.
 *
 * A transaction that submits a job holds the lock on the name of the model or tokenizer that the
 * job makes until its end. So two sessions cannot submit one at the same time, and jobs of the same
 * product have numbers in the order of their commits. A shared lock keeps the name of the model
 * that a fine-tune starts from: nobody drops or renames it before the job is visible.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "jobs/job_launch.h"
#include "jobs/job_settings.h"
#include "jobs/launcher.h"
#include "sql/submit.h"
#include "store/catalog.h"
#include "store/name_lock.h"

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

void
gpt_submit_check_owner(void)
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

/* What the job makes, for messages: model "name", or tokenizer "name". */
static const char *
product(const GptJobOrder *order)
{
	return order->model != NULL ? psprintf("model \"%s\"", order->model)
								: psprintf("tokenizer \"%s\"", order->tokenizer);
}

static const char *
product_name(const GptJobOrder *order)
{
	return order->model != NULL ? order->model : order->tokenizer;
}

static void
raise_other_session(const GptJobOrder *order)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("another transaction uses the name \"%s\"", product_name(order)),
					errdetail("It submits a job for a model or tokenizer of that name, or makes, "
							  "renames or removes one.")));
}

static void
raise_other_job(const GptJobOrder *order, int64 other)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("job " INT64_FORMAT " is training %s already", other, product(order)),
					errhint("Wait for it with gpt_wait, cancel it with gpt_cancel, or give the "
							"option \"if_running\".")));
}

/* For "skip": the notice names the job that runs. */
static GptTurn
turn_or_skip(int64 other, const GptJobOrder *order, bool locked)
{
	if (other == 0 && locked)
		return GPT_TURN_OURS;
	if (other == 0)
	{
		ereport(NOTICE, (errmsg("another transaction uses the name \"%s\", skipping",
								product_name(order))));
		return GPT_TURN_OTHER_SESSION;
	}
	ereport(NOTICE, (errmsg("job " INT64_FORMAT " is training %s already, skipping", other,
							product(order))));
	return GPT_TURN_OTHER_JOB;
}

/*
 * Takes the lock on the product's name, without waiting but for "queue", and looks for a job that
 * makes the product. The look comes after the lock: a submission that has just been committed is
 * seen.
 */
static GptTurn
take_turn(int64 *other, const GptJobOrder *order, GptIfRunning if_running)
{
	bool locked = gpt_name_try_lock(product_name(order));

	if (!locked && if_running == GPT_IF_RUNNING_QUEUE)
		gpt_name_lock(product_name(order));
	*other = order->model != NULL ? gpt_job_of_model(order->model)
								  : gpt_job_of_tokenizer(order->tokenizer);
	switch (if_running)
	{
		case GPT_IF_RUNNING_QUEUE:
			return GPT_TURN_OURS;
		case GPT_IF_RUNNING_SKIP:
			return turn_or_skip(*other, order, locked);
		case GPT_IF_RUNNING_ERROR:
			if (!locked)
				raise_other_session(order);
			if (*other != 0)
				raise_other_job(order, *other);
			return GPT_TURN_OURS;
	}
	elog(ERROR, "kind of submission %d is unknown", (int) if_running);
}

GptTurn
gpt_submit_take_turn(int64 *other, const GptJobOrder *order, GptIfRunning if_running)
{
	const char *made = product_name(order);
	const char *kept = order->base != NULL ? order->base : made;
	bool other_name = strcmp(kept, made) != 0;
	bool first = other_name && gpt_name_precedes(kept, made);
	GptTurn turn;

	if (first)
		gpt_name_keep(kept);
	turn = take_turn(other, order, if_running);
	if (turn == GPT_TURN_OURS && other_name && !first)
		gpt_name_keep(kept);
	return turn;
}

int64
gpt_submit_job(GptJobOrder *order)
{
	GptJobTicket ticket = {.database = MyDatabaseId, .owner = GetUserId()};

	order->settings = gpt_job_settings_capture();
	order->note = gpt_launcher_present() ? NULL : GPT_NOTE_WITHOUT_PRELOAD;
	ticket.job = gpt_job_insert(order, &ticket.run_id);
	gpt_job_launch_at_commit(&ticket);
	gpt_job_notify(ticket.job, GPT_JOB_QUEUED);
	return ticket.job;
}

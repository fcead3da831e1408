/*
 * src/core/transaction.c
 *
 * Transactions of workers, whatever the settings of the job's owner say.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "core/extension.h"
#include "core/nice.h"
#include "core/stop.h"
#include "core/transaction.h"

static Oid expected_extension = InvalidOid;

void
gpt_transaction_expect_extension(Oid extension)
{
	expected_extension = extension;
}

/* NULL: as it is set. */
static const char *
synchronous_commit_of(GptCommit commit)
{
	switch (commit)
	{
		case GPT_COMMIT_ASYNC:
			return "off";
		case GPT_COMMIT_LOCAL:
			return "local";
		case GPT_COMMIT_FULL:
			return NULL;
	}
	elog(ERROR, "kind of commit %d is unknown", (int) commit);
}

void
gpt_transaction_begin(GptTransaction *transaction, GptCommit commit)
{
	transaction->context = CurrentMemoryContext;
	transaction->owner = CurrentResourceOwner;
	gpt_nice_raise();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	if (synchronous_commit_of(commit) != NULL)
		(void) set_config_option("synchronous_commit", synchronous_commit_of(commit), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(expected_extension) && gpt_extension_oid() != expected_extension)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the extension was dropped")));
}

void
gpt_transaction_commit(GptTransaction *transaction)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	MemoryContextSwitchTo(transaction->context);
	CurrentResourceOwner = transaction->owner;
}

void
gpt_transaction_flush(void)
{
	XLogFlush(XactLastCommitEnd);
}

ErrorData *
gpt_transaction_attempt(GptCommit commit, int wait_ms, GptWork work, void *argument,
						bool (*is_failure)(const ErrorData *error))
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile failure = NULL;
	GptTransaction transaction;

	gpt_stop_arm_lock_timeout(wait_ms);
	PG_TRY();
	{
		gpt_transaction_begin(&transaction, commit);
		work(argument);
		gpt_transaction_commit(&transaction);
		gpt_stop_disarm_lock_timeout();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		gpt_stop_disarm_lock_timeout();
		failure = CopyErrorData();
		if (!is_failure(failure))
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	return failure;
}

/*
 * The server has no code for a row of its catalogs that another session has changed, as GRANT
 * changes that of a large object.
 */
static bool
is_changed_catalog(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_INTERNAL_ERROR && error->message != NULL &&
		   (strcmp(error->message, "tuple concurrently updated") == 0 ||
			strcmp(error->message, "tuple concurrently deleted") == 0);
}

static bool
is_of_another_session(const ErrorData *error)
{
	return !gpt_stop_is_cancelled() &&
		   ((gpt_stop_lock_timed_out() && error->sqlerrcode == ERRCODE_QUERY_CANCELED) ||
			error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
			error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE || is_changed_catalog(error));
}

bool
gpt_transaction_try(int64 job, GptCommit commit, int wait_ms, GptWork work, void *argument)
{
	ErrorData *failure =
		gpt_transaction_attempt(commit, wait_ms, work, argument, is_of_another_session);

	if (failure == NULL)
		return true;
	ereport(LOG, (errmsg("job " INT64_FORMAT
						 " of gpt does not publish yet, because of another session: %s",
						 job, gpt_stop_lock_timed_out() ? "it holds a lock" : failure->message)));
	FreeErrorData(failure);
	return false;
}

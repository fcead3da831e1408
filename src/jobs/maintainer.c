/*
 * src/jobs/maintainer.c
 *
 * A role goes in; its maintained columns of this database have their values. One such process of a
 * role connects as that role, so that expressions run with its privileges and nothing else, and
 * works on one column after another, a batch of each, until there has been nothing to do for some
 * seconds.
 *
 * How it ends, and with what exit code (the server starts it again after 1, and forgets it after
 * 0):
 *
 *   nothing to do              it gives back its lock, then looks for the last time             0
 *   SIGINT, SIGTERM            an error or FATAL: the transaction is undone; the next change,
 *                              gpt_maintain_run or the launcher starts another process          0
 *   the connection fails       the exit callback asks a starter to write why                    0
 *   crash of any process       the server restarts it                                           -
 *   any other error            it is logged, and the server restarts the process                1
 */
#include "postgres.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/nice.h"
#include "core/server_state.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "jobs/launcher.h"
#include "jobs/maintain_launch.h"
#include "jobs/maintain_round.h"
#include "jobs/maintainer.h"
#include "store/maintenance.h"

#define LOCK_TRIES 8
#define LOCK_MS 50
#define LOOK_MS 50 /* between two looks for work */
#define SLOW_LOOK_MS 200 /* after a second without any */
#define SHORT_IDLE_MS 1000
#define LINGER_MS 5000 /* without work, before the end */

StaticAssertDecl(LOCK_TRIES *LOCK_MS > 2 * GPT_MAINTAINER_TRIES_MS,
				 "a worker tries for longer than those who start it wait");

static GptMaintainTicket ticket;
static bool is_connected = false;

static void before_exit(int code, Datum argument);
static void set_exit_code(int code, Datum argument);
static void uncount_start(int code, Datum argument);
static void work(void);

void
gpt_maintainer_main(Datum argument)
{
	GptTransaction transaction;
	Oid extension;

	memcpy(&ticket, MyBgworkerEntry->bgw_extra, sizeof(ticket));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	gpt_stop_handle_signals();
	before_shmem_exit(before_exit, (Datum) 0);
	on_proc_exit(set_exit_code, (Datum) 0);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnectionByOid(ticket.database, ticket.owner, 0);
	is_connected = true;
	before_shmem_exit(uncount_start, (Datum) 0);
	gpt_stop_register_timeouts();
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname("gpt");
	gpt_nice_init();

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	extension = gpt_extension_fitting_oid();
	gpt_transaction_commit(&transaction);
	if (OidIsValid(extension))
	{
		gpt_transaction_expect_extension(extension);
		work();
	}
	proc_exit(0);
}

/* ---- Exit --------------------------------------------------------------- */

static void
before_exit(int code, Datum argument)
{
	if (!is_connected && code != 0 && !gpt_server_is_stopping())
		gpt_launcher_report_owner(ticket.database, ticket.owner);
}

static void
set_exit_code(int code, Datum argument)
{
	if (code == 1 && (!is_connected || gpt_stop_is_terminated() || gpt_stop_is_cancelled()))
		proc_exit(0);
}

/* A process that was told to end did not end unexpectedly. */
static void
uncount_start(int code, Datum argument)
{
	GptTransaction transaction;

	if (gpt_maintain_started() == 0 || !(gpt_stop_is_terminated() || gpt_stop_is_cancelled()))
		return;
	AbortOutOfAnyTransaction();
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_maintenance_uncount_start(gpt_maintain_started());
	gpt_transaction_commit(&transaction);
}

/* ---- Work --------------------------------------------------------------- */

static void
wait_for(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 gpt_wait_event("GptMaintainIdle"));
	ResetLatch(MyLatch);
	gpt_stop_check();
}

static bool
take_lock(void)
{
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (gpt_maintain_lock(ticket.owner))
			return true;
		wait_for(LOCK_MS);
	}
	return false;
}

static List *
look(void)
{
	GptTransaction transaction;
	List *found;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	found = gpt_maintenance_work(ticket.owner);
	gpt_transaction_commit(&transaction);
	return found;
}

/*
 * One batch of each column that has work. Sets the time until something is due, -1: nothing is
 * known to become so. Returns whether there was work.
 */
static bool
go_round(int64 *wait_ms)
{
	bool did = false;
	ListCell *cell;

	*wait_ms = -1;
	foreach (cell, look())
	{
		const GptMaintenanceWork *wanted = lfirst(cell);

		if (wanted->fresh || wanted->due || wanted->fills)
			did = gpt_maintain_round(wanted) || did;
		else if (wanted->wait_ms >= 0 && (*wait_ms < 0 || wanted->wait_ms < *wait_ms))
			*wait_ms = wanted->wait_ms;
		gpt_stop_check();
	}
	return did;
}

static bool
has_work(void)
{
	ListCell *cell;

	foreach (cell, look())
	{
		const GptMaintenanceWork *wanted = lfirst(cell);

		if (wanted->fresh || wanted->due || wanted->fills || wanted->wait_ms >= 0)
			return true;
	}
	return false;
}

/* Until nothing has been there to do for some seconds, and nothing will become due. */
static void
work_until_idle(MemoryContext context)
{
	TimestampTz idle_since = GetCurrentTimestamp();

	for (;;)
	{
		int64 wait_ms;
		TimestampTz now;

		/* The user's expression may have released it. */
		if (!gpt_maintain_lock(ticket.owner))
			return;
		MemoryContextReset(context);
		if (go_round(&wait_ms))
		{
			idle_since = GetCurrentTimestamp();
			continue;
		}
		now = GetCurrentTimestamp();
		if (wait_ms < 0 && TimestampDifferenceExceeds(idle_since, now, LINGER_MS))
			return;
		pgstat_report_activity(STATE_IDLE, NULL);
		wait_for(TimestampDifferenceExceeds(idle_since, now, SHORT_IDLE_MS) ? SLOW_LOOK_MS
																			: LOOK_MS);
	}
}

static void
work(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "gpt maintainer", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	while (take_lock())
	{
		work_until_idle(context);
		gpt_maintain_unlock(ticket.owner);
		if (!has_work())
			break;
	}
}

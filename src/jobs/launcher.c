/*
 * src/jobs/launcher.c
 *
 * Databases to look into go in, through shared memory; starters go out, one after another.
 *
 * The launcher itself is connected to the shared catalogs only, because a connection to a database
 * would block CREATE DATABASE ... TEMPLATE. After the server's start it visits each database once,
 * by a starter: a short-lived worker that launches the jobs which were queued or cut off. Later it
 * visits only those that asked, because a worker found no free place; when all slots of
 * gpt.max_workers are taken it waits until the end of a job wakes it.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/settings.h"
#include "jobs/job_launch.h"
#include "jobs/job_lock.h"
#include "jobs/launcher.h"
#include "jobs/launcher_request.h"
#include "jobs/starter.h"
#include "jobs/worker.h"

#define RESTART_SECONDS 5
#define RETRY_MS 5000 /* when there was no place for a starter, or no free slot */
#define VISIT_MS 30000 /* longest wait for one starter */

static void forget_latch(int code, Datum argument);
static List *databases(void);
static List *wanted_now(void);
static bool visit(Oid database);

/* ---- In every process --------------------------------------------------- */

void
gpt_launcher_init(void)
{
	BackgroundWorker worker = {.bgw_flags =
								   BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
							   .bgw_start_time = BgWorkerStart_RecoveryFinished,
							   .bgw_restart_time = RESTART_SECONDS};

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	gpt_launcher_share();
	strlcpy(worker.bgw_name, "gpt launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "gpt launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, GPT_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gpt_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---- The launcher ------------------------------------------------------- */

static void
wait_for_work(long timeout)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout > 0 ? WL_TIMEOUT : 0);

	(void) WaitLatch(MyLatch, events, timeout, gpt_wait_event("GptLauncherMain"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* Registers the workers that were handed over; false while there is no place for one. */
static bool
launch_tickets(void)
{
	for (;;)
	{
		GptJobTicket ticket;

		if (!gpt_launcher_first_ticket(&ticket))
			return true;
		if (!gpt_job_launch(&ticket))
			return false;
		gpt_launcher_drop_first_ticket();
	}
}

/*
 * Visits the databases that wait for it while there are free slots; returns those that are left. A
 * job for which a starter found no place comes before the next database, whose starter would take
 * that place.
 */
static List *
visit_all(List *wanted)
{
	while (launch_tickets() && wanted != NIL && gpt_slots_free() > 0)
	{
		if (!visit(linitial_oid(wanted)))
			break;
		wanted = list_delete_first(wanted);
	}
	return wanted;
}

void
gpt_launcher_main(Datum argument)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "gpt launcher", ALLOCSET_DEFAULT_SIZES);
	List *wanted;

	if (IsBinaryUpgrade)
		proc_exit(0);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("gpt");

	gpt_launcher_set_latch(MyLatch);
	before_shmem_exit(forget_latch, (Datum) 0);

	MemoryContextSwitchTo(context);
	wanted = gpt_autostart ? databases() : NIL;
	for (;;)
	{
		wanted = visit_all(wanted);
		wait_for_work(launch_tickets() && wanted == NIL ? 0 : RETRY_MS);
		wanted = list_concat_unique_oid(wanted, wanted_now());
	}
}

static void
forget_latch(int code, Datum argument)
{
	gpt_launcher_set_latch(NULL);
}

static List *
wanted_now(void)
{
	Oid requests[GPT_LAUNCHER_REQUESTS];
	List *wanted = NIL;
	int n;

	if (!gpt_launcher_take_requests(requests, &n))
		return databases();
	for (int i = 0; i < n; i++)
		wanted = lappend_oid(wanted, requests[i]);
	return wanted;
}

/* Every database that can be connected to and is no template. */
static List *
databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List *found = NIL;
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old_context;

		if (!database->datallowconn || database->datistemplate)
			continue;
		old_context = MemoryContextSwitchTo(context);
		found = lappend_oid(found, database->oid);
		MemoryContextSwitchTo(old_context);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return found;
}

/*
 * Runs a starter in the database and waits until it has ended; false when there was no place for
 * it.
 */
static bool
visit(Oid database)
{
	GptStarterTicket ticket = {
		.database = database, .notify_pid = MyProcPid, .cut_off = gpt_autostart};
	BackgroundWorkerHandle *handle = gpt_starter_launch(&ticket);
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), VISIT_MS);
	static bool complained = false;
	pid_t pid;

	if (handle == NULL && !complained)
		ereport(LOG, (errmsg("no place for a background worker of gpt"),
					  errdetail("Waiting jobs start when there is one."),
					  errhint("Raise max_worker_processes.")));
	complained = handle == NULL;
	if (handle == NULL)
		return false;
	while (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED && GetCurrentTimestamp() < end)
		wait_for_work(RETRY_MS);
	pfree(handle);
	return true;
}

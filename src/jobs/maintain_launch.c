/*
 * src/jobs/maintain_launch.c
 *
 * A role whose columns have work goes in; its worker is registered, unless one runs.
 *
 * Whether one runs is asked after the commit that marks rows, and a worker that ends gives back its
 * lock before it looks for marks for the last time (src/jobs/maintainer.c): so one of the two sees
 * the other. An extra worker finds the lock taken and ends.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/at_end.h"
#include "core/compat.h"
#include "core/lock.h"
#include "core/settings.h"
#include "core/stop.h"
#include "jobs/launcher.h"
#include "jobs/maintain_launch.h"
#include "jobs/maintainer.h"
#include "jobs/worker.h"

#define TURN_WAIT_MS 10000
#define WITHOUT_TURN_MS 60000 /* after a wait in vain */
#define RESTART_SECONDS 1 /* after a crash; a worker that ends is not restarted */

/*
 * The worker that this session registered last. It needs some milliseconds to take its lock, and
 * tries for longer than GPT_MAINTAINER_TRIES_MS.
 */
static Oid launched_owner = InvalidOid;
static TimestampTz launched_at = 0;
static BackgroundWorkerHandle *launched = NULL;

static void launch_one(const void *ticket);
static bool launch(const GptMaintainTicket *ticket);

static const GptAtEnd launch_at_commit = {.act = launch_one, .at_commit = true};

static LOCKTAG
keeper_tag(Oid owner)
{
	return gpt_lock_tag(MyDatabaseId, owner, 0, GPT_LOCK_KEEPER);
}

static bool
is_of_owner(const void *ticket, const void *owner)
{
	return ((const GptMaintainTicket *) ticket)->owner == *(const Oid *) owner;
}

bool
gpt_maintain_launch_pending(Oid owner)
{
	return gpt_at_end_waits(&launch_at_commit, is_of_owner, &owner);
}

void
gpt_maintain_launch_at_commit(Oid owner)
{
	const GptMaintainTicket ticket = {.database = MyDatabaseId, .owner = owner};

	gpt_at_end(&launch_at_commit, &ticket, sizeof(ticket));
}

bool
gpt_maintain_runs(Oid owner)
{
	LOCKTAG tag = keeper_tag(owner);

	return gpt_lock_is_taken(&tag);
}

bool
gpt_maintain_lock(Oid owner)
{
	LOCKTAG tag = keeper_tag(owner);

	/* Held once only, so that one release ends it. */
	return gpt_holds_lock(&tag, ExclusiveLock) || gpt_lock_try_session(&tag);
}

void
gpt_maintain_unlock(Oid owner)
{
	LOCKTAG tag = keeper_tag(owner);

	gpt_lock_release_session(&tag);
}

/*
 * The wait ends with an error after some seconds: then another role's expression takes long, or
 * never ends, and for a while this process computes without a turn.
 */
void
gpt_maintain_take_turn(Oid owner)
{
	static TimestampTz without_until = 0;
	static bool waits = false; /* true at the begin: an error ended the wait of before */
	uint32 number = hash_combine(owner, MyDatabaseId) % (uint32) gpt_max_maintain_workers;
	LOCKTAG tag = gpt_lock_tag(0, number, 0, GPT_LOCK_TURN);

	if (waits)
		without_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WITHOUT_TURN_MS);
	waits = false;
	if (GetCurrentTimestamp() < without_until)
	{
		(void) gpt_lock_try(&tag);
		return;
	}
	waits = true;
	gpt_stop_arm_lock_timeout(TURN_WAIT_MS);
	gpt_lock_wait(&tag, ExclusiveLock);
	gpt_stop_disarm_lock_timeout();
	waits = false;
}

/* ---- Registration ------------------------------------------------------- */

static void
launch_one(const void *ticket)
{
	(void) launch(ticket);
}

bool
gpt_maintain_launch(List *owners)
{
	bool all = true;
	ListCell *cell;

	foreach (cell, owners)
	{
		const GptMaintainTicket ticket = {.database = MyDatabaseId, .owner = lfirst_oid(cell)};

		all = launch(&ticket) && all;
	}
	return all;
}

static bool
is_starting(Oid owner)
{
	pid_t pid;

	return launched != NULL && launched_owner == owner &&
		   GetBackgroundWorkerPid(launched, &pid) != BGWH_STOPPED &&
		   !TimestampDifferenceExceeds(launched_at, GetCurrentTimestamp(), GPT_MAINTAINER_TRIES_MS);
}

static bool
launch(const GptMaintainTicket *ticket)
{
	BackgroundWorker worker = {.bgw_flags =
								   BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
							   .bgw_start_time = BgWorkerStart_RecoveryFinished,
							   .bgw_restart_time = RESTART_SECONDS};
	BackgroundWorkerHandle *handle = NULL;
	MemoryContext old_context;
	bool registered;

	if (gpt_maintain_runs(ticket->owner) || is_starting(ticket->owner))
		return true;
	StaticAssertStmt(sizeof(GptMaintainTicket) <= BGW_EXTRALEN, "a ticket must fit");
	snprintf(worker.bgw_name, BGW_MAXLEN, GPT_MAINTAINER_TYPE " of role %u", ticket->owner);
	strlcpy(worker.bgw_type, GPT_MAINTAINER_TYPE, BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, GPT_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gpt_maintainer_main", BGW_MAXLEN);
	memcpy(worker.bgw_extra, ticket, sizeof(GptMaintainTicket));
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old_context);
	if (!registered)
	{
		gpt_launcher_request(ticket->database);
		return false;
	}
	if (launched != NULL)
		pfree(launched);
	launched = handle;
	launched_owner = ticket->owner;
	launched_at = GetCurrentTimestamp();
	return true;
}

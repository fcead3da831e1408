/*
 * src/store/restore.c
 *
 * Fixed versions that are not there yet: what a restore of a dump waits for, or is told.
 *
 * pg_restore -j takes the largest item of the list that is ready, so it makes an index while the
 * rows of models, which are small, and their large objects are not there. A session that needs them
 * waits for the others. If all of these wait too, or have nothing left to do, the one with the
 * largest process number fails, so that its part of pg_restore goes on.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/backend_status.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/lock.h"
#include "core/restoring.h"
#include "store/catalog.h"
#include "store/restore.h"

#define LOOK_MS 100
#define PATIENCE_MS 3000 /* while no other session works */

static void push_newest_snapshot(void);
static bool is_complete(const char *reference);
static void wait_until_complete(const char *reference);
static int look_at_others(bool *works, bool *waits_after_me);
static LOCKTAG waiter_tag(int pid);

bool
gpt_restore_enter(const char *reference)
{
	if (!gpt_restoring() || !gpt_catalog_is_pinned(reference, strlen(reference)))
		return false;
	wait_until_complete(reference);
	push_newest_snapshot();
	return true;
}

/* That of catalogs, which is allowed in parallel mode too; of a table without caches it is new. */
static void
push_newest_snapshot(void)
{
	PushActiveSnapshot(GetCatalogSnapshot(gpt_extension_table("gpt_version")));
}

/* ---- Waiting ------------------------------------------------------------ */

/* Once a version is complete it stays so; a row of a table need not ask again. */
static void
wait_until_complete(const char *reference)
{
	static char known[128];
	TimestampTz last_work = GetCurrentTimestamp();
	LOCKTAG tag = waiter_tag(MyProcPid);
	bool done;

	if (strcmp(known, reference) == 0)
		return;
	done = is_complete(reference);
	if (!done)
		(void) gpt_lock_try(&tag);
	while (!done)
	{
		bool works;
		bool waits_after_me;

		CHECK_FOR_INTERRUPTS();
		if (look_at_others(&works, &waits_after_me) == 0)
			break;
		if (works)
			last_work = GetCurrentTimestamp();
		else if (!waits_after_me &&
				 TimestampDifferenceExceeds(last_work, GetCurrentTimestamp(), PATIENCE_MS))
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
						 gpt_wait_event("GptRestore"));
		ResetLatch(MyLatch);
		done = is_complete(reference);
		if (done)
			(void) LockRelease(&tag, ExclusiveLock, false);
	}
	if (done)
		strlcpy(known, reference, sizeof(known));
}

/* Whether the version can be used, as far as rows and the beginning of its object tell. */
static bool
is_complete(const char *reference)
{
	const GptVersion *version;
	bool complete;

	push_newest_snapshot();
	version = gpt_catalog_version(reference, true);
	complete = version != NULL && !version->altered && gpt_catalog_has_tokenizer(version);
	if (complete && version->base != NULL)
	{
		const GptVersion *base =
			gpt_catalog_version(psprintf("%s@%d", version->base, version->base_version), true);

		complete = base != NULL && !base->altered && gpt_catalog_has_tokenizer(base);
	}
	PopActiveSnapshot();
	return complete;
}

/*
 * Returns the number of other sessions of pg_restore in this database. Whether one works, and
 * whether one waits as this one does that would fail first.
 */
static int
look_at_others(bool *works, bool *waits_after_me)
{
	int n_others = 0;
	int n;

	*works = *waits_after_me = false;
	pgstat_clear_backend_activity_snapshot();
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		const PgBackendStatus *other = &gpt_backend_status(i)->backendStatus;
		LOCKTAG tag = waiter_tag(other->st_procpid);

		if (other->st_databaseid != MyDatabaseId || other->st_procpid == MyProcPid ||
			strcmp(other->st_appname, GPT_RESTORE_PROGRAM) != 0)
			continue;
		n_others++;
		if (other->st_state == STATE_IDLE || other->st_state == STATE_DISABLED)
			continue;
		if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		{
			*waits_after_me |= other->st_procpid > MyProcPid;
			continue;
		}
		(void) LockRelease(&tag, ShareLock, false);
		*works = true;
	}
	return n_others;
}

/* A session holds it while it waits. */
static LOCKTAG
waiter_tag(int pid)
{
	return gpt_lock_tag(MyDatabaseId, (uint32) pid, 0, GPT_LOCK_RESTORE);
}

/*
 * src/core/lock.c
 *
 * Advisory locks of the extension's own classes (include/core/lock.h).
 */
#include "postgres.h"

#include "storage/lock.h"

#include "core/compat.h"
#include "core/lock.h"

#define MOST_HELD 4 /* by the session: job, slot, waiter */

static LOCKTAG held[MOST_HELD];
static int n_held = 0;
static LOCKTAG handed_over[MOST_HELD];
static int n_handed_over = 0;

static void forget_lost(void);

LOCKTAG
gpt_lock_tag(Oid database, uint32 field2, uint32 field3, GptLockClass class)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, database, field2, field3, class);
	return tag;
}

bool
gpt_lock_try_session(const LOCKTAG *tag)
{
	bool known = gpt_holds_lock(tag, ExclusiveLock);

	forget_lost();
	if (!known && n_held == MOST_HELD)
		elog(ERROR, "the session holds too many locks of gpt");
	if (LockAcquire(tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (!known)
		held[n_held++] = *tag;
	return true;
}

bool
gpt_lock_try(const LOCKTAG *tag)
{
	return LockAcquire(tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* A lock that was taken several times stays until it was released as often. */
void
gpt_lock_release_session(const LOCKTAG *tag)
{
	if (!gpt_holds_lock(tag, ExclusiveLock))
		return;
	LockRelease(tag, ExclusiveLock, true);
	forget_lost();
}

/* Removes locks from our list that pg_advisory_unlock_all() has released in a user's session. */
static void
forget_lost(void)
{
	int n = 0;

	for (int i = 0; i < n_held; i++)
	{
		if (gpt_holds_lock(&held[i], ExclusiveLock))
			held[n++] = held[i];
	}
	n_held = n;
}

bool
gpt_lock_is_taken(const LOCKTAG *tag)
{
	if (LockAcquireExtended(tag, ShareLock, true, true, false, NULL) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(tag, ShareLock, true);
	return false;
}

void
gpt_lock_wait(const LOCKTAG *tag, LOCKMODE mode)
{
	(void) LockAcquire(tag, mode, false, false);
}

bool
gpt_lock_is_held(const LockInstanceData *lock, GptLockClass class)
{
	return lock->locktag.locktag_type == LOCKTAG_ADVISORY &&
		   lock->locktag.locktag_field4 == class && lock->holdMask != 0;
}

/* ---- While a user's query runs ------------------------------------------ */

void
gpt_locks_hand_over(void)
{
	for (n_handed_over = 0; n_handed_over < n_held; n_handed_over++)
	{
		const LOCKTAG *tag = &held[n_handed_over];

		(void) LockAcquire(tag, ExclusiveLock, false, false);
		(void) LockRelease(tag, ExclusiveLock, true);
		handed_over[n_handed_over] = *tag;
	}
}

void
gpt_locks_release_query(void)
{
	Assert(n_handed_over > 0);
	LockReleaseSession(USER_LOCKMETHOD);
}

/* The process has them, so that this only counts. */
void
gpt_locks_take_back(void)
{
	while (n_handed_over > 0)
		(void) LockAcquire(&handed_over[--n_handed_over], ExclusiveLock, true, true);
}

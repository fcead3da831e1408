/*
 * src/jobs/job_lock.c
 *
 * Locks that say who runs which job, who holds a slot of gpt.max_workers, and who waits for one.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/compat.h"
#include "core/lock.h"
#include "core/settings.h"
#include "jobs/job_lock.h"

static LOCKTAG
job_tag(int64 job)
{
	return gpt_lock_tag(MyDatabaseId, (uint32) (job >> 32), (uint32) job, GPT_LOCK_JOB);
}

static LOCKTAG
slot_tag(int slot)
{
	return gpt_lock_tag(0, (uint32) slot, 0, GPT_LOCK_SLOT);
}

static LOCKTAG
waiter_tag(void)
{
	return gpt_lock_tag(MyDatabaseId, 0, 0, GPT_LOCK_WAITER);
}

bool
gpt_job_lock(int64 job)
{
	LOCKTAG tag = job_tag(job);

	return gpt_lock_try_session(&tag);
}

void
gpt_job_unlock(int64 job)
{
	LOCKTAG tag = job_tag(job);

	gpt_lock_release_session(&tag);
}

int
gpt_slot_lock(void)
{
	for (int slot = 0; slot < gpt_max_workers; slot++)
	{
		LOCKTAG tag = slot_tag(slot);

		if (gpt_lock_try_session(&tag))
			return slot;
	}
	return -1;
}

void
gpt_slot_unlock(int slot)
{
	LOCKTAG tag = slot_tag(slot);

	if (slot >= 0)
		gpt_lock_release_session(&tag);
}

/* ---- Who waits ---------------------------------------------------------- */

bool
gpt_waiter_lock(void)
{
	LOCKTAG tag = waiter_tag();

	/* Held once only, so that one release ends it. */
	return gpt_holds_lock(&tag, ExclusiveLock) || gpt_lock_try_session(&tag);
}

void
gpt_waiter_unlock(void)
{
	LOCKTAG tag = waiter_tag();

	gpt_lock_release_session(&tag);
}

/* ---- Who holds what ----------------------------------------------------- */

int
gpt_job_pid(int64 job)
{
	LOCKTAG tag = job_tag(job);
	LockData *data = GetLockStatusData();
	int pid = 0;

	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];

		if (gpt_lock_is_held(lock, GPT_LOCK_JOB) && memcmp(&lock->locktag, &tag, sizeof(tag)) == 0)
			pid = lock->pid;
	}
	pfree(data->locks);
	pfree(data);
	return pid;
}

int
gpt_slots_free(void)
{
	LockData *data = GetLockStatusData();
	int n_held = 0;

	for (int i = 0; i < data->nelements; i++)
		n_held += gpt_lock_is_held(&data->locks[i], GPT_LOCK_SLOT);
	pfree(data->locks);
	pfree(data);
	return Max(0, gpt_max_workers - n_held);
}

static bool
runs_job_here(const LockData *data, int pid)
{
	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];

		if (lock->pid == pid && gpt_lock_is_held(lock, GPT_LOCK_JOB) &&
			lock->locktag.locktag_field1 == MyDatabaseId)
			return true;
	}
	return false;
}

bool
gpt_slot_held_here(void)
{
	LockData *data = GetLockStatusData();
	bool found = false;

	for (int i = 0; i < data->nelements && !found; i++)
		found = gpt_lock_is_held(&data->locks[i], GPT_LOCK_SLOT) &&
				runs_job_here(data, data->locks[i].pid);
	pfree(data->locks);
	pfree(data);
	return found;
}

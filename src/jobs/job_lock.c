/*
 * src/jobs/job_lock.c
 *
 * Locks of our own class, which say who runs what. They are advisory locks with a fourth field that
 * no SQL function can write (those write 1 and 2), so a user cannot take or release one. But
 * pg_advisory_unlock_all() releases all that the session has, so while a user's query runs in the
 * worker the locks are its transaction's, which no function releases. (Locks of the server's own
 * method would not do: a session loses those when a transaction of it fails.)
 *
 *   class            field 1     field 2          field 3      held by
 *   CLASS_JOB        database    job, high word   low word     the worker that runs the job
 *   CLASS_SLOT       0           slot             0            a worker that counts against
 *                                                              gpt.max_workers
 *   CLASS_WAITER     database    0                0            the worker that waits for a slot
 *   CLASS_NAME       database    hash, high word  low word     a transaction that submits a job
 *                                                              for the model, or changes its name;
 *                                                              shared by those that submit one
 *                                                              which starts from it
 *   CLASS_IMAGE      0           hash             hash + type  a transaction that makes an image
 *   CLASS_ROOM       0           0                0            a transaction that makes room for
 *                                                              one
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "serve/image_lock.h"
#include "store/job.h"
#include "store/name_lock.h"
#include "core/settings.h"

#define CLASS_JOB 0x6770
#define CLASS_SLOT 0x6771
#define CLASS_WAITER 0x6772
#define CLASS_NAME 0x6773
#define CLASS_IMAGE 0x6774
#define CLASS_ROOM 0x6775

static int own_slot = -1;
static LOCKTAG handed_over[2];
static int n_handed_over = 0;

static LOCKTAG
job_tag(int64 job)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (job >> 32), (uint32) job, CLASS_JOB);
	return tag;
}

static LOCKTAG
slot_tag(int slot)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, 0, (uint32) slot, 0, CLASS_SLOT);
	return tag;
}

static LOCKTAG
waiter_tag(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, CLASS_WAITER);
	return tag;
}

static LOCKTAG
name_tag(const char *model)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) model, strlen(model), 0);
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, CLASS_NAME);
	return tag;
}

static bool
try_lock(const LOCKTAG *tag, bool session)
{
	return LockAcquire(tag, ExclusiveLock, session, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
release(const LOCKTAG *tag)
{
	if (LockHeldByMe(tag, ExclusiveLock))
		LockRelease(tag, ExclusiveLock, true);
}

bool
gpt_job_lock(int64 job)
{
	LOCKTAG tag = job_tag(job);

	return try_lock(&tag, true);
}

void
gpt_job_unlock(int64 job)
{
	LOCKTAG tag = job_tag(job);

	release(&tag);
}

int
gpt_slot_lock(void)
{
	for (int slot = 0; slot < gpt_max_workers; slot++)
	{
		LOCKTAG tag = slot_tag(slot);

		if (try_lock(&tag, true))
		{
			own_slot = slot;
			return slot;
		}
	}
	return -1;
}

void
gpt_slot_unlock(int slot)
{
	LOCKTAG tag = slot_tag(slot);

	if (slot >= 0)
		release(&tag);
	own_slot = -1;
}

/* ---- While a user's query runs ------------------------------------------ */

static void
hand_over(const LOCKTAG *tag)
{
	(void) LockAcquire(tag, ExclusiveLock, false, false);
	(void) LockRelease(tag, ExclusiveLock, true);
	handed_over[n_handed_over++] = *tag;
}

void
gpt_job_locks_hand_over(int64 job)
{
	LOCKTAG tag = job_tag(job);

	n_handed_over = 0;
	hand_over(&tag);
	tag = slot_tag(own_slot);
	if (own_slot >= 0)
		hand_over(&tag);
}

void
gpt_job_locks_release_query(void)
{
	Assert(n_handed_over > 0);
	LockReleaseSession(USER_LOCKMETHOD);
}

/* The process has them, so that this only counts. */
void
gpt_job_locks_take_back(void)
{
	while (n_handed_over > 0)
		(void) LockAcquire(&handed_over[--n_handed_over], ExclusiveLock, true, true);
}

/* ---- Who waits ---------------------------------------------------------- */

bool
gpt_waiter_lock(void)
{
	LOCKTAG tag = waiter_tag();

	return try_lock(&tag, true);
}

void
gpt_waiter_unlock(void)
{
	LOCKTAG tag = waiter_tag();

	release(&tag);
}

/* ---- Names of models ---------------------------------------------------- */

bool
gpt_name_try_lock(const char *model)
{
	LOCKTAG tag = name_tag(model);

	return try_lock(&tag, false);
}

void
gpt_name_lock(const char *model)
{
	LOCKTAG tag = name_tag(model);

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	LOCKTAG first = name_tag(lfirst(a));
	LOCKTAG second = name_tag(lfirst(b));

	if (first.locktag_field2 != second.locktag_field2)
		return first.locktag_field2 < second.locktag_field2 ? -1 : 1;
	if (first.locktag_field3 != second.locktag_field3)
		return first.locktag_field3 < second.locktag_field3 ? -1 : 1;
	return 0;
}

void
gpt_name_lock_all(const List *models)
{
	List *sorted = list_copy(models);
	ListCell *cell;

	list_sort(sorted, compare_names);
	foreach (cell, sorted)
		gpt_name_lock(lfirst(cell));
	list_free(sorted);
}

void
gpt_name_keep(const char *model)
{
	LOCKTAG tag = name_tag(model);

	(void) LockAcquire(&tag, ShareLock, false, false);
}

bool
gpt_name_precedes(const char *a, const char *b)
{
	const ListCell first = {.ptr_value = (void *) a};
	const ListCell second = {.ptr_value = (void *) b};

	return compare_names(&first, &second) < 0;
}

/* ---- Images: of the whole cluster --------------------------------------- */

static LOCKTAG
image_tag(const uint8 *sha256, GptImageType type)
{
	LOCKTAG tag;
	uint32 words[2];

	memcpy(words, sha256, sizeof(words));
	SET_LOCKTAG_ADVISORY(tag, 0, words[0], words[1] + (uint32) type, CLASS_IMAGE);
	return tag;
}

static LOCKTAG
room_tag(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, 0, 0, 0, CLASS_ROOM);
	return tag;
}

void
gpt_image_lock(const uint8 *sha256, GptImageType type)
{
	LOCKTAG tag = image_tag(sha256, type);

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
gpt_image_unlock(const uint8 *sha256, GptImageType type)
{
	LOCKTAG tag = image_tag(sha256, type);

	LockRelease(&tag, ExclusiveLock, false);
}

void
gpt_image_room_lock(void)
{
	LOCKTAG tag = room_tag();

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
gpt_image_room_unlock(void)
{
	LOCKTAG tag = room_tag();

	LockRelease(&tag, ExclusiveLock, false);
}

/* ---- Who holds what ----------------------------------------------------- */

/* A lock of a class of ours that is held, not waited for. */
static bool
is_held(const LockInstanceData *lock, uint16 class)
{
	return lock->locktag.locktag_type == LOCKTAG_ADVISORY &&
		   lock->locktag.locktag_field4 == class && lock->holdMask != 0;
}

int
gpt_job_pid(int64 job)
{
	LOCKTAG tag = job_tag(job);
	LockData *data = GetLockStatusData();
	int pid = 0;

	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];

		if (is_held(lock, CLASS_JOB) && memcmp(&lock->locktag, &tag, sizeof(tag)) == 0)
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
		n_held += is_held(&data->locks[i], CLASS_SLOT);
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

		if (lock->pid == pid && is_held(lock, CLASS_JOB) &&
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
		found = is_held(&data->locks[i], CLASS_SLOT) && runs_job_here(data, data->locks[i].pid);
	pfree(data->locks);
	pfree(data);
	return found;
}

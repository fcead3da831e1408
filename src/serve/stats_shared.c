/*
 * src/serve/stats_shared.c
 *
 * The counts of all sessions, in shared memory: counts of a session go in, rows come out.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "serve/stats_shared.h"

#define TRANCHE "gpt_stats"

/* A version, or a database (weights 0), whose `since` is then that of its last reset. */
typedef struct Slot
{
	GptStatsKey key;
	TimestampTz since;
	pg_atomic_uint64 used_at;
	pg_atomic_uint64 counts[GPT_STATS];
} Slot;

/*
 * Whoever holds the lock in shared mode may add to counts and used_at of the first n slots, and
 * read everything; all other changes need it in exclusive mode.
 */
typedef struct Shared
{
	LWLock *lock;
	TimestampTz started_at;
	TimestampTz evicted_at; /* when a version last made room; 0: never */
	int n;
	Slot slots[GPT_STATS_VERSIONS];
} Shared;

/* What the parallel workers of a process have counted, for all sessions that it ever was. */
typedef struct Leader
{
	pg_atomic_uint64 counts[GPT_STATS];
} Leader;

static Shared *shared = NULL;
static Leader *leaders = NULL; /* [MaxBackends] by the number of the process in ProcGlobal */
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_shared_memory(void);
static void create_shared_memory(void);
static int find(int guess, const GptStatsKey *key);
static int take_slot(const GptStatsKey *key, TimestampTz now);
static TimestampTz since_of_database(Oid database);

void
gpt_stats_share(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = create_shared_memory;
}

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Shared)));
	RequestAddinShmemSpace(mul_size(MaxBackends, sizeof(Leader)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* Startup hook, also after a crash: counts begin anew. */
static void
create_shared_memory(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("gpt stats", sizeof(Shared), &found);
	if (!found)
	{
		shared->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
		shared->started_at = GetCurrentTimestamp();
		shared->evicted_at = 0;
		shared->n = 0;
	}
	leaders =
		ShmemInitStruct("gpt stats of leaders", mul_size(MaxBackends, sizeof(Leader)), &found);
	for (int i = 0; !found && i < MaxBackends; i++)
		for (int k = 0; k < GPT_STATS; k++)
			pg_atomic_init_u64(&leaders[i].counts[k], 0);
	LWLockRelease(AddinShmemInitLock);
}

bool
gpt_stats_are_shared(void)
{
	return shared != NULL;
}

void
gpt_stats_shared_add(int *slot, const GptStatsKey *key, const int64 *counts, TimestampTz now)
{
	LWLockAcquire(shared->lock, LW_SHARED);
	*slot = find(*slot, key);
	if (*slot < 0)
	{
		LWLockRelease(shared->lock);
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		*slot = find(0, key);
		if (*slot < 0)
			*slot = take_slot(key, now);
	}
	for (int i = 0; i < GPT_STATS; i++)
		if (counts[i] != 0)
			(void) pg_atomic_fetch_add_u64(&shared->slots[*slot].counts[i], counts[i]);
	pg_atomic_write_u64(&shared->slots[*slot].used_at, (uint64) now);
	LWLockRelease(shared->lock);
}

/* NULL for a process that is no backend. */
static Leader *
leader_of(const PGPROC *process)
{
	ptrdiff_t number = process == NULL ? -1 : process - ProcGlobal->allProcs;

	return number < 0 || number >= MaxBackends ? NULL : &leaders[number];
}

void
gpt_stats_shared_give(const int64 *counts)
{
	Leader *leader = leader_of(MyProc->lockGroupLeader);

	for (int i = 0; leader != NULL && i < GPT_STATS; i++)
		(void) pg_atomic_fetch_add_u64(&leader->counts[i], counts[i]);
}

void
gpt_stats_shared_add_workers(int64 *counts)
{
	Leader *leader = leader_of(MyProc);

	for (int i = 0; leader != NULL && i < GPT_STATS; i++)
		counts[i] += (int64) pg_atomic_read_u64(&leader->counts[i]);
}

GptStatsRow *
gpt_stats_shared_rows(int *n, TimestampTz *since)
{
	GptStatsRow *rows = palloc(GPT_STATS_VERSIONS * sizeof(GptStatsRow));
	TimestampTz of_database;

	*n = 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	of_database = since_of_database(MyDatabaseId);
	for (int i = 0; i < shared->n; i++)
	{
		Slot *slot = &shared->slots[i];
		GptStatsRow *row = &rows[*n];

		if (slot->key.database != MyDatabaseId || !OidIsValid(slot->key.weights))
			continue;
		row->key = slot->key;
		row->since = slot->since;
		row->used_at = (TimestampTz) pg_atomic_read_u64(&slot->used_at);
		for (int k = 0; k < GPT_STATS; k++)
			row->counts[k] = (int64) pg_atomic_read_u64(&slot->counts[k]);
		(*n)++;
	}
	*since = Max(of_database, shared->evicted_at);
	LWLockRelease(shared->lock);
	return rows;
}

/* The slots of the versions become free; one for the database remembers when. */
void
gpt_stats_shared_reset(TimestampTz now)
{
	GptStatsKey key = {.database = MyDatabaseId};
	int kept = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n; i++)
		if (shared->slots[i].key.database != MyDatabaseId)
			shared->slots[kept++] = shared->slots[i];
	shared->n = kept;
	shared->slots[take_slot(&key, now)].since = now;
	LWLockRelease(shared->lock);
}

/* The caller holds the lock. A version stays in its slot until another one's reset. */
static int
find(int guess, const GptStatsKey *key)
{
	if (guess >= 0 && guess < shared->n &&
		memcmp(&shared->slots[guess].key, key, sizeof(*key)) == 0)
		return guess;
	for (int i = 0; i < shared->n; i++)
		if (memcmp(&shared->slots[i].key, key, sizeof(*key)) == 0)
			return i;
	return -1;
}

/* A slot with counts of 0; where all are taken, that of the least recent use. */
static int
take_slot(const GptStatsKey *key, TimestampTz now)
{
	TimestampTz since = since_of_database(key->database);
	int number = shared->n;
	Slot *slot;

	if (shared->n < GPT_STATS_VERSIONS)
		shared->n++;
	else
	{
		number = 0;
		for (int i = 1; i < shared->n; i++)
			if (pg_atomic_read_u64(&shared->slots[i].used_at) <
				pg_atomic_read_u64(&shared->slots[number].used_at))
				number = i;
		shared->evicted_at = now;
	}
	slot = &shared->slots[number];
	slot->key = *key;
	slot->since = Max(since, shared->evicted_at);
	pg_atomic_init_u64(&slot->used_at, (uint64) now);
	for (int i = 0; i < GPT_STATS; i++)
		pg_atomic_init_u64(&slot->counts[i], 0);
	return number;
}

/* When the counts of the database began. */
static TimestampTz
since_of_database(Oid database)
{
	GptStatsKey key = {.database = database};
	int slot = find(0, &key);

	return slot < 0 ? shared->started_at : shared->slots[slot].since;
}

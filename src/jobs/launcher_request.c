/*
 * src/jobs/launcher_request.c
 *
 * The launcher's shared memory: databases that ask for a visit, and workers to register.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "jobs/launcher.h"
#include "jobs/launcher_request.h"

#define MAX_TICKETS 64

/*
 * The databases that wait for a visit. mutex protects all fields. latch belongs to the launcher;
 * NULL if it does not run. If more databases ask than the array holds, all databases are visited.
 */
typedef struct Shared
{
	slock_t mutex;
	Latch *latch;
	bool everywhere;
	int n_requests;
	Oid requests[GPT_LAUNCHER_REQUESTS];
	int n_tickets; /* workers to register; only the launcher takes them away */
	GptJobTicket tickets[MAX_TICKETS];
} Shared;

static Shared *shared = NULL;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_shared_memory(void);
static void create_shared_memory(void);

void
gpt_launcher_share(void)
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
}

/* Startup hook: AddinShmemInitLock keeps two processes from initialising it at once. */
static void
create_shared_memory(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("gpt launcher", sizeof(Shared), &found);
	if (!found)
	{
		MemSet(shared, 0, sizeof(Shared));
		SpinLockInit(&shared->mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

bool
gpt_launcher_present(void)
{
	bool present;

	if (shared == NULL)
		return false;
	SpinLockAcquire(&shared->mutex);
	present = shared->latch != NULL;
	SpinLockRelease(&shared->mutex);
	return present;
}

void
gpt_launcher_request(Oid database)
{
	Latch *latch;
	bool wanted = OidIsValid(database);

	if (shared == NULL)
		return;
	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < shared->n_requests; i++)
		wanted = wanted && shared->requests[i] != database;
	if (wanted && shared->n_requests < GPT_LAUNCHER_REQUESTS)
		shared->requests[shared->n_requests++] = database;
	else if (wanted)
		shared->everywhere = true;
	latch = shared->latch;
	SpinLockRelease(&shared->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

void
gpt_launcher_hand_over(const GptJobTicket *ticket)
{
	bool taken = false;

	if (shared == NULL)
		return;
	SpinLockAcquire(&shared->mutex);
	for (int i = 0; i < shared->n_tickets; i++)
		taken = taken || (shared->tickets[i].job == ticket->job &&
						  shared->tickets[i].database == ticket->database);
	if (!taken && shared->n_tickets < MAX_TICKETS)
	{
		shared->tickets[shared->n_tickets++] = *ticket;
		taken = true;
	}
	SpinLockRelease(&shared->mutex);
	gpt_launcher_request(taken ? InvalidOid : ticket->database);
}

/* ---- For the launcher --------------------------------------------------- */

void
gpt_launcher_set_latch(Latch *latch)
{
	SpinLockAcquire(&shared->mutex);
	shared->latch = latch;
	SpinLockRelease(&shared->mutex);
}

bool
gpt_launcher_take_requests(Oid *requests, int *n)
{
	bool everywhere;

	SpinLockAcquire(&shared->mutex);
	*n = shared->n_requests;
	memcpy(requests, shared->requests, *n * sizeof(Oid));
	everywhere = shared->everywhere;
	shared->n_requests = 0;
	shared->everywhere = false;
	SpinLockRelease(&shared->mutex);
	return !everywhere;
}

bool
gpt_launcher_first_ticket(GptJobTicket *ticket)
{
	int n;

	SpinLockAcquire(&shared->mutex);
	n = shared->n_tickets;
	*ticket = shared->tickets[0];
	SpinLockRelease(&shared->mutex);
	return n > 0;
}

void
gpt_launcher_drop_first_ticket(void)
{
	SpinLockAcquire(&shared->mutex);
	shared->n_tickets--;
	memmove(&shared->tickets[0], &shared->tickets[1], shared->n_tickets * sizeof(GptJobTicket));
	SpinLockRelease(&shared->mutex);
}

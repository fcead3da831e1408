/*
 * src/serve/row_errors_shared.c
 *
 * Errors of rows in parallel workers. A worker leaves its reasons in shared memory when its
 * transaction ends; the session takes them before its own does, or when it is asked for them.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "serve/row_errors_shared.h"

#define TRANCHE "gpt_row_errors"
#define SLOTS 64
#define NAME_SIZE 128
#define MESSAGE_SIZE 256

/* A reason that waits for its session. */
typedef struct Slot
{
	int leader; /* process; 0: free */
	int sqlstate;
	TimestampTz last_at;
	int64 count;
	char function[NAME_SIZE];
	char model[NAME_SIZE];
	char message[MESSAGE_SIZE];
	char detail[MESSAGE_SIZE];
	char hint[MESSAGE_SIZE];
} Slot;

/* The lock protects the slots; n_waiting may be read without it, to see that nothing waits. */
typedef struct Shared
{
	LWLock *lock;
	pg_atomic_uint32 n_waiting;
	Slot slots[SLOTS];
} Shared;

static Shared *shared = NULL;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void request_shared_memory(void);
static void create_shared_memory(void);
static void at_transaction_end(XactEvent event, void *argument);
static void leave(void);
static void leave_one(const GptRowError *error, int leader);
static void drop(void);
static int take(Slot *taken);

void
gpt_row_errors_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = create_shared_memory;
	RegisterXactCallback(at_transaction_end, NULL);
}

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Shared)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
create_shared_memory(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("gpt row errors", sizeof(Shared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(Shared));
		shared->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
		pg_atomic_init_u32(&shared->n_waiting, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * After an abort a session must not allocate, so what its workers left then is dropped: the next
 * process of that number is another session.
 */
static void
at_transaction_end(XactEvent event, void *argument)
{
	if (event == XACT_EVENT_PARALLEL_COMMIT || event == XACT_EVENT_PARALLEL_ABORT)
		leave();
	else if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		gpt_row_errors_collect();
	else if (event == XACT_EVENT_ABORT)
		drop();
}

static void
leave(void)
{
	int n;
	const GptRowError *errors = gpt_row_errors(&n);
	int leader = MyProc->lockGroupLeader == NULL ? 0 : MyProc->lockGroupLeader->pid;

	if (n == 0 || leader == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
		leave_one(&errors[i], leader);
	LWLockRelease(shared->lock);
}

/* Copies a text as far as there is room for whole characters; NULL is an empty one. */
static void
clip(char *to, const char *text, size_t size)
{
	int n = text == NULL ? 0 : pg_mbcliplen(text, (int) strlen(text), (int) size - 1);

	memcpy(to, text == NULL ? "" : text, n);
	to[n] = '\0';
}

/* A slot that is filled, for no process. */
static void
fill(Slot *slot, const GptRowError *error)
{
	*slot = (Slot){0, error->failure.sqlstate, error->last_at, error->count};
	clip(slot->function, error->function, NAME_SIZE);
	clip(slot->model, error->model, NAME_SIZE);
	clip(slot->message, error->failure.message, MESSAGE_SIZE);
	clip(slot->detail, error->failure.detail, MESSAGE_SIZE);
	clip(slot->hint, error->failure.hint, MESSAGE_SIZE);
}

static bool
same(const Slot *a, const Slot *b)
{
	return a->sqlstate == b->sqlstate && strcmp(a->function, b->function) == 0 &&
		   strcmp(a->model, b->model) == 0 && strcmp(a->message, b->message) == 0;
}

static void
leave_one(const GptRowError *error, int leader)
{
	Slot *free_slot = NULL;
	Slot filled;

	fill(&filled, error);
	for (int i = 0; i < SLOTS; i++)
	{
		Slot *slot = &shared->slots[i];

		if (slot->leader == 0)
			free_slot = slot;
		else if (slot->leader == leader && same(slot, &filled))
		{
			slot->count += filled.count;
			slot->last_at = Max(slot->last_at, filled.last_at);
			return;
		}
	}
	if (free_slot == NULL)
		return;
	filled.leader = leader;
	*free_slot = filled;
	(void) pg_atomic_fetch_add_u32(&shared->n_waiting, 1);
}

void
gpt_row_errors_collect(void)
{
	Slot *taken;
	int n;

	if (shared == NULL || pg_atomic_read_u32(&shared->n_waiting) == 0)
		return;
	taken = palloc(SLOTS * sizeof(Slot));
	n = take(taken);
	for (int i = 0; i < n; i++)
	{
		Slot *slot = &taken[i];
		GptRowError error = {
			.last_at = slot->last_at,
			.count = slot->count,
			.function = slot->function,
			.model = slot->model[0] == '\0' ? NULL : slot->model,
			.failure = {.sqlstate = slot->sqlstate,
						.message = slot->message,
						.detail = slot->detail[0] == '\0' ? NULL : slot->detail,
						.hint = slot->hint[0] == '\0' ? NULL : slot->hint},
		};

		gpt_row_errors_merge(&error);
	}
	pfree(taken);
}

static void
drop(void)
{
	if (shared != NULL && pg_atomic_read_u32(&shared->n_waiting) > 0)
		(void) take(NULL);
}

/* Frees the slots of this session, copied where they are wanted; returns their number. */
static int
take(Slot *taken)
{
	int n = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
	{
		if (shared->slots[i].leader != MyProcPid)
			continue;
		if (taken != NULL)
			taken[n] = shared->slots[i];
		n++;
		shared->slots[i].leader = 0;
	}
	(void) pg_atomic_fetch_sub_u32(&shared->n_waiting, n);
	LWLockRelease(shared->lock);
	return n;
}

/*
 * src/engine/base/pool.c
 *
 * Takes a function and a number of pieces; returns when every piece has run, on the calling thread
 * and the pool's together.
 *
 * A run is a gate. The caller writes the run's fields, opens the gate and takes pieces itself; a
 * thread enters by raising the gate's count, which it can only do while the gate is open, takes
 * pieces until there are none, and leaves by lowering the count. The caller closes the gate when no
 * piece is left and waits for the count to fall to zero; a thread that wakes too late finds the
 * gate shut, and nobody waits for it.
 *
 *   gate      bit 31: open; the rest: threads inside
 *   sequence  number of runs begun; what sleeping threads wait to see change
 *
 * Locking: `piece`, `work`, `n_pieces`, `alone` are written by the caller while the gate is shut
 * and empty, and read by threads inside it; the gate's release and acquire order the two. The rest
 * is atomic. `mutex` guards nothing but the two sleeps.
 *
 * Each thread adds up the time that it spends in pieces: two looks at the clock a run.
 *
 * Threads spin for a short while before they sleep: the operations of a step follow each other
 * within microseconds, and waking a thread takes tens of them. An idle pool uses no processor time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"

#define GATE_OPEN 0x80000000u
#define SPIN_NANOSECONDS 40000
#define PAUSES_PER_CLOCK 16
#define ASK_NANOSECONDS 5000000 /* how often a waiting caller asks should_stop */
/* kernels keep packed blocks of up to 512 KiB on the stack, BLAS its own */
#define STACK_SIZE (4 << 20)

/* Nanoseconds in pieces; written by its thread alone, on a cache line of its own. */
typedef struct BusyTime
{
	_Alignas(64) atomic_llong nanoseconds;
} BusyTime;

typedef struct PoolThread
{
	LmPool *pool;
	int number;
	pthread_t thread;
} PoolThread;

struct LmPool
{
	LmHost host;
	int n_threads;
	int nice;
	bool held; /* read and written by the calling thread alone, which while lent is the borrower */
	bool lent;
	atomic_bool asked; /* while lent: the host said yes */
	pid_t owner; /* threads do not survive a fork: a child computes alone */
	PoolThread *threads;
	BusyTime *busy; /* [n_threads] */

	LmPiece piece;
	void *work;
	int n_pieces;
	bool alone; /* the caller takes all */

	/* each on its own cache line: every thread hits them at once */
	_Alignas(64) atomic_int next;
	_Alignas(64) atomic_uint gate;
	_Alignas(64) atomic_uint sequence;
	_Alignas(64) atomic_bool stopped;
	atomic_bool quit;
	atomic_bool caller_sleeps;
	atomic_int n_sleeping;

	pthread_mutex_t mutex;
	pthread_cond_t started;
	pthread_cond_t finished;
};

static bool start_threads(LmPool *pool, int n_threads);
static void *thread_main(void *argument);
static void wait_for_run(LmPool *pool, unsigned seen);
static bool enter_gate(LmPool *pool);
static void leave_gate(LmPool *pool);
static void open_gate(LmPool *pool);
static void take_alone(LmPool *pool);
static void take_part(LmPool *pool, int thread);
static void take_pieces(LmPool *pool, int thread);
static void wait_for_threads(LmPool *pool);
static void sleep_until_finished(LmPool *pool);
static int64_t now_nanoseconds(void);
static void pause_briefly(void);

LmPool *
lm_pool_start(const LmHost *host, int n_threads, int nice)
{
	LmPool *pool = lm_allocate(host, sizeof *pool);
	pthread_condattr_t attributes;

	if (!pool)
		return NULL;
	pool->host = *host;
	pool->n_threads = 1;
	pool->nice = nice;
	pool->owner = getpid();
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->started, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->finished, &attributes);
	pthread_condattr_destroy(&attributes);
	pool->busy = lm_allocate(host, (size_t) n_threads * sizeof *pool->busy);
	if (!pool->busy || (n_threads > 1 && !start_threads(pool, n_threads)))
	{
		lm_pool_stop(pool);
		return NULL;
	}
	return pool;
}

/* Starts n_threads - 1 threads, or as many as the system gives; false only without memory. */
static bool
start_threads(LmPool *pool, int n_threads)
{
	pthread_attr_t attributes;
	sigset_t old;

	pool->threads = lm_allocate(&pool->host, (size_t) (n_threads - 1) * sizeof *pool->threads);
	if (!pool->threads)
		return false;
	lm_signals_block(&old);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	for (int i = 0; i < n_threads - 1; i++)
	{
		PoolThread *thread = &pool->threads[i];

		thread->pool = pool;
		thread->number = i + 1;
		if (pthread_create(&thread->thread, &attributes, thread_main, thread) != 0)
			break;
		pool->n_threads++;
	}
	pthread_attr_destroy(&attributes);
	lm_signals_restore(&old);
	return true;
}

void
lm_pool_stop(LmPool *pool)
{
	LmHost host;

	if (!pool)
		return;
	host = pool->host;
	/* In a forked child there are no threads to join, and the mutex may be in any state. */
	if (pool->owner == getpid())
	{
		pthread_mutex_lock(&pool->mutex);
		atomic_store(&pool->quit, true);
		pthread_cond_broadcast(&pool->started);
		pthread_mutex_unlock(&pool->mutex);
		for (int i = 0; i < pool->n_threads - 1; i++)
			pthread_join(pool->threads[i].thread, NULL);
		pthread_cond_destroy(&pool->started);
		pthread_cond_destroy(&pool->finished);
		pthread_mutex_destroy(&pool->mutex);
	}
	lm_free(&host, pool->busy);
	lm_free(&host, pool->threads);
	lm_free(&host, pool);
}

int
lm_pool_threads(const LmPool *pool)
{
	return pool->n_threads;
}

void
lm_pool_busy(const LmPool *pool, int64_t *nanoseconds)
{
	for (int i = 0; i < pool->n_threads; i++)
		nanoseconds[i] = atomic_load_explicit(&pool->busy[i].nanoseconds, memory_order_relaxed);
}

void
lm_pool_begin(LmPool *pool)
{
	atomic_store(&pool->stopped, false);
}

static bool
host_says_stop(const LmPool *pool)
{
	return pool->host.should_stop && pool->host.should_stop(pool->host.context);
}

bool
lm_pool_stopped(LmPool *pool)
{
	if (atomic_load_explicit(&pool->stopped, memory_order_relaxed))
		return true;
	if (pool->held || !(pool->lent ? atomic_load_explicit(&pool->asked, memory_order_relaxed)
								   : host_says_stop(pool)))
		return false;
	atomic_store_explicit(&pool->stopped, true, memory_order_relaxed);
	return true;
}

bool
lm_pool_stopping(const LmPool *pool)
{
	return atomic_load_explicit(&pool->stopped, memory_order_relaxed);
}

void
lm_pool_hold(LmPool *pool, bool hold)
{
	pool->held = hold;
}

void
lm_pool_lend(LmPool *pool, bool lent)
{
	pool->lent = lent;
	atomic_store(&pool->asked, false);
}

void
lm_pool_ask(LmPool *pool)
{
	if (host_says_stop(pool))
		atomic_store(&pool->asked, true);
}

void
lm_pool_run(LmPool *pool, LmPiece piece, void *work, int n_pieces)
{
	if (n_pieces <= 0 || lm_pool_stopped(pool))
		return;
	pool->piece = piece;
	pool->work = work;
	pool->n_pieces = n_pieces;
	atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
	if (n_pieces == 1 || pool->n_threads == 1 || pool->owner != getpid())
	{
		pool->alone = true;
		take_part(pool, 0);
		return;
	}
	pool->alone = false;
	open_gate(pool);
	take_part(pool, 0);
	atomic_fetch_and(&pool->gate, ~GATE_OPEN);
	wait_for_threads(pool);
}

static void
open_gate(LmPool *pool)
{
	atomic_fetch_or(&pool->gate, GATE_OPEN);
	/* Sequentially consistent, as is the count of sleepers: one of the two sides sees the other. */
	atomic_fetch_add(&pool->sequence, 1);
	if (atomic_load(&pool->n_sleeping) == 0)
		return;
	pthread_mutex_lock(&pool->mutex);
	pthread_cond_broadcast(&pool->started);
	pthread_mutex_unlock(&pool->mutex);
}

/* Runs as many of the pieces as this thread gets, and adds up the time that they take. */
static void
take_part(LmPool *pool, int thread)
{
	atomic_llong *busy = &pool->busy[thread].nanoseconds;
	int64_t begin = now_nanoseconds();

	if (pool->alone)
		take_alone(pool);
	else
		take_pieces(pool, thread);
	atomic_store_explicit(
		busy, atomic_load_explicit(busy, memory_order_relaxed) + now_nanoseconds() - begin,
		memory_order_relaxed);
}

static void
take_alone(LmPool *pool)
{
	for (int i = 0; i < pool->n_pieces; i++)
	{
		if (i > 0 && lm_pool_stopped(pool))
			return;
		pool->piece(pool->work, i, 0);
	}
}

/* Takes pieces until none is left; only the calling thread may ask the host whether to stop. */
static void
take_pieces(LmPool *pool, int thread)
{
	int n_pieces = pool->n_pieces;

	for (;;)
	{
		int piece;

		if (thread == 0 ? lm_pool_stopped(pool)
						: atomic_load_explicit(&pool->stopped, memory_order_relaxed))
			return;
		piece = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
		if (piece >= n_pieces)
			return;
		pool->piece(pool->work, piece, thread);
	}
}

/* Waits until no thread is inside the closed gate: spins for a short while, then sleeps. */
static void
wait_for_threads(LmPool *pool)
{
	int64_t end = now_nanoseconds() + SPIN_NANOSECONDS;

	while (atomic_load_explicit(&pool->gate, memory_order_acquire) != 0)
	{
		for (int i = 0; i < PAUSES_PER_CLOCK; i++)
			pause_briefly();
		if (now_nanoseconds() >= end)
		{
			sleep_until_finished(pool);
			return;
		}
	}
}

/* Sleeps, and wakes now and then to ask the host, so that the threads stop taking pieces soon. */
static void
sleep_until_finished(LmPool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	atomic_store(&pool->caller_sleeps, true);
	while (atomic_load(&pool->gate) != 0)
	{
		int64_t until = now_nanoseconds() + ASK_NANOSECONDS;
		struct timespec time = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};

		if (pthread_cond_timedwait(&pool->finished, &pool->mutex, &time) == ETIMEDOUT)
			lm_pool_stopped(pool);
	}
	atomic_store(&pool->caller_sleeps, false);
	pthread_mutex_unlock(&pool->mutex);
}

/* A thread of the pool: takes part in each run whose gate is open when it arrives. */
static void *
thread_main(void *argument)
{
	PoolThread *thread = argument;
	LmPool *pool = thread->pool;
	unsigned seen = 0;

	prctl(PR_SET_NAME, "gpt pool", 0, 0, 0);
	lm_thread_lower(pool->nice);
	while (!atomic_load(&pool->quit))
	{
		wait_for_run(pool, seen);
		seen = atomic_load(&pool->sequence);
		if (enter_gate(pool))
		{
			take_part(pool, thread->number);
			leave_gate(pool);
		}
	}
	return NULL;
}

/* Returns when `sequence` differs from seen or the pool ends; spins a short while, then sleeps. */
static void
wait_for_run(LmPool *pool, unsigned seen)
{
	int64_t end = now_nanoseconds() + SPIN_NANOSECONDS;

	while (now_nanoseconds() < end)
	{
		for (int i = 0; i < PAUSES_PER_CLOCK; i++)
		{
			if (atomic_load_explicit(&pool->sequence, memory_order_relaxed) != seen)
				return;
			pause_briefly();
		}
	}
	pthread_mutex_lock(&pool->mutex);
	atomic_fetch_add(&pool->n_sleeping, 1);
	while (atomic_load(&pool->sequence) == seen && !atomic_load(&pool->quit))
		pthread_cond_wait(&pool->started, &pool->mutex);
	atomic_fetch_sub(&pool->n_sleeping, 1);
	pthread_mutex_unlock(&pool->mutex);
}

static bool
enter_gate(LmPool *pool)
{
	unsigned gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);

	while (gate & GATE_OPEN)
	{
		if (atomic_compare_exchange_weak_explicit(&pool->gate, &gate, gate + 1,
												  memory_order_acquire, memory_order_relaxed))
			return true;
	}
	return false;
}

static void
leave_gate(LmPool *pool)
{
	/*
	 * Sequentially consistent, as is caller_sleeps: either the caller sees 0 or this thread sees it
	 * asleep.
	 */
	if (atomic_fetch_sub(&pool->gate, 1) != 1 || !atomic_load(&pool->caller_sleeps))
		return;
	pthread_mutex_lock(&pool->mutex);
	pthread_cond_signal(&pool->finished);
	pthread_mutex_unlock(&pool->mutex);
}

static int64_t
now_nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

static void
pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

void
lm_signals_block(sigset_t *old)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
	sigset_t blocked;

	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		sigdelset(&blocked, faults[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, old);
}

void
lm_signals_restore(const sigset_t *old)
{
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

void
lm_thread_lower(int nice)
{
	struct sched_param parameters = {0};

	if (nice == LM_NICE_IDLE)
		sched_setscheduler(0, SCHED_IDLE, &parameters);
	if (nice > 0)
		setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid),
					nice < LM_NICE_IDLE ? nice : LM_NICE_IDLE - 1);
}

/*
 * test/unit/test_apart.c
 *
 * lm_engine_apart: which thread computes at which priority, and how it is stopped. Pieces wait
 * until the host has been asked, or the stop has come: at most a minute, however busy the machine
 * is.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/engine_private.h"
#include "kernels.h"

enum
{
	PIECES = 64,
	WAIT_SECONDS = 60
};

/* A host that says stop after so many questions, and whose thread asks them. */
typedef struct AskedHost
{
	TapHost tap;
	pthread_t caller;
	int stop_after; /* questions; -1: never */
	atomic_int n_asked;
	bool wrong_thread;
} AskedHost;

typedef struct Task
{
	LmEngine *engine;
	AskedHost *host;
	pthread_t caller;
	time_t until;
	atomic_int n_pieces;
	atomic_int n_by_caller;
	atomic_int n_other_priority;
	int policy;
	int nice;
	int n_threads_seen;
	atomic_bool seen[LM_MAX_THREADS];
	bool holds; /* until the host has been asked often enough */
	bool stopped;
} Task;

static bool
asked(void *context)
{
	AskedHost *host = context;

	host->wrong_thread |= !pthread_equal(pthread_self(), host->caller);
	return atomic_fetch_add(&host->n_asked, 1) >= host->stop_after && host->stop_after >= 0;
}

static void
wait_milliseconds(int milliseconds)
{
	struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

	nanosleep(&time, NULL);
}

static time_t
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/*
 * Whether a piece has waited long enough: until the host has been asked twice, and where it said
 * stop, for the pool's threads until they are to stop. The task's own thread looks between its
 * pieces.
 */
static bool
may_end(Task *task, int thread)
{
	bool stops = task->host->stop_after >= 0 && !task->holds;

	if (atomic_load(&task->host->n_asked) < (stops ? 3 : 2))
		return false;
	return !stops || thread == 0 || lm_pool_stopping(task->engine->pool);
}

static int
nice_of_thread(void)
{
	return getpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid));
}

static void
count_piece(void *argument, int piece, int thread)
{
	Task *task = argument;

	atomic_store(&task->seen[thread], true);
	atomic_fetch_add(&task->n_pieces, 1);
	if (pthread_equal(pthread_self(), task->caller))
		atomic_fetch_add(&task->n_by_caller, 1);
	if (sched_getscheduler(0) != task->policy || nice_of_thread() != task->nice)
		atomic_fetch_add(&task->n_other_priority, 1);
	while (!may_end(task, thread) && now_seconds() < task->until)
		wait_milliseconds(1);
}

static void
compute(void *argument)
{
	Task *task = argument;

	lm_engine_begin(task->engine);
	lm_engine_hold(task->engine, task->holds);
	lm_engine_run(task->engine, count_piece, task, PIECES);
	lm_engine_hold(task->engine, false);
	task->stopped = lm_engine_stopped(task->engine);
}

static Task
run(AskedHost *asked_host, int n_threads, int nice, int policy, bool holds)
{
	LmHost host = {tap_reallocate, asked, asked_host};
	LmEngineOptions options = {.n_threads = n_threads, .blas_library = "", .nice = nice};
	int stop_after = asked_host->stop_after;
	Task task = {.policy = policy,
				 .nice = nice == LM_NICE_IDLE ? 19 : nice,
				 .host = asked_host,
				 .caller = pthread_self(),
				 .until = now_seconds() + WAIT_SECONDS,
				 .holds = holds};

	asked_host->caller = pthread_self();
	asked_host->stop_after = -1;
	task.engine = lm_engine_start(&host, &options, NULL);
	asked_host->stop_after = stop_after;
	asked_host->n_asked = 0;
	lm_engine_apart(task.engine, compute, &task);
	for (int i = 0; i < LM_MAX_THREADS; i++)
		task.n_threads_seen += atomic_load(&task.seen[i]);
	lm_engine_stop(task.engine);
	return task;
}

static void
test_priority(int n_threads, int nice, int policy)
{
	AskedHost host = {.tap = {.fail_after = -1}, .stop_after = -1};
	int before = nice_of_thread();
	Task task = run(&host, n_threads, nice, policy, false);

	ok(task.n_pieces == PIECES, "nice %d, %d threads: each piece is computed", nice, n_threads);
	is_int(task.n_by_caller, 0, "by other threads than the caller's");
	ok(task.n_threads_seen >= 1 && task.n_threads_seen <= n_threads,
	   "of which there are no more than asked for");
	is_int(task.n_other_priority, 0, "at the priority of the engine");
	ok(sched_getscheduler(0) == SCHED_OTHER && nice_of_thread() == before,
	   "the caller keeps its own");
	ok(host.n_asked >= 2 && !host.wrong_thread, "and is the thread that asks the host");
	ok(!task.stopped, "nothing was stopped");
}

static void
test_stop(int n_threads, bool holds)
{
	AskedHost host = {.tap = {.fail_after = -1}, .stop_after = 1};
	Task task = run(&host, n_threads, LM_NICE_IDLE, SCHED_IDLE, holds);

	if (holds)
		ok(task.n_pieces == PIECES, "%d threads: what is held is not stopped", n_threads);
	else
		ok(task.n_pieces < PIECES, "%d threads: a stop is noticed between pieces", n_threads);
	ok(task.stopped, "and is reported afterwards");
	ok(!host.wrong_thread, "only the caller asked the host");
}

static void
test_ordinary(void)
{
	AskedHost host = {.tap = {.fail_after = -1}, .stop_after = -1};
	Task task = run(&host, 2, 0, SCHED_OTHER, false);

	ok(task.n_pieces == PIECES && task.n_by_caller > 0,
	   "without a nice level the caller takes part");
}

int
main(void)
{
	test_priority(1, LM_NICE_IDLE, SCHED_IDLE);
	test_priority(3, LM_NICE_IDLE, SCHED_IDLE);
	test_priority(2, 7, SCHED_OTHER);
	test_stop(1, false);
	test_stop(3, false);
	test_stop(2, true);
	test_ordinary();
	return done_testing();
}

/*
 * test/unit/test_engine.c
 *
 * The handle: pieces, threads, stopping, signals, forks, and starts that fail.
 *
 * No assertion hangs on how much of the processor the process gets: threads wait for events, and
 * the end of the wait is a minute away.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

enum
{
	PIECES = 1000,
	WAIT_SECONDS = 60,
#ifdef __SANITIZE_THREAD__
	OWN_THREADS = 2 /* the sanitizer has one */
#else
	OWN_THREADS = 1
#endif
};

typedef struct Work
{
	atomic_int count[PIECES];
	atomic_int n_done;
	atomic_int n_threads_seen;
	atomic_bool seen[LM_MAX_THREADS];
	atomic_bool wrong;
	int n_threads;
	long nanoseconds;
	int64_t until; /* a piece waits for all threads, at most so long */
	TapHost *stop_after;
	int stop_piece;
	sigset_t mask;
	char name[20];
} Work;

static int64_t
now_nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

static void
wait_nanoseconds(long nanoseconds)
{
	struct timespec time = {0, nanoseconds};

	nanosleep(&time, NULL);
}

static int64_t
wait_end(void)
{
	return now_nanoseconds() + (int64_t) WAIT_SECONDS * 1000000000;
}

/* Waits until count is at least n; false when that is not so at the time `until`. */
static bool
wait_for_count(atomic_int *count, int n, int64_t until)
{
	while (atomic_load(count) < n)
	{
		if (now_nanoseconds() > until)
			return false;
		wait_nanoseconds(100000);
	}
	return true;
}

static void
count_piece(void *argument, int piece, int thread)
{
	Work *work = argument;

	if (thread < 0 || thread >= work->n_threads)
		atomic_store(&work->wrong, true);
	else if (!atomic_exchange(&work->seen[thread], true))
		atomic_fetch_add(&work->n_threads_seen, 1);
	atomic_fetch_add(&work->count[piece], 1);
	if (work->nanoseconds)
		wait_nanoseconds(work->nanoseconds);
	if (work->until)
		wait_for_count(&work->n_threads_seen, work->n_threads, work->until);
	atomic_fetch_add(&work->n_done, 1);
}

static bool
each_once(Work *work, int n_pieces)
{
	bool right = !atomic_load(&work->wrong);

	for (int i = 0; i < PIECES; i++)
		right &= atomic_load(&work->count[i]) == (i < n_pieces);
	return right;
}

static void
test_pieces(void)
{
	static const int threads[] = {1, 2, 4, 8};

	for (int t = 0; t < 4; t++)
	{
		LmEngine *engine = test_engine(threads[t], "");
		bool right = true;
		Work work;

		for (int run = 0; run < 2000; run++)
		{
			memset(&work, 0, sizeof work);
			work.n_threads = lm_engine_threads(engine);
			lm_engine_run(engine, count_piece, &work, run % 40);
			right &= each_once(&work, run % 40);
			/* Now and then long enough for the threads to fall asleep. */
			if (run % 400 == 0)
				wait_nanoseconds(2000000);
		}
		ok(right, "%d threads run each piece of 2000 runs once", threads[t]);
		memset(&work, 0, sizeof work);
		work.n_threads = lm_engine_threads(engine);
		work.until = wait_end();
		lm_engine_run(engine, count_piece, &work, 200);
		is_int(work.n_threads_seen, threads[t], "all threads take part in long work");
		lm_engine_stop(engine);
	}
}

static int
process_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	int n = -2;

	if (!folder)
		return -1;
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

/* A joined thread leaves the list a little later. */
static int
process_threads_soon(int expected)
{
	int64_t until = wait_end();

	while (process_threads() != expected && now_nanoseconds() < until)
		wait_nanoseconds(100000);
	return process_threads();
}

static void
test_thread_count(void)
{
	int before = process_threads_soon(OWN_THREADS);
	LmEngine *engine = test_engine(1, "");

	is_int(process_threads(), before, "an engine of one thread makes none");
	lm_engine_stop(engine);
	engine = test_engine(3, "");
	is_int(process_threads(), before + 2, "an engine of three makes two");
	lm_engine_stop(engine);
	is_int(process_threads_soon(before), before, "stopping joins them");
	engine = test_engine(3, NULL);
	is_int(process_threads(), before + 2, "the matrix library makes no threads of its own");
	printf("# %s\n", lm_engine_description(engine));
	ok(strlen(lm_engine_description(engine)) > 0, "the description says what multiplies");
	lm_engine_stop(engine);
	engine = test_engine(1, "");
	ok(strncmp(lm_engine_description(engine), "built-in ", 9) == 0,
	   "an empty path means the built-in kernels");
	lm_engine_stop(engine);
}

static void
look_piece(void *argument, int piece, int thread)
{
	Work *work = argument;

	if (thread > 0 && !atomic_exchange(&work->seen[thread], true))
	{
		pthread_sigmask(SIG_SETMASK, NULL, &work->mask);
		prctl(PR_GET_NAME, work->name);
		atomic_fetch_add(&work->n_threads_seen, 1);
	}
	wait_for_count(&work->n_threads_seen, 1, work->until);
}

static void
test_signals(void)
{
	LmEngine *engine = test_engine(2, "");
	Work work = {.n_threads = 2, .until = wait_end()};
	sigset_t mask;

	lm_engine_run(engine, look_piece, &work, 20);
	ok(sigismember(&work.mask, SIGINT) == 1 && sigismember(&work.mask, SIGTERM) == 1 &&
		   sigismember(&work.mask, SIGUSR1) == 1 && sigismember(&work.mask, SIGALRM) == 1,
	   "threads block the server's signals");
	ok(sigismember(&work.mask, SIGSEGV) == 0 && sigismember(&work.mask, SIGBUS) == 0,
	   "but not faults of their own");
	ok(strcmp(work.name, "gpt pool") == 0, "threads bear a name");
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	ok(sigismember(&mask, SIGINT) == 0, "the caller's mask is as before");
	lm_engine_stop(engine);
}

static double
processor_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) usage.ru_utime.tv_sec + 1e-6 * (double) usage.ru_utime.tv_usec +
		   (double) usage.ru_stime.tv_sec + 1e-6 * (double) usage.ru_stime.tv_usec;
}

static void
test_idle(void)
{
	LmEngine *engine = test_engine(4, "");
	Work work = {.n_threads = 4};
	int64_t until = wait_end();
	bool idle = false;

	lm_engine_run(engine, count_piece, &work, 40);
	/* On a busy machine the threads come to their sleep late: once asleep, they stay so. */
	while (!idle && now_nanoseconds() < until)
	{
		double before = processor_seconds();

		wait_nanoseconds(200000000);
		idle = processor_seconds() - before < 0.02;
	}
	ok(idle, "an idle engine uses no processor time");
	lm_engine_stop(engine);
}

static void
stop_piece(void *argument, int piece, int thread)
{
	Work *work = argument;

	atomic_fetch_add(&work->n_done, 1);
	if (piece == work->stop_piece)
		work->stop_after->stop = true;
	wait_nanoseconds(100000);
}

static void
test_stop(int n_threads)
{
	LmEngine *engine = test_engine(n_threads, "");
	Work work = {.n_threads = n_threads, .stop_after = &kernels_host_state, .stop_piece = 10};
	int n_done;

	/*
	 * The flag is written by a piece and read by the caller: one thread, so that this is no race.
	 */
	lm_engine_run(engine, n_threads == 1 ? stop_piece : count_piece, &work,
				  n_threads == 1 ? PIECES : 10);
	kernels_host_state.stop = true;
	n_done = atomic_load(&work.n_done);
	if (n_threads == 1)
		is_int(n_done, 11, "pieces after the stop are skipped");
	ok(lm_engine_stopped(engine), "the engine is stopped");
	kernels_host_state.stop = false;
	ok(lm_engine_stopped(engine), "and stays so when the host no longer asks for it");
	lm_engine_run(engine, stop_piece, &work, 20);
	is_int(atomic_load(&work.n_done), n_done, "a stopped engine runs nothing");
	lm_engine_begin(engine);
	ok(!lm_engine_stopped(engine), "lm_engine_begin forgets the stop");
	lm_engine_hold(engine, true);
	kernels_host_state.stop = true;
	ok(!lm_engine_stopped(engine), "an engine on hold does not ask the host");
	lm_engine_hold(engine, false);
	ok(lm_engine_stopped(engine), "after the hold it does");
	kernels_host_state.stop = false;
	lm_engine_stop(engine);
}

/*
 * A host that says stop when it is asked for the third time after a thread of the pool has begun a
 * piece, which ends with that: the last time, the caller is waiting.
 */
typedef struct AskedHost
{
	TapHost tap;
	pthread_t caller;
	bool wrong_thread;
	int n_asked;
	atomic_int n_begun;
	atomic_int n_said;
	atomic_bool late;
	int64_t until;
} AskedHost;

static bool
is_asked(void *context)
{
	AskedHost *host = context;

	host->wrong_thread |= !pthread_equal(pthread_self(), host->caller);
	host->n_asked += atomic_load(&host->n_begun) > 0;
	if (host->n_asked < 3)
		return false;
	atomic_store(&host->n_said, 1);
	return true;
}

/* The caller's piece ends when another thread has begun one. */
static void
slow_piece(void *argument, int piece, int thread)
{
	AskedHost *host = argument;
	atomic_int *event = thread > 0 ? &host->n_said : &host->n_begun;

	if (thread > 0)
		atomic_fetch_add(&host->n_begun, 1);
	if (!wait_for_count(event, 1, host->until))
		atomic_store(&host->late, true);
}

static void
test_stop_while_waiting(void)
{
	AskedHost asked = {.tap = {.fail_after = -1}, .caller = pthread_self(), .until = wait_end()};
	LmHost host = {.reallocate = tap_reallocate, .should_stop = is_asked, .context = &asked};
	LmEngineOptions options = {4, ""};
	LmEngine *engine = lm_engine_start(&host, &options, NULL);

	/* Two threads may take both pieces: the caller waits all the same. */
	lm_engine_run(engine, slow_piece, &asked, 2);
	ok(!asked.late, "the host is asked while the caller waits");
	ok(lm_engine_stopped(engine), "a stop is noticed while the caller waits for the others");
	ok(!asked.wrong_thread, "should_stop is only called on the calling thread");
	lm_engine_stop(engine);
}

static void
test_fork(void)
{
	LmEngine *engine = test_engine(4, "");
	Work work = {.n_threads = 4};
	int status = -1;
	pid_t child;

	lm_engine_run(engine, count_piece, &work, 100);
	child = fork();
	if (child == 0)
	{
		memset(&work, 0, sizeof work);
		work.n_threads = 1;
		lm_engine_run(engine, count_piece, &work, 100);
		lm_engine_stop(engine);
		_exit(each_once(&work, 100) ? 0 : 1);
	}
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	   "a forked child computes alone and stops without its threads");
	memset(&work, 0, sizeof work);
	work.n_threads = 4;
	lm_engine_run(engine, count_piece, &work, 100);
	ok(each_once(&work, 100), "its parent goes on");
	lm_engine_stop(engine);
}

static void
test_failures(void)
{
	LmEngineOptions options = {3, NULL};
	LmError error = {0};
	LmEngine *engine = NULL;
	bool right = true;
	int k;

	for (k = 0; k < 100 && !engine; k++)
	{
		TapHost state;
		LmHost host = tap_host(&state);

		error.code = LM_OK;
		state.fail_after = k;
		engine = lm_engine_start(&host, &options, &error);
		if (!engine)
			right &= error.code == LM_ERR_MEMORY && state.live == 0;
		else
		{
			lm_engine_stop(engine);
			right &= state.live == 0;
		}
	}
	ok(right && engine,
	   "a start that gets no memory at its n-th request fails and frees the rest, for all %d n",
	   k - 1);
	options.n_threads = 0;
	ok(!lm_engine_start(&kernels_host, &options, &error) && error.code == LM_ERR_ARGUMENT,
	   "no threads are refused");
	options.n_threads = LM_MAX_THREADS + 1;
	ok(!lm_engine_start(&kernels_host, &options, &error) && error.code == LM_ERR_ARGUMENT,
	   "too many threads are refused");
	options = (LmEngineOptions){2, "/nowhere/libopenblas.so"};
	ok(!lm_engine_start(&kernels_host, &options, &error) && error.code == LM_ERR_LIBRARY,
	   "a missing library is an error");
	printf("# %s\n", error.message);
	options.blas_library = "libm.so.6";
	ok(!lm_engine_start(&kernels_host, &options, &error) && error.code == LM_ERR_LIBRARY,
	   "a library without a path is an error");
	options.blas_library = "/lib/x86_64-linux-gnu/libm.so.6";
	ok(!lm_engine_start(&kernels_host, &options, &error) && error.code == LM_ERR_LIBRARY,
	   "a library that is no BLAS is an error");
	printf("# %s\n", error.message);
}

static void
test_environment(void)
{
	LmEngine *engine;

	setenv("OPENBLAS_NUM_THREADS", "7", 1);
	unsetenv("OMP_NUM_THREADS");
	engine = test_engine(1, NULL);
	ok(strcmp(getenv("OPENBLAS_NUM_THREADS"), "7") == 0 && !getenv("OMP_NUM_THREADS"),
	   "loading a library leaves the environment as it was");
	lm_engine_stop(engine);
}

static int64_t
sum_busy(const LmEngine *engine, const int64_t *before, int64_t *most)
{
	int64_t busy[LM_MAX_THREADS] = {0}, sum = 0;

	lm_engine_busy(engine, busy);
	*most = 0;
	for (int i = 0; i < lm_engine_threads(engine); i++)
	{
		sum += busy[i] - before[i];
		*most = busy[i] - before[i] > *most ? busy[i] - before[i] : *most;
	}
	return sum;
}

/* 20 pieces of a millisecond, then one alone. */
static void
test_busy(void)
{
	LmEngine *engine = test_engine(4, "");
	int64_t before[LM_MAX_THREADS] = {0}, most, sum, begin, wall;
	Work work = {.n_threads = 4, .nanoseconds = 1000000};

	begin = now_nanoseconds();
	lm_engine_run(engine, count_piece, &work, 20);
	wall = now_nanoseconds() - begin;
	sum = sum_busy(engine, before, &most);
	ok(sum >= 20 * 1000000 && most <= wall, "the threads' time in pieces is counted");
	lm_engine_busy(engine, before);
	lm_engine_run(engine, count_piece, &work, 1);
	sum = sum_busy(engine, before, &most);
	ok(sum >= 1000000 && sum == most, "a single piece is the caller's time alone");
	wait_nanoseconds(2000000);
	ok(sum_busy(engine, before, &most) == sum, "waiting for work is not counted");
	lm_engine_stop(engine);
}

int
main(void)
{
	test_pieces();
	test_thread_count();
	test_environment();
	test_signals();
	test_idle();
	test_busy();
	test_stop(1);
	test_stop(4);
	test_stop_while_waiting();
	test_fork();
	test_failures();
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}

/*
 * src/engine/base/aside.h
 *
 * One thread beside the caller's, started when it is first needed. It serves work that waits more
 * than it computes, such as reading the next batch while the pool computes a step, and work at
 * another priority than the caller's.
 */
#ifndef LM_ASIDE_H
#define LM_ASIDE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The thread and its task. The caller zeroes it, and sets name, stack size and priority. Locking:
 * `task`, `work`, `busy` and `quit` under the mutex; the rest is the caller's. The results of a
 * task are the caller's after lm_aside_wait.
 */
typedef struct LmAside
{
	/* of the thread, as this and the next two set before it starts; NULL: "gpt aside" */
	const char *name;
	size_t stack_size; /* 0: a small one */
	int nice; /* LmEngineOptions.nice */
	bool running; /* the thread exists ... */
	pid_t owner; /* ... in this process: a thread does not survive a fork */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	void (*task)(void *work);
	void *work;
	bool busy; /* a task is given and not done */
	bool quit;
} LmAside;

/* Starts the thread if it does not run yet. True when it runs; false in a forked child. */
bool lm_aside_start(LmAside *aside);

/* Hands a task over, after the one before it is done. Without a thread the task runs at once. */
void lm_aside_begin(LmAside *aside, void (*task)(void *work), void *work);
void lm_aside_wait(LmAside *aside); /* until the task is done; at once where there is none */
/* at most that long; true when the task is done */
bool lm_aside_wait_for(LmAside *aside, int64_t nanoseconds);
void lm_aside_stop(LmAside *aside); /* waits, then joins the thread */

#endif /* LM_ASIDE_H */

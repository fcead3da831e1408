/*
 * src/engine/base/aside.h
 *
 * One thread beside the caller's, started when it is first needed: for work that waits more than it
 * computes, as reading the next batch while the pool makes a step; and for what computes at another
 * priority than the caller's.
 */
#ifndef LM_ASIDE_H
#define LM_ASIDE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Locking: `task`, `work`, `busy` and `quit` under the mutex; the rest is the caller's. The task's
 * results are the caller's after lm_aside_wait.
 */
typedef struct LmAside
{
	/* of the thread, as this and the next two set before it starts; NULL: "gpt aside" */
	const char *name;
	size_t stack_size; /* 0: a small one */
	int nice; /* LmEngineOptions.nice */
	bool running; /* there is a thread */
	pid_t owner; /* which does not survive a fork */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	void (*task)(void *work);
	void *work;
	bool busy; /* a task is given and not done */
	bool quit;
} LmAside;

/* true when there is a thread; in a forked child there never is */
bool lm_aside_start(LmAside *aside);

/*
 * Hands a task over, after the one before it is done. Where no thread can be had, the task runs at
 * once.
 */
void lm_aside_begin(LmAside *aside, void (*task)(void *work), void *work);
void lm_aside_wait(LmAside *aside); /* until the task is done; at once where there is none */
/* at most that long; true when the task is done */
bool lm_aside_wait_for(LmAside *aside, int64_t nanoseconds);
void lm_aside_stop(LmAside *aside); /* waits, then joins the thread */

#endif /* LM_ASIDE_H */

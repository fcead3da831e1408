/*
 * src/engine/base/aside.c
 *
 * Takes one task at a time; a thread of its own does it while the caller does something else.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/pool.h"

#define STACK_SIZE (256 << 10)

static void *aside_main(void *argument);

void
lm_aside_begin(LmAside *aside, void (*task)(void *work), void *work)
{
	lm_aside_wait(aside);
	if (!lm_aside_start(aside))
	{
		task(work);
		return;
	}
	pthread_mutex_lock(&aside->mutex);
	aside->task = task;
	aside->work = work;
	aside->busy = true;
	pthread_cond_broadcast(&aside->changed);
	pthread_mutex_unlock(&aside->mutex);
}

bool
lm_aside_start(LmAside *aside)
{
	pthread_condattr_t clock;
	pthread_attr_t attributes;
	sigset_t old;

	if (aside->running)
		return aside->owner == getpid();
	aside->owner = getpid();
	aside->quit = false;
	pthread_mutex_init(&aside->mutex, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&aside->changed, &clock);
	pthread_condattr_destroy(&clock);
	lm_signals_block(&old);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, aside->stack_size > 0 ? aside->stack_size : STACK_SIZE);
	aside->running = pthread_create(&aside->thread, &attributes, aside_main, aside) == 0;
	pthread_attr_destroy(&attributes);
	lm_signals_restore(&old);
	return aside->running;
}

/* Waits for tasks and runs them one at a time, until lm_aside_stop asks it to end. */
static void *
aside_main(void *argument)
{
	LmAside *aside = argument;

	prctl(PR_SET_NAME, aside->name ? aside->name : "gpt aside", 0, 0, 0);
	lm_thread_lower(aside->nice);
	pthread_mutex_lock(&aside->mutex);
	for (;;)
	{
		while (!aside->busy && !aside->quit)
			pthread_cond_wait(&aside->changed, &aside->mutex);
		if (!aside->busy)
			break;
		pthread_mutex_unlock(&aside->mutex);
		aside->task(aside->work);
		pthread_mutex_lock(&aside->mutex);
		aside->busy = false;
		pthread_cond_broadcast(&aside->changed);
	}
	pthread_mutex_unlock(&aside->mutex);
	return NULL;
}

void
lm_aside_wait(LmAside *aside)
{
	if (!aside->running || aside->owner != getpid())
		return;
	pthread_mutex_lock(&aside->mutex);
	while (aside->busy)
		pthread_cond_wait(&aside->changed, &aside->mutex);
	pthread_mutex_unlock(&aside->mutex);
}

bool
lm_aside_wait_for(LmAside *aside, int64_t nanoseconds)
{
	struct timespec until;
	int failed = 0;
	bool done;

	if (!aside->running || aside->owner != getpid())
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	nanoseconds += until.tv_nsec;
	until.tv_sec += nanoseconds / 1000000000;
	until.tv_nsec = nanoseconds % 1000000000;
	pthread_mutex_lock(&aside->mutex);
	while (aside->busy && failed == 0)
		failed = pthread_cond_timedwait(&aside->changed, &aside->mutex, &until);
	done = !aside->busy;
	pthread_mutex_unlock(&aside->mutex);
	return done;
}

void
lm_aside_stop(LmAside *aside)
{
	if (!aside->running || aside->owner != getpid())
		return;
	pthread_mutex_lock(&aside->mutex);
	aside->quit = true;
	pthread_cond_broadcast(&aside->changed);
	pthread_mutex_unlock(&aside->mutex);
	pthread_join(aside->thread, NULL);
	pthread_cond_destroy(&aside->changed);
	pthread_mutex_destroy(&aside->mutex);
	aside->running = false;
}

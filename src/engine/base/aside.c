/*
 * src/engine/base/aside.c
 *
 * Takes one task at a time; a thread of its own does it while the caller does something else.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/pool.h"

#define STACK_SIZE (256 << 10)

static bool start_thread(LmAside *aside);
static void *aside_main(void *argument);

void
lm_aside_begin(LmAside *aside, void (*task)(void *work), void *work)
{
	lm_aside_wait(aside);
	if (!start_thread(aside))
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

/* True when there is a thread; in a forked child there never is. */
static bool
start_thread(LmAside *aside)
{
	pthread_attr_t attributes;
	sigset_t old;

	if (aside->running)
		return aside->owner == getpid();
	aside->owner = getpid();
	aside->quit = false;
	pthread_mutex_init(&aside->mutex, NULL);
	pthread_cond_init(&aside->changed, NULL);
	lm_signals_block(&old);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	aside->running = pthread_create(&aside->thread, &attributes, aside_main, aside) == 0;
	pthread_attr_destroy(&attributes);
	lm_signals_restore(&old);
	return aside->running;
}

static void *
aside_main(void *argument)
{
	LmAside *aside = argument;

	prctl(PR_SET_NAME, "gpt aside", 0, 0, 0);
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

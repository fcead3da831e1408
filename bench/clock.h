/*
 * bench/clock.h
 *
 * The clocks of the benchmarks, in seconds.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double
clock_seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static inline double
wall_seconds(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

/* Of all threads of the process, in user mode and in the kernel. */
static inline double
processor_seconds(void)
{
	return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/*
 * CLOCK=cpu in the environment: processor time of the process, which is what one thread needs on a
 * machine with other work.
 */
static inline double
seconds_now(void)
{
	const char *clock = getenv("CLOCK");

	return clock && strcmp(clock, "cpu") == 0 ? processor_seconds() : wall_seconds();
}

#endif /* BENCH_CLOCK_H */

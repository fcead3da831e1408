/*
 * test/unit/tap.h
 *
 * The Test Anything Protocol for the engine's unit tests. A test program includes this once, calls
 * ok() and friends, and ends with `return done_testing();`.
 */
#ifndef TEST_TAP_H
#define TEST_TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "engine/host.h"

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3))) static inline bool
ok(bool pass, const char *format, ...)
{
	va_list arguments;

	tap_count++;
	if (!pass)
		tap_failed++;
	printf("%sok %d - ", pass ? "" : "not ", tap_count);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	return pass;
}

/* Whether a sanitizer looks at accesses; the plain build judges the numbers. */
static inline bool
tap_is_sanitized(void)
{
#ifdef LM_SANITIZE
	return true;
#else
	return false;
#endif
}

/* Whether ThreadSanitizer looks for races, which one thread alone does not have. */
static inline bool
tap_looks_for_races(void)
{
#ifdef __SANITIZE_THREAD__
	return true;
#else
	return false;
#endif
}

/*
 * A naive twin: plain loops of one thread over arrays that the test made for it. Sanitizers leave
 * it alone, as they would make it ten times slower.
 */
#ifdef LM_SANITIZE
#define TAP_TWIN __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define TAP_TWIN
#endif

/*
 * How many of n repetitions to do. A sanitizer looks at accesses, of which one in eight repetitions
 * makes all kinds.
 */
static inline int
tap_repeat(int n)
{
	return tap_is_sanitized() ? (n + 7) / 8 : n;
}

static inline bool
is_int(long long got, long long wanted, const char *name)
{
	bool pass = ok(got == wanted, "%s", name);

	if (!pass)
		printf("# got %lld, wanted %lld\n", got, wanted);
	return pass;
}

/* |got - wanted| <= tolerance; NaN fails. */
static inline bool
is_near(double got, double wanted, double tolerance, const char *name)
{
	bool pass = ok(fabs(got - wanted) <= tolerance, "%s", name);

	if (!pass)
		printf("# got %.9g, wanted %.9g within %g\n", got, wanted, tolerance);
	return pass;
}

static inline void
skip(const char *name, const char *reason)
{
	tap_count++;
	printf("ok %d - %s # SKIP %s\n", tap_count, name, reason);
}

static inline int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed ? 1 : 0;
}

/*
 * A host on malloc. fail_after counts allocations down to a failure, of that one or of all from
 * there on; -1 never fails.
 */
typedef struct TapHost
{
	long fail_after;
	bool fail_once;
	bool stop;
	long live; /* blocks not freed yet */
} TapHost;

static inline void *
tap_reallocate(void *context, void *pointer, size_t size)
{
	TapHost *host = context;

	if (size == 0)
	{
		if (pointer)
			host->live--;
		free(pointer);
		return NULL;
	}
	if (host->fail_after >= 0 && host->fail_after-- == 0)
	{
		host->fail_after = host->fail_once ? -1 : 0;
		return NULL;
	}
	if (!pointer)
		host->live++;
	return realloc(pointer, size);
}

static inline bool
tap_should_stop(void *context)
{
	return ((TapHost *) context)->stop;
}

static inline LmHost
tap_host(TapHost *state)
{
	state->fail_after = -1;
	state->fail_once = false;
	state->stop = false;
	state->live = 0;
	return (LmHost){.reallocate = tap_reallocate, .should_stop = tap_should_stop, .context = state};
}

/*
 * The folder of shared test data (GPT_TEST_DATA, else ../shared/data), or NULL where it is missing.
 */
static inline const char *
tap_data_folder(void)
{
	const char *folder = getenv("GPT_TEST_DATA") ? getenv("GPT_TEST_DATA") : "../shared/data";
	char path[4096];
	FILE *file;

	snprintf(path, sizeof path, "%s/MANIFEST.tsv", folder);
	file = fopen(path, "r");
	if (!file)
		return NULL;
	fclose(file);
	return folder;
}

/* A whole file in malloc'd memory with a NUL after it; NULL when it cannot be read. */
static inline char *
tap_read_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *data;
	long length;

	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	length = ftell(file);
	rewind(file);
	data = malloc((size_t) length + 1);
	*size = fread(data, 1, (size_t) length, file);
	data[*size] = 0;
	fclose(file);
	return data;
}

#endif /* TEST_TAP_H */

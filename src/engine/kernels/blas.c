/*
 * src/engine/kernels/blas.c
 *
 * Loads a matrix library at run time, and checks it before use.
 *
 * - It is loaded with all signals blocked and its own threads switched off through the environment:
 * OpenBLAS starts them inside dlopen, where they would run the server's signal handlers.
 * - RTLD_DEEPBIND keeps its inner calls inside it when another flavour, of the same SONAME, is
 * already in the process. It is never unloaded, because a library that has started does not come
 * down cleanly.
 * - Debian's single-threaded OpenBLAS computes wrongly when two threads call it at once (its
 * buffers are not locked), so a pool of several threads refuses it.
 * - OpenBLAS tries for ever when it gets no memory for its buffers, so memory is tried before its
 * first call, and every thread calls it once before anything depends on it.
 * - What it computes, alone and on all threads at once, is compared with the built-in kernels.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/engine_private.h"
#include "engine/ops.h"
#include "kernels/blas.h"
#include "kernels/simd.h"

/* no less than OpenBLAS reserves for a thread on any x86 */
#define BUFFER_SIZE ((size_t) 256 << 20)
#define TEST_SIDE 128 /* large enough that a product uses the buffer */
#define TEST_COUNT (TEST_SIDE * TEST_SIDE)
#define TEST_ROUNDS 200 /* ~10 ms a thread */
#define TEST_SECONDS 0.05 /* no more rounds than fit, for the reference BLAS is slow */
#define TEST_MEETING_SPINS 20000000
#define TEST_TOLERANCE 1e-4f /* of sums of 128 products of numbers in [-1, 1) */

/*
 * Up to here the built-in AVX-512 kernel is the faster one: by 3 to 18 % on tiles of 128 channels,
 * by 10 to 36 % on the products of attention (OpenBLAS 0.3.21, Sapphire Rapids, bench/kernels.c).
 * Beyond, the two are level. The AVX2 kernel loses up to 15 % on small products and never wins.
 */
#define LEAST_PRODUCT_AVX512 (1 << 26)

#if defined(__SANITIZE_ADDRESS__) || defined(LM_SANITIZE)
#define BIND_FLAGS 0 /* the sanitizer's runtime refuses RTLD_DEEPBIND */
#else
#define BIND_FLAGS RTLD_DEEPBIND
#endif

typedef struct SavedVariable
{
	bool is_set;
	bool is_changed;
	char value[256];
} SavedVariable;

/*
 * One thread's share of the test: two operands, the product by the built-in kernels, and by the
 * library.
 */
typedef struct TestArrays
{
	float a[TEST_COUNT];
	float b[TEST_COUNT];
	float wanted[TEST_COUNT];
	float y[TEST_COUNT];
} TestArrays;

typedef struct TestWork
{
	const LmEngine *engine;
	TestArrays *arrays;
	int n_threads;
	atomic_int n_arrived;
	atomic_bool differs;
} TestWork;

#if defined(__x86_64__)
#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"
#elif defined(__aarch64__)
#define LIBRARIES "/usr/lib/aarch64-linux-gnu/"
#else
#define LIBRARIES "/usr/lib/"
#endif

static const char *const usual_places[] = {
	LIBRARIES "openblas-pthread/libopenblas.so.0",
	LIBRARIES "blis-pthread/libblis.so.4",
	LIBRARIES "blis-pthread/libblis.so.3",
	"/usr/lib64/libopenblasp.so.0",
};

static const char *const thread_variables[] = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
											   "BLIS_NUM_THREADS"};
#define N_VARIABLES (sizeof thread_variables / sizeof *thread_variables)

static bool use_library(LmEngine *engine, const char *path, LmError *error);
static void *open_quietly(const char *path);
static void set_variables(SavedVariable saved[]);
static void restore_variables(const SavedVariable saved[]);
static bool is_usable(LmEngine *engine, void *library, const char *path, LmError *error);
static void name_library(LmBlas *blas, void *library, const char *path);
static bool memory_suffices(int n_threads);
static bool passes_test(LmEngine *engine, LmError *error);
static void fill_test(TestArrays *arrays, int thread);
static bool agrees_alone(const LmEngine *engine, TestArrays *arrays);
static void test_piece(void *work, int piece, int thread);
static double seconds(void);
static bool is_wanted(const float *got, const float *wanted);

bool
lm_blas_load(LmEngine *engine, const char *path, LmError *error)
{
	if (path)
		return *path == 0 || use_library(engine, path, error);
	for (size_t i = 0; i < sizeof usual_places / sizeof *usual_places; i++)
	{
		LmError ignored = {0};

		if (use_library(engine, usual_places[i], &ignored))
			return true;
		if (ignored.code == LM_ERR_MEMORY)
			return lm_fail(error, LM_ERR_MEMORY, -1, "%s", ignored.message);
	}
	return true;
}

/* On failure engine->blas stays empty. */
static bool
use_library(LmEngine *engine, const char *path, LmError *error)
{
	void *library = open_quietly(path);

	if (!library)
		return lm_fail(error, LM_ERR_LIBRARY, -1, "could not load BLAS library \"%s\"", path);
	if (is_usable(engine, library, path, error))
	{
		/* Only now: the test wants all products from the library. */
		engine->blas.least = lm_simd() == &lm_simd_avx512 ? LEAST_PRODUCT_AVX512 : 0;
		return true;
	}
	memset(&engine->blas, 0, sizeof engine->blas);
	return false;
}

/* Loads a library without its own threads and with signals blocked; NULL when that fails. */
static void *
open_quietly(const char *path)
{
	SavedVariable saved[N_VARIABLES];
	sigset_t old;
	void *library;
	void (*set_threads)(int);

	/*
	 * A bare name would be looked up along LD_LIBRARY_PATH: which file that is, is not ours to
	 * guess.
	 */
	if (*path != '/')
		return NULL;
	lm_signals_block(&old);
	set_variables(saved);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | BIND_FLAGS);
	if (library)
	{
		/* Needed only where somebody else loaded the same file before, with threads. */
		set_threads = (void (*)(int)) dlsym(library, "openblas_set_num_threads");
		if (set_threads)
			set_threads(1);
	}
	restore_variables(saved);
	lm_signals_restore(&old);
	return library;
}

/* Sets the variables for a BLAS library's number of threads to 1, and saves their values. */
static void
set_variables(SavedVariable saved[])
{
	for (size_t i = 0; i < N_VARIABLES; i++)
	{
		const char *value = getenv(thread_variables[i]);

		saved[i].is_set = value != NULL;
		/* A value that does not fit could not be restored. Nobody writes a number of threads that
		 * long. */
		saved[i].is_changed = !value || strlen(value) < sizeof saved[i].value;
		if (!saved[i].is_changed)
			continue;
		if (value)
			strcpy(saved[i].value, value);
		setenv(thread_variables[i], "1", 1);
	}
}

static void
restore_variables(const SavedVariable saved[])
{
	for (size_t i = 0; i < N_VARIABLES; i++)
	{
		if (!saved[i].is_changed)
			continue;
		if (saved[i].is_set)
			setenv(thread_variables[i], saved[i].value, 1);
		else
			unsetenv(thread_variables[i]);
	}
}

/* Checks the library's interface, memory and results; on success engine->blas is complete. */
static bool
is_usable(LmEngine *engine, void *library, const char *path, LmError *error)
{
	const char *(*get_config)(void) =
		(const char *(*) (void) ) dlsym(library, "openblas_get_config");
	int n_threads = lm_engine_threads(engine);

	engine->blas.sgemm = (LmSgemm) dlsym(library, "cblas_sgemm");
	if (!engine->blas.sgemm)
		return lm_fail(error, LM_ERR_LIBRARY, -1, "BLAS library \"%s\" has no function cblas_sgemm",
					   path);
	/* 64-bit integers would be read beyond what we pass. */
	if (get_config && strstr(get_config(), "USE64BITINT"))
		return lm_fail(error, LM_ERR_LIBRARY, -1, "BLAS library \"%s\" uses 64-bit integers", path);
	if (get_config && n_threads > 1 && strstr(get_config(), "SINGLE_THREADED"))
		return lm_fail(error, LM_ERR_LIBRARY, -1,
					   "BLAS library \"%s\" is single-threaded and cannot serve %d threads", path,
					   n_threads);
	if (!memory_suffices(n_threads))
		return lm_fail(error, LM_ERR_LIBRARY, -1,
					   "address space does not suffice for BLAS library \"%s\"", path);
	name_library(&engine->blas, library, path);
	if (passes_test(engine, error))
		return true;
	if (error && error->code == LM_ERR_MEMORY)
		return false;
	return lm_fail(error, LM_ERR_LIBRARY, -1,
				   "BLAS library \"%s\" differs from the built-in kernels", path);
}

/* Fills blas->name: library, version and processor core where it reports them, else the path. */
static void
name_library(LmBlas *blas, void *library, const char *path)
{
	const char *(*get_config)(void) =
		(const char *(*) (void) ) dlsym(library, "openblas_get_config");
	const char *(*get_core)(void) =
		(const char *(*) (void) ) dlsym(library, "openblas_get_corename");
	const char *(*get_blis)(void) =
		(const char *(*) (void) ) dlsym(library, "bli_info_get_version_str");
	const char *config = get_config ? get_config() : path;
	int length = 0, words = 0;

	if (!get_config && get_blis)
	{
		snprintf(blas->name, sizeof blas->name, "BLIS %s", get_blis());
		return;
	}
	/* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...": name and version say enough. */
	while (config[length] && (config[length] != ' ' || ++words < 2 || !get_config))
		length++;
	snprintf(blas->name, sizeof blas->name, "%.*s%s%s", length < 100 ? length : 100, config,
			 get_core ? " " : "", get_core ? get_core() : "");
}

/*
 * Asks for as much address space as the library's buffers will take. This sees a limit (RLIMIT_AS,
 * overcommit_memory = 2) as it is now; another part of the process can still use it up later.
 */
static bool
memory_suffices(int n_threads)
{
	size_t size = (size_t) n_threads * BUFFER_SIZE;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	munmap(memory, size);
	return true;
}

/* Compares the library with the built-in kernels, on one thread and then on all at once. */
static bool
passes_test(LmEngine *engine, LmError *error)
{
	int n_threads = lm_engine_threads(engine);
	TestArrays *arrays = lm_allocate(&engine->host, (size_t) n_threads * sizeof *arrays);
	TestWork work = {engine, arrays, n_threads};
	bool passes;

	if (!arrays)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
	for (int thread = 0; thread < n_threads; thread++)
		fill_test(&arrays[thread], thread);
	passes = agrees_alone(engine, &arrays[0]);
	if (passes && n_threads > 1)
	{
		/* On hold, because a stop by the host must not look like a sound library. */
		lm_engine_hold(engine, true);
		lm_engine_run(engine, test_piece, &work, n_threads);
		lm_engine_hold(engine, false);
		passes = !atomic_load(&work.differs);
	}
	lm_free(&engine->host, arrays);
	return passes;
}

/* Fills a and b with uniform numbers in [-1, 1), wanted with their product by built-in kernels. */
static void
fill_test(TestArrays *arrays, int thread)
{
	LmKey key = lm_key((uint64_t) thread, LM_RANDOM_SAMPLE, 0, 0);

	for (int i = 0; i < TEST_COUNT; i++)
	{
		uint32_t words[4];

		lm_random(words, key, (uint32_t) i, 0, 0, 0);
		arrays->a[i] = (float) (int32_t) words[0] * 0x1p-31f;
		arrays->b[i] = (float) (int32_t) words[1] * 0x1p-31f;
	}
	lm_matmul_builtin(arrays->wanted, arrays->a, arrays->b, LM_NN, TEST_SIDE, TEST_SIDE, TEST_SIDE,
					  TEST_SIDE, TEST_SIDE, TEST_SIDE, 1, 0);
}

/* Every transposition, an odd shape inside wider rows, adding and overwriting. */
static bool
agrees_alone(const LmEngine *engine, TestArrays *arrays)
{
	const int m = 37, n = 101, k = 91;

	for (int i = 0; i < 6; i++)
	{
		LmTranspose transpose = (LmTranspose) (i % 3);
		float beta = (float) (i / 3);
		/* This test borrows the array; the next test fills it again. */
		float *wanted = arrays[0].y, *got = arrays[0].wanted;

		memset(wanted, 0, sizeof arrays[0].y);
		memset(got, 0, sizeof arrays[0].wanted);
		for (int j = 0; j < 2; j++)
		{
			lm_matmul_builtin(wanted, arrays->a, arrays->b, transpose, m, n, k, TEST_SIDE,
							  TEST_SIDE, TEST_SIDE, 0.5f, beta);
			lm_matmul(engine, got, arrays->a, arrays->b, transpose, m, n, k, TEST_SIDE, TEST_SIDE,
					  TEST_SIDE, 0.5f, beta);
		}
		if (!is_wanted(got, wanted))
			return false;
	}
	fill_test(&arrays[0], 0);
	return true;
}

/* Repeats one thread's product while the other threads do the same, and compares each result. */
static void
test_piece(void *argument, int piece, int thread)
{
	TestWork *work = argument;
	TestArrays *arrays = &work->arrays[piece];
	double start;

	/*
	 * All threads meet before the first product, so that each gets its buffer now and none takes
	 * two pieces. A thread that is slow to come is not waited for long.
	 */
	atomic_fetch_add(&work->n_arrived, 1);
	for (int i = 0; i < TEST_MEETING_SPINS && atomic_load(&work->n_arrived) < work->n_threads; i++)
		;
	start = seconds();
	for (int round = 0; round < TEST_ROUNDS && seconds() - start < TEST_SECONDS; round++)
	{
		lm_matmul(work->engine, arrays->y, arrays->a, arrays->b, LM_NN, TEST_SIDE, TEST_SIDE,
				  TEST_SIDE, TEST_SIDE, TEST_SIDE, TEST_SIDE, 1, 0);
		if (!is_wanted(arrays->y, arrays->wanted))
			atomic_store(&work->differs, true);
	}
}

static double
seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + 1e-9 * (double) time.tv_nsec;
}

static bool
is_wanted(const float *got, const float *wanted)
{
	for (int i = 0; i < TEST_COUNT; i++)
		if (!(fabsf(got[i] - wanted[i]) <= TEST_TOLERANCE))
			return false;
	return true;
}

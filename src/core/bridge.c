/*
 * src/core/bridge.c
 *
 * Gives the engine memory of the server and the news of a cancel, keeps the engine of this process,
 * and turns LmErrors into errors of the server. Nothing else raises on the engine's behalf.
 *
 * A block that the engine is given:  | size (8 bytes) | padding (8 bytes) | the engine's bytes ...
 * |
 */
#include "postgres.h"

#include "access/parallel.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/procsignal.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/nice.h"
#include "core/pulse.h"
#include "core/settings.h"

#define BLOCK_HEADER_SIZE 16

/* The engine of this process, and the settings with which it was started. */
static LmEngine *engine = NULL;
static MemoryContext engine_context = NULL;
static int engine_threads = 0;
static char *engine_blas = NULL; /* of an engine that trains, else NULL */
static uint64 engine_generation = 0;
static TimestampTz deadline = 0;
static void (*watch_of)(void *context) = NULL;
static void *watch_context = NULL;

/* of the last block that the engine asked for, where it was too large */
static size_t refused_size = 0;

static const struct
{
	LmErrorCode code;
	int sqlstate;
} sqlstates[] = {
	{LM_ERR_MEMORY, ERRCODE_OUT_OF_MEMORY},
	{LM_ERR_STOPPED, ERRCODE_QUERY_CANCELED},
	{LM_ERR_ARGUMENT, ERRCODE_INVALID_PARAMETER_VALUE},
	{LM_ERR_LIMIT, ERRCODE_PROGRAM_LIMIT_EXCEEDED},
	{LM_ERR_FORMAT, ERRCODE_DATA_EXCEPTION},
	{LM_ERR_ENCODING, ERRCODE_CHARACTER_NOT_IN_REPERTOIRE},
	{LM_ERR_NUMERIC, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE},
	{LM_ERR_LIBRARY, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION},
};

static bool is_refused(size_t size);
static void *reallocate(void *context, void *pointer, size_t size);
static bool should_stop(void *context);
static void absorb_barrier(void);
static LmEngine *start_engine(int n_threads, const char *blas);

const LmHost *
gpt_bridge_host(MemoryContext context)
{
	LmHost *host = MemoryContextAlloc(context, sizeof(LmHost));

	host->reallocate = reallocate;
	host->should_stop = should_stop;
	host->context = context;
	host->hash_key = *gpt_bridge_hash_key();
	return host;
}

const LmHashKey *
gpt_bridge_hash_key(void)
{
	static LmHashKey key;
	static bool drawn = false;

	if (!drawn && !pg_strong_random(&key, sizeof(key)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not draw a random key")));
	drawn = true;
	return &key;
}

uint32
gpt_bridge_hash_string(const void *key, Size size)
{
	return lm_hash_bytes(*gpt_bridge_hash_key(), key, strlen(key));
}

uint32
gpt_bridge_hash_blob(const void *key, Size size)
{
	return lm_hash_bytes(*gpt_bridge_hash_key(), key, size);
}

LmEngine *
gpt_bridge_engine(int n_threads)
{
	if (IsParallelWorker())
		n_threads = 1;
	if (engine != NULL && engine_threads == n_threads)
		return engine;
	gpt_bridge_stop_engine();
	return start_engine(n_threads, NULL);
}

LmEngine *
gpt_bridge_training_engine(int n_threads)
{
	/*
	 * A worker's trainer lives in the engine: the library that a job began with stays, whatever a
	 * reload of the settings says.
	 */
	bool keeps_library = MyBackendType == B_BG_WORKER;

	if (IsParallelWorker())
		n_threads = 1;
	if (engine != NULL && engine_threads == n_threads && engine_blas != NULL &&
		(keeps_library || strcmp(engine_blas, gpt_blas_library) == 0))
		return engine;
	gpt_bridge_stop_engine();
	return start_engine(n_threads, gpt_blas_library);
}

uint64
gpt_bridge_generation(void)
{
	return engine_generation;
}

void
gpt_bridge_raise(const LmError *error)
{
	if (error->code == LM_ERR_STOPPED)
		CHECK_FOR_INTERRUPTS();
	if (error->code == LM_ERR_MEMORY && refused_size > 0)
	{
		uint64 size = refused_size;

		refused_size = 0;
		gpt_bridge_check_memory(size);
	}
	ereport(ERROR, (errcode(gpt_bridge_sqlstate(error->code)), errmsg("%s", error->message)));
}

void
gpt_bridge_retry(const LmError *error)
{
	if (error->code != LM_ERR_STOPPED)
		gpt_bridge_raise(error);
	CHECK_FOR_INTERRUPTS();
}

void
gpt_bridge_set_watch(void (*watch)(void *context), void *context)
{
	watch_of = watch;
	watch_context = context;
}

void
gpt_bridge_set_deadline(TimestampTz new_deadline)
{
	deadline = new_deadline;
}

void
gpt_bridge_retry_row(const LmError *error, const char *query, uint64 row)
{
	if (error->code != LM_ERR_STOPPED)
		gpt_bridge_raise_row(error, query, row);
	CHECK_FOR_INTERRUPTS();
}

void
gpt_bridge_raise_row(const LmError *error, const char *query, uint64 row)
{
	/* Memory that was refused is seldom that of one row, and the setting is the remedy. */
	if (error->code == LM_ERR_STOPPED || (error->code == LM_ERR_MEMORY && refused_size > 0))
		gpt_bridge_raise(error);
	ereport(ERROR, (errcode(gpt_bridge_sqlstate(error->code)), errmsg("%s", error->message),
					errdetail("The text is that of row " UINT64_FORMAT " of %s.", row, query),
					error->code == LM_ERR_LIMIT ? errhint("Cut it, or leave the row out.") : 0));
}

LmBytes
gpt_bridge_nfc(LmBytes text)
{
	LmBytes normal;
	LmError error;

	while (!lm_normalize_nfc(gpt_bridge_host(CurrentMemoryContext), &normal, text, &error))
		gpt_bridge_retry(&error);
	return normal;
}

int
gpt_bridge_sqlstate(LmErrorCode code)
{
	for (int i = 0; i < lengthof(sqlstates); i++)
	{
		if (sqlstates[i].code == code)
			return sqlstates[i].sqlstate;
	}
	return ERRCODE_INTERNAL_ERROR;
}

void
gpt_bridge_check_encoding(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("gpt needs a database with encoding UTF8, not %s",
							   GetDatabaseEncodingName()),
						errhint("Create a database with ENCODING 'UTF8' TEMPLATE template0.")));
}

void
gpt_bridge_check_memory(uint64 size)
{
	gpt_bridge_check_memory_with(size, NULL);
}

void
gpt_bridge_check_memory_with(uint64 size, const char *hint)
{
	const uint64 megabyte = 1024 * 1024;
	uint64 limit = (uint64) gpt_settings_max_memory();

	if (size > limit)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("memory required is " UINT64_FORMAT
							   " MB, gpt.max_memory is " UINT64_FORMAT " MB",
							   size / megabyte + (size % megabyte != 0), limit / megabyte),
						hint != NULL ? errhint("%s A superuser can raise gpt.max_memory.", hint)
									 : errhint("A superuser can raise gpt.max_memory.")));
}

/*
 * A size larger than all that a session may take is not asked of the system: ids of a long text,
 * for one. gpt_bridge_raise says so.
 */
static bool
is_refused(size_t size)
{
	bool refused = size > (size_t) gpt_settings_max_memory();

	if (refused)
		refused_size = size;
	return refused;
}

/*
 * realloc without an error and without a limit of 1 GB; PostgreSQL 15 has no repalloc that does
 * both.
 */
static void *
reallocate(void *context, void *pointer, size_t size)
{
	char *old = pointer == NULL ? NULL : (char *) pointer - BLOCK_HEADER_SIZE;
	char *block;

	if (size == 0)
	{
		if (old != NULL)
			pfree(old);
		return NULL;
	}
	if (size > MaxAllocHugeSize - BLOCK_HEADER_SIZE ||
		is_refused(size + (old == NULL ? 0 : (size_t) * (uint64 *) old)))
		return NULL;
	block = MemoryContextAllocExtended((MemoryContext) context, size + BLOCK_HEADER_SIZE,
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (block == NULL)
		return NULL;
	*(uint64 *) block = size;
	if (old != NULL)
	{
		memcpy(block + BLOCK_HEADER_SIZE, pointer, Min(size, (size_t) * (uint64 *) old));
		pfree(old);
	}
	return block + BLOCK_HEADER_SIZE;
}

/*
 * Only a request that ends the statement or the process stops the engine, since a stopped step is
 * lost work. InterruptPending is not read: requests that interrupt nothing set it as well (a log of
 * memory contexts, a barrier, a catch-up of invalidations).
 */
static bool
should_stop(void *context)
{
	gpt_pulse();
	if (watch_of != NULL)
		watch_of(watch_context);
	if (QueryCancelPending || ProcDiePending || ClientConnectionLost)
	{
		gpt_nice_hurry();
		return true;
	}
	if (deadline != 0 && GetCurrentTimestamp() >= deadline)
		return true;
	gpt_nice_lower();
	if (ProcSignalBarrierPending)
		absorb_barrier();
	return false;
}

/*
 * DROP DATABASE, CREATE DATABASE and others wait until every process has absorbed their barrier, so
 * it is not left until the end of a step. In PostgreSQL 15 the only barrier closes files, which
 * raises nothing; should absorbing raise one day, the server puts the barrier back as pending and
 * the next CHECK_FOR_INTERRUPTS() outside of the engine tries again. Either way nothing jumps
 * through the engine.
 */
static void
absorb_barrier(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		ProcessProcSignalBarrier();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
}

void
gpt_bridge_stop_engine(void)
{
	if (engine != NULL)
		lm_engine_stop(engine);
	engine = NULL;
	engine_generation++;
	if (engine_context != NULL)
		MemoryContextDelete(engine_context);
	engine_context = NULL;
}

/*
 * blas: a value of gpt.blas_library; NULL: no library. gpt_bridge_stop_engine knows the context
 * before anything can fail, so a failed start leaks nothing.
 */
static LmEngine *
start_engine(int n_threads, const char *blas)
{
	LmEngineOptions options = {
		.n_threads = n_threads, .blas_library = blas, .nice = gpt_nice_level()};
	LmError error;

	engine_context = AllocSetContextCreate(TopMemoryContext, "gpt engine", ALLOCSET_DEFAULT_SIZES);
	engine_blas = blas == NULL ? NULL : MemoryContextStrdup(engine_context, blas);
	engine_threads = n_threads;
	if (blas == NULL || strcmp(blas, "none") == 0)
		options.blas_library = "";
	else if (blas[0] == '\0')
		options.blas_library = NULL;
	engine = lm_engine_start(gpt_bridge_host(engine_context), &options, &error);
	if (engine == NULL && error.code == LM_ERR_LIBRARY)
		ereport(ERROR, (errcode(gpt_bridge_sqlstate(error.code)), errmsg("%s", error.message),
						errhint("Set gpt.blas_library to the path of a library, to \"\" for the "
								"default, or to \"none\".")));
	if (engine == NULL)
		gpt_bridge_raise(&error);
	return engine;
}

/*
 * include/core/bridge.h
 *
 * The border between the server and the engine: the host that the engine is given, the engine of
 * this process, and the one place where an LmError becomes an error of the server.
 */
#ifndef GPT_BRIDGE_H
#define GPT_BRIDGE_H

#include <signal.h>

#include "datatype/timestamp.h"

#include "core/compat.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/host.h"
#include "engine/tokenizer.h"

/*
 * A host that allocates in the given memory context (huge sizes allowed, NULL instead of an error)
 * and wants the engine to stop when a cancel or termination of this process is pending. Lives as
 * long as the context.
 */
extern const LmHost *gpt_bridge_host(MemoryContext context);

/* The key of hashes of users' bytes, drawn at random once in a process. */
extern const LmHashKey *gpt_bridge_hash_key(void);

/*
 * The same for the server's hash tables (HASH_FUNCTION): of a string that ends in a NUL, and of
 * size bytes.
 */
extern uint32 gpt_bridge_hash_string(const void *key, Size size);
extern uint32 gpt_bridge_hash_blob(const void *key, Size size);

/*
 * The engine of this process, started at first use with that many threads, and again when the
 * number differs. Parallel workers always get one thread. Lives until the process ends or it is
 * started again; then everything that was allocated through lm_engine_host(engine) is gone as well,
 * which gpt_bridge_generation() tells by another number.
 *
 * Serving has kernels of its own, so that only the engine that trains has the matrix library of
 * gpt.blas_library: a session does not load and test it before its first call. An engine that
 * trains serves as well; it is started again when gpt.blas_library differs, but in a worker.
 */
extern LmEngine *gpt_bridge_engine(int n_threads);
extern LmEngine *gpt_bridge_training_engine(int n_threads);
extern uint64 gpt_bridge_generation(void);

/*
 * Raises what the engine reported, mapped to an SQLSTATE. Never returns; a stop that no interrupt
 * explains is an error, too.
 */
pg_noreturn extern void gpt_bridge_raise(const LmError *error);

/*
 * The same in a loop that tries again: for LM_ERR_STOPPED it serves the interrupts, and returns
 * when none of them raises an error.
 */
extern void gpt_bridge_retry(const LmError *error);

/*
 * From then on the engine is asked to stop, until this is set to another time; 0: never.
 * gpt_bridge_retry returns.
 */
extern void gpt_bridge_set_deadline(TimestampTz deadline);

/* Both, for a text of a row of a query. */
pg_noreturn extern void gpt_bridge_raise_row(const LmError *error, const char *query, uint64 row);
extern void gpt_bridge_retry_row(const LmError *error, const char *query, uint64 row);

/*
 * The NFC form of valid text, in the current context. For comparing with what a model whose
 * tokenizer normalises has read or writes.
 */
extern LmBytes gpt_bridge_nfc(LmBytes text);

/* The SQLSTATE of a code, for messages that say more than the engine knows. */
extern int gpt_bridge_sqlstate(LmErrorCode code);

/*
 * Error unless the encoding of the database is UTF8: every function that takes or makes text asks
 * first.
 */
extern void gpt_bridge_check_encoding(void);

/*
 * Error when size is more than gpt.max_memory: memory required is 812 MB, gpt.max_memory is 512 MB.
 */
extern void gpt_bridge_check_memory(uint64 size);

/* The same with a sentence of its own in the hint, or NULL. */
extern void gpt_bridge_check_memory_with(uint64 size, const char *hint);

#endif /* GPT_BRIDGE_H */

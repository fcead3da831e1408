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
 * and asks the engine to stop when a cancel or termination of this process is pending. Lives as
 * long as the context.
 */
extern const LmHost *gpt_bridge_host(MemoryContext context);

/*
 * The key for hashes of users' bytes, drawn at random once per process: users cannot craft
 * collisions.
 */
extern const LmHashKey *gpt_bridge_hash_key(void);

/*
 * Keyed hashes for the server's hash tables (HASH_FUNCTION): of a string that ends in a NUL, and of
 * size bytes.
 */
extern uint32 gpt_bridge_hash_string(const void *key, Size size);
extern uint32 gpt_bridge_hash_blob(const void *key, Size size);

/*
 * The engine of this process, started at first use with that many threads, and again when the
 * number differs. Parallel workers always get one thread. Lives until the process ends or it is
 * started again; then everything that was allocated through lm_engine_host(engine) is gone as well.
 * gpt_bridge_generation() returns another number after each start.
 *
 * Serving has kernels of its own, so that only the engine that trains has the matrix library of
 * gpt.blas_library: a session does not load and test it before its first call. An engine that
 * trains serves as well; when gpt.blas_library has changed it is started again, except in a worker.
 */
extern LmEngine *gpt_bridge_engine(int n_threads);
extern LmEngine *gpt_bridge_training_engine(int n_threads);
extern uint64 gpt_bridge_generation(void);

/*
 * Stops the engine of this process and frees all that was allocated through it; the next call
 * starts another. For a session that has trained, or that an error has interrupted meanwhile.
 */
extern void gpt_bridge_stop_engine(void);

/*
 * Raises the error that the engine reported, mapped to an SQLSTATE. Never returns: a stop that no
 * pending interrupt explains is an error, too.
 */
pg_noreturn extern void gpt_bridge_raise(const LmError *error);

/*
 * The same for a loop that tries again. For LM_ERR_STOPPED it serves pending interrupts, and
 * returns if none of them raises an error.
 */
extern void gpt_bridge_retry(const LmError *error);

/*
 * After this time the engine is asked to stop, and gpt_bridge_retry returns; 0: never. Each call
 * replaces the time before.
 */
extern void gpt_bridge_set_deadline(TimestampTz deadline);

/*
 * Called every few milliseconds by the thread of the process while the engine computes: it raises
 * nothing and does not wait. NULL: none, as at first.
 */
extern void gpt_bridge_set_watch(void (*watch)(void *context), void *context);

/* _raise and _retry with the number of the row of the query (from 1) in the message. */
pg_noreturn extern void gpt_bridge_raise_row(const LmError *error, const char *query, uint64 row);
extern void gpt_bridge_retry_row(const LmError *error, const char *query, uint64 row);

/*
 * The NFC form of valid UTF-8, palloc'd. Models whose tokenizer normalises read and write this
 * form, so texts are compared in it.
 */
extern LmBytes gpt_bridge_nfc(LmBytes text);

/* The SQLSTATE of an error code, for callers that write their own message. */
extern int gpt_bridge_sqlstate(LmErrorCode code);

/*
 * Raises an error unless the database has encoding UTF8. Every function that reads or returns text
 * calls it first.
 */
extern void gpt_bridge_check_encoding(void);

/*
 * Raises an error if size, in bytes, exceeds gpt.max_memory: "memory required is 812 MB,
 * gpt.max_memory is 512 MB".
 */
extern void gpt_bridge_check_memory(uint64 size);

/* The same; hint is a further sentence for the hint, or NULL. */
extern void gpt_bridge_check_memory_with(uint64 size, const char *hint);

#endif /* GPT_BRIDGE_H */

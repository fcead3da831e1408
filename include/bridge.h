/*
 * include/bridge.h
 *
 * The border between the server and the engine: the host that the engine is given, the engine of this
 * process, and the one place where an LmError becomes an error of the server.
 */
#ifndef GPT_BRIDGE_H
#define GPT_BRIDGE_H

#include "engine/engine.h"
#include "engine/error.h"
#include "engine/host.h"

/*
 * A host that allocates in the given memory context (huge sizes allowed, NULL instead of an error) and wants
 * the engine to stop when a cancel or termination of this process is pending. Lives as long as the context.
 */
extern const LmHost *gpt_bridge_host(MemoryContext context);

/*
 * Set in workers: also stop when this flag is true. NULL: no further flag.
 */
extern volatile sig_atomic_t *gpt_bridge_stop_flag;

/*
 * The engine of this process, started at first use with that many threads, and again when the number
 * differs. Parallel workers always get one thread. Lives until the process ends.
 */
extern LmEngine *gpt_bridge_engine(int n_threads);

/*
 * Raises what the engine reported, mapped to an SQLSTATE. For LM_ERR_STOPPED it does CHECK_FOR_INTERRUPTS()
 * and returns when that does not raise: the caller tries again. Every other code does not return.
 */
extern void gpt_bridge_raise(const LmError *error);

#endif /* GPT_BRIDGE_H */

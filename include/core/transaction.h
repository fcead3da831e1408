/*
 * include/core/transaction.h
 *
 * Transactions of workers. _begin starts one that does what the extension needs whatever the role's
 * settings say: READ COMMITTED, writable, with an active snapshot. _commit ends it. Memory context
 * and resource owner are as before afterwards.
 */
#ifndef GPT_TRANSACTION_H
#define GPT_TRANSACTION_H

#include "utils/palloc.h"
#include "utils/resowner.h"

/* How a commit waits; synchronous_commit is set accordingly. */
typedef enum GptCommit
{
	GPT_COMMIT_ASYNC, /* waits for nothing */
	/* waits for the disk, but not for standbys: training goes on while one is missing */
	GPT_COMMIT_LOCAL,
	GPT_COMMIT_FULL, /* as the server is set up */
} GptCommit;

/* The memory context and resource owner that are current outside of the transaction. */
typedef struct GptTransaction
{
	MemoryContext context;
	ResourceOwner owner;
} GptTransaction;

/*
 * From now on gpt_transaction_begin raises an error if the extension has another oid: it was
 * dropped and created again.
 */
extern void gpt_transaction_expect_extension(Oid extension);

/*
 * Begin and commit a transaction outside of others. _commit returns to the memory context and
 * resource owner of _begin.
 */
extern void gpt_transaction_begin(GptTransaction *transaction, GptCommit commit);
extern void gpt_transaction_commit(GptTransaction *transaction);

/* From now on a crash does not undo commits of this process that did not wait for the disk. */
extern void gpt_transaction_flush(void);

/* Work that is done inside a transaction. */
typedef void (*GptWork)(void *argument);

/*
 * Does the work in a transaction of its own, in which no wait for a lock takes longer than wait_ms
 * (0: any time). Returns NULL after the commit. If is_failure accepts an error, the transaction is
 * rolled back and the error returned, in the current memory context; other errors are raised.
 */
extern ErrorData *gpt_transaction_attempt(GptCommit commit, int wait_ms, GptWork work,
										  void *argument,
										  bool (*is_failure)(const ErrorData *error));

/*
 * The same for the work of a job. Returns false if another session is in the way: it holds a lock
 * for longer than wait_ms, or a deadlock or serialization failure ends the transaction.
 */
extern bool gpt_transaction_try(int64 job, GptCommit commit, int wait_ms, GptWork work,
								void *argument);

#endif /* GPT_TRANSACTION_H */

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

typedef enum GptCommit
{
	GPT_COMMIT_ASYNC, /* waits for nothing */
	/* waits for the disk, but not for standbys: training goes on while one is missing */
	GPT_COMMIT_LOCAL,
	GPT_COMMIT_FULL, /* as the server is set up */
} GptCommit;

typedef struct GptTransaction
{
	MemoryContext context;
	ResourceOwner owner;
} GptTransaction;

/* From now on a transaction begins with an error where the extension is another one. */
extern void gpt_transaction_expect_extension(Oid extension);

extern void gpt_transaction_begin(GptTransaction *transaction, GptCommit commit);
extern void gpt_transaction_commit(GptTransaction *transaction);

typedef void (*GptWork)(void *argument);

/*
 * Does the work in a transaction of its own, in which no wait for a lock takes longer than wait_ms
 * (0: any time). NULL when it is done; the error, in the current memory context, where is_failure
 * says that it is one of the attempt, and nothing is done. Other errors are raised.
 */
extern ErrorData *gpt_transaction_attempt(GptCommit commit, int wait_ms, GptWork work,
										  void *argument,
										  bool (*is_failure)(const ErrorData *error));

/*
 * The same for the work of a job, unless another session stands in the way: false where it holds a
 * lock for longer than wait_ms, or a deadlock or serialization failure ends the transaction.
 */
extern bool gpt_transaction_try(int64 job, GptCommit commit, int wait_ms, GptWork work,
								void *argument);

#endif /* GPT_TRANSACTION_H */

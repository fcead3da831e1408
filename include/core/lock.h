/*
 * include/core/lock.h
 *
 * Advisory locks of the extension's own classes. An SQL function writes 1 or 2 into the fourth
 * field of such a lock, so a user cannot take or release one of these; but pg_advisory_unlock_all()
 * releases all locks that the session holds, so while a user's query runs in the worker the locks
 * are its transaction's, which no function releases. (Locks of the server's own method would not
 * do: a session loses those when a transaction of it fails.)
 *
 *   class      field 1   field 2          field 3      the lock belongs to
 *   JOB        database  job, high word   low word     the worker that runs the job
 *   SLOT       0         slot             0            a worker that counts against
 *                                                      gpt.max_workers
 *   WAITER     database  0                0            the worker that waits for a slot
 *   NAME       database  hash, high word  low word     a transaction that submits a job for the
 *                                                      model, or changes its name; shared by those
 *                                                      that submit one which starts from it
 *   IMAGE      0         hash             hash + type  a transaction that makes an image
 *   ROOM       0         0                0            a transaction that makes room for one
 */
#ifndef GPT_LOCK_H
#define GPT_LOCK_H

#include "storage/lock.h"

typedef enum GptLockClass
{
	GPT_LOCK_JOB = 0x6770,
	GPT_LOCK_SLOT,
	GPT_LOCK_WAITER,
	GPT_LOCK_NAME,
	GPT_LOCK_IMAGE,
	GPT_LOCK_ROOM,
} GptLockClass;

/* Of this database, or (database = 0) of the cluster. */
extern LOCKTAG gpt_lock_tag(Oid database, uint32 field2, uint32 field3, GptLockClass class);

/* Exclusive, not waited for: for the session, or for the transaction. */
extern bool gpt_lock_try_session(const LOCKTAG *tag);
extern bool gpt_lock_try(const LOCKTAG *tag);

/* Releases a lock of the session, if it has it. */
extern void gpt_lock_release_session(const LOCKTAG *tag);

/* For the transaction, waited for. */
extern void gpt_lock_wait(const LOCKTAG *tag, LOCKMODE mode);

/* Whether a session or transaction holds that lock of the class now. */
extern bool gpt_lock_is_held(const LockInstanceData *lock, GptLockClass class);

/*
 * Around a user's query. _hand_over, first thing in its transaction, makes the session's locks the
 * transaction's: pg_advisory_unlock_all() in the query releases those of the session.
 * _release_query releases what the query has locked for the session itself, which would last as
 * long as the training. _take_back makes the locks the session's again: before the transaction
 * ends, in whatever way; it does nothing where nothing was handed over, and raises no error.
 */
extern void gpt_locks_hand_over(void);
extern void gpt_locks_release_query(void);
extern void gpt_locks_take_back(void);

#endif /* GPT_LOCK_H */

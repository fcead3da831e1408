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
 *   PIN        database  hash             0            a transaction that removes versions of the
 *                                                      model; shared by those that make an object
 *                                                      which names one
 *   KEEPER     database  owner            0            the worker of the owner's maintained columns
 *   TURN       0         number           0            a transaction that computes their values
 *   RESTORE    database  process          0            a session of pg_restore that waits for a
 *                                                      model which another one brings
 */
#ifndef GPT_LOCK_H
#define GPT_LOCK_H

#include "storage/lock.h"

/*
 * The fourth field of our advisory lock tags; values far from those of the server keep them apart.
 */
typedef enum GptLockClass
{
	GPT_LOCK_JOB = 0x6770,
	GPT_LOCK_SLOT,
	GPT_LOCK_WAITER,
	GPT_LOCK_NAME,
	GPT_LOCK_IMAGE,
	GPT_LOCK_ROOM,
	GPT_LOCK_PIN,
	GPT_LOCK_KEEPER,
	GPT_LOCK_TURN,
	GPT_LOCK_RESTORE,
} GptLockClass;

/* The tag of a lock in this database, or in the whole cluster (database = 0). */
extern LOCKTAG gpt_lock_tag(Oid database, uint32 field2, uint32 field3, GptLockClass class);

/*
 * Take an exclusive lock without waiting, for the session or for the transaction; false if another
 * session has it.
 */
extern bool gpt_lock_try_session(const LOCKTAG *tag);
extern bool gpt_lock_try(const LOCKTAG *tag);

/* Releases a lock of the session; does nothing if the session does not hold it. */
extern void gpt_lock_release_session(const LOCKTAG *tag);

/*
 * Whether another session holds the lock in exclusive mode. Raises no error, so that it may be
 * asked after a commit.
 */
extern bool gpt_lock_is_taken(const LOCKTAG *tag);

/* Waits for a lock and holds it until the end of the transaction. */
extern void gpt_lock_wait(const LOCKTAG *tag, LOCKMODE mode);

/* Whether this entry of the server's lock table is a held lock of the class. */
extern bool gpt_lock_is_held(const LockInstanceData *lock, GptLockClass class);

/*
 * Around a user's query, because pg_advisory_unlock_all() in the query would release our session
 * locks. _hand_over, first in the transaction, makes them locks of the transaction. _release_query
 * releases session locks that the query has taken, which would last as long as the training.
 * _take_back makes ours session locks again, before the transaction ends in whatever way; it raises
 * no error, and does nothing if nothing was handed over.
 */
extern void gpt_locks_hand_over(void);
extern void gpt_locks_release_query(void);
extern void gpt_locks_take_back(void);

#endif /* GPT_LOCK_H */

/*
 * include/jobs/job_lock.h
 *
 * Locks that say who runs which job, who holds a slot of gpt.max_workers, and who waits for one.
 */
#ifndef GPT_JOB_LOCK_H
#define GPT_JOB_LOCK_H

/* A session lock on a job, not waited for: its holder runs the job or settles its row. */
extern bool gpt_job_lock(int64 job);
extern void gpt_job_unlock(int64 job);

/*
 * A session lock on one of the gpt.max_workers slots of the cluster. _lock returns the slot, from
 * 0, or -1 if all are taken; _free the number of slots that nobody holds.
 */
extern int gpt_slot_lock(void);
extern void gpt_slot_unlock(int slot);
extern int gpt_slots_free(void);

/* Whether a job of this database holds a slot; at its end it starts the next job. */
extern bool gpt_slot_held_here(void);

/*
 * A session lock for the one worker per database that may wait: for a slot that jobs of other
 * databases hold, for a transaction that has locked the job's row, or, at its end, for a place for
 * the next worker.
 */
extern bool gpt_waiter_lock(void);
extern void gpt_waiter_unlock(void);

/* The process that holds the lock of a job; 0 if none does. */
extern int gpt_job_pid(int64 job);

#endif /* GPT_JOB_LOCK_H */

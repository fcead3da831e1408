/*
 * include/jobs/job_lock.h
 *
 * Locks that say who runs which job, who holds a slot of gpt.max_workers, and who waits for one.
 */
#ifndef GPT_JOB_LOCK_H
#define GPT_JOB_LOCK_H

/* Session locks, not waited for. */
extern bool gpt_job_lock(int64 job);
extern void gpt_job_unlock(int64 job);

/* A slot of gpt.max_workers in the whole cluster, from 0, or -1. */
extern int gpt_slot_lock(void);
extern void gpt_slot_unlock(int slot);
extern int gpt_slots_free(void);

/* Whether a job of this database holds a slot: when it ends, it starts the next one. */
extern bool gpt_slot_held_here(void);

/*
 * The one worker of a database that waits: for a slot which other databases hold, or at its end for
 * a place for the next worker.
 */
extern bool gpt_waiter_lock(void);
extern void gpt_waiter_unlock(void);

/* The process that runs a job, or 0. */
extern int gpt_job_pid(int64 job);

#endif /* GPT_JOB_LOCK_H */

/*
 * include/jobs/maintain_launch.h
 *
 * Starts the worker that maintains the columns of a role: there is at most one of a role in a
 * database, which ends when it has had nothing to do for some seconds.
 */
#ifndef GPT_MAINTAIN_LAUNCH_H
#define GPT_MAINTAIN_LAUNCH_H

/* The message that a worker gets at its start, in bgw_extra. */
typedef struct GptMaintainTicket
{
	Oid database;
	Oid owner;
} GptMaintainTicket;

/* Starts the worker of the role when the current transaction commits, unless it runs then. */
extern void gpt_maintain_launch_at_commit(Oid owner);

/* Whether the current transaction will do so. */
extern bool gpt_maintain_launch_pending(Oid owner);

/*
 * Starts the workers of these roles (List of oids) now, except those that run. False if
 * max_worker_processes was exhausted, and then a launcher, if there is one, tries again. Raises no
 * error.
 */
extern bool gpt_maintain_launch(List *owners);

/* Whether a worker of the role runs. */
extern bool gpt_maintain_runs(Oid owner);

/* A session lock that makes this process the worker of the role; false if another one is. */
extern bool gpt_maintain_lock(Oid owner);
extern void gpt_maintain_unlock(Oid owner);

/*
 * Waits for a turn to compute, of gpt.max_maintain_workers; it lasts until the end of the
 * transaction. Whoever waits for ten seconds gets an error of the lock, and needs no turn for a
 * minute: an expression that never ends holds up no other role.
 */
extern void gpt_maintain_take_turn(Oid owner);

#endif /* GPT_MAINTAIN_LAUNCH_H */

/*
 * include/store/job.h
 *
 * Training jobs: their rows, the locks that say who runs them, and the workers that are started for
 * them.
 *
 * The row is the truth about a job; the lock on the job says whether a process runs it. A row in
 * state 'running' whose lock is free was cut off. Locks are advisory locks of classes that no SQL
 * function reaches, held by the worker's session; while the user's query runs, by its transaction.
 */
#ifndef GPT_JOB_H
#define GPT_JOB_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* ---- Rows (src/store/job.c) --------------------------------------------------- */

/* The states of gpt_job.state. */
typedef enum GptJobState
{
	GPT_JOB_QUEUED,
	GPT_JOB_RUNNING,
	GPT_JOB_SUCCEEDED,
	GPT_JOB_FAILED,
	GPT_JOB_CANCELLED,
} GptJobState;

/* The word of a state, as in the table. */
extern const char *gpt_job_state_name(GptJobState state);

/* A row of gpt_job, palloc'd. */
typedef struct GptJob
{
	int64 number;
	char *model; /* that it makes, or NULL ... */
	char *tokenizer; /* ... where it makes a tokenizer of this name */
	GptJobState state;
	Oid owner;
	char *query;
	Jsonb *options;
	Jsonb *settings; /* of the session that submitted it; see job_settings.h */
	pg_uuid_t run_id;
	int64 system_identifier;
	Oid database;
	int32 tries;
	char *base; /* model that a fine-tune starts from, or NULL */
	int32 base_version; /* its version; 0 before the job first runs */
	int64 step; /* steps done when the row was last written */
	int64 steps; /* planned; 0 before the plan */
	int64 overfit_since; /* step; 0: it does not overfit */
	/* of a failed job: message, and lines that begin with DETAIL: and HINT:; or NULL */
	char *error;
} GptJob;

/* The counts of a job's corpus in its row; tokens: -1 where there are none. */
typedef struct GptJobCorpus
{
	int64 documents;
	int64 skipped;
	int64 bytes;
	int64 tokens;
	int64 held_out; /* documents, not counting texts that are cut */
} GptJobCorpus;

/* A job to submit. */
typedef struct GptJobOrder
{
	const char *model; /* to make, or NULL ... */
	const char *tokenizer; /* ... where it makes a tokenizer of this name */
	const char *base; /* model that a fine-tune starts from, or NULL */
	const char *query;
	Jsonb *options;
	Jsonb *settings; /* of the session; see job_settings.h */
	const char *note; /* or NULL */
} GptJobOrder;

/*
 * Inserts a queued job of the current role in the current transaction; returns its number, and a
 * new id of its run.
 */
extern int64 gpt_job_insert(const GptJobOrder *order, pg_uuid_t *run_id);

/* Whether the run belongs to the job that this session inserted last. */
extern bool gpt_job_is_submitted(const pg_uuid_t *run_id);

/*
 * Reads a job under a new snapshot, whatever the isolation level; palloc'd. NULL if it does not
 * exist or its transaction has not committed.
 */
extern GptJob *gpt_job_read(int64 job);

/*
 * Whether the job's row exists, but others do not see it yet because its transaction has not ended.
 */
extern bool gpt_job_is_uncommitted(int64 job);

/*
 * The newest job whose owner's privileges the current role has, in any state, or 0: of a model of
 * that name, or else of a tokenizer of that name; NULL: of all.
 */
extern int64 gpt_job_newest(const char *name);

/* The queued or running job of a new model of that name, or 0. */
extern int64 gpt_job_of_model(const char *model);

/* The queued or running job of a tokenizer of that name, or 0. */
extern int64 gpt_job_of_tokenizer(const char *name);

/* The queued or running job that starts from a model of that name, or 0. */
extern int64 gpt_job_with_base(const char *model);

/*
 * Jobs that make the same model or tokenizer run in the order of their numbers. _predecessor: the
 * oldest queued or running job with a smaller number, for which this job waits. _successor: the
 * next queued job with a larger number. palloc'd, or NULL.
 */
extern GptJob *gpt_job_predecessor(const GptJob *job);
extern GptJob *gpt_job_successor(const GptJob *job);

/*
 * The owner of a job. InvalidOid, which only superusers match, if the row came from another
 * cluster, where the same oid is another role. Nothing else reads the column; SQL calls
 * gpt_job_owner(owner, system_identifier).
 */
extern Oid gpt_job_effective_owner(Oid owner, int64 system_identifier);

/*
 * Why the owner of a job cannot connect to this database, palloc'd; NULL if it can. Inside a
 * transaction.
 */
extern const char *gpt_job_owner_refusal(const GptJob *job);

/* Whether the row was written in this database of this cluster: a copied row never starts. */
extern bool gpt_job_is_local(const GptJob *job);

/*
 * For a worker that holds the job's lock, inside a transaction: sets a queued or running job to
 * running and counts one more try. False if the row is in another state; also, with *locked set, if
 * another transaction is changing it.
 */
extern bool gpt_job_claim(int64 job, bool *locked);

/* Takes back the count of a try that was interrupted through no fault of the job. */
extern void gpt_job_uncount_try(int64 job);

/*
 * Ends a job: sets state, message (or NULL) and end time, and removes its progress row. False if it
 * had ended already.
 */
extern bool gpt_job_end(int64 job, GptJobState state, const char *message);

/* ---- src/store/job_record.c: what a worker records ------------------------- */

/*
 * For a worker: the step from which the job starts; removes log rows beyond it. data_changed: the
 * job reads other rows than when it first began.
 */
extern void gpt_job_set_start(int64 job, int64 step, bool data_changed);

/* Notes a checkpoint of that step; the count of tries starts anew. */
extern void gpt_job_set_checkpoint(int64 job, int64 step);

/* Set the version that a fine-tune starts from, the task, and the note (NULL: none). */
extern void gpt_job_set_base(int64 job, int32 base_version);
extern void gpt_job_set_task(int64 job, const char *task);
extern void gpt_job_set_note(int64 job, const char *note);

/* Appends to the note, unless it has this text already; replaces GPT_NOTE_WITHOUT_PRELOAD. */
extern void gpt_job_add_note(int64 job, const char *note);

/* The note of the submission; gpt_job_note() hides it once the job has ended. */
#define GPT_NOTE_WITHOUT_PRELOAD                                                          \
	"the server does not preload gpt: after a restart of the server the job waits until " \
	"gpt_resume is called"

/*
 * Set the step since which the job overfits (0: it does not), the counts of the corpus, the members
 * of its report that are given (the others stay), and the steps done and planned, with the
 * conditions of the training as JSON.
 */
extern void gpt_job_set_overfit(int64 job, int64 step);
extern void gpt_job_set_corpus(int64 job, const GptJobCorpus *corpus);
extern void gpt_job_add_report(int64 job, const Jsonb *report);
extern void gpt_job_set_steps(int64 job, int64 step, int64 steps, const Jsonb *conditions);

/* ---- src/store/job.c again ---------------------------------------------------- */

/*
 * Deletes the jobs, with their logs, that ended before that time and whose owner's privileges the
 * current role has. Sets *run_ids to the runs of this database (List of pg_uuid_t *); returns the
 * number of jobs.
 */
extern int64 gpt_job_forget(List **run_ids, TimestampTz before);

/*
 * Sets a failed or cancelled job back to queued, without tries and with another note (NULL: none).
 */
extern void gpt_job_requeue(int64 job, const char *note);

/*
 * Sets a queued job to cancelled in the current transaction, whatever its isolation level; false in
 * another state.
 */
extern bool gpt_job_cancel_queued(int64 job);

/*
 * A List of GptJob: the first n queued jobs of this database that wait for no predecessor, oldest
 * first; with cut_off, running jobs come before them. Jobs that another transaction is changing are
 * left out.
 */
extern List *gpt_job_list_waiting(bool cut_off, int n);

/* Sends NOTIFY gpt_job '{"job": n, "state": "..."}' at the end of the current transaction. */
extern void gpt_job_notify(int64 job, GptJobState state);

#endif /* GPT_JOB_H */

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

typedef enum GptJobState
{
	GPT_JOB_QUEUED,
	GPT_JOB_RUNNING,
	GPT_JOB_SUCCEEDED,
	GPT_JOB_FAILED,
	GPT_JOB_CANCELLED,
} GptJobState;

extern const char *gpt_job_state_name(GptJobState state);

typedef struct GptJob
{
	int64 number;
	char *model;
	GptJobState state;
	Oid owner;
	char *query;
	Jsonb *options;
	Jsonb *settings; /* of the session that submitted it: job_settings.h */
	pg_uuid_t run_id;
	int64 system_identifier;
	Oid database;
	int32 tries;
	char *base; /* model that a fine-tune starts from, or NULL */
	int32 base_version; /* of it, 0 for the current one before the job has begun */
	int64 step; /* done, as far as the row knows */
	int64 steps; /* planned, 0 before the plan */
	int64 overfit_since; /* 0: it is not */
	/* of one that failed: message, and lines that begin with DETAIL: and HINT: ; or NULL */
	char *error;
} GptJob;

/* The part of a job's row about the corpus, once it is read. */
typedef struct GptJobCorpus
{
	int64 documents;
	int64 skipped;
	int64 bytes;
	int64 tokens;
	int64 held_out; /* documents, whole ones */
} GptJobCorpus;

/*
 * Inserts a queued job of the current role in the current transaction; returns its number. base
 * NULL: a training, else a fine-tune.
 */
extern int64 gpt_job_insert(const char *model, const char *base, const char *query, Jsonb *options,
							Jsonb *settings, const char *note, pg_uuid_t *run_id);

/* Whether the run is that of the job which this session inserted last. */
extern bool gpt_job_is_submitted(const pg_uuid_t *run_id);

/*
 * The job under a new snapshot, whatever the isolation level; palloc'd. NULL when it does not exist
 * or its transaction has not committed.
 */
extern GptJob *gpt_job_read(int64 job);

/* Whether the job's row exists, but not in the eyes of others: its transaction has not ended. */
extern bool gpt_job_is_uncommitted(int64 job);

/* The queued or running job of a new model of that name, or 0. */
extern int64 gpt_job_of_model(const char *model);

/* The queued or running job that starts from a model of that name, or 0. */
extern int64 gpt_job_with_base(const char *model);

/*
 * Jobs that make the same model run in the order of their numbers. The oldest job that is queued or
 * running before this one and makes the same model, which this one has to wait for; and the next
 * one that is queued after it. palloc'd, or NULL.
 */
extern GptJob *gpt_job_predecessor(const GptJob *job);
extern GptJob *gpt_job_successor(const GptJob *job);

/*
 * The owner of a job; InvalidOid, which only superusers match, where the row came from another
 * cluster, where the same number is another role's. Nothing else reads the column: SQL asks
 * gpt_job_owner(owner, system_identifier).
 */
extern Oid gpt_job_effective_owner(Oid owner, int64 system_identifier);

/*
 * Why the owner of a job cannot connect to this database, palloc'd; NULL when it can. In a
 * transaction.
 */
extern const char *gpt_job_owner_refusal(const GptJob *job);

/* Whether the row was written in this database of this cluster: a copied row never starts. */
extern bool gpt_job_is_local(const GptJob *job);

/*
 * For a worker that holds the job's lock, in a transaction: from queued or running to running, one
 * more try. False when the row is in another state, or *locked when another transaction is about to
 * change it.
 */
extern bool gpt_job_claim(int64 job, bool *locked);

/* The try was cut off by no fault of the job: it does not count. */
extern void gpt_job_uncount_try(int64 job);

/*
 * Ends a job: state, message (or NULL), end time; its progress row goes. False when it had ended
 * already.
 */
extern bool gpt_job_end(int64 job, GptJobState state, const char *message);

/*
 * For a worker: the step that the job begins with; log rows beyond it go. data_changed: its rows
 * are not the ones that it began with before.
 */
extern void gpt_job_set_start(int64 job, int64 step, bool data_changed);

/* There is a checkpoint of that step: tries count from here on. */
extern void gpt_job_set_checkpoint(int64 job, int64 step);
extern void gpt_job_set_base(int64 job, int32 base_version);
/* what its query's columns say is learnt */
extern void gpt_job_set_task(int64 job, const char *task);
extern void gpt_job_set_note(int64 job, const char *note);

/* Behind what the note says already, unless it says this; in place of that of the submission. */
extern void gpt_job_add_note(int64 job, const char *note);

/* Of a job that has not ended: gpt_job_note() hides it otherwise. */
#define GPT_NOTE_WITHOUT_PRELOAD                                                          \
	"the server does not preload gpt: after a restart of the server the job waits until " \
	"gpt_resume is called"

extern void gpt_job_set_overfit(int64 job, int64 step); /* 0: it did not */
extern void gpt_job_set_corpus(int64 job, const GptJobCorpus *corpus);
extern void gpt_job_set_steps(int64 job, int64 step, int64 steps, const Jsonb *conditions);

/*
 * Deletes the jobs, with their logs, that ended before that time and whose owner's privileges the
 * current role has. Fills *run_ids (List of pg_uuid_t *) with the runs of this database; returns
 * how many jobs there were.
 */
extern int64 gpt_job_forget(List **run_ids, TimestampTz before);

/* From failed or cancelled back to queued: no tries, and another note or none. */
extern void gpt_job_requeue(int64 job, const char *note);

/*
 * From queued to cancelled, in the current transaction, whatever its isolation level; false in
 * another state.
 */
extern bool gpt_job_cancel_queued(int64 job);

/*
 * The first n queued jobs of this database that wait for no predecessor, oldest first, and running
 * ones before them where cut_off; without those that another transaction is about to change. List
 * of GptJob.
 */
extern List *gpt_job_list_waiting(bool cut_off, int n);

/* NOTIFY gpt_job '{"job": n, "state": "..."}' at the end of the current transaction. */
extern void gpt_job_notify(int64 job, GptJobState state);

#endif /* GPT_JOB_H */

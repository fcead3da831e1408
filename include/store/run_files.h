/*
 * include/store/run_files.h
 *
 * The files of a job in the data directory: gpt/pgsql_tmp_<run id>.tokens and .ckpt, and their
 * half-written forms with .tmp appended. Such names survive a restart of the server, and base
 * backups skip them.
 */
#ifndef GPT_RUN_FILES_H
#define GPT_RUN_FILES_H

#include "utils/uuid.h"

#define GPT_RUN_DIRECTORY "gpt" /* in the data directory */
#define GPT_TOKENS ".tokens" /* extensions of the files of a run */
#define GPT_CHECKPOINT ".ckpt"
#define GPT_ASIDE ".tmp" /* appended to the above while the file is written */

/* The path relative to the data directory, palloc'd. suffix: GPT_ASIDE or "". */
extern char *gpt_run_file_path(const pg_uuid_t *run_id, const char *extension, const char *suffix);

/*
 * Opens an empty unfinished file (GPT_ASIDE) for writing; creates the directory if it is missing.
 * level: of the message that it cannot be created; -1 is returned if that is no error.
 */
extern int gpt_run_file_create(const pg_uuid_t *run_id, const char *extension, int level);

/* Syncs the unfinished file and renames it: a file with the final name is always complete. */
extern void gpt_run_file_complete(const pg_uuid_t *run_id, const char *extension);

/*
 * The same for a file that may be lost with the machine: it is not synced. Failure is a warning;
 * then the file is removed, and false returned.
 */
extern bool gpt_run_file_try_complete(const pg_uuid_t *run_id, const char *extension);

/* Remove the unfinished form of one file, or all files of a run; missing files are no error. */
extern void gpt_run_file_remove_aside(const pg_uuid_t *run_id, const char *extension);
extern void gpt_run_files_remove(const pg_uuid_t *run_id);

/*
 * Removes all files of a run when the current transaction commits. After PREPARE TRANSACTION they
 * stay until gpt.checkpoint_retention has passed.
 */
extern void gpt_run_files_remove_at_commit(const pg_uuid_t *run_id);

/* The same for all jobs of the current database, of which no row stays. */
extern void gpt_run_files_remove_all_at_commit(void);

/* The run that a file of the directory belongs to; false for other files. */
extern bool gpt_run_of_file(pg_uuid_t *run_id, const char *name);

/*
 * Whether the job of the run may still use its files; *known is false if this database has no such
 * job.
 */
extern bool gpt_run_is_kept(const pg_uuid_t *run_id, bool *known);

/*
 * For a failed or cancelled job: removes unfinished files. The others stay for
 * gpt.checkpoint_retention, so that gpt_resume can continue.
 */
extern void gpt_run_files_retire(const pg_uuid_t *run_id);

/* Returns the database in the checkpoint of a run; InvalidOid if it is not known. */
typedef Oid (*GptRunDatabase)(const pg_uuid_t *run_id);

/*
 * Removes files that nobody will use: of jobs of this database that succeeded, no longer exist, or
 * ended longer than gpt.checkpoint_retention ago; of databases that no longer exist; and what
 * members keep (kept_files.h). Outside of transactions.
 */
extern void gpt_run_files_sweep(GptRunDatabase database_of);

#endif /* GPT_RUN_FILES_H */

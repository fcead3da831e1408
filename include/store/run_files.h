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

#define GPT_RUN_DIRECTORY "gpt"
#define GPT_TOKENS ".tokens"
#define GPT_CHECKPOINT ".ckpt"
#define GPT_ASIDE ".tmp" /* appended to the above while the file is written */

/* palloc'd, relative to the data directory. */
extern char *gpt_run_file_path(const pg_uuid_t *run_id, const char *extension, const char *suffix);

/*
 * Opens the half-written form for writing, empty, in a directory that is made where it is missing.
 */
extern int gpt_run_file_create(const pg_uuid_t *run_id, const char *extension);

/* Syncs the half-written form and gives it its name: a file of that name is complete. */
extern void gpt_run_file_complete(const pg_uuid_t *run_id, const char *extension);

/*
 * Removes the half-written form of one file, or all files of a run; no error when there are none.
 */
extern void gpt_run_file_remove_aside(const pg_uuid_t *run_id, const char *extension);
extern void gpt_run_files_remove(const pg_uuid_t *run_id);

/*
 * All files of a run, when the current transaction commits. A prepared transaction leaves them to
 * their retention.
 */
extern void gpt_run_files_remove_at_commit(const pg_uuid_t *run_id);

/* The run that a file of the directory belongs to; false for a file of another kind. */
extern bool gpt_run_of_file(pg_uuid_t *run_id, const char *name);

/*
 * Whether the job of the run may still use its files; *known is false where this database has no
 * such job.
 */
extern bool gpt_run_is_kept(const pg_uuid_t *run_id, bool *known);

/*
 * For a job that failed or was cancelled: what was half-written goes, the rest stays for
 * gpt.checkpoint_retention, from which gpt_resume continues.
 */
extern void gpt_run_files_retire(const pg_uuid_t *run_id);

/* The database that a run belongs to by its checkpoint; InvalidOid where it is not known. */
typedef Oid (*GptRunDatabase)(const pg_uuid_t *run_id);

/*
 * Removes files that nothing will use: of jobs of this database that succeeded, do not exist any
 * more, or ended longer ago than gpt.checkpoint_retention; and those of databases that do not exist
 * any more. Outside of transactions.
 */
extern void gpt_run_files_sweep(GptRunDatabase database_of);

#endif /* GPT_RUN_FILES_H */

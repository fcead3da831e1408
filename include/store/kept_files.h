/*
 * include/store/kept_files.h
 *
 * What a member of a training over servers (train/membership.h) keeps on its own server for its
 * return: gpt/pgsql_tmp_<run id>_m<member>_<database>_<role>_<step>.kept, checkpoints of single
 * steps. A session computes the name from its own database and role, so it never finds a file of
 * another one's.
 */
#ifndef GPT_KEPT_FILES_H
#define GPT_KEPT_FILES_H

#include "utils/uuid.h"

#define GPT_NO_STEP (-1)

/* Whose a file is. */
typedef struct GptKeptOwner
{
	pg_uuid_t run_id;
	int member;
	Oid database;
	Oid role;
} GptKeptOwner;

/* The extension of the run's file (store/run_files.h) for a step, palloc'd. */
extern char *gpt_kept_extension(const GptKeptOwner *owner, int64 step);

/*
 * Removes the owner's files but those of two steps; GPT_NO_STEP: of none. A file that cannot be
 * removed is logged.
 */
extern void gpt_kept_retain(const GptKeptOwner *owner, int64 step, int64 other);

/* Whether a name of the run directory is that of such a file, finished or not. */
extern bool gpt_kept_is_file(const char *name);

/*
 * Whether nobody will come back for such a file: its database does not exist any more, or the file
 * is older than gpt.checkpoint_retention and than a day, in which a round ends. _sweep removes
 * those of all owners. Inside a transaction.
 */
extern bool gpt_kept_is_unused(const char *name);
extern void gpt_kept_sweep(void);

/* Removes the files of all owners of a database; raises no error. */
extern void gpt_kept_remove_all(Oid database);

#endif /* GPT_KEPT_FILES_H */

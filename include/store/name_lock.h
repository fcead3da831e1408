/*
 * include/store/name_lock.h
 *
 * Locks on the names of models, whether or not there is a model of that name.
 * They last to the end of the transaction.
 *
 * Locks on models are taken in one order:
 *
 *   1. names, of several in the order of gpt_name_precedes. Exclusive for who submits a job that
 *   makes the model, or makes,
 *      removes or renames one, or merges into it; shared for who submits a job that starts from it;
 *   2. rows of gpt_model (catalog_model.h), first that of a base, then those of what rests on it.
 *
 * So a name is never waited for with a row of another statement's making, and two statements never
 * wait for each other. A worker that publishes takes rows alone: whoever has a name looks for jobs
 * that run before it takes the row, and leaves the model to them. A change that leaves a model
 * where it is (rollback, grant, type of image) takes the row alone, too.
 */
#ifndef GPT_NAME_LOCK_H
#define GPT_NAME_LOCK_H

#include "nodes/pg_list.h"

/*
 * Takes the exclusive lock on a name without waiting; false if another transaction has it. All of
 * these locks end with the transaction.
 */
extern bool gpt_name_try_lock(const char *model);

/*
 * Wait for the exclusive lock, of one name or of several (List of char *), which are locked in a
 * fixed order.
 */
extern void gpt_name_lock(const char *model);
extern void gpt_name_lock_all(const List *models);

/* Waits for the shared lock. */
extern void gpt_name_keep(const char *model);

/* Whether the lock on a is taken before the lock on b. */
extern bool gpt_name_precedes(const char *a, const char *b);

#endif /* GPT_NAME_LOCK_H */

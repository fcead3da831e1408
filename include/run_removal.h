/*
 * include/run_removal.h
 *
 * Files of jobs that go with a transaction: what a rolled back gpt_drop_model would have removed is still there.
 */
#ifndef GPT_RUN_REMOVAL_H
#define GPT_RUN_REMOVAL_H

#include "utils/uuid.h"

/*
 * Removes the files of a run when the current transaction commits; nothing happens when it, or the subtransaction, rolls
 * back. A prepared transaction leaves them to their retention.
 */
extern void gpt_run_remove_at_commit(const pg_uuid_t *run_id);

#endif /* GPT_RUN_REMOVAL_H */

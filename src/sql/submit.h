/*
 * src/sql/submit.h
 *
 * What is checked when a job is submitted, and again when it is resumed (src/sql/sql_train.c).
 */
#ifndef GPT_SUBMIT_H
#define GPT_SUBMIT_H

#include "utils/uuid.h"

/*
 * Error on a standby, in a read-only transaction, or in a database of an encoding that is not
 * supported. The function is named "gpt_train()".
 */
extern void gpt_submit_check_server(const char *function);

/* Error when a model of that name exists, but for the versions of that run (NULL: of any). */
extern void gpt_submit_check_new(const char *model, const pg_uuid_t *but_run);

/*
 * Error unless this transaction is from now on the only one that submits a job for the model, and
 * no job makes it. Nobody removes or renames the base (NULL: there is none) either.
 */
extern void gpt_submit_check_model(const char *model, const char *base);

#endif /* GPT_SUBMIT_H */

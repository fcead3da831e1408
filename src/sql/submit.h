/*
 * src/sql/submit.h
 *
 * What is checked when a job is submitted, and again when it is resumed (src/sql/sql_train.c).
 */
#ifndef GPT_SUBMIT_H
#define GPT_SUBMIT_H

#include "core/options.h"
#include "corpus/source.h"
#include "utils/uuid.h"

/*
 * Raises an error on a standby, in a read-only transaction, and in a database whose encoding is not
 * supported. function: "gpt_train()", for the message.
 */
extern void gpt_submit_check_server(const char *function);

/*
 * Raises the errors of gpt_train that options, query and validation_query cause; fills *shape.
 */
extern void gpt_submit_check_training(GptSourceShape *shape, const char *query,
									  const GptTrainOptions *options);

/*
 * Raises an error if a model of that name exists; versions of the run but_run (or NULL) do not
 * count.
 */
extern void gpt_submit_check_new(const char *model, const pg_uuid_t *but_run);

/*
 * Locks the name until the end of the transaction, so that no other transaction submits a job for
 * the model; raises an error if a job makes it already. Nobody can remove or rename the base (NULL:
 * none) either.
 */
extern void gpt_submit_check_model(const char *model, const char *base);

#endif /* GPT_SUBMIT_H */

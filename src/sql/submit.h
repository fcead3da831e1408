/*
 * src/sql/submit.h
 *
 * The part of a submission that all jobs share (src/sql/submit.c). Some of its checks are made
 * again when a job is resumed.
 */
#ifndef GPT_SUBMIT_H
#define GPT_SUBMIT_H

#include "core/options.h"
#include "corpus/source.h"
#include "store/job.h"

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
 * Raises an error if a server of a training does not exist, the current role may not use it, or the
 * query would read rows of it that it learns itself.
 */
extern void gpt_submit_check_servers(const GptTrainOptions *options, const GptSourceShape *shape);

/*
 * Raises an error unless the current role can log in and connect to this database: the worker of a
 * job does that.
 */
extern void gpt_submit_check_owner(void);

/*
 * Raises an error if a model of that name exists; versions of the run but_run (or NULL) do not
 * count.
 */
extern void gpt_submit_check_new(const char *model, const pg_uuid_t *but_run);

/* The result of the attempt to be the session that submits. */
typedef enum GptTurn
{
	GPT_TURN_OURS,
	GPT_TURN_OTHER_JOB, /* the caller returns *other */
	GPT_TURN_OTHER_SESSION, /* its job has no number that could be relied on */
} GptTurn;

/*
 * Locks the name of the order's product until the end of the transaction, so that no other
 * transaction submits a job for it, and looks for a job that makes it already; if_running says what
 * then happens. Nobody can remove or rename the base (NULL: none) either; locks are taken in the
 * order of name_lock.h.
 */
extern GptTurn gpt_submit_take_turn(int64 *other, const GptJobOrder *order,
									GptIfRunning if_running);

/*
 * Queues the job and launches its worker at commit; returns its number. Fills in settings and note
 * of the order.
 */
extern int64 gpt_submit_job(GptJobOrder *order);

#endif /* GPT_SUBMIT_H */

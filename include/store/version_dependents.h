/*
 * include/store/version_dependents.h
 *
 * Objects of the database whose expressions name a version of a model: indexes, generated columns
 * and defaults, constraints, views, triggers, policies, statistics, partition keys, row filters of
 * publications, functions with an SQL body. Each of them depends in pg_depend on the type
 * gpt_model_version, so only these are read.
 *
 * An object that another transaction is making has its row in pg_depend already, or the command has
 * only read the version's name: then it shares a lock on the name. Who removes a version waits for
 * the end of that transaction in both cases, and a command that names one waits for a removal.
 */
#ifndef GPT_VERSION_DEPENDENTS_H
#define GPT_VERSION_DEPENDENTS_H

#include "store/catalog_model.h"

/*
 * The input of a version: if a command of the server other than COPY is running, one that may make
 * an object, it shares the lock on the name until the end of the transaction. Raises an error if
 * the version has gone since the command began; one that there never was is none.
 */
extern void gpt_dependents_name(const char *reference);

/*
 * Raises an error if objects depend on the version; number 0: on any version of the model. action:
 * the beginning of the message, such as "cannot drop version 3 of model \"reviews\""; hint: NULL
 * means that of a removal.
 */
extern void gpt_dependents_refuse(const char *model, int32 number, const char *action,
								  const char *hint);

/*
 * Versions that are marked to go lose the mark if objects depend on them, those of transactions
 * that have not ended included. Returns their numbers as text, palloc'd; NULL: there is none.
 */
extern char *gpt_dependents_spare(GptLockedModel *model);

/* Calls back for each object that depends on a version which does not exist, and each such version.
 */
extern void gpt_dependents_list_missing(void (*take)(void *context, const char *object,
													 const char *version),
										void *context);

/*
 * Plans that sessions keep are made anew after the commit: one may have the answer of a version
 * that a name no longer means, because calls with constant arguments are computed by the planner.
 */
extern void gpt_dependents_forget_plans(void);

#endif /* GPT_VERSION_DEPENDENTS_H */

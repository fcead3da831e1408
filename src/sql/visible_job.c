/*
 * src/sql/visible_job.c
 *
 * The number of a job or the name of a model goes in; the job comes out, if the current role may
 * see it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "core/argument_type.h"
#include "sql/arguments.h"
#include "sql/visible_job.h"
#include "store/catalog.h"

#define MOST_DIGITS 18 /* of a bigint that cannot overflow */

GptJob *
gpt_visible_job(int64 number)
{
	GptJob *job = gpt_job_read(number);
	int64 newest;

	if (job != NULL && has_privs_of_role(GetUserId(), job->owner))
		return job;
	if (job == NULL && gpt_job_is_uncommitted(number))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " is not committed yet", number),
						errdetail("It starts when the transaction that submitted it commits.")));
	newest = gpt_job_newest(NULL);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist, or belongs to another role", number),
			 newest == 0 ? errhint("The view gpt_jobs lists the jobs that you may see.")
						 : errhint("The view gpt_jobs lists the jobs that you may see; the newest "
								   "is " INT64_FORMAT ".",
								   newest)));
}

int64
gpt_visible_job_of(const char *name)
{
	int64 number = gpt_job_newest(name);
	size_t size = strlen(name);

	if (number != 0)
		return number;
	if (size > 0 && size <= MOST_DIGITS && strspn(name, "0123456789") == size)
		return pg_strtoint64(name);
	gpt_catalog_refuse_version(name, NULL);
	if (gpt_catalog_version(name, true) == NULL)
		gpt_catalog_raise_missing(name);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("no job of model \"%s\" is known", name),
			 errdetail("It was imported or copied, its jobs were forgotten, or they belong "
					   "to another role."),
			 errhint("The view gpt_jobs lists the jobs that you may see.")));
}

int64
gpt_visible_job_argument(FunctionCallInfo fcinfo)
{
	bool is_name = gpt_argument_type(fcinfo, 0) == TEXTOID;

	gpt_argument_required(fcinfo, 0, is_name ? "model" : "job");
	return is_name ? gpt_visible_job_of(gpt_argument_text(fcinfo, 0)) : PG_GETARG_INT64(0);
}

void
gpt_visible_job_check_local(const GptJob *job)
{
	if (!gpt_job_is_local(job))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " was submitted in another database or cluster",
							   job->number),
						errhint("Submit it here with gpt_train.")));
}

bool
gpt_visible_job_has_ended(const GptJob *job)
{
	return job->state != GPT_JOB_QUEUED && job->state != GPT_JOB_RUNNING;
}

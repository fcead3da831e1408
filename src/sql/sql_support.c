/*
 * src/sql/sql_support.c
 *
 * gpt_support: the support function of all functions that call models.
 */
#include "postgres.h"

#include "fmgr.h"

#include "serve/planning.h"

PG_FUNCTION_INFO_V1(gpt_support);

/*
 * gpt_support(request internal) RETURNS internal
 *
 * The planner calls it, and tells it nothing of an expression or a context, as aggregates and
 * indexes do, whose arguments would be something else. NULL where it has no answer.
 */
Datum
gpt_support(PG_FUNCTION_ARGS)
{
	if (fcinfo->flinfo == NULL || fcinfo->flinfo->fn_expr != NULL || fcinfo->context != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function gpt_support can only be called by the planner")));
	PG_RETURN_POINTER(gpt_planning_support((Node *) PG_GETARG_POINTER(0)));
}

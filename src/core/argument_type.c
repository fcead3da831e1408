/*
 * src/core/argument_type.c
 *
 * A call and the number of an argument in, the argument's type out.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "core/argument_type.h"

Oid
gpt_argument_type(FunctionCallInfo fcinfo, int number)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, number);

	/* Without an expression, the declared type of the argument decides. */
	if (!OidIsValid(type) && OidIsValid(fcinfo->flinfo->fn_oid))
	{
		Oid *types;
		int n;

		get_func_signature(fcinfo->flinfo->fn_oid, &types, &n);
		type = number < n ? types[number] : InvalidOid;
	}
	return type;
}

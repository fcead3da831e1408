/*
 * src/sql/arguments.c
 *
 * Fetches and checks arguments of SQL functions.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"

#include "core/number.h"
#include "sql/arguments.h"

/*
 * The parser has matched the arguments of a call in an expression, and the function call protocol,
 * which serves a session outside of any portal, reads them as their types. (An index hands its
 * support functions its options as their "expression".)
 */
void
gpt_argument_check_call(FunctionCallInfo fcinfo)
{
	bool is_matched = fcinfo->flinfo != NULL &&
					  (PG_NARGS() == 0 || OidIsValid(get_fn_expr_argtype(fcinfo->flinfo, 0)));
	bool is_protocol = fcinfo->flinfo != NULL && fcinfo->flinfo->fn_expr == NULL &&
					   ActivePortal == NULL && MyBackendType == B_BACKEND;

	if (!is_matched && !is_protocol)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("functions of extension \"gpt\" can only be called in expressions"),
						errdetail("The function is called as a support function, with arguments "
								  "whose types are not known.")));
}

/*
 * The server calls input and output functions without an expression, or with that of a cast by
 * them, but gives a support function the options of its index.
 */
void
gpt_argument_check_io(FunctionCallInfo fcinfo)
{
	const Node *expression = fcinfo->flinfo == NULL ? NULL : fcinfo->flinfo->fn_expr;

	if (fcinfo->flinfo == NULL || (expression != NULL && !IsA(expression, CoerceViaIO)))
		gpt_argument_check_call(fcinfo);
}

/*
 * Whoever reads a value gives three arguments (ReceiveFunctionCall); one alone is the state of an
 * aggregate, or a block of a language.
 */
void
gpt_argument_check_receive(FunctionCallInfo fcinfo)
{
	gpt_argument_check_io(fcinfo);
	if (PG_NARGS() != 3)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("binary input functions of extension \"gpt\" can only read values")));
}

void
gpt_argument_required(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
}

char *
gpt_argument_text(FunctionCallInfo fcinfo, int number)
{
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

int
gpt_argument_word(FunctionCallInfo fcinfo, int number, const char *what, GptWordOf word_of)
{
	char *name;
	int word;

	if (PG_ARGISNULL(number))
		return 0;
	name = gpt_argument_text(fcinfo, number);
	word = gpt_word_find(word_of, name, strlen(name));
	if (word < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s \"%s\" is not known", what, name),
						errhint("It is %s.", gpt_words_list(word_of, " or "))));
	return word;
}

int
gpt_argument_integer(FunctionCallInfo fcinfo, int number, const char *name, int by_default,
					 int minimum, int maximum)
{
	int value = number >= PG_NARGS() || PG_ARGISNULL(number) ? by_default : PG_GETARG_INT32(number);

	if (value < minimum || value > maximum)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is out of range: %d", name, value),
						errhint("It must be between %d and %d.", minimum, maximum)));
	return value;
}

double
gpt_argument_real(FunctionCallInfo fcinfo, int number, const char *name, double by_default,
				  double minimum, double maximum, bool above)
{
	double value =
		number >= PG_NARGS() || PG_ARGISNULL(number) ? by_default : PG_GETARG_FLOAT8(number);

	/* Written so that NaN fails. */
	if (!(value >= minimum && value <= maximum) || (above && value == minimum))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is out of range: %s", name, gpt_number_text(value)),
						above ? errhint("It must be above %g and at most %g.", minimum, maximum)
							  : errhint("It must be between %g and %g.", minimum, maximum)));
	return value;
}

bool
gpt_argument_boolean(FunctionCallInfo fcinfo, int number, bool by_default)
{
	return number >= PG_NARGS() || PG_ARGISNULL(number) ? by_default : PG_GETARG_BOOL(number);
}

Jsonb *
gpt_argument_options(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number))
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	return PG_GETARG_JSONB_P(number);
}

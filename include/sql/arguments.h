/*
 * include/sql/arguments.h
 *
 * Arguments of SQL functions, with their defaults and ranges.
 */
#ifndef GPT_ARGUMENTS_H
#define GPT_ARGUMENTS_H

#include "fmgr.h"

/*
 * Comes first in every function that SQL calls: an error where they may be of other types than the
 * function is declared with. An operator class takes any function as a support function, and then
 * calls it with the number and types that its access method has.
 */
extern void gpt_argument_check_call(FunctionCallInfo fcinfo);

/* Error when the argument is NULL: name must not be null. */
extern void gpt_argument_required(FunctionCallInfo fcinfo, int number, const char *name);

/* The text as a C string; and NULL means default: an error names the range. */
extern char *gpt_argument_text(FunctionCallInfo fcinfo, int number);
extern int gpt_argument_integer(FunctionCallInfo fcinfo, int number, const char *name,
								int by_default, int minimum, int maximum);
/* above: the minimum itself is out of range. */
extern double gpt_argument_real(FunctionCallInfo fcinfo, int number, const char *name,
								double by_default, double minimum, double maximum, bool above);

/* Also where the function is declared without the argument, as in releases before it had one. */
extern bool gpt_argument_boolean(FunctionCallInfo fcinfo, int number, bool by_default);

#endif /* GPT_ARGUMENTS_H */

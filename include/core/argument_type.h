/*
 * include/core/argument_type.h
 *
 * The types of the arguments with which SQL calls a function, for functions that are declared more
 * than once.
 */
#ifndef GPT_ARGUMENT_TYPE_H
#define GPT_ARGUMENT_TYPE_H

#include "fmgr.h"

/*
 * The type of argument `number`: that of the call's expression, else, by the function call
 * protocol, the declared one. InvalidOid if neither is known.
 */
extern Oid gpt_argument_type(FunctionCallInfo fcinfo, int number);

#endif /* GPT_ARGUMENT_TYPE_H */

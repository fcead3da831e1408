/*
 * include/sql/arguments.h
 *
 * Arguments of SQL functions, with their defaults and ranges.
 */
#ifndef GPT_ARGUMENTS_H
#define GPT_ARGUMENTS_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "core/words.h"

/*
 * Every SQL function calls this first: raises an error if the caller passes other types than the
 * function is declared with. An operator class takes any function as a support function, and then
 * calls it with the number and types of its access method.
 */
extern void gpt_argument_check_call(FunctionCallInfo fcinfo);
/*
 * The same for the input and output functions of a type, which the server calls directly;
 * _receive: for its binary input, whose argument is of type internal.
 */
extern void gpt_argument_check_io(FunctionCallInfo fcinfo);
extern void gpt_argument_check_receive(FunctionCallInfo fcinfo);

/* Raises "name must not be null" if the argument is NULL. */
extern void gpt_argument_required(FunctionCallInfo fcinfo, int number, const char *name);

/*
 * _text: the argument as a C string, palloc'd. _integer and _real: NULL means the default, and so
 * does a declaration without the argument, as in earlier releases; a value out of range is an error
 * that names the range. above: the minimum itself is out of range.
 */
extern char *gpt_argument_text(FunctionCallInfo fcinfo, int number);
extern int gpt_argument_integer(FunctionCallInfo fcinfo, int number, const char *name,
								int by_default, int minimum, int maximum);
extern double gpt_argument_real(FunctionCallInfo fcinfo, int number, const char *name,
								double by_default, double minimum, double maximum, bool above);

/* The same. */
extern bool gpt_argument_boolean(FunctionCallInfo fcinfo, int number, bool by_default);

/* The number of a word of a list; NULL means the first one, another word is an error. */
extern int gpt_argument_word(FunctionCallInfo fcinfo, int number, const char *what,
							 GptWordOf word_of);

/* NULL means no option. */
extern Jsonb *gpt_argument_options(FunctionCallInfo fcinfo, int number);

#endif /* GPT_ARGUMENTS_H */

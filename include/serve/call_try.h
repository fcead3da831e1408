/*
 * include/serve/call_try.h
 *
 * Calls whose errors may give NULL: with on_error => 'null', or gpt.on_error = 'null'. Errors of a
 * row become NULL and are counted with their reason (serve/row_errors.h): its text, a result that
 * is not finite, arguments and a model that come from the row. What every row would meet stays an
 * error of the statement: a model that is a constant and is not there, other arguments that are
 * constants. So do a cancel, a lack of memory, damaged weights, and everything that is not said
 * here.
 *
 * Nothing is rolled back, so no error is caught from code that may leave anything open: the
 * engine's errors are values, a model is looked for before it is taken, and only the reading of
 * arguments, all of them in memory by then, is caught.
 */
#ifndef GPT_CALL_TRY_H
#define GPT_CALL_TRY_H

#include "serve/call.h"
#include "serve/row_errors.h"

/*
 * Whether errors of the row give NULL. names: those of the function's arguments, NULL after the
 * last, where on_error may be among them; or NULL. Functions of a gpt_model_version are immutable,
 * so no setting decides about their results.
 */
extern bool gpt_try_nulls(FunctionCallInfo fcinfo, const char *const *names);

/* Reads a call as kind->read does; false also after an error that gives NULL. */
extern bool gpt_try_read(GptCall *call, const GptCallKind *kind, FunctionCallInfo fcinfo,
						 bool nulls);

/* As gpt_cache_acquire; NULL after an error that gives NULL. */
extern const GptServed *gpt_try_acquire(FunctionCallInfo fcinfo, const char *function,
										const char *model, GptServedKind kind, bool nulls);

/* Whether there is no error; with nulls false after one that gives NULL, else that is raised. */
extern bool gpt_try_error(const LmError *error, const char *function, const char *model,
						  bool nulls);

#endif /* GPT_CALL_TRY_H */

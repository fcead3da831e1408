/*
 * include/serve/row_errors.h
 *
 * Errors that gave NULL instead of ending the statement (gpt.on_error), with their reasons: of this
 * session, the last ones that differ.
 */
#ifndef GPT_ROW_ERRORS_H
#define GPT_ROW_ERRORS_H

#include "datatype/timestamp.h"

#define GPT_ROW_ERRORS 100 /* that are kept */

/* Why a call has no result; texts are palloc'd or constant. */
typedef struct GptFailure
{
	int sqlstate;
	const char *message;
	const char *detail; /* NULL: none */
	const char *hint; /* NULL: none */
} GptFailure;

/* A reason that is kept. */
typedef struct GptRowError
{
	TimestampTz last_at;
	int64 count;
	char *function;
	char *model;
	GptFailure failure;
} GptRowError;

/* Called by _PG_init: asks for shared memory where the library is preloaded. */
extern void gpt_row_errors_init(void);

/*
 * Counts an error. An equal one of the same function and model is the same reason; where there is
 * no room, the reason that was met longest ago goes.
 */
extern void gpt_row_errors_add(const char *function, const char *model, const GptFailure *failure);

/*
 * Moves the reasons that this session's workers have left to its own; those for which the shared
 * memory had no room are lost.
 */
extern void gpt_row_errors_collect(void);

/* The reasons, in no order, until the next call of a function of this file. */
extern const GptRowError *gpt_row_errors(int *n);
extern void gpt_row_errors_forget(void);

#endif /* GPT_ROW_ERRORS_H */

/*
 * include/core/statement.h
 *
 * SQL on the extension's own tables: as the extension's owner, with parameters as parameters, under
 * a snapshot that sees what has been committed until now.
 *
 *   gpt_statement_begin(&s); gpt_statement_add_text(&s, name);
 *   n = gpt_statement_run(&s, "SELECT ... FROM %s.gpt_model WHERE model = $1"); ...
 *   gpt_statement_end(&s);
 *
 * An error in between is undone by the end of the (sub)transaction.
 */
#ifndef GPT_STATEMENT_H
#define GPT_STATEMENT_H

#include "core/extension.h"

#define GPT_STATEMENT_ARGUMENTS 24

/* One use of SPI: identity to return to, and parameters of the next run. On the caller's stack. */
typedef struct GptStatement
{
	GptIdentity identity;
	MemoryContext caller; /* where results go */
	int n;
	Oid types[GPT_STATEMENT_ARGUMENTS];
	Datum values[GPT_STATEMENT_ARGUMENTS];
	char nulls[GPT_STATEMENT_ARGUMENTS];
} GptStatement;

/*
 * _begin connects to SPI as the extension's owner; _end disconnects. Errors in between need no
 * _end.
 */
extern void gpt_statement_begin(GptStatement *statement);
extern void gpt_statement_end(GptStatement *statement);

/* Append the parameters $1, $2 ... of the next run, at most GPT_STATEMENT_ARGUMENTS. */
extern void gpt_statement_add(GptStatement *statement, Oid type, Datum value);
extern void gpt_statement_add_text(GptStatement *statement, const char *value);
extern void gpt_statement_add_hash(GptStatement *statement, const uint8 *sha256);
extern void gpt_statement_add_real(GptStatement *statement, double value); /* NaN is a null */

/*
 * _run executes a SELECT, in whose text %s or %1$s stands for the extension's schema, and returns
 * the number of rows. Each call forgets the parameters afterwards.
 *
 * _change executes an INSERT, UPDATE or DELETE and raises an error unless it changes n_expected
 * rows: another transaction may have changed them in the meantime. _change_any accepts any number
 * and returns it.
 */
extern uint64 gpt_statement_run(GptStatement *statement, const char *format);
extern void gpt_statement_change(GptStatement *statement, uint64 n_expected, const char *format);
extern uint64 gpt_statement_change_any(GptStatement *statement, const char *format);

/*
 * Values of a row of the last run; rows count from 0, columns from 1. Texts and hashes are copied
 * into the caller's context; a null text is NULL. A Datum by reference lives until _end.
 */
extern Datum gpt_statement_value(const GptStatement *statement, uint64 row, int column,
								 bool *is_null);
extern char *gpt_statement_text(const GptStatement *statement, uint64 row, int column);
extern void gpt_statement_hash(uint8 *sha256, const GptStatement *statement, uint64 row,
							   int column);

#endif /* GPT_STATEMENT_H */

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

#define GPT_STATEMENT_ARGUMENTS 20

typedef struct GptStatement
{
	GptIdentity identity;
	MemoryContext caller; /* where results go */
	int n;
	Oid types[GPT_STATEMENT_ARGUMENTS];
	Datum values[GPT_STATEMENT_ARGUMENTS];
	char nulls[GPT_STATEMENT_ARGUMENTS];
} GptStatement;

extern void gpt_statement_begin(GptStatement *statement);
extern void gpt_statement_end(GptStatement *statement);

/* Parameters $1, $2 ... of the next run. */
extern void gpt_statement_add(GptStatement *statement, Oid type, Datum value);
extern void gpt_statement_add_text(GptStatement *statement, const char *value);
extern void gpt_statement_add_hash(GptStatement *statement, const uint8 *sha256);
extern void gpt_statement_add_real(GptStatement *statement, double value); /* NaN is a null */

/*
 * Runs a SELECT in whose text %s or %1$s is the extension's schema, then forgets the parameters;
 * returns the number of rows.
 *
 * An INSERT, UPDATE or DELETE says how many rows it is to change: _change raises an error where it
 * changes more or fewer, so that what another transaction has done meanwhile never passes for done.
 * _change_any returns how many there were.
 */
extern uint64 gpt_statement_run(GptStatement *statement, const char *format);
extern void gpt_statement_change(GptStatement *statement, uint64 n_expected, const char *format);
extern uint64 gpt_statement_change_any(GptStatement *statement, const char *format);

/*
 * Values of a row of the last run, columns from 1; texts and hashes are copied to the caller's
 * context.
 */
extern Datum gpt_statement_value(const GptStatement *statement, uint64 row, int column,
								 bool *is_null);
extern char *gpt_statement_text(const GptStatement *statement, uint64 row, int column);
extern void gpt_statement_hash(uint8 *sha256, const GptStatement *statement, uint64 row,
							   int column);

#endif /* GPT_STATEMENT_H */

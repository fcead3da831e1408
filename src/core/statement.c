/*
 * src/core/statement.c
 *
 * Runs SQL on the extension's own tables as the extension's owner.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/statement.h"

void
gpt_statement_begin(GptStatement *statement)
{
	statement->n = 0;
	statement->caller = CurrentMemoryContext;
	gpt_extension_enter(&statement->identity);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
gpt_statement_end(GptStatement *statement)
{
	SPI_finish();
	gpt_extension_leave(&statement->identity);
}

void
gpt_statement_add(GptStatement *statement, Oid type, Datum value)
{
	if (statement->n == GPT_STATEMENT_ARGUMENTS)
		elog(ERROR, "too many parameters");
	statement->types[statement->n] = type;
	statement->values[statement->n] = value;
	statement->nulls[statement->n] = ' ';
	statement->n++;
}

void
gpt_statement_add_text(GptStatement *statement, const char *value)
{
	gpt_statement_add(statement, TEXTOID, CStringGetTextDatum(value));
}

void
gpt_statement_add_hash(GptStatement *statement, const uint8 *sha256)
{
	bytea *value = palloc(VARHDRSZ + GPT_SHA256_SIZE);

	SET_VARSIZE(value, VARHDRSZ + GPT_SHA256_SIZE);
	memcpy(VARDATA(value), sha256, GPT_SHA256_SIZE);
	gpt_statement_add(statement, BYTEAOID, PointerGetDatum(value));
}

void
gpt_statement_add_real(GptStatement *statement, double value)
{
	gpt_statement_add(statement, FLOAT8OID, Float8GetDatum(value));
	if (isnan(value))
		statement->nulls[statement->n - 1] = 'n';
}

/* Plans and runs one statement under the latest snapshot; returns the number of its rows. */
static uint64
execute(GptStatement *statement, const char *format, bool changes)
{
	char *command = psprintf(format, gpt_extension_schema());
	SPIPlanPtr plan = SPI_prepare(command, statement->n, statement->types);
	Snapshot snapshot = IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot();
	int result;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	result = SPI_execute_snapshot(plan, statement->values, statement->nulls, snapshot,
								  InvalidSnapshot, false, true, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(result));
	if (changes != (result != SPI_OK_SELECT))
		elog(ERROR, "statement runs as one of another kind: %s", SPI_result_code_string(result));
	statement->n = 0;
	return SPI_processed;
}

uint64
gpt_statement_run(GptStatement *statement, const char *format)
{
	return execute(statement, format, false);
}

uint64
gpt_statement_change_any(GptStatement *statement, const char *format)
{
	return execute(statement, format, true);
}

void
gpt_statement_change(GptStatement *statement, uint64 n_expected, const char *format)
{
	uint64 n = execute(statement, format, true);

	if (n != n_expected)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not change the catalog of gpt due to a concurrent change"),
						errdetail("Of " UINT64_FORMAT " rows " UINT64_FORMAT " were changed.",
								  n_expected, n)));
}

Datum
gpt_statement_value(const GptStatement *statement, uint64 row, int column, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null);
}

char *
gpt_statement_text(const GptStatement *statement, uint64 row, int column)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(statement->caller, value);
}

void
gpt_statement_hash(uint8 *sha256, const GptStatement *statement, uint64 row, int column)
{
	bool is_null;
	Datum value = gpt_statement_value(statement, row, column, &is_null);
	bytea *bytes = is_null ? NULL : DatumGetByteaPP(value);

	if (bytes == NULL || VARSIZE_ANY_EXHDR(bytes) != GPT_SHA256_SIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a hash in the catalog of gpt is not valid")));
	memcpy(sha256, VARDATA_ANY(bytes), GPT_SHA256_SIZE);
}

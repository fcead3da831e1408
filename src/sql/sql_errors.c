/*
 * src/sql/sql_errors.c
 *
 * gpt_errors: the errors of rows that gave NULL in this session.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "serve/row_errors.h"
#include "sql/arguments.h"

PG_FUNCTION_INFO_V1(gpt_errors);

/* The columns of a row, in their order. */
typedef enum Column
{
	COLUMN_LAST_AT,
	COLUMN_COUNT,
	COLUMN_FUNCTION,
	COLUMN_MODEL,
	COLUMN_SQLSTATE,
	COLUMN_MESSAGE,
	COLUMN_DETAIL,
	COLUMN_HINT,
	N_COLUMNS,
} Column;

static void put_row(ReturnSetInfo *set, const GptRowError *error);
static void put_text(Datum *value, bool *is_null, const char *text);

/*
 * gpt_errors(reset boolean DEFAULT false) RETURNS SETOF (last_at timestamptz, count bigint,
 *     function text, model text, sqlstate text, message text, detail text, hint text)
 *
 * With reset they are forgotten after they are read.
 */
Datum
gpt_errors(PG_FUNCTION_ARGS)
{
	const GptRowError *errors;
	int n;

	gpt_argument_check_call(fcinfo);
	InitMaterializedSRF(fcinfo, 0);

	/* Now do the work. */
	gpt_row_errors_collect();
	errors = gpt_row_errors(&n);
	for (int i = 0; i < n; i++)
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &errors[i]);
	if (gpt_argument_boolean(fcinfo, 0, false))
		gpt_row_errors_forget();
	return (Datum) 0;
}

static void
put_row(ReturnSetInfo *set, const GptRowError *error)
{
	Datum values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS] = {false};

	values[COLUMN_LAST_AT] = TimestampTzGetDatum(error->last_at);
	values[COLUMN_COUNT] = Int64GetDatum(error->count);
	put_text(&values[COLUMN_FUNCTION], &nulls[COLUMN_FUNCTION], error->function);
	put_text(&values[COLUMN_MODEL], &nulls[COLUMN_MODEL], error->model);
	put_text(&values[COLUMN_SQLSTATE], &nulls[COLUMN_SQLSTATE],
			 unpack_sql_state(error->failure.sqlstate));
	put_text(&values[COLUMN_MESSAGE], &nulls[COLUMN_MESSAGE], error->failure.message);
	put_text(&values[COLUMN_DETAIL], &nulls[COLUMN_DETAIL], error->failure.detail);
	put_text(&values[COLUMN_HINT], &nulls[COLUMN_HINT], error->failure.hint);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

static void
put_text(Datum *value, bool *is_null, const char *text)
{
	*is_null = text == NULL;
	if (text != NULL)
		*value = CStringGetTextDatum(text);
}

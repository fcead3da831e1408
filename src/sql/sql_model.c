/*
 * src/sql/sql_model.c
 *
 * gpt_drop_model, gpt_drop_version, gpt_rollback, gpt_rename_model, gpt_copy_model, gpt_grant,
 * gpt_revoke: what owners do with models.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "sql/arguments.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(gpt_drop_model);
PG_FUNCTION_INFO_V1(gpt_drop_version);
PG_FUNCTION_INFO_V1(gpt_rollback);
PG_FUNCTION_INFO_V1(gpt_rename_model);
PG_FUNCTION_INFO_V1(gpt_copy_model);
PG_FUNCTION_INFO_V1(gpt_grant);
PG_FUNCTION_INFO_V1(gpt_revoke);

/*
 * gpt_drop_model(model text) RETURNS void
 * gpt_drop_model(model text, cascade boolean) RETURNS void
 *
 * NULL in cascade is false.
 */
Datum
gpt_drop_model(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	PreventCommandIfReadOnly("gpt_drop_model()");
	gpt_catalog_refuse_version(gpt_argument_text(fcinfo, 0), "gpt_drop_version");
	gpt_catalog_drop_model(gpt_argument_text(fcinfo, 0),
						   PG_NARGS() > 1 && !PG_ARGISNULL(1) && PG_GETARG_BOOL(1));
	PG_RETURN_VOID();
}

/*
 * gpt_drop_version(model text, version integer) RETURNS void
 * gpt_drop_version(model text) RETURNS void
 *
 * The second form takes name@version.
 */
Datum
gpt_drop_version(PG_FUNCTION_ARGS)
{
	char *model;
	int32 version;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	model = gpt_argument_text(fcinfo, 0);
	if (PG_NARGS() > 1)
		gpt_argument_required(fcinfo, 1, "version");
	PreventCommandIfReadOnly("gpt_drop_version()");
	if (PG_NARGS() > 1)
	{
		gpt_catalog_refuse_version(model, "gpt_drop_version");
		version = gpt_argument_integer(fcinfo, 1, "version", 0, 1, INT_MAX);
	}
	else if ((version = gpt_catalog_split(&model, model)) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" names a model, not one of its versions", model),
						errhint("Name the version, as in gpt_drop_version(%s), or remove the model "
								"with gpt_drop_model.",
								quote_literal_cstr(psprintf("%s@3", model)))));
	gpt_catalog_drop_version(model, version);
	PG_RETURN_VOID();
}

/*
 * gpt_rollback(model text, version integer DEFAULT NULL) RETURNS integer
 *
 * NULL: the newest final version below the current one. Returns the number of the version that is
 * current now.
 */
Datum
gpt_rollback(PG_FUNCTION_ARGS)
{
	int32 version;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	version = PG_ARGISNULL(1) ? 0 : gpt_argument_integer(fcinfo, 1, "version", 0, 1, INT_MAX);
	PreventCommandIfReadOnly("gpt_rollback()");
	gpt_catalog_refuse_version(gpt_argument_text(fcinfo, 0), "gpt_rollback");
	PG_RETURN_INT32(gpt_catalog_rollback(gpt_argument_text(fcinfo, 0), version));
}

/*
 * gpt_rename_model(model text, new_name text) RETURNS void
 */
Datum
gpt_rename_model(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "new_name");
	PreventCommandIfReadOnly("gpt_rename_model()");
	gpt_catalog_refuse_version(gpt_argument_text(fcinfo, 0), NULL);
	gpt_catalog_rename_model(gpt_argument_text(fcinfo, 0), gpt_argument_text(fcinfo, 1));
	PG_RETURN_VOID();
}

/*
 * gpt_copy_model(model text, new_name text) RETURNS void
 *
 * The model may be name@version.
 */
Datum
gpt_copy_model(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "new_name");
	PreventCommandIfReadOnly("gpt_copy_model()");
	gpt_catalog_copy_model(gpt_argument_text(fcinfo, 0), gpt_argument_text(fcinfo, 1));
	PG_RETURN_VOID();
}

/*
 * gpt_grant(model text, role text) RETURNS void
 *
 * The role as it is stored, without quotes.
 */
Datum
gpt_grant(PG_FUNCTION_ARGS)
{
	char *model;
	char *role;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "role");
	PreventCommandIfReadOnly("gpt_grant()");
	model = gpt_argument_text(fcinfo, 0);
	role = gpt_argument_text(fcinfo, 1);
	gpt_catalog_refuse_version(model, NULL);
	gpt_catalog_grant_model(model, role, true);
	ereport(NOTICE, (errmsg("role \"%s\" can make model \"%s\" repeat texts that it was trained on",
							role, model)));
	PG_RETURN_VOID();
}

/*
 * gpt_revoke(model text, role text) RETURNS void
 */
Datum
gpt_revoke(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "role");
	PreventCommandIfReadOnly("gpt_revoke()");
	gpt_catalog_refuse_version(gpt_argument_text(fcinfo, 0), NULL);
	gpt_catalog_grant_model(gpt_argument_text(fcinfo, 0), gpt_argument_text(fcinfo, 1), false);
	PG_RETURN_VOID();
}

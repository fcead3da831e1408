/*
 * src/sql/sql_manage.c
 *
 * gpt_version, the functions of the views, and the trigger that unlinks large objects before
 * the extension goes.
 */
#include "postgres.h"

#include "commands/event_trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/extension.h"
#include "core/settings.h"
#include "core/version.h"
#include "sql/arguments.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/run_files.h"
#include "store/weights.h"

PG_FUNCTION_INFO_V1(gpt_version);
PG_FUNCTION_INFO_V1(gpt_can_use);
PG_FUNCTION_INFO_V1(gpt_object_owner);
PG_FUNCTION_INFO_V1(gpt_drop_extension_trigger);

static bool drops_gpt(const DropStmt *statement);

/*
 * gpt_version() RETURNS text
 */
Datum
gpt_version(PG_FUNCTION_ARGS)
{
	const LmEngine *engine;
	const char *bf16;

	gpt_argument_check_call(fcinfo);
	engine = gpt_bridge_training_engine(gpt_threads);
	bf16 = lm_engine_bf16(engine);
	PG_RETURN_TEXT_P(
		cstring_to_text(psprintf("gpt %s, %s%s%s", GPT_VERSION, lm_engine_description(engine),
								 bf16 ? ", bfloat16 " : "", bf16 ? bf16 : "")));
}

/*
 * gpt_can_use(object oid, run_id uuid DEFAULT NULL) RETURNS boolean
 *
 * Whether the object exists and the current role has SELECT on it; with a run's id, whether it is
 * of that run.
 */
Datum
gpt_can_use(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	(void) gpt_extension_oid();
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	if (!gpt_blob_can_use(PG_GETARG_OID(0)))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(PG_ARGISNULL(1) ||
				   gpt_weights_belonging(PG_GETARG_OID(0), PG_GETARG_UUID_P(1)) !=
					   GPT_WEIGHTS_GONE);
}

/*
 * gpt_object_owner(object oid) RETURNS oid    STRICT
 */
Datum
gpt_object_owner(PG_FUNCTION_ARGS)
{
	Oid owner;

	gpt_argument_check_call(fcinfo);
	owner = gpt_blob_owner(PG_GETARG_OID(0));
	if (!OidIsValid(owner))
		PG_RETURN_NULL();
	PG_RETURN_OID(owner);
}

/*
 * gpt_drop_extension_trigger() RETURNS event_trigger    (ddl_command_start, DROP EXTENSION)
 *
 * Event triggers on sql_drop do not fire for the extension that they belong to; this one comes
 * before the command has been checked, so it acts only for who may drop. When the command fails,
 * the objects are there again.
 */
Datum
gpt_drop_extension_trigger(PG_FUNCTION_ARGS)
{
	const EventTriggerData *data =
		CALLED_AS_EVENT_TRIGGER(fcinfo) ? (EventTriggerData *) fcinfo->context : NULL;

	if (data == NULL || strcmp(data->event, "ddl_command_start") != 0)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("not called as an event trigger of ddl_command_start")));
	if (data->parsetree != NULL && IsA(data->parsetree, DropStmt) &&
		drops_gpt((DropStmt *) data->parsetree) &&
		gpt_extension_ownercheck(gpt_extension_oid(), GetUserId()))
	{
		gpt_catalog_drop_all();
		gpt_run_files_remove_all_at_commit();
	}
	PG_RETURN_NULL();
}

static bool
drops_gpt(const DropStmt *statement)
{
	ListCell *cell;

	if (statement->removeType != OBJECT_EXTENSION)
		return false;
	foreach (cell, statement->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "gpt") == 0)
			return true;
	}
	return false;
}

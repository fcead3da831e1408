/*
 * src/jobs/job_settings.c
 *
 * Settings of the submitting session go into a jsonb object, and out of it into the worker, whose
 * queries must see the rows that the session sees and read text as it does.
 *
 * The session's own settings are those that no configuration file gives: settings by the
 * connection, by SET in any form, or by ALTER ROLE and ALTER DATABASE. The last two are taken as
 * well because the worker may connect as another role than the session did, or later; and what they
 * say of the worker's role, the session's value replaces. A custom setting (app.tenant) is taken as
 * soon as the session knows it: where it does not, current_setting fails, or gives a null, which a
 * policy can tell from an empty string.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "core/compat.h"
#include "jobs/job_settings.h"

#define ROLE_SETTING "role"
#define OF_A_PLAIN_ROLE '=' /* before the name of a setting */

/* Always taken, so that the configuration file at the start of the worker does not matter. */
static const char *const always_taken[] = {
	"search_path",		  "TimeZone",	  "DateStyle",	  "IntervalStyle",
	"extra_float_digits", "bytea_output", "row_security",
};

/*
 * The limits of the submitter. A role that may not set them cannot raise them, and they bind
 * everyone.
 */
static const char *const limits[] = {
	"gpt.max_memory",
	"gpt.train_threads",
	"gpt.read_timeout",
	"gpt.max_corpus_size",
};

/*
 * Settings that a job never takes: time-outs, those of the client, those with which a transaction
 * begins, which the worker sets itself, and the one that would hide errors of its query's rows.
 */
static const char *const never_taken[] = {
	"client_encoding",
	"client_min_messages",
	"default_transaction_deferrable",
	"default_transaction_isolation",
	"default_transaction_read_only",
	"gpt.on_error",
	"idle_in_transaction_session_timeout",
	"idle_session_timeout",
	"lock_timeout",
	"session_replication_role",
	"statement_timeout",
};

static bool wants(const struct config_generic *setting, List *role_names);
static bool may_set(const struct config_generic *setting);
static void refuse(const struct config_generic *setting, List *own_names);
static List *names_of_role(Oid role);

/*
 * NULL for one that is not known: it is custom, and the library that defines it, if there is one,
 * may be loaded later.
 */
static const struct config_generic *
find_setting(const char *name)
{
	int n;
	struct config_generic **settings = gpt_guc_variables(&n);

	for (int i = 0; i < n; i++)
	{
		if (pg_strcasecmp(settings[i]->name, name) == 0)
			return settings[i];
	}
	return NULL;
}

static bool
is_among(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (pg_strcasecmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/*
 * Groups of settings that concern the server, the connection, the log or the statistics, but no row
 * that a query returns.
 */
static bool
is_of_server(enum config_group group)
{
	switch (group)
	{
		case RESOURCES_MEM:
		case RESOURCES_DISK:
		case QUERY_TUNING_METHOD:
		case QUERY_TUNING_COST:
		case QUERY_TUNING_GEQO:
		case QUERY_TUNING_OTHER:
		case STATS_CUMULATIVE:
		case CLIENT_CONN_STATEMENT:
		case CLIENT_CONN_LOCALE:
		case CLIENT_CONN_OTHER:
		case COMPAT_OPTIONS_PREVIOUS:
		case GPT_COMPAT_OPTIONS:
		case CUSTOM_OPTIONS:
		case DEVELOPER_OPTIONS:
			return false;
		default:
			return !gpt_is_asynchronous_group(group);
	}
}

/*
 * Whether a worker takes the setting where the job has it. The state of a transaction and of the
 * role is no setting to RESET.
 */
static bool
is_for_workers(const struct config_generic *setting)
{
	return (setting->context == PGC_USERSET || setting->context == PGC_SUSET) &&
		   (setting->flags & GUC_NO_RESET_ALL) == 0 && !is_of_server(setting->group) &&
		   !is_among(setting->name, never_taken, lengthof(never_taken));
}

/* Temporary schemas belong to a session; the worker has its own, which is empty. */
static char *
without_temporary_schema(const char *search_path)
{
	List *schemas;
	ListCell *cell;
	StringInfoData kept;

	initStringInfo(&kept);
	if (!SplitIdentifierString(pstrdup(search_path), ',', &schemas))
		return pstrdup(search_path);
	foreach (cell, schemas)
	{
		const char *schema = lfirst(cell);

		if (strcmp(schema, "pg_temp") != 0 && strncmp(schema, "pg_temp_", 8) != 0)
			appendStringInfo(&kept, "%s%s", kept.len > 0 ? ", " : "", quote_identifier(schema));
	}
	return kept.data;
}

/*
 * Keeps all digits of a number, unlike the server's own function; an unset string is empty, as in
 * SHOW.
 */
static const char *
value_of(const struct config_generic *setting)
{
	const char *value;

	if (setting->vartype == PGC_REAL)
		return psprintf("%.17g", *((const struct config_real *) setting)->variable);
	value = GetConfigOption(setting->name, false, false);
	if (value == NULL)
		return "";
	return strcmp(setting->name, "search_path") == 0 ? without_temporary_schema(value) : value;
}

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = pstrdup(string);
	value.val.string.len = strlen(string);
	pushJsonbValue(state, token, &value);
}

/*
 * A setting whose library is not loaded keeps the name of the role that set it: the library may be
 * loaded later, and let no plain role set it. Such a session can submit a job of a superuser by a
 * function of that superuser, so the worker must know the role as well.
 */
static bool
is_of_a_plain_role(const struct config_generic *setting)
{
	return superuser() && (setting->flags & GUC_CUSTOM_PLACEHOLDER) != 0 &&
		   (setting->scontext == PGC_USERSET || setting->scontext == PGC_BACKEND);
}

static void
push_setting(JsonbParseState **state, const char *name, const char *value)
{
	push_text(state, WJB_KEY, name);
	push_text(state, WJB_VALUE, value);
}

/* States of the session that no worker can have. */
static void
check_session(void)
{
	const char *replication_role = GetConfigOption("session_replication_role", false, false);
	const char *text_search = GetConfigOption("default_text_search_config", false, false);

	if (strcmp(replication_role, "origin") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cannot submit a job while session_replication_role is \"%s\"",
							   replication_role),
						errdetail("The worker of the job writes with the triggers of an origin."),
						errhint("RESET session_replication_role.")));
	if (text_search != NULL && strncmp(text_search, "pg_temp", 7) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("setting \"default_text_search_config\" of the session cannot be carried to "
					"the worker of the job"),
			 errdetail("The text search configuration \"%s\" is a temporary object of the session.",
					   text_search)));
}

Jsonb *
gpt_job_settings_capture(void)
{
	int n;
	struct config_generic **settings = gpt_guc_variables(&n);
	List *own_names = names_of_role(GetUserId());
	List *role_names = list_concat_copy(own_names, names_of_role(InvalidOid));
	JsonbParseState *state = NULL;

	check_session();
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		if (!wants(settings[i], role_names))
			continue;
		if (is_of_a_plain_role(settings[i]))
			push_setting(&state, psprintf("%c%s", OF_A_PLAIN_ROLE, settings[i]->name),
						 value_of(settings[i]));
		else if (may_set(settings[i]))
			push_setting(&state, settings[i]->name, value_of(settings[i]));
		else
			refuse(settings[i], own_names);
	}
	/*
	 * If SET ROLE made the job's role the current one, the worker does the same, since it connects
	 * as that role.
	 */
	if (GetCurrentRoleId() == GetUserId())
		push_setting(&state, ROLE_SETTING, GetUserNameFromId(GetUserId(), false));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* ---- What is taken ------------------------------------------------------ */

static bool
is_named(const char *name, List *names)
{
	ListCell *cell;

	foreach (cell, names)
	{
		if (pg_strcasecmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

static bool
wants(const struct config_generic *setting, List *role_names)
{
	if (is_among(setting->name, always_taken, lengthof(always_taken)) ||
		is_among(setting->name, limits, lengthof(limits)))
		return true;
	if (!is_for_workers(setting))
		return false;
	return setting->source >= PGC_S_GLOBAL || (setting->flags & GUC_CUSTOM_PLACEHOLDER) != 0 ||
		   is_named(setting->name, role_names);
}

/* Whether the worker may set the value as the current role. */
static bool
may_set(const struct config_generic *setting)
{
	return setting->context == PGC_USERSET || is_among(setting->name, limits, lengthof(limits)) ||
		   pg_parameter_aclcheck(setting->name, GetUserId(), ACL_SET) == ACLCHECK_OK;
}

/*
 * The worker has by itself the settings of the configuration, and those that ALTER gives every role
 * or the session's role.
 */
static bool
is_there_anyway(const struct config_generic *setting, List *own_names)
{
	bool connected_as_it = GetUserId() == GetAuthenticatedUserId();

	if (setting->source <= PGC_S_DATABASE)
		return connected_as_it || !is_named(setting->name, own_names);
	return setting->source <= PGC_S_DATABASE_USER && connected_as_it;
}

/* Settings of resources change no row, nor do the language of messages and our own. */
static void
refuse(const struct config_generic *setting, List *own_names)
{
	bool is_harmless =
		setting->group == RESOURCES_MEM || setting->group == RESOURCES_DISK ||
		gpt_is_asynchronous_group(setting->group) || setting->group == STATS_CUMULATIVE ||
		strcmp(setting->name, "lc_messages") == 0 || strncmp(setting->name, "gpt.", 4) == 0;

	if (is_harmless || is_there_anyway(setting, own_names))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("setting \"%s\" of the session cannot be carried to the worker of the job",
					setting->name),
			 errdetail("The worker connects as role \"%s\", which is not permitted to set it.",
					   GetUserNameFromId(GetUserId(), false)),
			 errhint("RESET it, or let a superuser GRANT SET ON PARAMETER %s to the role.",
					 setting->name)));
}

/* ---- What the worker's role has ----------------------------------------- */

/* One entry of setconfig: "name=value". */
static List *
add_name(List *names, char *entry)
{
	char *name;
	char *value;

	ParseLongOption(entry, &name, &value);
	if (find_setting(name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("setting \"%s\" would be set in the worker of the job, and is not "
						"set in the session",
						name),
				 errdetail("ALTER ROLE or ALTER DATABASE gives it to role \"%s\", as which "
						   "the worker connects.",
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("SET it to the value for the job, or start a new session as that role.")));
	return lappend(names, name);
}

/* Adds the settings that ALTER DATABASE and ALTER ROLE have set for this pair of oids. */
static List *
add_names(List *names, Relation relation, Oid database, Oid role)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true, NULL, lengthof(keys),
							  keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum entries = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
									 RelationGetDescr(relation), &isnull);
		Datum *values;
		int n;

		if (isnull)
			continue;
		deconstruct_array(DatumGetArrayTypeP(entries), TEXTOID, -1, false, TYPALIGN_INT, &values,
						  NULL, &n);
		for (int i = 0; i < n; i++)
			names = add_name(names, TextDatumGetCString(values[i]));
	}
	systable_endscan(scan);
	return names;
}

/*
 * Settings that a connection to this database begins with because of the role; InvalidOid: whatever
 * the role.
 */
static List *
names_of_role(Oid role)
{
	Relation relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	List *names = add_names(NIL, relation, MyDatabaseId, role);

	names = add_names(names, relation, InvalidOid, role);
	table_close(relation, AccessShareLock);
	return names;
}

/* ---- Into the worker ---------------------------------------------------- */

/* action: SET for the rest of the process, or SET LOCAL. */
static void
set_option(const char *name, const char *value, GucContext context, GucAction action)
{
	(void) set_config_option(name, value, context, PGC_S_SESSION, action, true, 0, false);
}

/*
 * The library asks, when it is loaded, whether the role that is the current one here may set it;
 * any role that has nothing will do.
 */
static void
apply_of_a_plain_role(const char *name, const char *value, GucAction action)
{
	const struct config_generic *setting = find_setting(name);
	Oid user;
	int context;

	if (setting != NULL && setting->context != PGC_USERSET)
		return;
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(ROLE_PG_SIGNAL_BACKEND, context | SECURITY_LOCAL_USERID_CHANGE);
	set_option(name, value, PGC_USERSET, action);
	SetUserIdAndSecContext(user, context);
}

/*
 * Ignores settings that do not belong there, which an older version of the library or a dump put
 * among them.
 */
static void
apply(const char *name, const char *value, GucAction action)
{
	const struct config_generic *setting = find_setting(name);
	bool is_limit = is_among(name, limits, lengthof(limits));

	if (name[0] == OF_A_PLAIN_ROLE)
		apply_of_a_plain_role(name + 1, value, action);
	else if (strcmp(name, ROLE_SETTING) == 0)
	{
		if (strcmp(value, GetUserNameFromId(GetUserId(), false)) == 0)
			set_option(name, value, PGC_USERSET, action);
	}
	else if (is_limit || setting == NULL || is_for_workers(setting))
		set_option(name, value, is_limit || superuser() ? PGC_SUSET : PGC_USERSET, action);
}

static void
apply_all(Jsonb *settings, GucAction action, bool with_limits)
{
	JsonbIterator *iterator = JsonbIteratorInit(&settings->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvString && name != NULL &&
				 (with_limits || !is_among(name, limits, lengthof(limits))))
			apply(name, pnstrdup(value.val.string.val, value.val.string.len), action);
	}
}

void
gpt_job_settings_apply(Jsonb *settings)
{
	/* Checking a search_path or a time zone reads catalogs and files. */
	StartTransactionCommand();
	apply_all(settings, GUC_ACTION_SET, true);
	CommitTransactionCommand();
}

void
gpt_job_settings_apply_local(Jsonb *settings)
{
	apply_all(settings, GUC_ACTION_LOCAL, true);
}

void
gpt_job_settings_apply_elsewhere(Jsonb *settings)
{
	apply_all(settings, GUC_ACTION_LOCAL, false);
}

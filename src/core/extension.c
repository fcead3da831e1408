/*
 * src/core/extension.c
 *
 * Finds the extension of this database: its oid, owner, schema and tables, for a library of the
 * same version. Whoever touches the extension's tables does so as its owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/extension.h"
#include "core/version.h"

typedef struct Extension
{
	Oid oid;
	Oid owner;
	Oid schema;
	char version[64];
} Extension;

static bool read_extension(Extension *extension);
static Extension find_extension(void);
static void raise_version(const char *installed);

const char *
gpt_extension_schema(void)
{
	char *name = get_namespace_name(find_extension().schema);

	if (name == NULL)
		elog(ERROR, "schema of extension gpt is missing");
	return quote_identifier(name);
}

Oid
gpt_extension_oid(void)
{
	return find_extension().oid;
}

void
gpt_extension_enter(GptIdentity *identity)
{
	Oid owner = find_extension().owner;

	GetUserIdAndSecContext(&identity->user, &identity->context);
	identity->guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(owner, identity->context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);

	/*
	 * Loading LLVM takes a hundred megabytes, which these small statements never repay. Where
	 * memory is short, loading it ends the process.
	 */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

void
gpt_extension_leave(const GptIdentity *identity)
{
	AtEOXact_GUC(false, identity->guc_level);
	SetUserIdAndSecContext(identity->user, identity->context);
}

Oid
gpt_extension_fitting_oid(void)
{
	Extension extension;

	return read_extension(&extension) && strcmp(extension.version, GPT_VERSION) == 0 ? extension.oid
																					 : InvalidOid;
}

Oid
gpt_extension_fitting_schema(void)
{
	Extension extension;

	return read_extension(&extension) && strcmp(extension.version, GPT_VERSION) == 0
			   ? extension.schema
			   : InvalidOid;
}

/* False where it does not exist. */
static bool
read_extension(Extension *extension)
{
	Relation relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("gpt"));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (tuple != NULL)
	{
		Form_pg_extension row = (Form_pg_extension) GETSTRUCT(tuple);
		bool is_null;
		Datum version =
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &is_null);

		extension->oid = row->oid;
		extension->owner = row->extowner;
		extension->schema = row->extnamespace;
		text_to_cstring_buffer(DatumGetTextPP(version), extension->version,
							   sizeof(extension->version));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return tuple != NULL;
}

/*
 * Whatever reads or writes the extension's tables comes through here, so this is where library and
 * tables are compared.
 */
static Extension
find_extension(void)
{
	Extension extension;

	if (!read_extension(&extension))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"gpt\" does not exist in this database"),
						errhint("Create it with CREATE EXTENSION gpt.")));
	if (strcmp(extension.version, GPT_VERSION) != 0)
		raise_version(extension.version);
	return extension;
}

/* The hint depends on which side is older: the SQL objects or the loaded library. */
static void
raise_version(const char *installed)
{
	bool is_older = strverscmp(installed, GPT_VERSION) < 0;

	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("extension \"gpt\" is at version %s, but the library needs %s", installed,
				GPT_VERSION),
		 is_older
			 ? errhint("Call ALTER EXTENSION gpt UPDATE.")
			 : errhint(
				   "Start a new session, and where the server preloads gpt, restart the server.")));
}

Oid
gpt_extension_table(const char *name)
{
	Oid table = get_relname_relid(name, find_extension().schema);

	if (!OidIsValid(table))
		elog(ERROR, "table %s of extension gpt is missing", name);
	return table;
}

Oid
gpt_extension_type(const char *name)
{
	Oid type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
							   ObjectIdGetDatum(find_extension().schema));

	if (!OidIsValid(type))
		elog(ERROR, "type %s of extension gpt is missing", name);
	return type;
}

bool
gpt_extension_is_table(Oid table, const char *name)
{
	Extension extension;

	return read_extension(&extension) && get_relname_relid(name, extension.schema) == table;
}

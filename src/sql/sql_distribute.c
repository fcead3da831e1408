/*
 * src/sql/sql_distribute.c
 *
 * gpt_distribute: versions of models go to other servers; gpt_distribute_put and
 * gpt_distribute_take, which it calls there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "remote/distribute.h"
#include "sql/arguments.h"

PG_FUNCTION_INFO_V1(gpt_distribute);
PG_FUNCTION_INFO_V1(gpt_distribute_put);
PG_FUNCTION_INFO_V1(gpt_distribute_take);

#define MOST_SERVERS 1000
#define COLUMNS 3

static char **read_servers(int *n, ArrayType *array);
static void check_owner(const GptVersion *version);
static void send_one(ReturnSetInfo *result, GptRemote *remote, const GptVersion *version);

/*
 * gpt_distribute(model text, servers text[], OUT server text, OUT version text, OUT bytes bigint)
 * RETURNS SETOF record
 *
 * The model may be name@version. One row for each server and version: an adapter's base goes first.
 */
Datum
gpt_distribute(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GptVersion *version;
	GptVersion *base = NULL;
	char **servers;
	int n;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "servers");
	gpt_bridge_check_encoding();
	servers = read_servers(&n, PG_GETARG_ARRAYTYPE_P(1));
	version = gpt_catalog_version(gpt_argument_text(fcinfo, 0), false);
	gpt_catalog_check_use(version);
	check_owner(version);
	if (version->base != NULL)
	{
		base = gpt_catalog_base(version);
		gpt_catalog_check_use(base);
	}
	InitMaterializedSRF(fcinfo, 0);

	/* Now do the work. */
	for (int i = 0; i < n; i++)
	{
		GptRemote *remote = gpt_remote_connect(servers[i]);

		if (base != NULL)
			send_one(result, remote, base);
		send_one(result, remote, version);
		gpt_remote_close(remote);
	}
	return (Datum) 0;
}

static char **
read_servers(int *n, ArrayType *array)
{
	Datum *elements;
	char **servers;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("servers must be a list of names, without null")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, n);
	if (*n > MOST_SERVERS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("servers has %d names, the limit is %d", *n, MOST_SERVERS)));
	servers = palloc(*n * sizeof(char *));
	for (int i = 0; i < *n; i++)
		servers[i] = TextDatumGetCString(elements[i]);
	return servers;
}

/* Who only uses a model does not place copies of it, which its owner could not take back. */
static void
check_owner(const GptVersion *version)
{
	if (!has_privs_of_role(GetUserId(), gpt_blob_owner(version->weights)))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", version->model),
						errhint("A copy of gpt_copy_model belongs to its maker.")));
}

static void
send_one(ReturnSetInfo *result, GptRemote *remote, const GptVersion *version)
{
	int64 bytes = gpt_distribute_send(remote, version);
	const char *reference = psprintf("%s@%d", version->model, version->version);
	Datum values[COLUMNS] = {CStringGetTextDatum(gpt_remote_name(remote)),
							 CStringGetTextDatum(reference), Int64GetDatum(bytes)};
	bool nulls[COLUMNS] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * gpt_distribute_put("offset" bigint, bytes bytea) RETURNS void
 *
 * The next bytes of a version; 0 begins.
 */
Datum
gpt_distribute_put(PG_FUNCTION_ARGS)
{
	bytea *bytes;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "offset");
	gpt_argument_required(fcinfo, 1, "bytes");
	PreventCommandIfReadOnly("gpt_distribute_put()");
	bytes = PG_GETARG_BYTEA_PP(1);
	gpt_distribute_put_bytes(PG_GETARG_INT64(0), VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	PG_RETURN_VOID();
}

/*
 * gpt_distribute_take(facts jsonb) RETURNS integer
 *
 * The number of the version; NULL: its bytes are missing.
 */
Datum
gpt_distribute_take(PG_FUNCTION_ARGS)
{
	int32 version;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "facts");
	PreventCommandIfReadOnly("gpt_distribute_take()");
	gpt_bridge_check_encoding();
	version = gpt_distribute_take_version(JsonbPGetDatum(PG_GETARG_JSONB_P(0)));
	if (version == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(version);
}

/*
 * src/sql/sql_member.c
 *
 * The functions that the coordinator of a training over servers calls in a session of a member, and
 * nobody else: gpt_member_begin, _counts, _put, _take, _run, _delta, _mesh, _end.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_writer.h"
#include "core/machine.h"
#include "core/server_state.h"
#include "core/settings.h"
#include "core/version.h"
#include "corpus/survey.h"
#include "jobs/job_lock.h"
#include "jobs/job_settings.h"
#include "sql/arguments.h"
#include "store/catalog.h"
#include "store/kept_files.h"
#include "train/gradient_mesh.h"
#include "train/membership.h"

#define MOST_STEPS 10000 /* of a call */

PG_FUNCTION_INFO_V1(gpt_member_begin);
PG_FUNCTION_INFO_V1(gpt_member_counts);
PG_FUNCTION_INFO_V1(gpt_member_put);
PG_FUNCTION_INFO_V1(gpt_member_take);
PG_FUNCTION_INFO_V1(gpt_member_run);
PG_FUNCTION_INFO_V1(gpt_member_delta);
PG_FUNCTION_INFO_V1(gpt_member_mesh);
PG_FUNCTION_INFO_V1(gpt_member_end);

static int slot = -1; /* of gpt.max_workers that this session holds */

/* Set while a query, which may call any function, reads rows: by which gpt_member_begin. */
static const MemoryContextCallback *reading = NULL;

static void check_not_reading(void);
static void read_spec(GptMemberSpec *spec, Jsonb *json);
static void describe(GptJsonWriter *answer);
static void read_rows(Jsonb *json, GptJsonWriter *answer);
static JsonbValue *find(Jsonb *json, const char *name);
static char *text_of(Jsonb *json, const char *name, bool required);
pg_noreturn static void raise_member(const char *name, const char *wanted);

/* The query of gpt_member_begin does not call these functions: they would take its spool away. */
static void
check_not_reading(void)
{
	if (reading != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("this session reads the rows of a training"),
						errdetail("The query of gpt_member_begin calls a function that only the "
								  "coordinator of a training calls.")));
}

/*
 * gpt_member_begin(spec jsonb) RETURNS jsonb
 *
 * Makes this session a member. NULL spec is an error.
 */
Datum
gpt_member_begin(PG_FUNCTION_ARGS)
{
	GptJsonWriter answer = {NULL};
	const char *coordinator;
	GptMemberSpec spec;
	Jsonb *json;

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	gpt_argument_required(fcinfo, 0, "spec");
	gpt_bridge_check_encoding();
	json = PG_GETARG_JSONB_P(0);
	read_spec(&spec, json);
	gpt_membership_check_base(&spec);
	coordinator = text_of(json, "coordinator", false);

	/* The coordinator refuses its own database, whose only slot it may have itself. */
	if (coordinator != NULL && strcmp(coordinator, gpt_server_place()) == 0)
	{
		describe(&answer);
		PG_RETURN_JSONB_P(gpt_json_finish(&answer));
	}

	/* Now do the work. */
	if (!gpt_membership_exists())
	{
		gpt_slot_unlock(slot);
		slot = gpt_slot_lock();
		if (slot < 0)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
							errmsg("this server has no free slot for a member of a training"),
							errdetail("gpt.max_workers is %d.", gpt_max_workers),
							errhint("Wait until a training ends, or raise gpt.max_workers.")));
	}
	gpt_membership_open(&spec);
	describe(&answer);
	if (spec.is_local)
		read_rows(json, &answer);
	PG_RETURN_JSONB_P(gpt_json_finish(&answer));
}

/* ---- Rows of its own -------------------------------------------------------- */

/* An object of the spec; "{}" where it is missing. */
static Jsonb *
object_of(Jsonb *json, const char *name)
{
	JsonbValue *value = find(json, name);

	if (value == NULL)
		return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		raise_member(name, "an object");
	return JsonbValueToJsonb(value);
}

/* A session that could not read its rows is no member. */
static void
end_after_error(void *argument)
{
	if (reading != argument)
		return;
	reading = NULL;
	gpt_membership_close();
	gpt_slot_unlock(slot);
	slot = -1;
}

/* The table may be on the coordinator alone: who does not say otherwise has local rows. */
static void
hint_at_dealt(void *argument)
{
	if (geterrcode() == ERRCODE_UNDEFINED_TABLE)
		errhint("Each server of a training reads rows of its own. Make the table there, or give "
				"option \"data\" \"dealt\": then the rows are read where the job is, and the "
				"others get their tokens.");
}

/*
 * Reads them in the current transaction, which reads only meanwhile, with the settings of the job
 * and the limits of this server.
 */
static void
read_rows(Jsonb *json, GptJsonWriter *answer)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	ErrorContextCallback hint = {.previous = error_context_stack, .callback = hint_at_dealt};
	bool read_only = XactReadOnly;
	int guc_level;

	*callback = (MemoryContextCallback){.func = end_after_error, .arg = callback};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	reading = callback;
	guc_level = NewGUCNestLevel();
	gpt_job_settings_apply_elsewhere(object_of(json, "settings"));
	XactReadOnly = true;
	gpt_json_begin(answer, "counts");
	error_context_stack = &hint;
	gpt_membership_read(text_of(json, "query", true), object_of(json, "options"), answer);
	error_context_stack = hint.previous;
	gpt_json_end(answer);
	XactReadOnly = read_only;
	AtEOXact_GUC(false, guc_level);
	reading = NULL;
}

/*
 * gpt_member_counts() RETURNS SETOF bytea
 *
 * The survey of the rows, in pieces.
 */
Datum
gpt_member_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	size_t offset = 0;
	size_t n;

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

	/* Now do the work. */
	for (;;)
	{
		const char *bytes = gpt_membership_counts(&n, offset);
		bytea *piece;
		Datum value;
		bool null = false;

		if (n == 0)
			break;
		piece = palloc(VARHDRSZ + n);
		SET_VARSIZE(piece, VARHDRSZ + n);
		memcpy(VARDATA(piece), bytes, n);
		value = PointerGetDatum(piece);
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &null);
		pfree(piece);
		offset += n;
	}
	return (Datum) 0;
}

/* ---- What the coordinator says ---------------------------------------------- */

/* The value of a member of the object; NULL where it is missing or null. */
static JsonbValue *
find(Jsonb *json, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&json->root, name, (int) strlen(name), NULL);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

static void
raise_member(const char *name, const char *wanted)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("member \"%s\" must be %s", name, wanted)));
}

/* NULL where it is missing and may be. */
static char *
text_of(Jsonb *json, const char *name, bool required)
{
	JsonbValue *value = find(json, name);

	if (value == NULL && !required)
		return NULL;
	if (value == NULL || value->type != jbvString)
		raise_member(name, "a text");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static int64
integer_of(Jsonb *json, const char *name, int64 least, int64 most)
{
	JsonbValue *value = find(json, name);
	Datum number;

	if (value == NULL || value->type != jbvNumeric ||
		DatumGetBool(
			DirectFunctionCall2(numeric_lt, NumericGetDatum(value->val.numeric),
								DirectFunctionCall1(int8_numeric, Int64GetDatum(least)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(value->val.numeric),
										 DirectFunctionCall1(int8_numeric, Int64GetDatum(most)))))
		raise_member(name,
					 psprintf("an integer from " INT64_FORMAT " to " INT64_FORMAT, least, most));
	number = DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric));
	return DatumGetInt64(number);
}

/* False where it is missing. */
static bool
boolean_of(Jsonb *json, const char *name)
{
	JsonbValue *value = find(json, name);

	if (value != NULL && value->type != jbvBool)
		raise_member(name, "true or false");
	return value != NULL && value->val.boolean;
}

/* 32 bytes; false where they are missing. */
static bool
read_bytes(uint8 *bytes, Jsonb *json, const char *name)
{
	const char *hex = text_of(json, name, false);

	if (hex == NULL)
		return false;
	if (strlen(hex) != 2 * GPT_MEMBER_SECRET ||
		strspn(hex, "0123456789abcdef") != 2 * GPT_MEMBER_SECRET)
		raise_member(name, "64 hexadecimal digits");
	(void) hex_decode(hex, strlen(hex), (char *) bytes);
	return true;
}

static void
check_version(const char *version)
{
	if (version != NULL && strcmp(version, GPT_VERSION) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the coordinator has version %s of gpt, this server has %s", version,
							   GPT_VERSION),
						errhint("All servers of a training need the same version of gpt.")));
}

static void
read_spec(GptMemberSpec *spec, Jsonb *json)
{
	const char *data;

	MemSet(spec, 0, sizeof(GptMemberSpec));
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("spec must be a JSON object")));
	(void) integer_of(json, "protocol", GPT_MEMBER_PROTOCOL, GPT_MEMBER_PROTOCOL);
	check_version(text_of(json, "version", false));
	spec->run_id = *DatumGetUUIDP(
		DirectFunctionCall1(uuid_in, CStringGetDatum(text_of(json, "run_id", true))));
	spec->job = integer_of(json, "job", 1, PG_INT64_MAX);
	spec->model = text_of(json, "model", true);
	spec->base = text_of(json, "base", false);
	spec->members = (int) integer_of(json, "members", 2, GPT_MOST_MEMBERS);
	spec->member = (int) integer_of(json, "member", 1, spec->members - 1);
	data = text_of(json, "data", true);
	spec->is_local = strcmp(data, "local") == 0;
	if (!spec->is_local && strcmp(data, "dealt") != 0)
		raise_member("data", "\"local\" or \"dealt\"");
	spec->has_secret = read_bytes(spec->secret, json, "secret");
	spec->has_base_sha256 = read_bytes(spec->base_sha256, json, "base_sha256");
	spec->keeps = boolean_of(json, "keep");
}

/* What the coordinator learns of this server; the object stays open. */
static void
describe(GptJsonWriter *answer)
{
	gpt_json_begin(answer, NULL);
	gpt_json_put_integer(answer, "protocol", GPT_MEMBER_PROTOCOL);
	gpt_json_put_text(answer, "version", GPT_VERSION);
	gpt_json_put_text(answer, "machine", gpt_machine_cpu());
	gpt_json_put_text(answer, "place", gpt_server_place());
	gpt_json_put_integer(answer, "pid", MyProcPid);
}

/* ---- Parts ------------------------------------------------------------------ */

/*
 * gpt_member_put(part text, "offset" bigint, bytes bytea) RETURNS void
 *
 * A piece of a part. NULLs are errors.
 */
Datum
gpt_member_put(PG_FUNCTION_ARGS)
{
	GptMemberPart part;
	bytea *bytes;

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	gpt_argument_required(fcinfo, 0, "part");
	gpt_argument_required(fcinfo, 1, "offset");
	gpt_argument_required(fcinfo, 2, "bytes");
	part = (GptMemberPart) gpt_argument_word(fcinfo, 0, "part", gpt_member_part_name);
	bytes = PG_GETARG_BYTEA_PP(2);

	/* Now do the work. */
	gpt_membership_put(part, PG_GETARG_INT64(1), VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	PG_RETURN_VOID();
}

/* The options of gpt_member_take. */
static void
read_use(GptMemberUse *use, GptMemberPart part, Jsonb *options)
{
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	if (find(options, "members") != NULL)
	{
		use->members = (int) integer_of(options, "members", 2, GPT_MOST_MEMBERS);
		use->member = (int) integer_of(options, "member", 1, use->members - 1);
	}
	if (find(options, "agreement") != NULL)
		use->agreement = JsonbToCString(NULL, &object_of(options, "agreement")->root, 0);
	if (find(options, "also") != NULL)
		use->also = integer_of(options, "also", 0, PG_INT64_MAX / 2);
	if (part == GPT_PART_KEPT)
	{
		use->step = integer_of(options, "step", 0, PG_INT64_MAX / 2);
		use->crc = (uint32) integer_of(options, "crc", 0, PG_UINT32_MAX);
	}
}

/*
 * gpt_member_take(part text, sha256 bytea, options jsonb DEFAULT NULL) RETURNS jsonb
 *
 * Verifies and uses a part. options: {"member": k, "members": n}, where they change,
 * {"agreement": {...}} with a tokenizer, and {"also": step} that is kept too. NULL part or sha256
 * is an error; but part "kept" has no sha256, and needs {"step": n, "crc": n}.
 */
Datum
gpt_member_take(PG_FUNCTION_ARGS)
{
	GptMemberUse use = {.also = GPT_NO_STEP};
	const uint8 *sha256 = NULL;
	GptMemberPart part;

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	gpt_argument_required(fcinfo, 0, "part");
	part = (GptMemberPart) gpt_argument_word(fcinfo, 0, "part", gpt_member_part_name);
	if (part != GPT_PART_KEPT)
	{
		gpt_argument_required(fcinfo, 1, "sha256");
		if (VARSIZE_ANY_EXHDR(PG_GETARG_BYTEA_PP(1)) != GPT_SHA256_SIZE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("sha256 must have %d bytes, not %d", GPT_SHA256_SIZE,
								   (int) VARSIZE_ANY_EXHDR(PG_GETARG_BYTEA_PP(1)))));
		sha256 = (const uint8 *) VARDATA_ANY(PG_GETARG_BYTEA_PP(1));
	}
	else
		gpt_argument_required(fcinfo, 2, "options");
	if (!PG_ARGISNULL(2))
		read_use(&use, part, PG_GETARG_JSONB_P(2));

	/* Now do the work. */
	PG_RETURN_JSONB_P(gpt_membership_use(part, sha256, &use));
}

/* ---- Steps ------------------------------------------------------------------ */

static int64
argument_in_range(FunctionCallInfo fcinfo, int number, const char *name, int64 value, int64 least,
				  int64 most)
{
	gpt_argument_required(fcinfo, number, name);
	if (value < least || value > most)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s " INT64_FORMAT " is outside " INT64_FORMAT " .. " INT64_FORMAT,
							   name, value, least, most)));
	return value;
}

/* {"addresses": [...], "member": k, "gradient_type": "float32" | "bfloat16"} */
static void
read_mesh(GptMeshMembers *mesh, Jsonb *json)
{
	JsonbValue *array;
	const char **addresses;
	const char *type;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("mesh must be a JSON object")));
	array = find(json, "addresses");
	if (array == NULL || array->type != jbvBinary || !JsonContainerIsArray(array->val.binary.data))
		raise_member("addresses", "an array of texts");
	*mesh = (GptMeshMembers){.n = (int) JsonContainerSize(array->val.binary.data)};
	if (mesh->n < 2 || mesh->n > GPT_MOST_MEMBERS)
		raise_member("addresses", psprintf("an array of 2 to %d texts", GPT_MOST_MEMBERS));
	addresses = palloc(mesh->n * sizeof(char *));
	for (int i = 0; i < mesh->n; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array->val.binary.data, (uint32) i);

		if (value == NULL || value->type != jbvString)
			raise_member("addresses", "an array of texts");
		addresses[i] = pnstrdup(value->val.string.val, value->val.string.len);
	}
	mesh->addresses = addresses;
	mesh->member = (int) integer_of(json, "member", 0, mesh->n - 1);
	type = text_of(json, "gradient_type", false);
	mesh->bfloat16 = type != NULL && strcmp(type, "bfloat16") == 0;
	if (type != NULL && !mesh->bfloat16 && strcmp(type, "float32") != 0)
		raise_member("gradient_type", "\"float32\" or \"bfloat16\"");
}

/*
 * gpt_member_run(first_step bigint, steps bigint, epoch integer, mesh jsonb DEFAULT NULL, share
 * float8 DEFAULT NULL) RETURNS jsonb
 *
 * Makes steps. NULL mesh: alone, a round of DiLoCo; otherwise together with the other members of an
 * epoch. share: of a training with a time limit, how
 * much of it is done. Other NULLs are errors.
 */
Datum
gpt_member_run(PG_FUNCTION_ARGS)
{
	GptMeshMembers mesh;
	GptMemberRun run = {0};

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	run.first_step =
		argument_in_range(fcinfo, 0, "first_step", PG_GETARG_INT64(0), 0, PG_INT64_MAX / 2);
	run.steps = argument_in_range(fcinfo, 1, "steps", PG_GETARG_INT64(1), 1, MOST_STEPS);
	run.epoch = (int) argument_in_range(fcinfo, 2, "epoch", PG_GETARG_INT32(2), 0, PG_INT32_MAX);
	if (!PG_ARGISNULL(3))
	{
		read_mesh(&mesh, PG_GETARG_JSONB_P(3));
		mesh.epoch = (uint64) run.epoch;
		run.mesh = &mesh;
	}
	run.share = PG_ARGISNULL(4) ? -1 : gpt_argument_real(fcinfo, 4, "share", -1, 0, 1, false);

	/* Now do the work. */
	PG_RETURN_JSONB_P(gpt_membership_run(&run));
}

/*
 * gpt_member_delta("offset" bigint, length integer) RETURNS bytea
 *
 * A piece of the packed difference that the last run has made; shorter at its end. NULLs are
 * errors.
 */
Datum
gpt_member_delta(PG_FUNCTION_ARGS)
{
	const uint8 *from;
	bytea *piece;
	size_t n;
	int length;

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	gpt_argument_required(fcinfo, 0, "offset");
	length = (int) argument_in_range(fcinfo, 1, "length", PG_GETARG_INT32(1), 1, GPT_MEMBER_PIECE);

	/* Now do the work. */
	from = gpt_membership_delta(&n, PG_GETARG_INT64(0), length);
	piece = palloc(VARHDRSZ + n);
	SET_VARSIZE(piece, VARHDRSZ + n);
	memcpy(VARDATA(piece), from, n);
	PG_RETURN_BYTEA_P(piece);
}

/*
 * gpt_member_mesh(epoch integer) RETURNS bytea
 *
 * Opens the gradient channel of an epoch on gpt.gradient_address; returns its address, for the
 * member "addresses" of gpt_member_run's mesh. NULL is an error.
 */
Datum
gpt_member_mesh(PG_FUNCTION_ARGS)
{
	const char *address;
	bytea *result;

	gpt_argument_check_call(fcinfo);
	check_not_reading();
	(void) argument_in_range(fcinfo, 0, "epoch", PG_GETARG_INT32(0), 0, PG_INT32_MAX);

	/* Now do the work. */
	address = gpt_membership_mesh();
	result = palloc(VARHDRSZ + strlen(address));
	SET_VARSIZE(result, VARHDRSZ + strlen(address));
	memcpy(VARDATA(result), address, strlen(address));
	PG_RETURN_BYTEA_P(result);
}

/*
 * gpt_member_end() RETURNS void
 *
 * Ends the membership and frees all it has; where there is none, removes what the last one of this
 * session has kept for its return.
 */
Datum
gpt_member_end(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	check_not_reading();

	/* Now do the work. */
	if (!gpt_membership_exists())
		gpt_membership_forget();
	gpt_membership_close();
	gpt_slot_unlock(slot);
	slot = -1;
	PG_RETURN_VOID();
}

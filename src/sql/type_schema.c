/*
 * src/sql/type_schema.c
 *
 * A type goes in, a JSON Schema comes out.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "access/genam.h"

#include "sql/type_schema.h"

#define MAX_DEPTH 20 /* of types within each other */
#define MAX_FRACTION 15 /* digits after the point of a numeric */

/* A type whose schema is always the same. */
typedef struct Simple
{
	Oid type;
	const char *schema;
} Simple;

static const Simple simple[] = {
	{BOOLOID, "{\"type\":\"boolean\"}"},
	{INT2OID, "{\"type\":\"integer\",\"minimum\":-32768,\"maximum\":32767}"},
	{INT4OID, "{\"type\":\"integer\",\"minimum\":-2147483648,\"maximum\":2147483647}"},
	{INT8OID,
	 "{\"type\":\"integer\",\"minimum\":-9223372036854775808,\"maximum\":9223372036854775807}"},
	{FLOAT4OID, "{\"type\":\"number\"}"},
	{FLOAT8OID, "{\"type\":\"number\"}"},
	{DATEOID, "{\"type\":\"string\",\"format\":\"date\"}"},
	{TIMEOID, "{\"type\":\"string\",\"format\":\"time\"}"},
	{TIMESTAMPOID, "{\"type\":\"string\",\"format\":\"local-date-time\"}"},
	{TIMESTAMPTZOID, "{\"type\":\"string\",\"format\":\"date-time\"}"},
	{UUIDOID, "{\"type\":\"string\",\"format\":\"uuid\"}"},
	{TEXTOID, "{\"type\":\"string\"}"},
	{JSONOID, "{}"},
	{JSONBOID, "{}"},
};

static void add_type(StringInfo schema, Oid type, int32 modifier, int depth);
static void add_domain(StringInfo schema, Oid type, int32 modifier, int depth);
static void add_numeric(StringInfo schema, int32 modifier);
static void add_enum(StringInfo schema, Oid type);
static void add_composite(StringInfo schema, Oid type, int32 modifier, int depth);
static bool takes_null(Oid type);

Jsonb *
gpt_type_schema(Oid type, int32 modifier)
{
	StringInfoData schema;
	Jsonb *jsonb;

	initStringInfo(&schema);
	add_type(&schema, type, modifier, 0);
	jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(schema.data)));
	pfree(schema.data);
	return jsonb;
}

GptTypeBase
gpt_type_base(Oid type, int32 modifier)
{
	GptTypeBase base = {InvalidOid, modifier};

	base.type = getBaseTypeAndTypmod(type, &base.modifier);
	return base;
}

bool
gpt_type_is_json(Oid type)
{
	Oid base = getBaseType(type);

	return base == JSONOID || base == JSONBOID || OidIsValid(get_element_type(base)) ||
		   type_is_rowtype(base);
}

static void
add_type(StringInfo schema, Oid type, int32 modifier, int depth)
{
	Oid element;

	check_stack_depth();
	if (depth > MAX_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("types are within each other more than %d deep", MAX_DEPTH)));
	for (int i = 0; i < lengthof(simple); i++)
		if (simple[i].type == type)
		{
			appendStringInfoString(schema, simple[i].schema);
			return;
		}
	element = get_element_type(type);
	if (type == NUMERICOID)
		add_numeric(schema, modifier);
	else if (type == VARCHAROID || type == BPCHAROID)
	{
		appendStringInfoString(schema, "{\"type\":\"string\"");
		if (modifier >= (int32) VARHDRSZ)
			appendStringInfo(schema, ",\"maxLength\":%d", modifier - (int32) VARHDRSZ);
		appendStringInfoChar(schema, '}');
	}
	else if (get_typtype(type) == TYPTYPE_ENUM)
		add_enum(schema, type);
	else if (get_typtype(type) == TYPTYPE_DOMAIN)
		add_domain(schema, type, modifier, depth);
	else if (OidIsValid(element))
	{
		appendStringInfoString(schema, "{\"type\":\"array\",\"items\":");
		add_type(schema, element, modifier, depth + 1);
		appendStringInfoChar(schema, '}');
	}
	else if (type_is_rowtype(type) && type != RECORDOID)
		add_composite(schema, type, modifier, depth);
	else
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("values of type %s cannot be generated", format_type_be(type)),
				 errhint("Generate text, and cast it. Types with a form of their own are boolean, "
						 "integers, numeric, real, double precision, date, time, timestamp, "
						 "timestamptz, uuid, text, varchar, char, jsonb, enums, and domains, "
						 "arrays and composite types of these.")));
}

/* The base type, and what is decided of the checks of the domain and of those under it. */
static void
add_domain(StringInfo schema, Oid type, int32 modifier, int depth)
{
	GptTypeBase base = gpt_type_base(type, modifier);
	bool is_text = base.type == TEXTOID || base.type == VARCHAROID || base.type == BPCHAROID;
	bool is_number = base.type == INT2OID || base.type == INT4OID || base.type == INT8OID ||
					 base.type == NUMERICOID || base.type == FLOAT4OID || base.type == FLOAT8OID;

	/* allOf with what stands first beside it, so that one that is alone is good too */
	appendStringInfoString(schema, "{\"anyOf\":[");
	add_type(schema, base.type, base.modifier, depth + 1);
	appendStringInfoString(schema, "],\"allOf\":[");
	gpt_type_checks(schema, type, is_text, is_number);
	appendStringInfoString(schema, "]}");
}

/* numeric(p, s) has values up to (10^p - 1) * 10^-s. */
static void
add_numeric(StringInfo schema, int32 modifier)
{
	int precision;
	int scale;

	if (modifier < (int32) VARHDRSZ)
	{
		appendStringInfoString(schema, "{\"type\":\"number\"}");
		return;
	}
	/* As numeric.c reads it: eleven bits, with a sign. */
	precision = ((modifier - VARHDRSZ) >> 16) & 0xffff;
	scale = (((modifier - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
	appendStringInfoString(schema, "{\"type\":\"number\"");
	for (int sign = 0; sign < 2; sign++)
	{
		appendStringInfo(schema, ",\"%s\":%s", sign ? "minimum" : "maximum", sign ? "-" : "");
		if (scale >= precision)
			appendStringInfoString(schema, "0");
		for (int i = 0; i < precision - scale; i++)
			appendStringInfoChar(schema, i < precision ? '9' : '0');
		if (scale > 0)
			appendStringInfoChar(schema, '.');
		for (int i = 0; i < scale; i++)
			appendStringInfoChar(schema, i < scale - precision ? '0' : '9');
	}
	appendStringInfoString(schema, ",\"multipleOf\":");
	if (scale <= 0)
		appendStringInfoChar(schema, '1');
	else
		appendStringInfo(schema, "0.%0*d", Min(scale, MAX_FRACTION), 1);
	appendStringInfoChar(schema, '}');
}

/* The labels in their order. */
static void
add_enum(StringInfo schema, Oid type)
{
	Relation relation = table_open(EnumRelationId, AccessShareLock);
	Relation index = index_open(EnumTypIdSortOrderIndexId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	const char *separator = "";

	ScanKeyInit(&key, Anum_pg_enum_enumtypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = systable_beginscan_ordered(relation, index, NULL, 1, &key);
	appendStringInfoString(schema, "{\"enum\":[");
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		appendStringInfoString(schema, separator);
		escape_json(schema, NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel));
		separator = ",";
	}
	appendStringInfoString(schema, "]}");
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(relation, AccessShareLock);
}

static void
add_composite(StringInfo schema, Oid type, int32 modifier, int depth)
{
	TupleDesc descriptor = lookup_rowtype_tupdesc_copy(type, modifier);
	const char *separator = "";

	appendStringInfoString(schema, "{\"type\":\"object\",\"properties\":{");
	for (int i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
		bool nullable = !attribute->attnotnull && takes_null(attribute->atttypid);

		if (attribute->attisdropped)
			continue;
		appendStringInfoString(schema, separator);
		escape_json(schema, NameStr(attribute->attname));
		appendStringInfoString(schema, nullable ? ":{\"anyOf\":[" : ":");
		add_type(schema, attribute->atttypid, attribute->atttypmod, depth + 1);
		appendStringInfoString(schema, nullable ? ",{\"type\":\"null\"}]}" : "");
		separator = ",";
	}
	appendStringInfoString(schema, "},\"required\":[");
	separator = "";
	for (int i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		if (attribute->attisdropped)
			continue;
		appendStringInfoString(schema, separator);
		escape_json(schema, NameStr(attribute->attname));
		separator = ",";
	}
	appendStringInfoString(schema, "],\"additionalProperties\":false}");
	FreeTupleDesc(descriptor);
}

/* Whether a domain, or one under it, is NOT NULL. */
static bool
takes_null(Oid type)
{
	while (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		form = (Form_pg_type) GETSTRUCT(tuple);
		type = form->typbasetype;
		if (form->typnotnull)
		{
			ReleaseSysCache(tuple);
			return false;
		}
		ReleaseSysCache(tuple);
	}
	return true;
}

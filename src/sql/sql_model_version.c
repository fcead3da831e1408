/*
 * src/sql/sql_model_version.c
 *
 * The type gpt_model_version: one version of a model, whose functions are immutable.
 *
 * A value is a varlena with the bytes of "name@number", as a text of it would be. So a C function
 * that takes a model by a text takes one of these just as well, and an SQL function is declared for
 * both types. The number has no leading zero: equal versions are equal bytes.
 *
 * Whether there is such a version is asked when a function uses it: a dump creates tables, with
 * their expressions, before it brings the rows of models.
 */
#include "postgres.h"

#include "access/hash.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "engine/tokenizer.h"
#include "sql/arguments.h"
#include "store/catalog.h"
#include "store/version_dependents.h"

PG_FUNCTION_INFO_V1(gpt_model_version_in);
PG_FUNCTION_INFO_V1(gpt_model_version_out);
PG_FUNCTION_INFO_V1(gpt_model_version_recv);
PG_FUNCTION_INFO_V1(gpt_model_version_send);
PG_FUNCTION_INFO_V1(gpt_model_version_lt);
PG_FUNCTION_INFO_V1(gpt_model_version_le);
PG_FUNCTION_INFO_V1(gpt_model_version_eq);
PG_FUNCTION_INFO_V1(gpt_model_version_ne);
PG_FUNCTION_INFO_V1(gpt_model_version_ge);
PG_FUNCTION_INFO_V1(gpt_model_version_gt);
PG_FUNCTION_INFO_V1(gpt_model_version_cmp);
PG_FUNCTION_INFO_V1(gpt_model_version_hash);
PG_FUNCTION_INFO_V1(gpt_model_version_hash_extended);

static Datum value_of(const char *reference, size_t size);
static LmBytes bytes_argument(FunctionCallInfo fcinfo, int number);
static int compare(FunctionCallInfo fcinfo);

/*
 * gpt_model_version_in(cstring) RETURNS gpt_model_version    STRICT
 */
Datum
gpt_model_version_in(PG_FUNCTION_ARGS)
{
	const char *reference;
	Datum value;

	gpt_argument_check_io(fcinfo);
	reference = PG_GETARG_CSTRING(0);
	value = value_of(reference, strlen(reference));
	gpt_dependents_name(reference);
	return value;
}

/*
 * gpt_model_version_out(gpt_model_version) RETURNS cstring    STRICT
 */
Datum
gpt_model_version_out(PG_FUNCTION_ARGS)
{
	gpt_argument_check_io(fcinfo);
	PG_RETURN_CSTRING(text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

/*
 * gpt_model_version_recv(internal) RETURNS gpt_model_version    STRICT
 */
Datum
gpt_model_version_recv(PG_FUNCTION_ARGS)
{
	StringInfo message;
	const char *reference;
	int size;

	gpt_argument_check_receive(fcinfo);
	message = (StringInfo) PG_GETARG_POINTER(0);
	reference = pq_getmsgtext(message, message->len - message->cursor, &size);
	return value_of(reference, size);
}

/*
 * gpt_model_version_send(gpt_model_version) RETURNS bytea    STRICT
 */
Datum
gpt_model_version_send(PG_FUNCTION_ARGS)
{
	StringInfoData message;
	LmBytes reference;

	gpt_argument_check_io(fcinfo);
	reference = bytes_argument(fcinfo, 0);
	pq_begintypsend(&message);
	pq_sendtext(&message, reference.data, (int) reference.size);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

static Datum
value_of(const char *reference, size_t size)
{
	if (!gpt_catalog_is_pinned(reference, size))
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						errmsg("invalid input syntax for type %s: \"%s\"", "gpt_model_version",
							   pnstrdup(reference, size)),
						errdetail("A version is the name of a model, \"@\" and its number, as in "
								  "\"reviews@3\"."),
						errhint("The view gpt_versions lists the versions that you may use.")));
	return PointerGetDatum(cstring_to_text_with_len(reference, (int) size));
}

static LmBytes
bytes_argument(FunctionCallInfo fcinfo, int number)
{
	text *value = PG_GETARG_TEXT_PP(number);

	return (LmBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

/* ---- Order -------------------------------------------------------------- */

/*
 * gpt_model_version_lt(gpt_model_version, gpt_model_version) RETURNS boolean    STRICT; _le, _eq,
 * _ne, _ge and _gt the same; _cmp RETURNS integer
 *
 * By the bytes of names, then by numbers.
 */
Datum
gpt_model_version_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

Datum
gpt_model_version_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

Datum
gpt_model_version_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

Datum
gpt_model_version_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

Datum
gpt_model_version_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

Datum
gpt_model_version_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

Datum
gpt_model_version_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

/* The bytes before '@', which a name does not have. */
static size_t
name_size(LmBytes reference)
{
	const char *at = memchr(reference.data, '@', reference.size);

	return at == NULL ? reference.size : (size_t) (at - reference.data);
}

/* Of two numbers without leading zeros the one with more digits is larger. */
static int
compare(FunctionCallInfo fcinfo)
{
	LmBytes a = bytes_argument(fcinfo, 0);
	LmBytes b = bytes_argument(fcinfo, 1);
	size_t a_name = name_size(a);
	size_t b_name = name_size(b);
	int order = memcmp(a.data, b.data, Min(a_name, b_name));

	if (order != 0 || a_name != b_name)
		return order != 0 ? order : a_name < b_name ? -1 : 1;
	if (a.size != b.size)
		return a.size < b.size ? -1 : 1;
	return memcmp(a.data, b.data, a.size);
}

/*
 * gpt_model_version_hash(gpt_model_version) RETURNS integer    STRICT
 */
Datum
gpt_model_version_hash(PG_FUNCTION_ARGS)
{
	LmBytes reference = bytes_argument(fcinfo, 0);

	return hash_any((const unsigned char *) reference.data, (int) reference.size);
}

/*
 * gpt_model_version_hash_extended(gpt_model_version, bigint) RETURNS bigint    STRICT
 */
Datum
gpt_model_version_hash_extended(PG_FUNCTION_ARGS)
{
	LmBytes reference = bytes_argument(fcinfo, 0);

	return hash_any_extended((const unsigned char *) reference.data, (int) reference.size,
							 (uint64) PG_GETARG_INT64(1));
}

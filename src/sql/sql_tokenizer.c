/*
 * src/sql/sql_tokenizer.c
 *
 * gpt_import_tokenizer: files of other projects in, a named tokenizer out. gpt_drop_tokenizer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "core/argument_type.h"
#include "core/bridge.h"
#include "core/compat.h"
#include "sql/arguments.h"
#include "store/catalog.h"
#include "store/import_tokenizer.h"
#include "store/tokenizer_pieces.h"

PG_FUNCTION_INFO_V1(gpt_import_tokenizer);
PG_FUNCTION_INFO_V1(gpt_drop_tokenizer);

static LmTokenizerSpec *read_files(FunctionCallInfo fcinfo);
static LmTokenizerSpec *read_texts(FunctionCallInfo fcinfo);
static bool is_object(const char *text);
static void read_options(GptTokenizerOptions *options, FunctionCallInfo fcinfo, int number);
static void read_jsonb(GptTokenizerOptions *options, Jsonb *jsonb);
static void read_split(GptTokenizerOptions *options, const JsonbValue *value);
static void read_special(GptTokenizerOptions *options, const JsonbValue *value);
static int id_of(const JsonbValue *value);

/*
 * gpt_import_tokenizer(name text, file text, options jsonb DEFAULT '{}') RETURNS integer
 * gpt_import_tokenizer(name text, vocabulary text, merges text, options jsonb DEFAULT '{}')
 * RETURNS integer
 * gpt_import_tokenizer(name text, file bytea, options jsonb DEFAULT '{}') RETURNS integer
 * gpt_import_tokenizer(name text, object oid, options jsonb DEFAULT '{}') RETURNS integer
 *
 * Returns the size of the vocabulary. A name that the current role owns is bound to the new
 * tokenizer. Options: "split" and "special"; NULL means none. A literal of options after two texts
 * is a third text for the parser, so an object as merges is the options.
 */
Datum
gpt_import_tokenizer(PG_FUNCTION_ARGS)
{
	uint8 sha256[GPT_SHA256_SIZE];
	LmTokenizerSpec *spec;
	char *name;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "name");
	PreventCommandIfReadOnly("gpt_import_tokenizer()");
	gpt_bridge_check_encoding();
	name = gpt_argument_text(fcinfo, 0);
	gpt_catalog_check_name(name);

	/* Now do the work. An object that the same statement has made is seen, too. */
	PushActiveSnapshot(GetLatestSnapshot());
	spec = read_files(fcinfo);
	PopActiveSnapshot();
	gpt_import_tokenizer_check(spec);
	gpt_catalog_store_tokenizer(sha256, spec);
	gpt_catalog_name_tokenizer(name, sha256);
	PG_RETURN_INT32(spec->n_tokens);
}

/*
 * gpt_drop_tokenizer(name text) RETURNS void
 */
Datum
gpt_drop_tokenizer(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "name");
	PreventCommandIfReadOnly("gpt_drop_tokenizer()");
	gpt_catalog_drop_tokenizer(gpt_argument_text(fcinfo, 0));
	PG_RETURN_VOID();
}

static LmTokenizerSpec *
read_files(FunctionCallInfo fcinfo)
{
	Oid type = gpt_argument_type(fcinfo, 1);
	GptTokenizerOptions options = {0};
	bytea *file;

	if (type != OIDOID && type != BYTEAOID)
		return read_texts(fcinfo);
	gpt_argument_required(fcinfo, 1, type == OIDOID ? "object" : "file");
	read_options(&options, fcinfo, 2);
	if (type == OIDOID)
		return gpt_tokenizer_from_object(PG_GETARG_OID(1), &options);
	file = PG_GETARG_BYTEA_PP(1);
	return gpt_tokenizer_from_bytes(VARDATA_ANY(file), VARSIZE_ANY_EXHDR(file), &options);
}

static LmTokenizerSpec *
read_texts(FunctionCallInfo fcinfo)
{
	bool is_pair = PG_NARGS() == 4;
	GptTokenizerOptions options = {0};
	char *file, *merges;

	gpt_argument_required(fcinfo, 1, is_pair ? "vocabulary" : "file");
	if (is_pair)
		gpt_argument_required(fcinfo, 2, "merges");
	read_options(&options, fcinfo, is_pair ? 3 : 2);
	file = gpt_argument_text(fcinfo, 1);
	merges = is_pair ? gpt_argument_text(fcinfo, 2) : NULL;
	if (merges != NULL && is_object(merges) && strncmp(file, "#version", 8) != 0)
	{
		read_jsonb(&options,
				   DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(merges))));
		merges = NULL;
	}
	if (merges != NULL)
		return gpt_tokenizer_from_pair(file, merges, &options);
	return gpt_tokenizer_from_text(file, strlen(file), &options);
}

/* Merges have a blank within each line: none is an object's brace alone, or with a name after it.
 */
static bool
is_object(const char *text)
{
	text += strspn(text, " \t\r\n");
	if (*text != '{')
		return false;
	text += 1 + strspn(text + 1, " \t\r\n");
	return *text == '"' || *text == '}';
}

/* ------------------------------------------------------------ options */

/* A declaration of an earlier release has no options. */
static void
read_options(GptTokenizerOptions *options, FunctionCallInfo fcinfo, int number)
{
	if (number < PG_NARGS() && !PG_ARGISNULL(number))
		read_jsonb(options, PG_GETARG_JSONB_P(number));
}

static void
read_jsonb(GptTokenizerOptions *options, Jsonb *jsonb)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	iterator = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (strcmp(key, "split") == 0)
			read_split(options, &value);
		else if (strcmp(key, "special") == 0)
			read_special(options, &value);
		else
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" does not exist", key),
							errhint("The options of gpt_import_tokenizer are \"split\" and "
									"\"special\".")));
	}
}

static void
read_split(GptTokenizerOptions *options, const JsonbValue *value)
{
	if (value->type == jbvString)
		options->split = pnstrdup(value->val.string.val, value->val.string.len);
	else if (value->type != jbvNull)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"split\" must be a string or null")));
}

/* An object of names and ids. */
static void
read_special(GptTokenizerOptions *options, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;

	if (value->type == jbvNull)
		return;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"special\" must be an object of names and ids, or null"),
						errhint("For example {\"<|end_of_text|>\": 128001}.")));
	options->special = palloc(JsonContainerSize(value->val.binary.data) * sizeof(GptSpecialToken));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		GptSpecialToken *special;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY)
			continue;
		special = &options->special[options->n_special++];
		special->name = pnstrdup(item.val.string.val, item.val.string.len);
		(void) JsonbIteratorNext(&iterator, &item, true);
		special->id = id_of(&item);
		if (special->id < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("id of the special token \"%s\" is not an integer from 0 to %d",
								   special->name, LM_MAX_VOCABULARY - 1)));
	}
}

/* -1 for what is no integer in the range of ids. */
static int
id_of(const JsonbValue *value)
{
	Datum number, rounded;

	if (value->type != jbvNumeric)
		return -1;
	number = NumericGetDatum(value->val.numeric);
	rounded = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, rounded)) ||
		DatumGetBool(
			DirectFunctionCall2(numeric_lt, number, NumericGetDatum(int64_to_numeric(0)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_ge, number,
										 NumericGetDatum(int64_to_numeric(LM_MAX_VOCABULARY)))))
		return -1;
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, number));
}

/*
 * src/sql/sql_export.c
 *
 * gpt_export, gpt_export_file, gpt_export_tokenizer: models go in, files for other programs come
 * out.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "core/bridge.h"
#include "core/words.h"
#include "sql/arguments.h"
#include "store/catalog.h"
#include "store/export.h"
#include "store/tokenizer_json.h"

PG_FUNCTION_INFO_V1(gpt_export);
PG_FUNCTION_INFO_V1(gpt_export_file);
PG_FUNCTION_INFO_V1(gpt_export_tokenizer);

static GptVersion *version_of(FunctionCallInfo fcinfo);
static GptExportType read_type(Jsonb *options);
static const char *names_of(const GptVersion *version);

/*
 * gpt_export(model text, format text DEFAULT 'safetensors', options jsonb DEFAULT '{}') RETURNS oid
 *
 * The model may be name@version. Returns a new large object of the current role.
 */
Datum
gpt_export(PG_FUNCTION_ARGS)
{
	GptVersion *version;
	GptExportType type;
	char *format;
	Oid object;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "format");
	PreventCommandIfReadOnly("gpt_export()");
	format = gpt_argument_text(fcinfo, 1);
	type = read_type(PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	version = version_of(fcinfo);
	if (strcmp(format, "gguf") == 0 && version->base == NULL)
		object = gpt_export_gguf(version, type);
	else if (strcmp(format, "gguf") == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("adapter \"%s\" cannot be exported as GGUF", version->model),
						errhint("Call gpt_merge first, or export it as \"safetensors\".")));
	else if (strcmp(format, "safetensors") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("format \"%s\" is not known", format),
						errhint("Formats are \"safetensors\" and \"gguf\".")));
	else if (version->base != NULL)
		object = gpt_export_adapter(version);
	else
		object = gpt_export_safetensors(version, type);
	PG_RETURN_OID(object);
}

/* The version that argument 0 names, which the current role may use. */
static GptVersion *
version_of(FunctionCallInfo fcinfo)
{
	GptVersion *version = gpt_catalog_version(gpt_argument_text(fcinfo, 0), false);

	gpt_catalog_check_use(version);
	return version;
}

/* Option "type", the only one. */
static GptExportType
read_type(Jsonb *options)
{
	GptExportType type = GPT_EXPORT_AUTO;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if (options == NULL)
		return type;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		int number = -1;

		if (token != WJB_KEY)
			continue;
		if (value.val.string.len != 4 || memcmp(value.val.string.val, "type", 4) != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%.*s\" is not known", value.val.string.len,
								   value.val.string.val),
							errhint("gpt_export has one option, \"type\".")));
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (value.type == jbvString)
			number =
				gpt_word_find(gpt_export_type_name, value.val.string.val, value.val.string.len);
		if (number < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"type\" has a value that is not known"),
					 errhint("Values are %s.", gpt_words_list(gpt_export_type_name, " and "))));
		type = (GptExportType) number;
	}
	return type;
}

/*
 * gpt_export_file(model text, name text) RETURNS text
 *
 * The text that stands beside exported weights: config.json, tokenizer.json ... NULL for a NULL.
 */
Datum
gpt_export_file(PG_FUNCTION_ARGS)
{
	GptVersion *version;
	char *name, *text;

	gpt_argument_check_call(fcinfo);
	version = version_of(fcinfo);
	name = gpt_argument_text(fcinfo, 1);
	text = gpt_export_text(version, name);
	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("model \"%s\" has no file \"%s\"", version->model, name),
						errdetail("Its files are %s.", names_of(version))));
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

static const char *
names_of(const GptVersion *version)
{
	StringInfoData names;
	const char *name;

	initStringInfo(&names);
	for (int i = 0; (name = gpt_export_file_name(version, i)) != NULL; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", name);
	return names.data;
}

/*
 * gpt_export_tokenizer(name text) RETURNS text    STRICT
 *
 * The tokenizer.json of a tokenizer, or of a model's, in the order in which other functions look
 * for a name (sql_text.c). It needs SELECT on the tokenizer or on the model.
 */
Datum
gpt_export_tokenizer(PG_FUNCTION_ARGS)
{
	const LmTokenizerSpec *spec = lm_bytes_spec();
	uint8 sha256[GPT_SHA256_SIZE];
	char *name, *json;
	size_t size;

	gpt_argument_check_call(fcinfo);
	name = gpt_argument_text(fcinfo, 0);
	if (strcmp(name, "bytes") != 0)
	{
		if (!gpt_catalog_resolve_tokenizer(name, sha256))
			gpt_catalog_raise_missing_tokenizer(name, GPT_WANTED_TOKENIZER_OR_MODEL);
		spec = gpt_catalog_read_tokenizer(sha256);
	}
	json = gpt_tokenizer_to_json(spec, &size);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(json, (int) size));
}

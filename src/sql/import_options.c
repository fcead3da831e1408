/*
 * src/sql/import_options.c
 *
 * The options of gpt_import: JSON in, a struct out. Files are given as text, or as the JSON that
 * they are.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "core/chat.h"
#include "core/compat.h"
#include "core/words.h"
#include "sql/import_options.h"
#include "store/hf_config.h"
#include "store/model_extras.h"

#define DEFAULT_TEMPLATE "default" /* of several in a tokenizer_config.json */
#define NO_TEMPLATE "none" /* as option "chat_template" */
#define MAX_NAME 200 /* bytes of the name of a source */

typedef enum Option
{
	CONFIG,
	TOKENIZER,
	TOKENIZER_CONFIG,
	GENERATION_CONFIG,
	CHAT_TEMPLATE,
	NAME,
	LICENCE,
	CONTEXT,
	TYPE,
} Option;

static const char *option_name(int number);
static void read_option(GptImportOptions *options, Option option, JsonbValue *value);
static char *text_of(Option option, JsonbValue *value);
static void check_object(Option option, const char *text);
static char *template_of(JsonbValue *value);
static char *short_text(Option option, JsonbValue *value);
static Oid object_of(JsonbValue *value);
static int read_context(JsonbValue *value);
static GptImportType read_type(JsonbValue *value);
pg_noreturn static void refuse(Option option, const char *wanted);

GPT_WORDS(option_name, [CONFIG] = "config", [TOKENIZER] = "tokenizer",
		  [TOKENIZER_CONFIG] = "tokenizer_config", [GENERATION_CONFIG] = "generation_config",
		  [CHAT_TEMPLATE] = "chat_template", [NAME] = "name", [LICENCE] = "licence",
		  [CONTEXT] = "context", [TYPE] = "type");

void
gpt_import_options_parse(GptImportOptions *options, Jsonb *json)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	MemSet(options, 0, sizeof(GptImportOptions));
	if (json == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		int option;

		if (token != WJB_KEY)
			continue;
		option = gpt_word_find(option_name, value.val.string.val, value.val.string.len);
		if (option < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%.*s\" does not exist", value.val.string.len,
								   value.val.string.val),
							errhint("The options of gpt_import are %s.",
									gpt_words_list(option_name, " and "))));
		JsonbIteratorNext(&iterator, &value, true);
		if (value.type != jbvNull)
			read_option(options, (Option) option, &value);
	}
}

static void
read_option(GptImportOptions *options, Option option, JsonbValue *value)
{
	char *text;

	switch (option)
	{
		case CONFIG:
		case TOKENIZER_CONFIG:
		case GENERATION_CONFIG:
			text = text_of(option, value);
			check_object(option, text);
			*(option == CONFIG			   ? &options->config
			  : option == TOKENIZER_CONFIG ? &options->tokenizer_config
										   : &options->generation_config) =
				gpt_hf_json_parse(text, strlen(text), option_name(option));
			if (option == CONFIG)
				options->config = gpt_hf_config_text(options->config);
			break;
		case TOKENIZER:
			options->tokenizer_object = object_of(value);
			if (!OidIsValid(options->tokenizer_object))
				options->tokenizer = text_of(option, value);
			break;
		case CHAT_TEMPLATE:
			options->chat_template = template_of(value);
			break;
		case NAME:
			options->name = short_text(option, value);
			break;
		case LICENCE:
			options->licence = short_text(option, value);
			break;
		case CONTEXT:
			options->context = read_context(value);
			break;
		case TYPE:
			options->type = read_type(value);
			break;
	}
}

/* A text, or JSON as text. */
static char *
text_of(Option option, JsonbValue *value)
{
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvBinary && option != NAME && option != LICENCE && option != CHAT_TEMPLATE)
		return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
	refuse(option, "a text");
}

/* The text of a file is an object; the usual mistake is the file's name. */
static void
check_object(Option option, const char *text)
{
	if (text[strspn(text, " \t\r\n")] != '{')
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be a JSON object, or the text of one", option_name(option)),
			 errhint("Give the text of %s.json, not the name of the file.", option_name(option))));
}

/* The JSON text of a chat template: a text or an object. */
static char *
template_of(JsonbValue *value)
{
	StringInfoData json;

	if (value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
	if (value->type != jbvString)
		refuse(CHAT_TEMPLATE, "a text or an object");
	initStringInfo(&json);
	escape_json(&json, pnstrdup(value->val.string.val, value->val.string.len));
	return json.data;
}

/* A text for the version's row. */
static char *
short_text(Option option, JsonbValue *value)
{
	char *text = text_of(option, value);

	if (strlen(text) > MAX_NAME)
		refuse(option, psprintf("a text of at most %d bytes", MAX_NAME));
	return text;
}

/* A large object: a number, or its digits as text, as jsonb_build_object writes an oid. */
static Oid
object_of(JsonbValue *value)
{
	char *text = NULL;
	char *end;
	unsigned long long number;

	if (value->type == jbvNumeric)
		text = numeric_normalize(value->val.numeric);
	else if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	if (text == NULL || text[0] < '0' || text[0] > '9')
		return InvalidOid;
	number = strtoull(text, &end, 10);
	return *end == '\0' && number <= OID_MAX ? (Oid) number : InvalidOid;
}

static int
read_context(JsonbValue *value)
{
	if (value->type == jbvNumeric)
	{
		double number = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));

		if (number == (int) number && number >= 1 && number <= LM_MAX_CONTEXT)
			return (int) number;
	}
	refuse(CONTEXT, psprintf("an integer from 1 to %d", LM_MAX_CONTEXT));
}

static GptImportType
read_type(JsonbValue *value)
{
	int type = value->type == jbvString ? gpt_word_find(gpt_import_type_name, value->val.string.val,
														value->val.string.len)
										: -1;

	if (type < 0)
		refuse(TYPE, gpt_words_list(gpt_import_type_name, " or "));
	return (GptImportType) type;
}

static void
refuse(Option option, const char *wanted)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" must be %s", option_name(option), wanted)));
}

/* Appends a member, unless there is no text. */
static void
append_text(StringInfo json, const char *name, const char *text)
{
	if (text == NULL)
		return;
	appendStringInfo(json, ", \"%s\": ", name);
	escape_json(json, text);
}

/*
 * The default one of a tokenizer_config.json: a text, or that of the name among several. NULL:
 * there is none.
 */
static const char *
template_of_config(const GptJson *tokenizer_config)
{
	const GptJson *found = gpt_json_field(tokenizer_config, "chat_template");

	if (found == NULL || found->type != GPT_JSON_ARRAY)
		return gpt_json_string(found);
	for (const GptJson *one = found->first; one != NULL; one = one->next)
	{
		const char *name = gpt_json_string(gpt_json_field(one, "name"));

		if (name != NULL && strcmp(name, DEFAULT_TEMPLATE) == 0)
			return gpt_json_string(gpt_json_field(one, "template"));
	}
	return NULL;
}

/* The chat template as JSON text: the option's, or else the file's; NULL: there is none. */
static const char *
chat_of(GptImport *import, const GptImportOptions *options)
{
	const char *jinja = template_of_config(options->tokenizer_config);

	if (options->chat_template != NULL)
		return strcmp(options->chat_template, "\"" NO_TEMPLATE "\"") == 0 ? NULL
																		  : options->chat_template;
	if (jinja == NULL)
		jinja = gpt_import_chat_template(import);
	return jinja != NULL ? gpt_chat_recognize(jinja) : NULL;
}

const char *
gpt_import_extras(GptImport *import, const GptImportPlan *plan, const GptImportOptions *options,
				  const LmTokenizerSpec *tokenizer)
{
	const char *chat = chat_of(import, options);
	char *sampling = gpt_extras_of_generation_config(options->generation_config);
	StringInfoData json;
	char *extras;
	int *ids;
	int n;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"source\": {\"format\": \"%s\", \"quantization\": \"%s\"",
					 gpt_import_format_name((int) import->format), gpt_import_types(plan));
	append_text(&json, "name",
				options->name != NULL ? options->name : gpt_import_note(import, "general.name"));
	append_text(&json, "licence",
				options->licence != NULL ? options->licence
										 : gpt_import_note(import, "general.license"));
	appendStringInfoChar(&json, '}');
	n = gpt_hf_end_tokens(&ids, options->generation_config);
	if (n == 0)
		n = gpt_hf_end_tokens(&ids, options->config);
	if (n == 0)
		n = gpt_import_end_tokens(&ids, import);
	for (int i = 0; i < n; i++)
		appendStringInfo(&json, "%s%d", i == 0 ? ", \"end_tokens\": [" : ", ", ids[i]);
	appendStringInfoString(&json, n > 0 ? "]" : "");
	if (sampling != NULL)
		appendStringInfo(&json, ", \"sampling\": %s", sampling);
	appendStringInfoChar(&json, '}');
	extras = gpt_extras_with_texts(json.data, import->own_extras);
	return chat != NULL ? gpt_extras_with_chat(extras, chat, tokenizer) : extras;
}

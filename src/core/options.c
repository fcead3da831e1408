/*
 * src/core/options.c
 *
 * The options of the functions in core/options.h: a jsonb object goes in, a checked
 * GptTrainOptions comes out, and gpt_options() lists the table.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

#include "core/clean_options.h"
#include "core/compat.h"
#include "core/number.h"
#include "core/options.h"
#include "core/options_check.h"
#include "core/options_table.h"
#include "engine/optimizer.h"

#define AUTO "auto"

static const char *const type_names[] = {"boolean", "integer", "number", "word",
										 "text",	"json",	   "names"};
static const char *const type_phrases[] = {"a boolean",		   "an integer", "a number",
										   "a text",		   "a text",	 "a text or an object",
										   "an array of texts"};

static const char *const function_names[] = {"gpt_train",			"gpt_finetune", "gpt_evaluate",
											 "gpt_train_tokenizer", "gpt_report",	"gpt_compare",
											 "gpt_maintain"};

static const char *const function_examples[] = {
	"\"minutes\": 10", "\"minutes\": 10",	  "\"max_tokens\": 10", "\"vocabulary\": 4096",
	"\"samples\": 3",  "\"resamples\": 2000", "\"batch_rows\": 100"};

static void set_defaults(GptTrainOptions *options);
static void set_family(GptTrainOptions *options, Jsonb *json);
static void set_value(GptTrainOptions *options, const GptOption *option, const JsonbValue *value);
static const char *checked_names(const GptOption *option, const JsonbValue *value);
pg_noreturn static void refuse_value(const GptOption *option, const char *wanted,
									 const char *given);

/* ---- Reading ------------------------------------------------------------ */

static const GptOption *
find_option(const char *name, int length)
{
	for (int i = 0; i < gpt_options_count(); i++)
	{
		const GptOption *option = &gpt_options_table[i];

		if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
			return option;
	}
	return NULL;
}

/* The nearest name, at most half of its letters away; NULL if there is none. */
static const char *
nearest_name(GptTrainFunction function, const char *name, int length)
{
	const char *nearest = NULL;
	int least = Max(length / 2, 1) + 1;

	if (length > NAMEDATALEN)
		return NULL;
	for (int i = 0; i < gpt_options_count(); i++)
	{
		const char *candidate = gpt_options_table[i].name;
		int distance = varstr_levenshtein_less_equal(name, length, candidate, strlen(candidate), 1,
													 1, 1, least - 1, true);

		if ((gpt_options_table[i].functions & (1 << function)) == 0)
			continue;
		if (distance < least)
		{
			least = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

static void
option_missing(GptTrainFunction function, const char *name, int length)
{
	const char *nearest = nearest_name(function, name, length);
	bool takes_clean = (find_option("clean", strlen("clean"))->functions & (1 << function)) != 0;

	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("option \"%.*s\" does not exist", pg_mbcliplen(name, length, NAMEDATALEN), name),
		 takes_clean && gpt_clean_has_option(name, length)
			 ? errhint("It is an option of gpt_clean: give it within the option \"clean\".")
		 : nearest ? errhint("The nearest name is \"%s\"; gpt_options('%s') lists all.", nearest,
							 function_names[function])
				   : errhint("gpt_options('%s') lists the options.", function_names[function])));
}

/* What an option of another function is there. */
static char *
where_it_belongs(GptTrainFunction function, const GptOption *option)
{
	bool of_train = (option->functions & (1 << GPT_FUNCTION_TRAIN)) != 0;

	if (function == GPT_FUNCTION_FINETUNE && of_train)
		return pstrdup("The base model decides it.");
	if (function == GPT_FUNCTION_TRAIN && (option->functions & (1 << GPT_FUNCTION_FINETUNE)) != 0)
		return pstrdup("It is an option of gpt_finetune, which trains an existing model.");
	if (function == GPT_FUNCTION_TRAIN &&
		(option->functions & (1 << GPT_FUNCTION_TRAIN_TOKENIZER)) != 0)
		return pstrdup("It is an option of gpt_train_tokenizer; the option \"tokenizer\" takes the "
					   "tokenizer that it trains.");
	for (int other = 0; other < GPT_OPTION_FUNCTIONS; other++)
	{
		if ((option->functions & (1 << other)) != 0)
			return psprintf("It is an option of %s.", function_names[other]);
	}
	return NULL;
}

/* An option of another function. */
static void
option_elsewhere(GptTrainFunction function, const GptOption *option)
{
	char *where = where_it_belongs(function, option);

	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s has no option \"%s\"", function_names[function], option->name),
					where != NULL ? errdetail("%s", where) : 0,
					errhint("gpt_options('%s') lists the options.", function_names[function])));
}

GptTrainOptions *
gpt_options_parse(Jsonb *json, GptTrainFunction function)
{
	GptTrainOptions *options = palloc0(sizeof(GptTrainOptions));
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	const GptOption *option = NULL;

	set_defaults(options);
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
				 errhint("For example '{%s}'.", function_examples[function])));
	set_family(options, json);

	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			option = find_option(value.val.string.val, value.val.string.len);
			if (option == NULL)
				option_missing(function, value.val.string.val, value.val.string.len);
			if ((option->functions & (1 << function)) == 0)
				option_elsewhere(function, option);
		}
		else if (token == WJB_VALUE && value.type != jbvNull)
			set_value(options, option, &value);
	}
	if (options->tokenizer != NULL && strcmp(options->tokenizer, "auto") == 0)
		options->tokenizer = NULL;
	gpt_options_check(options);
	gpt_options_check_servers(options, json);
	options->is_finetune = function == GPT_FUNCTION_FINETUNE;
	options->makes_tokenizer = function == GPT_FUNCTION_TRAIN_TOKENIZER;
	if (options->makes_tokenizer)
		options->tokenizer = gpt_trained_kind_name((int) options->kind);
	if (options->optimizer == GPT_CHOSEN)
		options->optimizer = options->is_finetune ? LM_ADAMW : LM_MUON;
	options->head_rate_is_open = isnan(options->learning_rate);
	return options;
}

/* ---- Values ------------------------------------------------------------- */

static void *
field(GptTrainOptions *options, const GptOption *option)
{
	return (char *) options + option->offset;
}

static bool
takes_auto(const GptOption *option)
{
	return option->default_value != NULL && strcmp(option->default_value, AUTO) == 0;
}

static char *
words_of(const GptOption *option)
{
	char *words = gpt_words_list(option->word_of, ", ");

	return takes_auto(option) ? psprintf("%s, %s", AUTO, words) : words;
}

static int
enumerator(const GptOption *option, const char *word)
{
	int number = gpt_word_find(option->word_of, word, strlen(word));

	if (number < 0 && !(takes_auto(option) && strcmp(word, AUTO) == 0))
		refuse_value(option, psprintf("one of %s", words_of(option)), psprintf("\"%s\"", word));
	return number < 0 ? GPT_CHOSEN : number;
}

/* Fills in all defaults; options whose value depends on the corpus get GPT_CHOSEN, NaN or NULL. */
static void
set_defaults(GptTrainOptions *options)
{
	for (int i = 0; i < gpt_options_count(); i++)
	{
		const GptOption *option = &gpt_options_table[i];
		const char *value = option->late ? NULL : option->default_value;
		void *target = field(options, option);

		switch (option->type)
		{
			case OPTION_BOOLEAN:
				*(bool *) target = strcmp(value, "true") == 0;
				break;
			case OPTION_INTEGER:
				*(int64 *) target = value ? strtoi64(value, NULL, 10) : GPT_CHOSEN;
				break;
			case OPTION_NUMBER:
				*(double *) target = value ? strtod(value, NULL) : get_float8_nan();
				break;
			case OPTION_WORD:
				*(int *) target = value ? enumerator(option, value) : GPT_CHOSEN;
				break;
			case OPTION_TEXT:
			case OPTION_JSON:
			case OPTION_NAMES:
				*(const char **) target = value;
				break;
		}
	}
}

/*
 * A family is the defaults of other options, so it comes before them; a value that is no text is
 * refused later.
 */
static void
set_family(GptTrainOptions *options, Jsonb *json)
{
	JsonbValue buffer;
	const JsonbValue *value =
		getKeyJsonValueFromContainer(&json->root, "family", strlen("family"), &buffer);

	if (value == NULL || value->type != jbvString)
		return;
	set_value(options, find_option("family", strlen("family")), value);
	switch (options->family)
	{
		case GPT_FAMILY_AUTO:
		case GPT_FAMILY_MODERN:
			return;
		case GPT_FAMILY_GPT2:
			break;
	}
	options->norm = LM_LAYERNORM;
	options->position = LM_LEARNED;
	options->qk_norm = false;
	options->mlp = LM_GELU_TANH;
	options->bias = true;
	options->zero_init = false;
}

pg_noreturn static void
refuse_value(const GptOption *option, const char *wanted, const char *given)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" must be %s, not %s", option->name, wanted, given),
					option->hint != NULL ? errhint("%s", option->hint) : 0));
}

/* The value as an error message shows it. */
static char *
value_phrase(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return psprintf("\"%.*s\"",
							pg_mbcliplen(value->val.string.val, value->val.string.len, NAMEDATALEN),
							value->val.string.val);
		case jbvNumeric:
			return psprintf("%.*s", NAMEDATALEN,
							DatumGetCString(DirectFunctionCall1(
								numeric_out, NumericGetDatum(value->val.numeric))));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvNull:
			return pstrdup("null");
		default:
			break;
	}
	return pstrdup(JsonContainerIsArray(value->val.binary.data) ? "an array" : "an object");
}

static char *
range_phrase(const GptOption *option)
{
	if (option->zero != NULL)
		return psprintf("an integer between %s and %s, or \"%s\"", gpt_number_text(option->minimum),
						gpt_number_text(option->maximum), option->zero);
	return psprintf("between %s and %s", gpt_number_text(option->minimum),
					gpt_number_text(option->maximum));
}

/* What a value of another type should have been. */
static const char *
wanted_phrase(const GptOption *option)
{
	if (option->type == OPTION_JSON && option->boolean_too)
		return "a boolean or an object";
	if (option->type == OPTION_WORD)
		return psprintf("one of %s", words_of(option));
	return option->zero != NULL ? range_phrase(option) : type_phrases[option->type];
}

/* The value; raises an error if it is out of range or, for an integer, has a fraction. */
static double
checked_number(const GptOption *option, const JsonbValue *value)
{
	Datum numeric = NumericGetDatum(value->val.numeric);
	double number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, numeric));

	if (option->type == OPTION_INTEGER && number != floor(number))
		refuse_value(option, option->zero != NULL ? range_phrase(option) : "an integer",
					 value_phrase(value));
	if (!(number >= option->minimum && number <= option->maximum))
		refuse_value(option, range_phrase(option), gpt_number_text(number));
	return number;
}

/* Stores one value of the user in the field of its option, after checks of its type and range. */
static void
set_value(GptTrainOptions *options, const GptOption *option, const JsonbValue *value)
{
	static const enum jbvType json_types[] = {jbvBool,	 jbvNumeric, jbvNumeric, jbvString,
											  jbvString, jbvString,	 jbvArray};
	void *target = field(options, option);

	if (option->type == OPTION_JSON && value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data))
	{
		*(const char **) target =
			JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		return;
	}
	if (option->zero != NULL && value->type == jbvString &&
		value->val.string.len == (int) strlen(option->zero) &&
		memcmp(value->val.string.val, option->zero, strlen(option->zero)) == 0)
	{
		*(int64 *) target = 0;
		return;
	}
	if (option->type == OPTION_NAMES && value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data))
	{
		*(const char **) target = checked_names(option, value);
		return;
	}
	if (option->boolean_too && value->type == jbvBool)
	{
		if (option->type == OPTION_JSON)
		{
			*(const char **) target = value->val.boolean ? "true" : "false";
			return;
		}
		*(int *) target = value->val.boolean ? GPT_SWITCH_TRUE : GPT_SWITCH_FALSE;
		return;
	}
	if (value->type != json_types[option->type] ||
		(option->type == OPTION_JSON && option->boolean_too))
		refuse_value(option, wanted_phrase(option), value_phrase(value));
	switch (option->type)
	{
		case OPTION_BOOLEAN:
			*(bool *) target = value->val.boolean;
			break;
		case OPTION_INTEGER:
			*(int64 *) target = (int64) checked_number(option, value);
			break;
		case OPTION_NUMBER:
			*(double *) target = checked_number(option, value);
			break;
		case OPTION_WORD:
			*(int *) target =
				enumerator(option, pnstrdup(value->val.string.val, value->val.string.len));
			break;
		case OPTION_TEXT:
			*(const char **) target = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case OPTION_JSON:
		{
			StringInfoData json;

			initStringInfo(&json);
			escape_json(&json, pnstrdup(value->val.string.val, value->val.string.len));
			*(const char **) target = json.data;
			break;
		}
		case OPTION_NAMES:
			break; /* it is no scalar */
	}
}

/* The array of an option as JSON text. */
static const char *
checked_names(const GptOption *option, const JsonbValue *value)
{
	JsonbContainer *array = value->val.binary.data;
	uint32 n = JsonContainerSize(array);

	if (n < 1 || n > option->maximum)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must have 1 to %.0f names, not %u", option->name,
							   option->maximum, n),
						errhint("%s", option->hint)));
	for (uint32 i = 0; i < n; i++)
	{
		const JsonbValue *name = getIthJsonbValueFromContainer(array, i);

		if (name->type != jbvString)
			refuse_value(option, type_phrases[OPTION_NAMES],
						 psprintf("one with %s", value_phrase(name)));
		for (uint32 j = 0; j < i; j++)
		{
			const JsonbValue *other = getIthJsonbValueFromContainer(array, j);

			if (other->val.string.len == name->val.string.len &&
				memcmp(other->val.string.val, name->val.string.val, name->val.string.len) == 0)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("option \"%s\" has the name \"%.*s\" twice", option->name,
									   name->val.string.len, name->val.string.val),
								errhint("Each server takes part once.")));
		}
	}
	return JsonbToCString(NULL, array, value->val.binary.len);
}

/* ---- Showing ------------------------------------------------------------ */

/* The description for gpt_options: notes of single words, the option's own text, then its words. */
static char *
described(const GptOption *option)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; option->about != NULL && option->word_of(i) != NULL; i++)
	{
		if (option->about(i) != NULL)
			appendStringInfo(&text, "%s; ", option->about(i));
	}
	appendStringInfoString(&text, option->description);
	if (option->word_of != NULL)
		appendStringInfo(&text, " (%s)", words_of(option));
	return text.data;
}

bool
gpt_options_get(double *value, const GptTrainOptions *options, const char *name)
{
	const GptOption *option = find_option(name, strlen(name));
	const char *place = (const char *) options + (option != NULL ? option->offset : 0);

	if (option == NULL || option->type == OPTION_TEXT || option->type == OPTION_JSON ||
		option->type == OPTION_NAMES)
		return false;
	*value = option->type == OPTION_BOOLEAN	  ? *(const bool *) place
			 : option->type == OPTION_INTEGER ? *(const int64 *) place
			 : option->type == OPTION_WORD	  ? *(const int *) place
											  : *(const double *) place;
	return option->type == OPTION_BOOLEAN || (!isnan(*value) && *value != GPT_CHOSEN);
}

bool
gpt_options_set(GptTrainOptions *options, const char *name, double value)
{
	const GptOption *option = find_option(name, strlen(name));
	char *place = (char *) options + (option != NULL ? option->offset : 0);

	if (option == NULL || option->type == OPTION_TEXT || option->type == OPTION_JSON ||
		option->type == OPTION_NAMES)
		return false;
	if (option->type == OPTION_BOOLEAN)
		*(bool *) place = value != 0;
	else if (option->type == OPTION_INTEGER)
		*(int64 *) place = (int64) value;
	else if (option->type == OPTION_WORD)
		*(int *) place = (int) value;
	else
		*(double *) place = value;
	return true;
}

bool
gpt_options_ask(const GptTrainOptions *options, const char *name)
{
	const GptOption *option = find_option(name, strlen(name));
	GptTrainOptions *defaults = palloc0(sizeof(GptTrainOptions));
	const void *given = (const char *) options + option->offset;
	const void *unasked = field(defaults, option);
	bool asks = false;

	set_defaults(defaults);
	switch (option->type)
	{
		case OPTION_BOOLEAN:
			asks = *(const bool *) given && !*(const bool *) unasked;
			break;
		case OPTION_INTEGER:
			asks = *(const int64 *) given != *(const int64 *) unasked;
			break;
		case OPTION_NUMBER:
		{
			double number = *(const double *) given;

			asks = !isnan(number) && number != 0 && number != *(const double *) unasked;
			break;
		}
		case OPTION_WORD:
			asks = *(const int *) given != *(const int *) unasked &&
				   !(option->boolean_too && *(const int *) given == GPT_SWITCH_FALSE);
			break;
		case OPTION_TEXT:
		case OPTION_JSON:
		case OPTION_NAMES:
			asks = *(const char *const *) given != NULL;
			break;
	}
	pfree(defaults);
	return asks;
}

bool
gpt_options_row(GptOptionRow *row, GptTrainFunction function, int number)
{
	const GptOption *option = &gpt_options_table[number];

	if ((option->functions & (1 << function)) == 0)
		return false;
	row->name = option->name;
	row->type = type_names[option->type];
	row->default_value = option->default_value;
	row->ranged = option->type == OPTION_INTEGER || option->type == OPTION_NUMBER;
	row->minimum = option->minimum;
	row->maximum = option->maximum;
	row->description = described(option);
	return true;
}

const char *
gpt_options_function(int number)
{
	return function_names[number];
}

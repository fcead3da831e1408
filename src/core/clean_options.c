/*
 * src/core/clean_options.c
 *
 * The options of cleaning: JSON in, steps of the engine's cleaner and the kept form of the JSON
 * out.
 */
#include "postgres.h"

#include <math.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "tsearch/ts_public.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "core/bridge.h"
#include "core/clean_options.h"
#include "core/compat.h"
#include "core/json_tree.h"
#include "core/number.h"
#include "core/words.h"

#define MAX_NODES (LM_MAX_STOP_WORDS + 1000)
#define DEFAULT_DIGITS 8
#define MAX_DIGITS 64
#define MAX_LENGTH 1000000
/* bytes for a byte of text, at most: two buffers that double */
#define CLEAN_MEMORY 5

/* The types of options. */
typedef enum CleanType
{
	CLEAN_BOOLEAN,
	CLEAN_INTEGER,
	CLEAN_WORD,
	CLEAN_MASK, /* a boolean, or a placeholder */
	CLEAN_STOP_WORDS, /* the name of a list, or an array */
	CLEAN_DEFAULTS,
} CleanType;

static const char *const type_phrases[] = {"a boolean",
										   "an integer",
										   "a text",
										   "a boolean or a text",
										   "the name of a stop list or an array of texts",
										   "a boolean"};

/* An option. */
typedef struct CleanOption
{
	const char *name;
	CleanType type;
	size_t offset; /* in LmCleanOptions; of a mask its number */
	GptWordOf word_of;
	int minimum;
	int maximum;
} CleanOption;

#define FIELD(name) offsetof(LmCleanOptions, name)

/* In the order of the steps. */
static const CleanOption options_table[] = {
	{"defaults", CLEAN_DEFAULTS},
	{"html", CLEAN_BOOLEAN, FIELD(html)},
	{"control", CLEAN_BOOLEAN, FIELD(control)},
	{"invisible", CLEAN_BOOLEAN, FIELD(invisible)},
	{"case", CLEAN_WORD, FIELD(letter_case), lm_clean_case_name},
	{"normalize", CLEAN_WORD, FIELD(form), lm_clean_form_name},
	{"urls", CLEAN_MASK, LM_MASK_URL},
	{"emails", CLEAN_MASK, LM_MASK_EMAIL},
	{"phones", CLEAN_MASK, LM_MASK_PHONE},
	{"numbers", CLEAN_MASK, LM_MASK_NUMBER},
	{"digits", CLEAN_INTEGER, FIELD(digits), NULL, LM_LEAST_MASKED_DIGITS, MAX_DIGITS},
	{"stop_words", CLEAN_STOP_WORDS},
	{"white_space", CLEAN_WORD, FIELD(white_space), lm_clean_space_name},
	{"min_length", CLEAN_INTEGER, FIELD(min_length), NULL, 0, MAX_LENGTH},
};

static const char *const placeholders[LM_N_MASKS] = {"<url>", "<email>", "<phone>", "<number>"};

/* What is being read, for messages. */
typedef struct CleanReader
{
	LmCleanOptions *options;
	const char *where; /* the option that holds the object, or NULL */
} CleanReader;

static void set_defaults(LmCleanOptions *options, const GptJson *object);
static void set_option(CleanReader *reader, const GptJson *value);
static void set_mask(CleanReader *reader, const CleanOption *option, const GptJson *value);
static void set_stop_words(CleanReader *reader, const GptJson *value);
static void read_stop_list(LmCleanOptions *options, const char *name);
static char *write_options(const LmCleanOptions *options);

/* ---- Reading ------------------------------------------------------------ */

/* Fills the engine's options; false: no cleaning is wanted. All they point to is palloc'd. */
static bool
read_options(LmCleanOptions *options, const char *json, const char *where)
{
	CleanReader reader = {options, where};
	GptJson *root;

	if (json == NULL)
		return false;
	root = gpt_json_parse(json, strlen(json), MAX_NODES,
						  where != NULL ? "option \"clean\"" : "options");
	if (root->type == GPT_JSON_NULL || root->type == GPT_JSON_FALSE)
		return false;
	if (root->type != GPT_JSON_TRUE && root->type != GPT_JSON_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 where != NULL ? errmsg("option \"%s\" must be a boolean or an object", where)
							   : errmsg("options must be a JSON object"),
				 errhint("For example '{\"urls\": true}'.")));
	set_defaults(options, root);
	for (const GptJson *value = root->first; value != NULL; value = value->next)
	{
		(void) gpt_json_field(root, value->name); /* refuses a second one */
		set_option(&reader, value);
	}
	return true;
}

/* The set that `true` means, unless "defaults" is false. docs/sql.md has it. */
static void
set_defaults(LmCleanOptions *options, const GptJson *object)
{
	const GptJson *defaults = gpt_json_field(object, "defaults");
	bool on = defaults == NULL || defaults->type != GPT_JSON_FALSE;

	*options = (LmCleanOptions){.digits = DEFAULT_DIGITS};
	if (!on)
		return;
	options->html = true;
	options->control = true;
	options->invisible = true;
	options->form = LM_FORM_NFC;
	options->white_space = LM_SPACE_LINES;
}

/* " of \"clean\"", or nothing. */
static const char *
of_where(const CleanReader *reader)
{
	return reader->where != NULL ? psprintf(" of \"%s\"", reader->where) : "";
}

pg_noreturn static void
raise_missing(const CleanReader *reader, const char *name)
{
	int length = strlen(name), least = Max(length / 2, 1) + 1;
	const char *nearest = NULL;

	for (int i = 0; i < lengthof(options_table) && length <= NAMEDATALEN; i++)
	{
		const char *candidate = options_table[i].name;
		int distance = varstr_levenshtein_less_equal(name, length, candidate, strlen(candidate), 1,
													 1, 1, least - 1, true);

		if (distance < least)
		{
			least = distance;
			nearest = candidate;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%.*s\"%s does not exist", pg_mbcliplen(name, length, NAMEDATALEN),
					name, of_where(reader)),
			 nearest != NULL ? errhint("The nearest name is \"%s\".", nearest)
							 : errhint("The options of gpt_clean are html, control, invisible, "
									   "case, normalize, urls, emails, phones, numbers, digits, "
									   "stop_words, white_space, min_length and defaults.")));
}

pg_noreturn static void
raise_type(const CleanReader *reader, const CleanOption *option, const GptJson *value)
{
	static const char *const phrases[] = {"null",	"a boolean", "a boolean", "a number",
										  "a text", "an array",	 "an object"};

	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\"%s must be %s, not %s", option->name, of_where(reader),
						   type_phrases[option->type], phrases[value->type])));
}

/* ---- Values ------------------------------------------------------------- */

static bool
is_boolean(const GptJson *value)
{
	return value->type == GPT_JSON_TRUE || value->type == GPT_JSON_FALSE;
}

static void
set_word(CleanReader *reader, const CleanOption *option, const GptJson *value)
{
	int *target = (int *) ((char *) reader->options + option->offset);

	if (value->type != GPT_JSON_STRING)
		raise_type(reader, option, value);
	for (int i = 0; option->word_of(i) != NULL; i++)
	{
		if (pg_strcasecmp(option->word_of(i), value->text) == 0)
		{
			*target = i;
			return;
		}
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\"%s must be one of %s, not \"%s\"", option->name,
						   of_where(reader), gpt_words_list(option->word_of, ", "), value->text)));
}

static void
set_integer(CleanReader *reader, const CleanOption *option, const GptJson *value)
{
	char *target = (char *) reader->options + option->offset;
	double number;

	if (value->type != GPT_JSON_NUMBER)
		raise_type(reader, option, value);
	number = strtod(value->text, NULL);
	if (number != floor(number))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\"%s must be an integer, not %s", option->name,
							   of_where(reader), value->text)));
	if (!(number >= option->minimum && number <= option->maximum))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\"%s must be between %d and %d, not %s", option->name,
							   of_where(reader), option->minimum, option->maximum, value->text)));
	if (option->offset == FIELD(min_length))
		*(int64 *) target = (int64) number;
	else
		*(int *) target = (int) number;
}

static void
set_option(CleanReader *reader, const GptJson *value)
{
	const CleanOption *option = NULL;

	for (int i = 0; i < lengthof(options_table); i++)
	{
		if (strcmp(options_table[i].name, value->name) == 0)
			option = &options_table[i];
	}
	if (option == NULL)
		raise_missing(reader, value->name);
	if (value->type == GPT_JSON_NULL)
		return;
	switch (option->type)
	{
		case CLEAN_DEFAULTS:
		case CLEAN_BOOLEAN:
			if (!is_boolean(value))
				raise_type(reader, option, value);
			if (option->type == CLEAN_BOOLEAN)
				*(bool *) ((char *) reader->options + option->offset) =
					value->type == GPT_JSON_TRUE;
			break;
		case CLEAN_INTEGER:
			set_integer(reader, option, value);
			break;
		case CLEAN_WORD:
			set_word(reader, option, value);
			break;
		case CLEAN_MASK:
			set_mask(reader, option, value);
			break;
		case CLEAN_STOP_WORDS:
			if (value->type != GPT_JSON_STRING && value->type != GPT_JSON_ARRAY)
				raise_type(reader, option, value);
			set_stop_words(reader, value);
			break;
	}
}

static void
set_mask(CleanReader *reader, const CleanOption *option, const GptJson *value)
{
	size_t mask = option->offset;
	const char *placeholder;

	if (!is_boolean(value) && value->type != GPT_JSON_STRING)
		raise_type(reader, option, value);
	placeholder = value->type == GPT_JSON_STRING ? value->text : placeholders[mask];
	if (strlen(placeholder) > LM_MAX_PLACEHOLDER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\"%s has %zu bytes, at most %d are possible", option->name,
						of_where(reader), strlen(placeholder), LM_MAX_PLACEHOLDER)));
	reader->options->masked[mask] = value->type != GPT_JSON_FALSE;
	reader->options->placeholders[mask] = (LmBytes){placeholder, strlen(placeholder)};
}

/* ---- Stop words --------------------------------------------------------- */

static void
set_stop_words(CleanReader *reader, const GptJson *value)
{
	LmBytes *words;
	int n = 0;

	if (value->type == GPT_JSON_STRING)
	{
		read_stop_list(reader->options, value->text);
		return;
	}
	if (value->count > LM_MAX_STOP_WORDS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("option \"stop_words\"%s has %d words, at most %d are possible",
							   of_where(reader), value->count, LM_MAX_STOP_WORDS)));
	words = palloc(Max(value->count, 1) * sizeof(LmBytes));
	for (const GptJson *word = value->first; word != NULL; word = word->next)
	{
		if (word->type != GPT_JSON_STRING)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("element %d of option \"stop_words\"%s is no text", n + 1,
								   of_where(reader))));
		if (word->text[0] == '\0' || strlen(word->text) > LM_MAX_STOP_WORD)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("element %d of option \"stop_words\"%s has %zu bytes, between 1 "
								   "and %d are possible",
								   n + 1, of_where(reader), strlen(word->text), LM_MAX_STOP_WORD)));
		words[n++] = (LmBytes){word->text, strlen(word->text)};
	}
	reader->options->stop_words = words;
	reader->options->n_stop_words = n;
}

/* A list of the server's text search, as its dictionaries read it. */
static void
read_stop_list(LmCleanOptions *options, const char *name)
{
	bool is_name =
		name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
	StopList list;
	LmBytes *words;

	if (!is_name || strlen(name) >= NAMEDATALEN ||
		access(get_tsearch_config_filename(name, "stop"), R_OK) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("stop list \"%s\" does not exist", name),
				 errdetail("Stop lists are files NAME.stop in the server's directory "
						   "tsearch_data, such as english, german or french."),
				 errhint("Give the words as an array.")));
	readstoplist(name, &list, NULL);
	if (list.len > LM_MAX_STOP_WORDS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("stop list \"%s\" has %d words, at most %d are possible", name,
							   list.len, LM_MAX_STOP_WORDS)));
	words = palloc(Max(list.len, 1) * sizeof(LmBytes));
	for (int i = 0; i < list.len; i++)
	{
		size_t size = strlen(list.stop[i]);

		if (size > 0 && size <= LM_MAX_STOP_WORD)
			words[options->n_stop_words++] = (LmBytes){list.stop[i], size};
	}
	options->stop_words = words;
}

/* ---- The kept form ------------------------------------------------------ */

static void
append_text(StringInfo json, LmBytes text)
{
	escape_json(json, pnstrdup(text.data, text.size));
}

/* The value of an option as JSON. */
static void
append_value(StringInfo json, const LmCleanOptions *options, const CleanOption *option)
{
	const char *field = (const char *) options + option->offset;

	switch (option->type)
	{
		case CLEAN_DEFAULTS: /* all others are written */
			appendStringInfoString(json, "false");
			break;
		case CLEAN_BOOLEAN:
			appendStringInfoString(json, *(const bool *) field ? "true" : "false");
			break;
		case CLEAN_INTEGER:
			appendStringInfo(json, INT64_FORMAT,
							 option->offset == FIELD(min_length) ? options->min_length
																 : (int64) options->digits);
			break;
		case CLEAN_WORD:
			escape_json(json, option->word_of(*(const int *) field));
			break;
		case CLEAN_MASK:
			if (options->masked[option->offset])
				append_text(json, options->placeholders[option->offset]);
			else
				appendStringInfoString(json, "false");
			break;
		case CLEAN_STOP_WORDS:
			appendStringInfoChar(json, '[');
			for (int i = 0; i < options->n_stop_words; i++)
			{
				appendStringInfoString(json, i > 0 ? ", " : "");
				append_text(json, options->stop_words[i]);
			}
			appendStringInfoChar(json, ']');
			break;
	}
}

static char *
write_options(const LmCleanOptions *options)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < lengthof(options_table); i++)
	{
		appendStringInfoString(&json, i > 0 ? ", " : "{");
		escape_json(&json, options_table[i].name);
		appendStringInfoString(&json, ": ");
		append_value(&json, options, &options_table[i]);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

char *
gpt_clean_keep(const char *json, const char *where)
{
	LmCleanOptions options;

	return read_options(&options, json, where) ? write_options(&options) : NULL;
}

char *
gpt_clean_keep_jsonb(Jsonb *json)
{
	return gpt_clean_keep(
		json != NULL ? JsonbToCString(NULL, &json->root, (int) VARSIZE(json)) : "{}", NULL);
}

bool
gpt_clean_has_option(const char *name, size_t length)
{
	for (int i = 0; i < lengthof(options_table); i++)
	{
		if (strlen(options_table[i].name) == length &&
			memcmp(options_table[i].name, name, length) == 0)
			return true;
	}
	return false;
}

/* ---- Cleaners ----------------------------------------------------------- */

GptCleaner *
gpt_cleaner_create(const char *json)
{
	LmCleanOptions options;
	MemoryContext context;
	GptCleaner *cleaner;
	LmError error;

	if (!read_options(&options, json, NULL))
		return NULL;
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt cleaner", ALLOCSET_DEFAULT_SIZES);
	cleaner = MemoryContextAllocZero(context, sizeof(GptCleaner));
	cleaner->context = context;
	while ((cleaner->engine = lm_cleaner_create(gpt_bridge_host(context), &options, &error)) ==
		   NULL)
		gpt_bridge_retry(&error);
	return cleaner;
}

void
gpt_cleaner_free(GptCleaner *cleaner)
{
	if (cleaner != NULL)
		MemoryContextDelete(cleaner->context);
}

void
gpt_cleaner_run(GptCleaner *cleaner, LmCleaned *cleaned, LmBytes text, int flags)
{
	LmError error;

	gpt_bridge_check_memory((uint64) text.size * CLEAN_MEMORY);
	while (!lm_cleaner_run(cleaner->engine, cleaned, text, flags, &error))
		gpt_bridge_retry(&error);
}

LmBytes
gpt_cleaner_text(LmCleaned *cleaned, GptCleaner *cleaner, LmBytes text, int flags)
{
	LmCleaned unused;
	char *copy;

	if (cleaned == NULL)
		cleaned = &unused;
	*cleaned = (LmCleaned){0};
	if (cleaner == NULL)
		return text;
	gpt_cleaner_run(cleaner, cleaned, text, flags);
	if (!cleaned->changed)
		return text;
	copy = MemoryContextAllocHuge(CurrentMemoryContext, cleaned->text.size + 1);
	memcpy(copy, cleaned->text.data, cleaned->text.size);
	copy[cleaned->text.size] = '\0';
	return (LmBytes){copy, cleaned->text.size};
}

void
gpt_clean_count(GptCleanCounts *counts, const LmCleaned *row)
{
	counts->rows++;
	counts->changed += row->changed;
	counts->too_short += row->too_short;
	for (int i = 0; i < LM_N_MASKS; i++)
		counts->masks[i] += row->masks[i];
}

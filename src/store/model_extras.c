/*
 * src/store/model_extras.c
 *
 * The members of a version's config that are not arithmetic go in and out, as JSON.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "core/compat.h"
#include "core/json_tree.h"
#include "core/options.h"
#include "store/model_extras.h"

#define MAX_NODES 10000
#define MAX_END 64 /* bytes, as corpus/spool.h has them */
#define TEMPLATE "template" /* members of "prompt" */
#define END "end"
#define CHAT "chat"
#define CLEAN "clean"
#define END_TOKENS "end_tokens"
#define PREFERENCE "preference"
#define OBJECTIVE "objective" /* members of it */
#define BETA "beta"
#define PROMPT "prompt"
#define SAMPLING "sampling"

static const char *const members[] = {CHAT,	  CLEAN,	END_TOKENS, PREFERENCE,
									  PROMPT, SAMPLING, "source"};

/* The numbers of a generation_config.json that are taken over, and their ranges. */
static const struct
{
	const char *name;
	double minimum;
	double maximum;
} sampling_numbers[] = {{"temperature", 0, 100},
						{"top_k", 0, LM_MAX_VOCABULARY},
						{"top_p", 0, 1},
						{"min_p", 0, 1},
						{"repetition_penalty", 0.01, 100}};

/* Appends a member, after a comma unless it is the first. */
static void
append_member(StringInfo object, const char *name, const char *json)
{
	appendStringInfoString(object, object->len > 1 ? ", " : "");
	escape_json(object, name);
	appendStringInfo(object, ": %s", json);
}

char *
gpt_extras_of(Datum config)
{
	Jsonb *object = DatumGetJsonbP(config);
	StringInfoData extras;

	initStringInfo(&extras);
	appendStringInfoChar(&extras, '{');
	for (int i = 0; i < lengthof(members); i++)
	{
		JsonbValue buffer;
		JsonbValue *value =
			getKeyJsonValueFromContainer(&object->root, members[i], strlen(members[i]), &buffer);
		Jsonb *json;

		if (value == NULL || value->type == jbvNull)
			continue;
		json = JsonbValueToJsonb(value);
		append_member(&extras, members[i], JsonbToCString(NULL, &json->root, (int) VARSIZE(json)));
	}
	appendStringInfoChar(&extras, '}');
	return extras.len > 2 ? extras.data : NULL;
}

static const GptJson *
field_of(const char *extras, const char *name)
{
	if (extras == NULL)
		return NULL;
	return gpt_json_field(
		gpt_json_parse(extras, strlen(extras), MAX_NODES, "configuration of a model"), name);
}

/* A value as JSON text again. */
static void
append_json(StringInfo text, const GptJson *value)
{
	bool is_object = value->type == GPT_JSON_OBJECT;

	switch (value->type)
	{
		case GPT_JSON_NULL:
			appendStringInfoString(text, "null");
			break;
		case GPT_JSON_FALSE:
		case GPT_JSON_TRUE:
			appendStringInfoString(text, value->type == GPT_JSON_TRUE ? "true" : "false");
			break;
		case GPT_JSON_NUMBER:
			appendStringInfoString(text, value->text);
			break;
		case GPT_JSON_STRING:
			escape_json(text, value->text);
			break;
		case GPT_JSON_ARRAY:
		case GPT_JSON_OBJECT:
			appendStringInfoChar(text, is_object ? '{' : '[');
			for (const GptJson *child = value->first; child != NULL; child = child->next)
			{
				if (child != value->first)
					appendStringInfoString(text, ", ");
				if (is_object)
				{
					escape_json(text, child->name);
					appendStringInfoString(text, ": ");
				}
				append_json(text, child);
			}
			appendStringInfoChar(text, is_object ? '}' : ']');
			break;
	}
}

static char *
json_of(const GptJson *value)
{
	StringInfoData text;

	initStringInfo(&text);
	append_json(&text, value);
	return text.data;
}

const GptChatTemplate *
gpt_extras_chat(const char *extras)
{
	const char *chat = gpt_extras_chat_json(extras);

	return chat != NULL ? gpt_chat_template_parse(chat) : NULL;
}

char *
gpt_extras_chat_json(const char *extras)
{
	const GptJson *chat = field_of(extras, CHAT);

	return chat != NULL ? json_of(chat) : NULL;
}

char *
gpt_extras_clean(const char *extras)
{
	const GptJson *clean = field_of(extras, CLEAN);

	return clean != NULL ? json_of(clean) : NULL;
}

bool
gpt_extras_prompt(LmPromptTemplate *written, char **end, const char *extras)
{
	const GptJson *prompt = field_of(extras, PROMPT);
	const GptJson *template = gpt_json_field(prompt, TEMPLATE);
	const GptJson *ending = gpt_json_field(prompt, END);
	bool is_ended = ending != NULL && ending->type == GPT_JSON_STRING && ending->text[0] != '\0';

	*written = (LmPromptTemplate){{NULL, 0}, {NULL, 0}};
	*end = is_ended ? pstrdup(ending->text) : NULL;
	return template != NULL && template->type == GPT_JSON_STRING &&
		   lm_prompt_template_parse(written,
									(LmBytes){pstrdup(template->text), strlen(template->text)});
}

int
gpt_extras_ends(int32 **ends, const char *extras)
{
	const GptJson *array = field_of(extras, END_TOKENS);
	int n = 0;

	*ends = NULL;
	if (array == NULL || array->type != GPT_JSON_ARRAY)
		return 0;
	*ends = palloc(Max(array->count, 1) * sizeof(int32));
	for (const GptJson *id = array->first; id != NULL; id = id->next)
	{
		int number = gpt_json_integer(id, LM_MAX_VOCABULARY);

		if (number >= 0)
			(*ends)[n++] = number;
	}
	return n;
}

static double
number_of(const GptJson *value, double by_default)
{
	return value != NULL && value->type == GPT_JSON_NUMBER ? strtod(value->text, NULL) : by_default;
}

double
gpt_extras_sampling(const char *extras, const char *name, double by_default)
{
	return number_of(gpt_json_field(field_of(extras, SAMPLING), name), by_default);
}

double
gpt_extras_beta(const char *extras, const char *objective)
{
	const GptJson *preference = field_of(extras, PREFERENCE);
	const GptJson *name = gpt_json_field(preference, OBJECTIVE);
	double beta = number_of(gpt_json_field(preference, BETA), 0);

	if (name == NULL || name->type != GPT_JSON_STRING || strcmp(name->text, objective) != 0)
		return get_float8_nan();
	return beta > 0 && !isinf(beta) ? beta : get_float8_nan();
}

/* ---- Changes ------------------------------------------------------------ */

/* The token that the name means in a template (engine/marked_text.h); -1: it is text there. */
static int
token_named(const LmTokenizerSpec *spec, const char *name)
{
	size_t size = strlen(name);

	for (int id = 0; id < spec->n_tokens; id++)
	{
		bool added = spec->flags != NULL && (spec->flags[id] & LM_TOKEN_ADDED) != 0;

		if ((added || spec->special[id]) && spec->tokens[id].size == size &&
			memcmp(spec->tokens[id].data, name, size) == 0)
			return id;
	}
	return -1;
}

/* The ids of what ends the template's answers, beside those that are given. */
static char *
ends_with(const char *extras, const GptChatTemplate *template, const LmTokenizerSpec *spec)
{
	StringInfoData array;
	int32 *given;
	int n = gpt_extras_ends(&given, extras);

	initStringInfo(&array);
	appendStringInfoChar(&array, '[');
	for (int i = 0; i < n; i++)
		appendStringInfo(&array, "%s%d", i > 0 ? ", " : "", given[i]);
	for (int i = 0; i < GPT_CHAT_ENDS && template->ends[i] != NULL; i++)
	{
		int id = token_named(spec, template->ends[i]);
		bool is_new = true;

		for (int j = 0; j < n; j++)
			is_new = is_new && given[j] != id;
		if (id >= 0 && is_new)
			appendStringInfo(&array, "%s%d", array.len > 1 ? ", " : "", id);
	}
	appendStringInfoChar(&array, ']');
	return array.data;
}

char *
gpt_extras_with_chat(const char *extras, const char *chat, const LmTokenizerSpec *spec)
{
	StringInfoData changed;
	char *ends = ends_with(extras, gpt_chat_template_parse(chat), spec);

	initStringInfo(&changed);
	appendStringInfoChar(&changed, '{');
	append_member(&changed, CHAT, gpt_chat_template_keep(chat));
	if (strcmp(ends, "[]") != 0)
		append_member(&changed, END_TOKENS, ends);
	for (int i = 0; i < lengthof(members); i++)
	{
		const GptJson *value = field_of(extras, members[i]);

		if (value != NULL && strcmp(members[i], CHAT) != 0 && strcmp(members[i], END_TOKENS) != 0)
			append_member(&changed, members[i], json_of(value));
	}
	appendStringInfoChar(&changed, '}');
	return changed.data;
}

/* The extras with another value (as JSON; NULL: none) of a member, palloc'd; NULL: nothing. */
static char *
with_member(const char *extras, const char *name, const char *json)
{
	StringInfoData changed;

	initStringInfo(&changed);
	appendStringInfoChar(&changed, '{');
	if (json != NULL)
		append_member(&changed, name, json);
	for (int i = 0; i < lengthof(members); i++)
	{
		const GptJson *value = field_of(extras, members[i]);

		if (value != NULL && strcmp(members[i], name) != 0)
			append_member(&changed, members[i], json_of(value));
	}
	appendStringInfoChar(&changed, '}');
	return changed.len > 2 ? changed.data : NULL;
}

char *
gpt_extras_with_clean(const char *extras, const char *clean)
{
	return with_member(extras, CLEAN, clean);
}

char *
gpt_extras_with_beta(const char *extras, const char *objective, double beta)
{
	StringInfoData preference;

	if (objective == NULL)
		return with_member(extras, PREFERENCE, NULL);
	initStringInfo(&preference);
	appendStringInfo(&preference, "{\"" OBJECTIVE "\": \"%s\", \"" BETA "\": %s}", objective,
					 double_to_shortest_decimal(beta));
	return with_member(extras, PREFERENCE, preference.data);
}

char *
gpt_extras_with_prompt(const char *extras, const char *template, const char *end)
{
	StringInfoData prompt;

	initStringInfo(&prompt);
	appendStringInfoString(&prompt, "{\"" TEMPLATE "\": ");
	escape_json(&prompt, template);
	if (end != NULL)
	{
		appendStringInfoString(&prompt, ", \"" END "\": ");
		escape_json(&prompt, end);
	}
	appendStringInfoChar(&prompt, '}');
	return with_member(extras, PROMPT, prompt.data);
}

char *
gpt_extras_of_texts(const char *extras)
{
	char *texts = NULL;

	if (field_of(extras, CLEAN) != NULL)
		texts = with_member(texts, CLEAN, json_of(field_of(extras, CLEAN)));
	if (field_of(extras, PROMPT) != NULL)
		texts = with_member(texts, PROMPT, json_of(field_of(extras, PROMPT)));
	return texts;
}

char *
gpt_extras_with_texts(const char *extras, const char *texts)
{
	const GptJson *tree =
		texts != NULL ? gpt_json_try_parse(texts, strlen(texts), MAX_NODES, "extras") : NULL;
	char *clean = gpt_extras_clean(tree != NULL ? texts : NULL);
	LmPromptTemplate written;
	char *end;
	bool prompted;

	if (tree == NULL && texts == NULL)
		return unconstify(char *, extras);
	prompted = tree != NULL && gpt_extras_prompt(&written, &end, texts);
	if (tree == NULL || tree->type != GPT_JSON_OBJECT ||
		(gpt_json_field(tree, PROMPT) != NULL && !prompted) ||
		(prompted && written.before.size + written.after.size > GPT_PROMPT_TEMPLATE_SIZE) ||
		(prompted && end != NULL && strlen(end) > MAX_END))
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("safetensors file is not valid"),
						errdetail("Its metadata \"gpt_extras\" do not say how prompts are "
								  "written.")));
	if (clean != NULL)
		extras = gpt_extras_with_clean(extras, gpt_clean_keep(clean, "clean"));
	if (prompted)
		extras = with_member(extras, PROMPT, json_of(gpt_json_field(tree, PROMPT)));
	return unconstify(char *, extras);
}

/* ---- generation_config.json --------------------------------------------- */

char *
gpt_extras_of_generation_config(const GptJson *config)
{
	const GptJson *do_sample = gpt_json_field(config, "do_sample");
	bool greedy = do_sample != NULL && do_sample->type == GPT_JSON_FALSE;
	StringInfoData sampling;

	initStringInfo(&sampling);
	appendStringInfoChar(&sampling, '{');
	if (greedy)
		append_member(&sampling, "temperature", "0");
	for (int i = 0; i < lengthof(sampling_numbers); i++)
	{
		const char *name = sampling_numbers[i].name;
		const GptJson *value = gpt_json_field(config, name);
		double number = number_of(value, -1);

		if (value == NULL || (greedy && strcmp(name, "temperature") == 0))
			continue;
		if (!(number >= sampling_numbers[i].minimum && number <= sampling_numbers[i].maximum))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" of the generation configuration is %s", name, json_of(value)),
					 errdetail("It must be between %g and %g.", sampling_numbers[i].minimum,
							   sampling_numbers[i].maximum)));
		append_member(&sampling, name, json_of(value));
	}
	appendStringInfoChar(&sampling, '}');
	return sampling.len > 2 ? sampling.data : NULL;
}

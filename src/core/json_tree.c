/*
 * src/core/json_tree.c
 *
 * JSON text in, a tree out: the actions of the server's parser hang each value under the open array
 * or object.
 */
#include "postgres.h"

#include <limits.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_tree.h"

#define BLOCK_NODES 1024 /* allocated at once, without a header each */

typedef struct Builder
{
	GptJson *block;
	GptJson *root;
	GptJson *open; /* the innermost array or object */
	char *name; /* of the field whose value comes next */
	int n_nodes, max_nodes;
	size_t size; /* of the text */
	const char *noun;
} Builder;

static GPT_JSON_ACTION object_start(void *state);
static GPT_JSON_ACTION array_start(void *state);
static GPT_JSON_ACTION container_end(void *state);
static GPT_JSON_ACTION field_start(void *state, char *name, bool is_null);
static GPT_JSON_ACTION scalar(void *state, char *token, JsonTokenType type);
static GptJson *add_node(Builder *builder, GptJsonType type, char *token);

/* Fills the builder with the values of the text, which is UTF-8. */
static JsonParseErrorType
build(Builder *builder, JsonLexContext *lexer)
{
	JsonSemAction actions = {0};

	actions.semstate = builder;
	actions.object_start = object_start;
	actions.object_end = container_end;
	actions.array_start = array_start;
	actions.array_end = container_end;
	actions.object_field_start = field_start;
	actions.scalar = scalar;
	return pg_parse_json(lexer, &actions);
}

GptJson *
gpt_json_parse(const char *json, size_t size, int max_nodes, const char *noun)
{
	Builder builder = {.max_nodes = max_nodes, .size = size, .noun = noun};
	JsonLexContext *lexer;
	JsonParseErrorType result;
	const char *token;

	if (size > INT_MAX || !pg_verify_mbstr(PG_UTF8, json, (int) size, true))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("%s is not valid UTF-8", noun)));
	lexer = gpt_json_lexer(unconstify(char *, json), (int) size);
	result = build(&builder, lexer);
	token = lexer->token_start; /* NULL: the text has ended */
	if (result != JSON_SUCCESS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_JSON_TEXT), errmsg("%s is not valid JSON", noun),
						errdetail("%s At byte %zd, in line %d.", json_errdetail(result, lexer),
								  token != NULL ? token - lexer->input : (ssize_t) size,
								  lexer->line_number)));
	return builder.root;
}

GptJson *
gpt_json_try_parse(const char *json, size_t size, int max_nodes, const char *noun)
{
	Builder builder = {.max_nodes = max_nodes, .size = size, .noun = noun};

	if (size > INT_MAX || !pg_verify_mbstr(PG_UTF8, json, (int) size, true) ||
		build(&builder, gpt_json_lexer(unconstify(char *, json), (int) size)) != JSON_SUCCESS)
		return NULL;
	return builder.root;
}

const GptJson *
gpt_json_field(const GptJson *object, const char *name)
{
	const GptJson *found = NULL;

	if (object == NULL || object->type != GPT_JSON_OBJECT)
		return NULL;
	for (const GptJson *field = object->first; field; field = field->next)
	{
		if (strcmp(field->name, name) != 0)
			continue;
		if (found)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_JSON_OBJECT_KEY_VALUE),
							errmsg("JSON field \"%s\" occurs twice", name)));
		found = field;
	}
	return found && found->type != GPT_JSON_NULL ? found : NULL;
}

const char *
gpt_json_string(const GptJson *node)
{
	return node && node->type == GPT_JSON_STRING ? node->text : NULL;
}

int
gpt_json_integer(const GptJson *node, int max)
{
	long value;
	char *end;

	if (!node || node->type != GPT_JSON_NUMBER)
		return -1;
	errno = 0;
	value = strtol(node->text, &end, 10);
	return errno == 0 && *end == '\0' && value >= 0 && value <= max ? (int) value : -1;
}

/* The steps are written from the value up to the root, and put in front of those below. */
char *
gpt_json_path(const GptJson *node)
{
	char *path = pstrdup("");

	for (; node->parent != NULL; node = node->parent)
	{
		char *below = path;
		int number = 0;

		if (node->name != NULL)
			path = psprintf(".%s%s", node->name, below);
		else
		{
			for (const GptJson *before = node->parent->first; before != node; before = before->next)
				number++;
			path = psprintf("[%d]%s", number, below);
		}
		pfree(below);
	}
	return psprintf("$%s", path);
}

static GPT_JSON_ACTION
object_start(void *state)
{
	Builder *builder = state;

	builder->open = add_node(builder, GPT_JSON_OBJECT, NULL);
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
array_start(void *state)
{
	Builder *builder = state;

	builder->open = add_node(builder, GPT_JSON_ARRAY, NULL);
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
container_end(void *state)
{
	Builder *builder = state;

	builder->open = builder->open->parent;
	GPT_JSON_GO_ON;
}

/*
 * The parser allocates names and tokens for the actions and forgets them, so the tree may keep
 * them.
 */
static GPT_JSON_ACTION
field_start(void *state, char *name, bool is_null)
{
	((Builder *) state)->name = name;
	GPT_JSON_GO_ON;
}

/* Callback of the server's JSON parser for a string, number, boolean or null. */
static GPT_JSON_ACTION
scalar(void *state, char *token, JsonTokenType type)
{
	GptJsonType kind = GPT_JSON_NULL;

	if (type == JSON_TOKEN_STRING)
		kind = GPT_JSON_STRING;
	else if (type == JSON_TOKEN_NUMBER)
		kind = GPT_JSON_NUMBER;
	else if (type == JSON_TOKEN_TRUE)
		kind = GPT_JSON_TRUE;
	else if (type == JSON_TOKEN_FALSE)
		kind = GPT_JSON_FALSE;
	add_node(state, kind, token);
	GPT_JSON_GO_ON;
}

/*
 * Appends a zeroed node to the open array or object; nodes are allocated in blocks that never move.
 */
static GptJson *
add_node(Builder *builder, GptJsonType type, char *token)
{
	GptJson *node;

	CHECK_FOR_INTERRUPTS();
	if (builder->n_nodes >= builder->max_nodes)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s has more than %d JSON values", builder->noun, builder->max_nodes)));
	if (builder->n_nodes % BLOCK_NODES == 0)
		gpt_bridge_check_memory((uint64) (builder->n_nodes + BLOCK_NODES) * sizeof(GptJson) +
								builder->size);
	if (builder->n_nodes % BLOCK_NODES == 0)
		builder->block = palloc0(BLOCK_NODES * sizeof(GptJson));
	node = &builder->block[builder->n_nodes++ % BLOCK_NODES];
	node->type = type;
	node->text = token;
	node->parent = builder->open;
	node->name = builder->name;
	builder->name = NULL;
	if (builder->open == NULL)
		builder->root = node;
	else
	{
		if (builder->open->last)
			builder->open->last->next = node;
		else
			builder->open->first = node;
		builder->open->last = node;
		builder->open->count++;
	}
	return node;
}

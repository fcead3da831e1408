/*
 * src/store/weights_header.c
 *
 * Parses the JSON header of a safetensors file with the server's parser:
 *
 *   {"__metadata__": {"key": "value", ...}, "name": {"dtype": "F32", "shape": [2, 3],
 *   "data_offsets": [0, 24]}, ...}
 *
 * The parser calls back for each piece; depth counts the open braces and brackets:
 * 1 in the file, 2 in a tensor, 3 in an array of a tensor.
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "core/compat.h"
#include "store/catalog.h"
#include "store/weights_header.h"

typedef enum Place
{
	IN_FILE,
	IN_METADATA,
	IN_TENSOR,
	IN_TYPE,
	IN_SHAPE,
	IN_OFFSETS,
} Place;

typedef struct Parser
{
	const GptVersion *version;
	GptWeightsHeader *header;
	int capacity;
	int depth;
	Place place;
} Parser;

static GPT_JSON_ACTION object_start(void *state);
static GPT_JSON_ACTION object_end(void *state);
static GPT_JSON_ACTION array_start(void *state);
static GPT_JSON_ACTION array_end(void *state);
static GPT_JSON_ACTION field_start(void *state, char *name, bool is_null);
static GPT_JSON_ACTION scalar(void *state, char *token, JsonTokenType type);
static void add_tensor(Parser *parser, const char *name);
static void begin_field(Parser *parser, const char *name);
static uint64 parse_number(Parser *parser, const char *token, JsonTokenType type);
static void check_tensor(const Parser *parser, const GptTensor *tensor);

GptWeightsHeader *
gpt_weights_parse(const char *json, size_t size, const GptVersion *version)
{
	Parser parser = {version, palloc0(sizeof(GptWeightsHeader)), 64, 0, IN_FILE};
	JsonSemAction actions = {0};
	JsonLexContext *lexer;

	if (!pg_verify_mbstr(PG_UTF8, json, (int) size, true))
		gpt_weights_corrupt(version, "Its header is not valid UTF-8.");
	parser.header->tensors = palloc(parser.capacity * sizeof(GptTensor));
	actions.semstate = &parser;
	actions.object_start = object_start;
	actions.object_end = object_end;
	actions.array_start = array_start;
	actions.array_end = array_end;
	actions.object_field_start = field_start;
	actions.scalar = scalar;
	lexer = gpt_json_lexer(unconstify(char *, json), (int) size);
	if (pg_parse_json(lexer, &actions) != JSON_SUCCESS)
		gpt_weights_corrupt(version, "Its header is not valid JSON.");
	return parser.header;
}

void
gpt_weights_corrupt(const GptVersion *version, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("weights of model \"%s\" version %d are altered or truncated",
						   version->model, version->version),
					errdetail("%s", detail)));
}

static GPT_JSON_ACTION
object_start(void *state)
{
	Parser *parser = state;

	parser->depth++;
	if (parser->depth > 2)
		gpt_weights_corrupt(parser->version, "Its header is nested too deeply.");
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
object_end(void *state)
{
	Parser *parser = state;

	if (parser->depth == 2 && parser->place != IN_METADATA)
		check_tensor(parser, &parser->header->tensors[parser->header->n_tensors - 1]);
	parser->depth--;
	parser->place = IN_FILE;
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
array_start(void *state)
{
	Parser *parser = state;

	parser->depth++;
	if (parser->depth != 3 || (parser->place != IN_SHAPE && parser->place != IN_OFFSETS))
		gpt_weights_corrupt(parser->version, "Its header has an array in a wrong place.");
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
array_end(void *state)
{
	Parser *parser = state;

	parser->depth--;
	parser->place = IN_TENSOR;
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
field_start(void *state, char *name, bool is_null)
{
	Parser *parser = state;

	if (parser->depth == 1 && strcmp(name, "__metadata__") == 0)
		parser->place = IN_METADATA;
	else if (parser->depth == 1)
		add_tensor(parser, name);
	else if (parser->place != IN_METADATA)
		begin_field(parser, name);
	GPT_JSON_GO_ON;
}

static GPT_JSON_ACTION
scalar(void *state, char *token, JsonTokenType type)
{
	Parser *parser = state;
	GptTensor *tensor = &parser->header->tensors[Max(parser->header->n_tensors, 1) - 1];

	if (parser->depth == 2 && parser->place == IN_METADATA && type == JSON_TOKEN_STRING)
		GPT_JSON_GO_ON;
	if (parser->depth == 2 && parser->place == IN_TYPE && type == JSON_TOKEN_STRING)
		strlcpy(tensor->type, token, sizeof(tensor->type));
	else if (parser->depth == 3 && parser->place == IN_SHAPE &&
			 tensor->n_dimensions < GPT_WEIGHTS_MAX_DIMENSIONS)
		tensor->shape[tensor->n_dimensions++] = parse_number(parser, token, type);
	else if (parser->depth == 3 && parser->place == IN_OFFSETS && tensor->n_offsets < 2)
		*(tensor->n_offsets++ == 0 ? &tensor->begin : &tensor->end) =
			parse_number(parser, token, type);
	else
		gpt_weights_corrupt(parser->version, "Its header has a value in a wrong place.");
	GPT_JSON_GO_ON;
}

static void
add_tensor(Parser *parser, const char *name)
{
	GptWeightsHeader *header = parser->header;
	GptTensor *tensor;

	if (strlen(name) >= GPT_WEIGHTS_MAX_NAME)
		gpt_weights_corrupt(parser->version, "The name of a tensor is too long.");
	if (header->n_tensors >= GPT_WEIGHTS_MAX_TENSORS)
		gpt_weights_corrupt(parser->version, "It has too many tensors.");
	if (header->n_tensors == parser->capacity)
	{
		parser->capacity *= 2;
		header->tensors = repalloc(header->tensors, parser->capacity * sizeof(GptTensor));
	}
	tensor = &header->tensors[header->n_tensors++];
	memset(tensor, 0, sizeof(GptTensor));
	strlcpy(tensor->name, name, sizeof(tensor->name));
	parser->place = IN_TENSOR;
}

static void
begin_field(Parser *parser, const char *name)
{
	if (strcmp(name, "dtype") == 0)
		parser->place = IN_TYPE;
	else if (strcmp(name, "shape") == 0)
		parser->place = IN_SHAPE;
	else if (strcmp(name, "data_offsets") == 0)
		parser->place = IN_OFFSETS;
	else
		gpt_weights_corrupt(parser->version, "A tensor has a field that the format does not have.");
}

/* Whole numbers below 2^63 only: no sign, fraction or exponent. */
static uint64
parse_number(Parser *parser, const char *token, JsonTokenType type)
{
	uint64 number = 0;

	if (type != JSON_TOKEN_NUMBER)
		gpt_weights_corrupt(parser->version, "Its header has no number where one is expected.");
	for (const char *digit = token; *digit != '\0'; digit++)
	{
		if (*digit < '0' || *digit > '9' || number > (PG_INT64_MAX - 9) / 10)
			gpt_weights_corrupt(parser->version, "Its header has a number that is out of range.");
		number = number * 10 + (uint64) (*digit - '0');
	}
	return number;
}

static void
check_tensor(const Parser *parser, const GptTensor *tensor)
{
	size_t span = sizeof(float);
	bool fits = true;

	for (int i = 0; i < tensor->n_dimensions; i++)
		fits = fits && lm_size_multiply(&span, span, tensor->shape[i]);
	if (tensor->n_offsets != 2 || tensor->begin > tensor->end)
		gpt_weights_corrupt(parser->version, "A tensor has no valid offsets.");
	if (strcmp(tensor->type, "F32") != 0)
		gpt_weights_corrupt(parser->version, "A tensor is not of type F32.");
	if (!fits || tensor->end - tensor->begin != span)
		gpt_weights_corrupt(parser->version, "The shape of a tensor does not fit its offsets.");
}

/*
 * src/store/model_config.c
 *
 * LmConfig to JSON and back.
 */
#include "postgres.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>

#include "common/shortest_dec.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "core/lora_targets.h"
#include "core/words.h"
#include "store/model_config.h"

#define LABELS_FIELD "labels"

typedef enum FieldType
{
	FIELD_INTEGER,
	FIELD_REAL,
	FIELD_BOOLEAN,
	FIELD_WORD,
	FIELD_TARGETS, /* a set of words */
} FieldType;

/* The one list. */
static const struct Field
{
	const char *name;
	FieldType type;
	size_t offset;
	GptWordOf word_of; /* of words, which are enumerations */
	/* only written where it is not the default: configurations of before do not have it */
	bool later;
} fields[] = {
	{"vocabulary", FIELD_INTEGER, offsetof(LmConfig, vocabulary), NULL},
	{"context", FIELD_INTEGER, offsetof(LmConfig, context), NULL},
	{"layers", FIELD_INTEGER, offsetof(LmConfig, layers), NULL},
	{"heads", FIELD_INTEGER, offsetof(LmConfig, heads), NULL},
	{"channels", FIELD_INTEGER, offsetof(LmConfig, channels), NULL},
	{"mlp_channels", FIELD_INTEGER, offsetof(LmConfig, mlp_channels), NULL},
	{"norm", FIELD_WORD, offsetof(LmConfig, norm), lm_norm_name},
	{"norm_epsilon", FIELD_REAL, offsetof(LmConfig, norm_epsilon), NULL},
	{"position", FIELD_WORD, offsetof(LmConfig, position), lm_position_name},
	{"mlp", FIELD_WORD, offsetof(LmConfig, mlp), lm_activation_name},
	{"bias", FIELD_BOOLEAN, offsetof(LmConfig, bias), NULL},
	{"tie_embeddings", FIELD_BOOLEAN, offsetof(LmConfig, tie_embeddings), NULL},
	{"dropout", FIELD_REAL, offsetof(LmConfig, dropout), NULL},
	{"rope_base", FIELD_REAL, offsetof(LmConfig, rope_base), NULL, true},
	{"qk_norm", FIELD_BOOLEAN, offsetof(LmConfig, qk_norm), NULL, true},
	{"zero_init", FIELD_BOOLEAN, offsetof(LmConfig, zero_init), NULL, true},
	{"multi_label", FIELD_BOOLEAN, offsetof(LmConfig, multi_label), NULL, true},
	{"lora_rank", FIELD_INTEGER, offsetof(LmConfig, lora_rank), NULL, true},
	{"lora_alpha", FIELD_REAL, offsetof(LmConfig, lora_alpha), NULL, true},
	{"lora_targets", FIELD_TARGETS, offsetof(LmConfig, lora_targets), NULL, true},
	{"lora_dropout", FIELD_REAL, offsetof(LmConfig, lora_dropout), NULL, true},
};

static int read_labels(char **names, Jsonb *object);
static void append_labels(StringInfo json, int n, const char *labels);
static bool same_field(const LmConfig *a, const LmConfig *b, const struct Field *field);
static void append_field(StringInfo json, const LmConfig *config, const struct Field *field);
static bool read_field(LmConfig *config, const struct Field *field, const JsonbValue *value);
static bool read_number(double *number, const JsonbValue *value);

char *
gpt_config_to_json(const LmConfig *config, const char *labels)
{
	const LmConfig defaults = lm_config_default();
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"architecture\": \"%s\"", gpt_config_architecture(config));
	for (int i = 0; i < lengthof(fields); i++)
	{
		if (!fields[i].later || !same_field(config, &defaults, &fields[i]))
			append_field(&json, config, &fields[i]);
	}
	if (config->labels > 0)
		append_labels(&json, config->labels, labels);
	appendStringInfoChar(&json, '}');
	return json.data;
}

void
gpt_config_from_jsonb(LmConfig *config, Datum jsonb)
{
	Jsonb *object = DatumGetJsonbP(jsonb);
	LmError error;

	*config = lm_config_default();
	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model is not a JSON object")));
	for (int i = 0; i < lengthof(fields); i++)
	{
		JsonbValue buffer;
		JsonbValue *value = getKeyJsonValueFromContainer(&object->root, fields[i].name,
														 strlen(fields[i].name), &buffer);

		if (value == NULL && fields[i].later)
			continue;
		if (value == NULL || !read_field(config, &fields[i], value))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("configuration of a model has no valid \"%s\"", fields[i].name)));
	}
	config->labels = read_labels(NULL, object);
	if (!lm_config_check(config, &error))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model is not valid: %s", error.message)));
}

char **
gpt_config_labels(Datum jsonb)
{
	Jsonb *object = DatumGetJsonbP(jsonb);
	int n = read_labels(NULL, object);
	char **labels = palloc((n + 1) * sizeof(char *));

	(void) read_labels(labels, object);
	return labels;
}

/* Their number; names are copied where somewhere to put them is given. */
static int
read_labels(char **names, Jsonb *object)
{
	JsonbValue buffer;
	JsonbValue *value =
		getKeyJsonValueFromContainer(&object->root, LABELS_FIELD, strlen(LABELS_FIELD), &buffer);
	int n;

	if (value == NULL)
		return 0;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model has no valid \"%s\"", LABELS_FIELD)));
	n = (int) JsonContainerSize(value->val.binary.data);
	for (int i = 0; names != NULL && i < n; i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(value->val.binary.data, i);

		if (name->type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("configuration of a model has no valid \"%s\"", LABELS_FIELD)));
		names[i] = pnstrdup(name->val.string.val, name->val.string.len);
	}
	return n;
}

static void
append_labels(StringInfo json, int n, const char *labels)
{
	appendStringInfoString(json, ", \"" LABELS_FIELD "\": [");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(json, i > 0 ? ", " : "");
		escape_json(json, labels);
		labels += strlen(labels) + 1;
	}
	appendStringInfoChar(json, ']');
}

const char *
gpt_config_architecture(const LmConfig *config)
{
	if (config->labels == 0 && config->norm == LM_LAYERNORM && config->position == LM_LEARNED &&
		config->bias && !config->qk_norm && config->mlp != LM_RELU2)
		return "gpt2";
	return "gpt";
}

static bool
same_field(const LmConfig *a, const LmConfig *b, const struct Field *field)
{
	size_t size = field->type == FIELD_BOOLEAN ? sizeof(bool)
				  : field->type == FIELD_REAL  ? sizeof(float)
											   : sizeof(int);

	return memcmp((const char *) a + field->offset, (const char *) b + field->offset, size) == 0;
}

static void
append_field(StringInfo json, const LmConfig *config, const struct Field *field)
{
	const char *place = (const char *) config + field->offset;
	char number[FLOAT_SHORTEST_DECIMAL_LEN];

	appendStringInfo(json, ", \"%s\": ", field->name);
	switch (field->type)
	{
		case FIELD_INTEGER:
			appendStringInfo(json, "%d", *(const int *) place);
			break;
		case FIELD_REAL:
			float_to_shortest_decimal_buf(*(const float *) place, number);
			appendStringInfoString(json, number);
			break;
		case FIELD_BOOLEAN:
			appendStringInfoString(json, *(const bool *) place ? "true" : "false");
			break;
		case FIELD_WORD:
			appendStringInfo(json, "\"%s\"", field->word_of(*(const int *) place));
			break;
		case FIELD_TARGETS:
			appendStringInfo(json, "\"%s\"", gpt_lora_targets_words(*(const int *) place));
			break;
	}
}

static bool
read_field(LmConfig *config, const struct Field *field, const JsonbValue *value)
{
	char *place = (char *) config + field->offset;
	double number;

	switch (field->type)
	{
		case FIELD_INTEGER:
			if (!read_number(&number, value) || number != floor(number) || number < 0 ||
				number > INT_MAX)
				return false;
			*(int *) place = (int) number;
			return true;
		case FIELD_REAL:
			if (!read_number(&number, value) || fabs(number) > FLT_MAX)
				return false;
			*(float *) place = (float) number;
			return true;
		case FIELD_BOOLEAN:
			if (value->type != jbvBool)
				return false;
			*(bool *) place = value->val.boolean;
			return true;
		case FIELD_WORD:
			if (value->type != jbvString)
				return false;
			*(int *) place = gpt_word_find(field->word_of, value->val.string.val,
										   (size_t) value->val.string.len);
			return *(int *) place >= 0;
		case FIELD_TARGETS:
			if (value->type != jbvString)
				return false;
			*(int *) place =
				gpt_lora_targets_parse(value->val.string.val, (size_t) value->val.string.len);
			return *(int *) place > 0;
	}
	return false;
}

static bool
read_number(double *number, const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		return false;
	*number = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	return true;
}

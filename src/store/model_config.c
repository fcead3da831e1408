/*
 * src/store/model_config.c
 *
 * LmConfig to JSON and back.
 */
#include "postgres.h"

#include <float.h>
#include <limits.h>
#include <math.h>

#include "common/shortest_dec.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "core/lora_targets.h"
#include "core/words.h"
#include "engine/config_field.h"
#include "store/model_config.h"

#define LABELS_FIELD "labels"

static bool is_architecture(const LmConfigField *field);
static const char *architecture_of(const LmConfig *config);
static int read_labels(char **names, Jsonb *object);
static void append_labels(StringInfo json, int n, const char *labels);
static void append_field(StringInfo json, const LmConfig *config, const LmConfigField *field,
						 const char *labels);
static const LmConfigField *read_fields(LmConfig *config, Jsonb *object);
static bool read_field(LmConfig *config, const LmConfigField *field, const JsonbValue *value);
static bool read_number(double *number, const JsonbValue *value);

char *
gpt_config_to_json(const LmConfig *config, const char *labels)
{
	const LmConfigField *field;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"architecture\": \"%s\"", architecture_of(config));
	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		if (!is_architecture(field) && (field->since == 1 || !lm_config_is_standard(config, field)))
			append_field(&json, config, field, labels);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

void
gpt_config_from_jsonb(LmConfig *config, Datum jsonb)
{
	Jsonb *object = DatumGetJsonbP(jsonb);
	const LmConfigField *field;
	LmError error;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model is not a JSON object")));
	field = read_fields(config, object);
	if (field != NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model has no valid \"%s\"", field->name)));
	if (!lm_config_check(config, &error))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model is not valid: %s", error.message)));
}

bool
gpt_config_try_jsonb(LmConfig *config, char ***labels, Datum jsonb)
{
	Jsonb *object = DatumGetJsonbP(jsonb);
	LmError error;

	if (!JB_ROOT_IS_OBJECT(object) || read_fields(config, object) != NULL ||
		!lm_config_check(config, &error) || read_labels(NULL, object) != config->labels)
		return false;
	*labels = palloc((config->labels + 1) * sizeof(char *));
	return read_labels(*labels, object) == config->labels;
}

/* Returns the first field that is missing or not valid; NULL: none is. */
static const LmConfigField *
read_fields(LmConfig *config, Jsonb *object)
{
	const LmConfigField *field;

	*config = lm_config_default();
	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		JsonbValue buffer;
		JsonbValue *value =
			getKeyJsonValueFromContainer(&object->root, field->name, strlen(field->name), &buffer);

		if (value == NULL && field->since > 1)
			continue;
		if (value == NULL || !read_field(config, field, value))
			return field;
	}
	return NULL;
}

char **
gpt_config_labels(Datum jsonb)
{
	Jsonb *object = DatumGetJsonbP(jsonb);
	int n = read_labels(NULL, object);
	char **labels = palloc((Max(n, 0) + 1) * sizeof(char *));

	if (n < 0 || read_labels(labels, object) < 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("configuration of a model has no valid \"%s\"", LABELS_FIELD)));
	return labels;
}

/*
 * Their number, -1 where they are not valid; names are copied where somewhere to put them is given.
 */
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
		return -1;
	n = (int) JsonContainerSize(value->val.binary.data);
	for (int i = 0; names != NULL && i < n; i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(value->val.binary.data, i);

		if (name->type != jbvString)
			return -1;
		names[i] = pnstrdup(name->val.string.val, name->val.string.len);
	}
	return n;
}

static void
append_labels(StringInfo json, int n, const char *labels)
{
	appendStringInfoChar(json, '[');
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(json, i > 0 ? ", " : "");
		escape_json(json, labels);
		labels += strlen(labels) + 1;
	}
	appendStringInfoChar(json, ']');
}

/* The member "architecture" says more than this field: which decoder it is. */
static bool
is_architecture(const LmConfigField *field)
{
	return field->offset == offsetof(LmConfig, architecture);
}

/*
 * Other architectures than decoders have their word. A decoder has the name that Transformers gives
 * it; "gpt" for shapes that it does not have.
 */
static const char *
architecture_of(const LmConfig *config)
{
	const LmConfigField *field;

	if (config->architecture != LM_DECODER)
		return lm_architecture_name((int) config->architecture);
	if (config->labels == 0 && config->model_type != LM_GPT)
		return lm_model_type_name((int) config->model_type);
	/* GPT-2 has none of the switches that came later. */
	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
		if (field->since >= 3 && field->part != LM_PART_HEAD &&
			!lm_config_is_standard(config, field))
			return "gpt";
	if (config->labels == 0 && config->norm == LM_LAYERNORM && config->position == LM_LEARNED &&
		config->bias && !config->qk_norm && (config->mlp == LM_GELU || config->mlp == LM_GELU_TANH))
		return "gpt2";
	return "gpt";
}

/* Writes a field of the configuration as a JSON member. */
static void
append_field(StringInfo json, const LmConfig *config, const LmConfigField *field,
			 const char *labels)
{
	double value = lm_config_get(config, field);
	char number[FLOAT_SHORTEST_DECIMAL_LEN];

	appendStringInfo(json, ", \"%s\": ", field->name);
	switch (field->type)
	{
		case LM_FIELD_INTEGER:
			appendStringInfo(json, "%d", (int) value);
			break;
		case LM_FIELD_REAL:
			float_to_shortest_decimal_buf((float) value, number);
			appendStringInfoString(json, number);
			break;
		case LM_FIELD_BOOLEAN:
			appendStringInfoString(json, value != 0 ? "true" : "false");
			break;
		case LM_FIELD_WORD:
			appendStringInfo(json, "\"%s\"", field->name_of((int) value));
			break;
		case LM_FIELD_TARGETS:
			appendStringInfo(json, "\"%s\"", gpt_lora_targets_words((int) value));
			break;
		case LM_FIELD_LABELS:
			append_labels(json, (int) value, labels);
			break;
	}
}

/* Stores a JSON value in its field; false if it has another type or is out of range. */
static bool
read_field(LmConfig *config, const LmConfigField *field, const JsonbValue *value)
{
	double number = 0;

	switch (field->type)
	{
		case LM_FIELD_INTEGER:
			if (!read_number(&number, value) || number != floor(number) || number < 0 ||
				number > INT_MAX)
				return false;
			break;
		case LM_FIELD_REAL:
			if (!read_number(&number, value) || fabs(number) > FLT_MAX)
				return false;
			break;
		case LM_FIELD_BOOLEAN:
			if (value->type != jbvBool)
				return false;
			number = value->val.boolean;
			break;
		case LM_FIELD_WORD:
			if (value->type != jbvString)
				return false;
			number = gpt_word_find(field->name_of, value->val.string.val,
								   (size_t) value->val.string.len);
			if (number < 0 && is_architecture(field))
				number = LM_DECODER;
			if (number < 0)
				return false;
			break;
		case LM_FIELD_TARGETS:
			if (value->type != jbvString)
				return false;
			number = gpt_lora_targets_parse(value->val.string.val, (size_t) value->val.string.len);
			if (number <= 0)
				return false;
			break;
		case LM_FIELD_LABELS:
			if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
				return false;
			number = JsonContainerSize(value->val.binary.data);
			break;
	}
	lm_config_set(config, field, number);
	return true;
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

const LmConfigField *
gpt_config_field(const char *name)
{
	const LmConfigField *field;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
		if (strcmp(field->name, name) == 0)
			return field;
	elog(ERROR, "LmConfig has no field \"%s\"", name);
}

const LmConfigField *
gpt_config_lost(const LmConfig *config, const LmConfig *restored, double tolerance)
{
	const LmConfigField *field;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		double wanted = lm_config_get(config, field);

		if (field->part == LM_PART_SHAPE &&
			fabs(lm_config_get(restored, field) - wanted) > tolerance * fabs(wanted))
			return field;
	}
	return NULL;
}

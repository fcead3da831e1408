/*
 * src/serve/constrained_build.c
 *
 * Choices, a pattern or a JSON Schema go in as values of the server; an automaton comes out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "core/compat.h"
#include "serve/constrained.h"

/* A JSON value on its way to the engine's array. */
typedef struct Values
{
	LmJsonValue *values;
	int n;
	int capacity;
} Values;

/* An array or object that is open. */
typedef struct Open
{
	int number;
	int last; /* value in it, or -1 */
} Open;

static LmAutomaton *build_choices(ArrayType *array, const LmVocabulary *vocabulary,
								  const LmHost *host, LmError *error);
static LmJsonValue *read_values(int *n, Jsonb *jsonb);
static int add_value(Values *values, const JsonbValue *value);

LmAutomaton *
gpt_constraint_build(const GptConstraint *constraint, const LmVocabulary *vocabulary,
					 const LmHost *host, LmError *error)
{
	LmBuilder *builder;
	LmJsonValue *values;
	LmAutomaton *automaton;
	int n;

	if (constraint->kind == GPT_CONSTRAINT_CHOICES)
		return build_choices((ArrayType *) constraint->value, vocabulary, host, error);
	builder = lm_builder_create(host, vocabulary, error);
	if (builder == NULL)
		return NULL;
	if (constraint->kind == GPT_CONSTRAINT_PATTERN)
		lm_build_regex(
			builder,
			(LmBytes){VARDATA_ANY(constraint->value), VARSIZE_ANY_EXHDR(constraint->value)}, false);
	else
	{
		values = read_values(&n, (Jsonb *) constraint->value);
		lm_build_schema(builder, values, n, constraint->kind == GPT_CONSTRAINT_BARE);
	}
	automaton = lm_builder_finish(builder, error);
	return automaton;
}

static LmAutomaton *
build_choices(ArrayType *array, const LmVocabulary *vocabulary, const LmHost *host, LmError *error)
{
	LmAutomaton *automaton;
	LmBytes *texts;
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	texts = palloc_extended(Max(n, 1) * sizeof(LmBytes), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
		{
			(void) lm_fail(error, LM_ERR_ARGUMENT, i, "choices must not contain null");
			return NULL;
		}
		texts[i] = (LmBytes){VARDATA_ANY(DatumGetPointer(values[i])),
							 VARSIZE_ANY_EXHDR(DatumGetPointer(values[i]))};
	}
	automaton = lm_choices_create(host, texts, n, vocabulary, error);
	pfree(texts);
	pfree(values);
	pfree(nulls);
	return automaton;
}

/* The values of a jsonb, each after the one that it is in. */
static LmJsonValue *
read_values(int *n, Jsonb *jsonb)
{
	Values values = {.capacity = 64};
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue value;
	LmBytes name = {NULL, 0};
	Open *open = palloc(64 * sizeof(Open));
	int depth = 0;
	int room = 64;
	bool is_scalar = false;

	values.values = palloc(values.capacity * sizeof(LmJsonValue));
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		int number;

		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			name = (LmBytes){value.val.string.val, value.val.string.len};
		if (token == WJB_BEGIN_ARRAY && depth == 0 && value.val.array.rawScalar)
			is_scalar = true;
		if (token == WJB_END_ARRAY || token == WJB_END_OBJECT)
			depth -= depth > 0;
		if (token == WJB_KEY || token == WJB_END_ARRAY || token == WJB_END_OBJECT ||
			(is_scalar && token == WJB_BEGIN_ARRAY))
			continue;
		number = add_value(&values, &value);
		values.values[number].name = name;
		name = (LmBytes){NULL, 0};
		if (depth > 0)
		{
			Open *parent = &open[depth - 1];

			if (parent->last < 0)
				values.values[parent->number].first = number;
			else
				values.values[parent->last].next = number;
			parent->last = number;
		}
		if (token != WJB_BEGIN_ARRAY && token != WJB_BEGIN_OBJECT)
			continue;
		if (depth == room)
			open = repalloc(open, (room *= 2) * sizeof(Open));
		open[depth++] = (Open){number, -1};
	}
	pfree(open);
	*n = values.n;
	return values.values;
}

static int
add_value(Values *values, const JsonbValue *value)
{
	LmJsonValue *added;

	if (values->n == values->capacity)
		values->values =
			repalloc_huge(values->values, (Size) (values->capacity *= 2) * sizeof(LmJsonValue));
	added = &values->values[values->n];
	*added = (LmJsonValue){.first = -1, .next = -1};
	switch (value->type)
	{
		case jbvNull:
			added->kind = LM_JSON_NULL;
			break;
		case jbvBool:
			added->kind = value->val.boolean ? LM_JSON_TRUE : LM_JSON_FALSE;
			break;
		case jbvNumeric:
			added->kind = LM_JSON_NUMBER;
			added->text.data = DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			added->text.size = strlen(added->text.data);
			break;
		case jbvString:
			added->kind = LM_JSON_STRING;
			added->text = (LmBytes){value->val.string.val, value->val.string.len};
			break;
		default:
			added->kind = value->type == jbvArray ? LM_JSON_ARRAY : LM_JSON_OBJECT;
	}
	return values->n++;
}

/*
 * src/corpus/source_read.c
 *
 * A planned query goes in; its rows come out, one call back each.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/chat.h"
#include "core/clean_options.h"
#include "core/compat.h"
#include "core/settings.h"
#include "corpus/source.h"
#include "engine/batch.h"
#include "engine/config.h"

#define ROWS_PER_TIME_CHECK 64

/*
 * How values of a column become bytes: by their cast to text, as in SQL and as functions receive
 * them. The output function alone differs: that of char(n) keeps the padding, that of boolean gives
 * a letter, and a type may define its own cast.
 */
typedef struct TextColumn
{
	bool is_text; /* by its bytes: there is nothing to compute */
	ExprState *cast; /* of the value in case_value of the reader's expression context */
} TextColumn;

/* Receives the rows from the executor and keeps none. (SPI discards rows for DestNone.) */
typedef struct Reader
{
	DestReceiver receiver;
	GptSourceShape shape;
	const GptSource *source;
	GptSourceCallback callback;
	void *context;
	TextColumn texts[GPT_ROW_TEXTS];
	TextColumn label;
	ExprContext *expressions;
	Oid label_element; /* of an array of labels; InvalidOid: it is none */
	Oid weight_type;
	Oid target_type;
	MemoryContext row_context;
	TimestampTz deadline; /* 0: none */
	uint64 n_rows;
	/* of the present reading */
	int reading;
	const struct GptChatTemplate *chat;
	GptCleaner *cleaner;
} Reader;

/* Plans the cast `value::text`; a domain is cast like its base type. */
static void
start_text(TextColumn *column, Oid type, Oid collation)
{
	CaseTestExpr *value = makeNode(CaseTestExpr);
	Node *cast;
	Node *bare;

	value->typeId = type;
	value->typeMod = -1;
	value->collation = collation;
	cast = coerce_to_target_type(NULL, (Node *) value, type, TEXTOID, -1, COERCION_EXPLICIT,
								 COERCE_EXPLICIT_CAST, -1);
	if (cast == NULL)
		elog(ERROR, "type %u has no cast to text", type);
	for (bare = cast; IsA(bare, RelabelType);)
		bare = (Node *) ((RelabelType *) bare)->arg;
	column->is_text = IsA(bare, CaseTestExpr);
	column->cast = column->is_text ? NULL : ExecInitExpr(expression_planner((Expr *) cast), NULL);
}

static void
start_column(TextColumn *column, TupleDesc columns, int number, Oid type)
{
	start_text(column, type, TupleDescAttr(columns, number - 1)->attcollation);
}

/* The number of the column that has a text of rows; 0: there is none. */
static int
text_column(const GptSourceShape *shape, GptRowText text)
{
	const int columns[] = {shape->prompt_column, shape->text_column, shape->other_column,
						   shape->third_column};

	StaticAssertStmt(lengthof(columns) == GPT_ROW_TEXTS, "each text has a column");
	return columns[text];
}

/* The receiver's rStartup: looks up types and output functions of the columns once per query. */
static void
start_reader(DestReceiver *receiver, int operation, TupleDesc columns)
{
	Reader *reader = (Reader *) receiver;
	const GptSourceShape *shape = &reader->shape;

	reader->expressions = CreateStandaloneExprContext();
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
	{
		int number = text_column(shape, text);

		if (number != 0)
			start_column(&reader->texts[text], columns, number, shape->columns[number - 1].type);
	}
	if (shape->label_column != 0)
	{
		Oid type = shape->columns[shape->label_column - 1].type;

		reader->label_element =
			shape->label_is_set ? get_element_type(getBaseType(type)) : InvalidOid;
		start_column(&reader->label, columns, shape->label_column,
					 shape->label_is_set ? reader->label_element : type);
	}
	if (shape->weight_column != 0)
		reader->weight_type =
			getBaseType(TupleDescAttr(columns, shape->weight_column - 1)->atttypid);
	if (shape->number_column != 0)
		reader->target_type =
			getBaseType(TupleDescAttr(columns, shape->number_column - 1)->atttypid);
}

static const char *text_of_value(size_t *size, Reader *reader, Datum value, bool isnull,
								 TextColumn *column);

static void
check_time(Reader *reader)
{
	if (reader->n_rows++ % ROWS_PER_TIME_CHECK == 0 && reader->deadline != 0 &&
		GetCurrentTimestamp() > reader->deadline)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
						errmsg("reading the rows takes longer than gpt.read_timeout, %d s",
							   gpt_read_timeout)));
}

static const char *
text_of(size_t *size, Reader *reader, TupleTableSlot *slot, GptRowText text)
{
	int number = text_column(&reader->shape, text);
	bool isnull;
	Datum value;

	*size = 0;
	if (number == 0)
		return NULL;
	value = slot_getattr(slot, number, &isnull);
	return text_of_value(size, reader, value, isnull, &reader->texts[text]);
}

/*
 * NULL for a null, in the reader's row context. A cast may make a null of a value, and a value of a
 * null.
 */
static const char *
text_of_value(size_t *size, Reader *reader, Datum value, bool isnull, TextColumn *column)
{
	struct varlena *text_value;

	*size = 0;
	if (!column->is_text)
	{
		reader->expressions->caseValue_datum = value;
		reader->expressions->caseValue_isNull = isnull;
		value = ExecEvalExpr(column->cast, reader->expressions, &isnull);
	}
	if (isnull)
		return NULL;
	text_value = PG_DETOAST_DATUM_PACKED(value);
	*size = VARSIZE_ANY_EXHDR(text_value);
	return VARDATA_ANY(text_value);
}

/* The value as a double; source_role.c has let only these types pass. */
static double
number_of(Datum value, Oid type)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		case NUMERICOID:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
		default:
			elog(ERROR, "type %u is not a number", type);
	}
}

/*
 * A weight that is not 0 must stay one when it is a float32 and the weights of a step are divided
 * by their sum.
 */
static double
weight_of(Reader *reader, TupleTableSlot *slot)
{
	bool isnull;
	Datum value = slot_getattr(slot, reader->shape.weight_column, &isnull);
	double weight = isnull ? 1 : number_of(value, reader->weight_type);

	if (weight != 0 && !(weight >= LM_WEIGHT_MIN && weight <= LM_WEIGHT_MAX))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("weight of row " UINT64_FORMAT " is %g", reader->n_rows, weight),
						errdetail("A weight is 0 (the row is skipped) or lies between %g and %.0f.",
								  LM_WEIGHT_MIN, LM_WEIGHT_MAX)));
	return weight;
}

/* A label that is a number: it must be one, and so must its square among others of its size. */
static void
read_target(GptSourceRow *row, Reader *reader, TupleTableSlot *slot)
{
	bool isnull;
	Datum value = slot_getattr(slot, reader->shape.number_column, &isnull);

	if (isnull)
		return;
	row->target = number_of(value, reader->target_type);
	row->has_target = true;
	if (!(fabs(row->target) <= GPT_TARGET_MAX))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("label of row " UINT64_FORMAT " is %g", reader->n_rows, row->target),
						errdetail("A number to learn lies between %g and %g.", -GPT_TARGET_MAX,
								  GPT_TARGET_MAX),
						errhint("Leave such rows out, or make the label NULL.")));
}

/* The value as a string; NULL for a null. */
static const char *
label_of(Reader *reader, Datum value, bool isnull)
{
	size_t size;
	const char *text = text_of_value(&size, reader, value, isnull, &reader->label);

	if (text == NULL)
		return NULL;
	if (size > GPT_LABEL_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("label of row " UINT64_FORMAT " has %zu bytes, at most %d are possible",
						reader->n_rows, size, GPT_LABEL_SIZE)));
	return pnstrdup(text, size);
}

/*
 * The array is not taken apart before it is known to have no more elements than there can be
 * labels.
 */
static void
read_array(GptSourceRow *row, Reader *reader, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const char **labels;
	Datum *values;
	bool *nulls;
	int16 length;
	bool by_value;
	char alignment;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("label of row " UINT64_FORMAT " is an array of %d dimensions",
							   reader->n_rows, ARR_NDIM(array)),
						errdetail("The labels of a row are one list.")));
	if (n > LM_MAX_LABELS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("label of row " UINT64_FORMAT " has %d elements, at most %d are possible",
						reader->n_rows, n, LM_MAX_LABELS)));
	get_typlenbyvalalign(reader->label_element, &length, &by_value, &alignment);
	deconstruct_array(array, reader->label_element, length, by_value, alignment, &values, &nulls,
					  &n);
	labels = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		const char *label = label_of(reader, values[i], nulls[i]);

		if (label != NULL)
			labels[row->n_labels++] = label;
	}
	row->labels = labels;
}

/* Reads the column "label": one label or an array of them; NULL leaves row->labels NULL. */
static void
read_labels(GptSourceRow *row, Reader *reader, TupleTableSlot *slot)
{
	bool isnull;
	Datum value = slot_getattr(slot, reader->shape.label_column, &isnull);
	const char *label;
	const char **labels;

	if (OidIsValid(reader->label_element))
	{
		if (!isnull)
			read_array(row, reader, value);
		return;
	}
	label = label_of(reader, value, isnull);
	if (label == NULL)
		return;
	labels = palloc(sizeof(char *));
	labels[row->n_labels++] = label;
	row->labels = labels;
}

/* Cleans a text of a row, which may be NULL. */
static void
clean_text(Reader *reader, const char **text, size_t *size, int flags, LmCleaned *row)
{
	GptCleaner *cleaner = reader->cleaner;
	LmCleaned cleaned;
	LmBytes copy;

	if (*text == NULL)
		return;
	copy = gpt_cleaner_text(&cleaned, cleaner, (LmBytes){*text, *size}, flags);
	*text = copy.data;
	*size = copy.size;
	row->changed = row->changed || cleaned.changed;
	row->too_short = cleaned.too_short;
	for (int i = 0; i < LM_N_MASKS; i++)
		row->masks[i] += cleaned.masks[i];
}

/* Cleans the texts of a row. A prompt and its completion keep the white space between them. */
static void
clean_row(GptSourceRow *row, Reader *reader)
{
	GptCleaner *cleaner = reader->cleaner;
	LmCleaned whole = {0};
	bool prompted = reader->shape.prompt_column != 0;

	if (cleaner == NULL || reader->shape.messages_column != 0)
		return;
	clean_text(reader, &row->prompt, &row->prompt_size, LM_CLEAN_KEEP_END, &whole);
	whole.too_short = false;
	clean_text(reader, &row->text, &row->size, prompted ? LM_CLEAN_KEEP_START : 0, &whole);
	whole.too_short = whole.too_short && row->size > 0; /* else it is a row without text */
	row->is_short = whole.too_short;
	clean_text(reader, &row->other, &row->other_size, prompted ? LM_CLEAN_KEEP_START : 0, &whole);
	clean_text(reader, &row->third, &row->third_size, 0, &whole);
	whole.too_short = row->is_short;
	gpt_clean_count(&cleaner->counts, &whole);
}

/* Reads the column "messages": the conversation as prompt and text of the row, with marks. */
static void
read_messages(GptSourceRow *row, Reader *reader, TupleTableSlot *slot)
{
	int number = reader->shape.messages_column;
	Oid type = getBaseType(reader->shape.columns[number - 1].type);
	const char *where = psprintf(" of row " UINT64_FORMAT " of %s", reader->n_rows,
								 gpt_source_name(reader->source->kind));
	GptChatTraining training;
	GptChat chat;
	bool isnull;
	Datum value = slot_getattr(slot, number, &isnull);

	if (isnull)
		return;
	if (type == JSONBOID)
		gpt_chat_read_jsonb(&chat, DatumGetJsonbP(value), where);
	else
	{
		text *json = DatumGetTextPP(value);

		gpt_chat_read(&chat, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), where);
	}
	if (reader->cleaner != NULL)
	{
		LmCleaned whole;

		gpt_chat_clean(&whole, &chat, reader->cleaner);
		row->is_short = whole.too_short;
		gpt_clean_count(&reader->cleaner->counts, &whole);
	}
	gpt_chat_train(&training, &chat, reader->chat);
	row->prompt = training.prompt.data;
	row->prompt_size = training.prompt.len;
	row->text = training.answers.data;
	row->size = training.answers.len;
	row->is_unanswered = training.answers.len == 0;
}

/* Reads a row in the reader's present way, and hands it to the callback. */
static void
read_row(Reader *reader, TupleTableSlot *slot)
{
	GptSourceRow row = {.weight = 1, .number = reader->n_rows, .reading = reader->reading};

	if (reader->shape.messages_column != 0)
		read_messages(&row, reader, slot);
	else
	{
		row.text = text_of(&row.size, reader, slot, GPT_TEXT_MAIN);
		row.prompt = text_of(&row.prompt_size, reader, slot, GPT_TEXT_PROMPT);
		row.other = text_of(&row.other_size, reader, slot, GPT_TEXT_OTHER);
		row.third = text_of(&row.third_size, reader, slot, GPT_TEXT_THIRD);
	}
	clean_row(&row, reader);
	if (reader->shape.number_column != 0)
		read_target(&row, reader, slot);
	if (reader->shape.label_column != 0)
		read_labels(&row, reader, slot);
	if (reader->shape.weight_column != 0)
		row.weight = weight_of(reader, slot);
	if (reader->shape.validation_column != 0)
	{
		bool isnull;
		Datum value = slot_getattr(slot, reader->shape.validation_column, &isnull);

		row.validation = !isnull && DatumGetBool(value);
	}
	if (reader->shape.watermark_column != 0)
	{
		bool isnull;

		row.watermark = slot_getattr(slot, reader->shape.watermark_column, &isnull);
		row.has_watermark = !isnull;
		row.watermark_attribute =
			TupleDescAttr(slot->tts_tupleDescriptor, reader->shape.watermark_column - 1);
	}
	reader->callback(reader->context, &row);
}

/* The receiver's receiveSlot: hands each row to the callback; its memory goes after each row. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Reader *reader = (Reader *) receiver;
	const GptSource *source = reader->source;
	MemoryContext old_context = MemoryContextSwitchTo(reader->row_context);

	CHECK_FOR_INTERRUPTS();
	check_time(reader);
	for (reader->reading = 0; reader->reading < source->n_readings; reader->reading++)
	{
		reader->chat = reader->reading == 0 ? source->chat : source->second.chat;
		reader->cleaner = reader->reading == 0 ? source->cleaner : source->second.cleaner;
		read_row(reader, slot);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(reader->row_context);
	return true;
}

/* Called before the executor frees its memory, in which the casts live. */
static void
end_reader(DestReceiver *receiver)
{
	Reader *reader = (Reader *) receiver;

	if (reader->expressions != NULL)
		FreeExprContext(reader->expressions, true);
	reader->expressions = NULL;
}

static void
destroy_reader(DestReceiver *receiver)
{
}

/* A position in the query is not one in the statement that the client sent. */
static void
report_query(void *argument)
{
	const char *query = argument;
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(query);
	}
	else
		errcontext("SQL statement \"%s\"", query);
}

void
gpt_source_run(const GptSource *source, GptSourceCallback callback, void *context)
{
	ErrorContextCallback error_callback = {error_context_stack, report_query,
										   unconstify(char *, source->query)};
	Reader reader = {{receive_row, start_reader, end_reader, destroy_reader, DestTuplestore}};
	bool was_read_only = XactReadOnly;
	MemoryContext old_context;
	QueryDesc *query;

	XactReadOnly = true; /* see gpt_source_open */
	reader.shape = source->shape;
	reader.source = source;
	reader.callback = callback;
	reader.context = context;
	reader.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt source row", ALLOCSET_DEFAULT_SIZES);
	if (gpt_read_timeout > 0 && !gpt_source_runs_here(source->kind))
		reader.deadline =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) gpt_read_timeout * 1000);

	error_context_stack = &error_callback;
	old_context = CurrentMemoryContext;
	query = CreateQueryDesc(source->plan, source->query, GetActiveSnapshot(), InvalidSnapshot,
							&reader.receiver, NULL, NULL, 0);
	ExecutorStart(query, 0);
	gpt_executor_run(query);
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	MemoryContextSwitchTo(old_context);
	error_context_stack = error_callback.previous;
	XactReadOnly = was_read_only;
	MemoryContextDelete(reader.row_context);
}

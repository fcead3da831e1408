/*
 * src/sql/sql_segment.c
 *
 * gpt_segment: a text in, its words, sentences, lines or graphemes out.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/words.h"
#include "engine/segment.h"
#include "sql/arguments.h"

/* The kinds by their names in SQL: what ICU cuts, and which of the segments become rows. */
typedef enum SegmentKind
{
	KIND_WORD,
	KIND_SPAN,
	KIND_SENTENCE,
	KIND_LINE,
	KIND_GRAPHEME,
} SegmentKind;

static const LmSegmentKind engine_kinds[] = {
	[KIND_WORD] = LM_SEGMENT_WORD,		   [KIND_SPAN] = LM_SEGMENT_WORD,
	[KIND_SENTENCE] = LM_SEGMENT_SENTENCE, [KIND_LINE] = LM_SEGMENT_LINE,
	[KIND_GRAPHEME] = LM_SEGMENT_GRAPHEME,
};

/* What a place of call keeps: the iterator of its last kind and locale. */
typedef struct Kept
{
	MemoryContextCallback release;
	SegmentKind kind;
	char *locale;
	LmSegmenter *segmenter; /* NULL: none */
} Kept;

/* The columns of a row, in their order. */
typedef enum Column
{
	COLUMN_POSITION,
	COLUMN_START,
	COLUMN_SEGMENT,
	COLUMN_TYPE,
	N_COLUMNS,
} Column;

PG_FUNCTION_INFO_V1(gpt_segment);

static const char *kind_name(int number);
static SegmentKind read_kind(FunctionCallInfo fcinfo);
static LmSegmenter *find_segmenter(FunctionCallInfo fcinfo, SegmentKind kind);
static LmSegmenter *open_segmenter(MemoryContext context, SegmentKind kind, const char *locale);
static void release(void *arg);
static bool is_wanted(LmSegment *segment, SegmentKind kind, const char *data);
static void put_row(ReturnSetInfo *set, const LmSegment *segment, SegmentKind kind,
					const char *data, int position, int start);

GPT_WORDS(kind_name, [KIND_WORD] = "word", [KIND_SPAN] = "span", [KIND_SENTENCE] = "sentence",
		  [KIND_LINE] = "line", [KIND_GRAPHEME] = "grapheme");

/*
 * gpt_segment(input text, kind text DEFAULT 'word', locale text DEFAULT 'root') RETURNS SETOF
 * (position integer, start integer, segment text, type text)    STRICT
 *
 * start is a place for substr(). type is NULL for other kinds than word and span.
 */
Datum
gpt_segment(PG_FUNCTION_ARGS)
{
	LmSegmenter *segmenter;
	LmSegment segment;
	SegmentKind kind;
	const char *data;
	text *input;
	size_t seen = 0;
	int position = 0, start = 1;
	LmError error;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	kind = read_kind(fcinfo);
	segmenter = find_segmenter(fcinfo, kind);
	InitMaterializedSRF(fcinfo, 0);
	input = PG_GETARG_TEXT_PP(0);
	data = VARDATA_ANY(input);

	/* Now do the work. */
	lm_segmenter_start(segmenter, data, VARSIZE_ANY_EXHDR(input));
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!lm_segmenter_next(segmenter, &segment, &error))
		{
			gpt_bridge_retry(&error);
			continue;
		}
		if (segment.end == segment.start)
			break;
		if (!is_wanted(&segment, kind, data))
			continue;
		for (; seen < segment.start; seen++)
			start += (data[seen] & 0xC0) != 0x80;
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &segment, kind, data, ++position, start);
	}
	return (Datum) 0;
}

static SegmentKind
read_kind(FunctionCallInfo fcinfo)
{
	char *name = gpt_argument_text(fcinfo, 1);
	int kind = gpt_word_find(kind_name, name, strlen(name));

	if (kind < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("kind \"%s\" is not known", name),
				 errhint("Kinds are %s.", gpt_words_list(kind_name, " and "))));
	return (SegmentKind) kind;
}

/* ICU loads the rules of an iterator, so the place of call keeps it for the next row. */
static LmSegmenter *
find_segmenter(FunctionCallInfo fcinfo, SegmentKind kind)
{
	MemoryContext context = fcinfo->flinfo->fn_mcxt;
	char *locale = gpt_argument_text(fcinfo, 2);
	Kept *kept = fcinfo->flinfo->fn_extra;

	if (kept == NULL)
	{
		kept = MemoryContextAllocZero(context, sizeof(Kept));
		kept->release.func = release;
		kept->release.arg = kept;
		MemoryContextRegisterResetCallback(context, &kept->release);
		fcinfo->flinfo->fn_extra = kept;
	}
	if (kept->segmenter != NULL && kept->kind == kind && strcmp(kept->locale, locale) == 0)
		return kept->segmenter;
	release(kept);
	kept->segmenter = open_segmenter(context, kind, locale);
	kept->locale = MemoryContextStrdup(context, locale);
	kept->kind = kind;
	return kept->segmenter;
}

static LmSegmenter *
open_segmenter(MemoryContext context, SegmentKind kind, const char *locale)
{
	LmError error;
	LmSegmenter *segmenter =
		lm_segmenter_create(gpt_bridge_host(context), engine_kinds[kind], locale, &error);

	if (segmenter == NULL && error.code == LM_ERR_ARGUMENT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("locale \"%s\" is not known", locale),
						errhint("Locales are language tags, such as \"de\", \"ja\" or "
								"\"zh-Hant\", or \"root\" for the rules of all languages.")));
	if (segmenter == NULL)
		gpt_bridge_raise(&error);
	return segmenter;
}

/* ICU's part is outside of memory contexts. */
static void
release(void *arg)
{
	Kept *kept = arg;

	lm_segmenter_free(kept->segmenter);
	kept->segmenter = NULL;
}

/* Words are neither white space nor punctuation; sentences have no white space around them. */
static bool
is_wanted(LmSegment *segment, SegmentKind kind, const char *data)
{
	if (kind == KIND_WORD)
		return segment->type != LM_SEGMENT_SPACE && segment->type != LM_SEGMENT_OTHER;
	if (kind == KIND_SENTENCE)
		lm_segment_trim(segment, data);
	return segment->end > segment->start;
}

static void
put_row(ReturnSetInfo *set, const LmSegment *segment, SegmentKind kind, const char *data,
		int position, int start)
{
	bool has_type = kind == KIND_WORD || kind == KIND_SPAN;
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS] = {false};

	values[COLUMN_POSITION] = Int32GetDatum(position);
	values[COLUMN_START] = Int32GetDatum(start);
	values[COLUMN_SEGMENT] = PointerGetDatum(
		cstring_to_text_with_len(data + segment->start, (int) (segment->end - segment->start)));
	values[COLUMN_TYPE] =
		has_type ? CStringGetTextDatum(lm_segment_type_name((int) segment->type)) : (Datum) 0;
	nulls[COLUMN_TYPE] = !has_type;
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	pfree(DatumGetPointer(values[COLUMN_SEGMENT]));
	if (has_type)
		pfree(DatumGetPointer(values[COLUMN_TYPE]));
}

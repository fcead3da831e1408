/*
 * src/sql/sql_chunk.c
 *
 * gpt_chunk: a long text in, chunks of at most some number of tokens out.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "engine/chunk.h"
#include "sql/arguments.h"
#include "sql/named_tokenizer.h"

#define DEFAULT_SIZE 256
#define DEFAULT_OVERLAP 32

/* The columns of a row, in their order. */
typedef enum Column
{
	COLUMN_POSITION,
	COLUMN_START,
	COLUMN_TOKENS,
	COLUMN_CHUNK,
	N_COLUMNS,
} Column;

/* What a place of call keeps. */
typedef struct Kept
{
	MemoryContextCallback release;
	LmChunker *chunker;
} Kept;

PG_FUNCTION_INFO_V1(gpt_chunk);

static void read_options(LmChunkOptions *options, FunctionCallInfo fcinfo);
static LmChunker *find_chunker(FunctionCallInfo fcinfo);
static void release(void *arg);
static void put_row(ReturnSetInfo *set, const LmChunk *chunk, const char *data, int position,
					int start);

/*
 * gpt_chunk(input text, model_or_tokenizer text, size integer DEFAULT 256, overlap integer DEFAULT
 * 32) RETURNS SETOF (position integer, start integer, tokens integer, chunk text)    STRICT
 *
 * start is a place for substr(). tokens is gpt_count_tokens of the chunk.
 */
Datum
gpt_chunk(PG_FUNCTION_ARGS)
{
	LmChunkOptions options;
	LmTokenizer *tokenizer;
	LmChunker *chunker;
	LmChunk chunk;
	text *input;
	const char *data;
	size_t seen = 0;
	int position = 0, start = 1;
	LmError error;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	read_options(&options, fcinfo);
	tokenizer = gpt_named_tokenizer(gpt_argument_text(fcinfo, 1));
	chunker = find_chunker(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	input = PG_GETARG_TEXT_PP(0);
	data = VARDATA_ANY(input);

	/* Now do the work. */
	lm_chunker_start(chunker, tokenizer, &options, data, VARSIZE_ANY_EXHDR(input));
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!lm_chunker_next(chunker, &chunk, &error))
		{
			gpt_bridge_retry(&error);
			continue;
		}
		if (chunk.end == chunk.start)
			break;
		for (; seen < chunk.start; seen++)
			start += (data[seen] & 0xC0) != 0x80;
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &chunk, data, ++position, start);
	}
	return (Datum) 0;
}

static void
read_options(LmChunkOptions *options, FunctionCallInfo fcinfo)
{
	options->size = gpt_argument_integer(fcinfo, 2, "size", DEFAULT_SIZE, 1, LM_MAX_CHUNK);
	options->overlap = gpt_argument_integer(fcinfo, 3, "overlap", DEFAULT_OVERLAP, 0, LM_MAX_CHUNK);
	if (options->overlap >= options->size)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("overlap of %d tokens is not less than the size of a chunk, %d",
							   options->overlap, options->size),
						errhint("An eighth of the size is a usual overlap.")));
}

/* ICU loads the rules of its iterators, so the place of call keeps them for the next row. */
static LmChunker *
find_chunker(FunctionCallInfo fcinfo)
{
	MemoryContext context = fcinfo->flinfo->fn_mcxt;
	Kept *kept = fcinfo->flinfo->fn_extra;
	LmError error;

	if (kept == NULL)
	{
		kept = MemoryContextAllocZero(context, sizeof(Kept));
		kept->release.func = release;
		kept->release.arg = kept;
		MemoryContextRegisterResetCallback(context, &kept->release);
		fcinfo->flinfo->fn_extra = kept;
	}
	if (kept->chunker == NULL)
		kept->chunker = lm_chunker_create(gpt_bridge_host(context), &error);
	if (kept->chunker == NULL)
		gpt_bridge_raise(&error);
	return kept->chunker;
}

/* ICU's part is outside of memory contexts. */
static void
release(void *arg)
{
	Kept *kept = arg;

	lm_chunker_free(kept->chunker);
	kept->chunker = NULL;
}

static void
put_row(ReturnSetInfo *set, const LmChunk *chunk, const char *data, int position, int start)
{
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS] = {false};

	values[COLUMN_POSITION] = Int32GetDatum(position);
	values[COLUMN_START] = Int32GetDatum(start);
	values[COLUMN_TOKENS] = Int32GetDatum(chunk->n_tokens);
	values[COLUMN_CHUNK] = PointerGetDatum(
		cstring_to_text_with_len(data + chunk->start, (int) (chunk->end - chunk->start)));
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	pfree(DatumGetPointer(values[COLUMN_CHUNK]));
}

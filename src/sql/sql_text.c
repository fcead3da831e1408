/*
 * src/sql/sql_text.c
 *
 * gpt_tokenize, gpt_detokenize, gpt_count_tokens: text to token ids and back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/settings.h"
#include "sql/arguments.h"
#include "sql/named_tokenizer.h"

/*
 * bytes that a byte of text needs on its way to a value: in buffers that double, and in the value
 */
#define TEXT_MEMORY 5
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/*
 * Characters of more than one byte, by the first: their length and the range of the second (The
 * Unicode Standard 15, table 3-7).
 */
static const struct
{
	unsigned char first;
	unsigned char last;
	int length;
	unsigned char lowest;
	unsigned char highest;
} leads[] = {
	{0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x80, 0xBF},
	{0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF}, {0xF0, 0xF0, 4, 0x90, 0xBF},
	{0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

PG_FUNCTION_INFO_V1(gpt_tokenize);
PG_FUNCTION_INFO_V1(gpt_detokenize);
PG_FUNCTION_INFO_V1(gpt_count_tokens);

static void encode(LmTokens *tokens, FunctionCallInfo fcinfo);
static ArrayType *make_array(LmTokens *tokens);
static void decode(StringInfo bytes, const LmTokenizer *tokenizer, const int32 *ids, int n);
static text *valid_text(const StringInfo bytes);
static int invalid_length(const unsigned char *bytes, size_t size);

/*
 * gpt_tokenize(model_or_tokenizer text, input text) RETURNS integer[]    STRICT
 * gpt_tokenize(model_or_tokenizer text, input text, special boolean) RETURNS integer[]    STRICT
 *
 * special: names of special tokens in the text become those tokens.
 */
Datum
gpt_tokenize(PG_FUNCTION_ARGS)
{
	LmTokens tokens = {0};
	ArrayType *array;

	gpt_argument_check_call(fcinfo);
	encode(&tokens, fcinfo);
	array = make_array(&tokens);
	lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), &tokens);
	PG_RETURN_ARRAYTYPE_P(array);
}

/*
 * gpt_count_tokens(model_or_tokenizer text, input text) RETURNS integer    STRICT
 * gpt_count_tokens(model_or_tokenizer text, input text, special boolean) RETURNS integer    STRICT
 */
Datum
gpt_count_tokens(PG_FUNCTION_ARGS)
{
	LmTokens tokens = {0};
	size_t count;

	gpt_argument_check_call(fcinfo);
	encode(&tokens, fcinfo);
	count = tokens.count;
	lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), &tokens);
	PG_RETURN_INT32((int32) count);
}

/*
 * gpt_detokenize(model_or_tokenizer text, tokens integer[]) RETURNS text    STRICT
 *
 * Special tokens give no text. Bytes that are no character of UTF-8, and U+0000, become U+FFFD, one
 * for each longest beginning of a character, as other tools do it.
 */
Datum
gpt_detokenize(PG_FUNCTION_ARGS)
{
	LmTokenizer *tokenizer;
	StringInfoData bytes;
	ArrayType *array;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	array = PG_GETARG_ARRAYTYPE_P(1);
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("tokens must not contain null")));
	tokenizer = gpt_named_tokenizer(gpt_argument_text(fcinfo, 0));

	/* Now do the work. */
	initStringInfo(&bytes);
	decode(&bytes, tokenizer, (const int32 *) ARR_DATA_PTR(array),
		   ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
	PG_RETURN_TEXT_P(valid_text(&bytes));
}

/* The ids lie in the tokenizer's memory, which outlives the call: the caller frees them. */
static void
encode(LmTokens *tokens, FunctionCallInfo fcinfo)
{
	text *input = PG_GETARG_TEXT_PP(1);
	int flags = PG_NARGS() > 2 && PG_GETARG_BOOL(2) ? LM_ENCODE_SPECIAL : 0;
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	LmTokenizer *tokenizer;
	LmError error;

	gpt_bridge_check_encoding();
	tokenizer = gpt_named_tokenizer(gpt_argument_text(fcinfo, 0));
	while (!lm_tokenizer_encode_part(tokenizer, tokens, VARDATA_ANY(input),
									 VARSIZE_ANY_EXHDR(input), flags, &error))
	{
		lm_tokens_free(host, tokens);
		gpt_bridge_retry(&error);
	}
}

/* Copies the tokens into an array; raises an error if both together exceed gpt.max_memory. */
static ArrayType *
make_array(LmTokens *tokens)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + tokens->count * sizeof(int32);
	ArrayType *array;
	uint64 needed;

	if (tokens->count == 0)
		return construct_empty_array(INT4OID);
	needed = size + tokens->capacity * sizeof(int32);
	if (needed > (uint64) gpt_settings_max_memory())
	{
		lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), tokens);
		gpt_bridge_check_memory(needed);
	}
	array = palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (size > MaxAllocSize || array == NULL)
	{
		size_t count = tokens->count;

		lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), tokens);
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("text has %zu tokens, more than an array holds", count)));
	}
	memset(array, 0, ARR_OVERHEAD_NONULLS(1));
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT4OID;
	ARR_DIMS(array)
	[0] = (int) tokens->count;
	ARR_LBOUND(array)
	[0] = 1;
	memcpy(ARR_DATA_PTR(array), tokens->ids, tokens->count * sizeof(int32));
	return array;
}

/*
 * Appends the bytes of the tokens, without the space that a prefix puts in front of a text; they
 * need not be valid UTF-8.
 */
static void
decode(StringInfo bytes, const LmTokenizer *tokenizer, const int32 *ids, int n)
{
	bool strip = lm_tokenizer_spec(tokenizer)->strip_space;

	for (int i = 0; i < n; i++)
	{
		LmBytes token;

		CHECK_FOR_INTERRUPTS();
		gpt_check_token(tokenizer, ids[i]);
		token = lm_tokenizer_bytes(tokenizer, ids[i]);
		if (strip && token.size > 0)
		{
			if (token.data[0] == ' ')
				token = (LmBytes){token.data + 1, token.size - 1};
			strip = false;
		}
		gpt_bridge_check_memory((uint64) TEXT_MEMORY * (bytes->len + token.size));
		appendBinaryStringInfo(bytes, token.data, (int) token.size);
	}
}

/* Replaces each invalid sequence, and each zero byte, by one U+FFFD. */
static text *
valid_text(const StringInfo bytes)
{
	StringInfoData result;
	int length;

	initStringInfo(&result);
	for (int i = 0; i < bytes->len; i += length)
	{
		CHECK_FOR_INTERRUPTS();
		length = lm_utf8_length(bytes->data + i, bytes->len - i);
		if (length > 0 && bytes->data[i] != '\0')
		{
			appendBinaryStringInfo(&result, bytes->data + i, length);
			continue;
		}
		if (length == 0)
			length = invalid_length((const unsigned char *) bytes->data + i, bytes->len - i);
		appendStringInfoString(&result, REPLACEMENT);
	}
	return cstring_to_text_with_len(result.data, result.len);
}

/* Bytes of the longest beginning of a character at bytes, at least 1. */
static int
invalid_length(const unsigned char *bytes, size_t size)
{
	int length = 1;

	for (int i = 0; i < lengthof(leads); i++)
	{
		if (bytes[0] < leads[i].first || bytes[0] > leads[i].last)
			continue;
		if (size < 2 || bytes[1] < leads[i].lowest || bytes[1] > leads[i].highest)
			return 1;
		for (length = 2; length < leads[i].length && (size_t) length < size; length++)
		{
			if (bytes[length] < 0x80 || bytes[length] > 0xBF)
				break;
		}
	}
	return length;
}

/*
 * src/sql/sql_token.c
 *
 * gpt_token_text: a token in, what it spells out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/argument_type.h"
#include "core/bridge.h"
#include "core/compat.h"
#include "sql/arguments.h"
#include "sql/named_tokenizer.h"

PG_FUNCTION_INFO_V1(gpt_token_text);

static Datum texts_of(const LmTokenizer *tokenizer, ArrayType *ids);
static text *text_of(const LmTokenizer *tokenizer, int32 id);

/*
 * gpt_token_text(model_or_tokenizer text, token integer) RETURNS text    STRICT
 * gpt_token_text(model_or_tokenizer text, tokens integer[]) RETURNS text[]    STRICT
 *
 * The name of a special token; of others what they spell, with <0x0A> for a byte that belongs to no
 * whole character of the token, and for the zero byte. The array keeps its shape and its NULLs.
 */
Datum
gpt_token_text(PG_FUNCTION_ARGS)
{
	LmTokenizer *tokenizer;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	tokenizer = gpt_named_tokenizer(gpt_argument_text(fcinfo, 0));
	if (gpt_argument_type(fcinfo, 1) == INT4ARRAYOID)
		return texts_of(tokenizer, PG_GETARG_ARRAYTYPE_P(1));
	PG_RETURN_TEXT_P(text_of(tokenizer, PG_GETARG_INT32(1)));
}

static Datum
texts_of(const LmTokenizer *tokenizer, ArrayType *ids)
{
	uint64 needed = 0;
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(ids, INT4OID, sizeof(int32), true, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		text *spelled;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			continue;
		spelled = text_of(tokenizer, DatumGetInt32(values[i]));
		/* Each text is in memory alone and in the array. */
		needed += 2 * INTALIGN(VARSIZE(spelled)) + sizeof(Datum);
		gpt_bridge_check_memory(needed);
		values[i] = PointerGetDatum(spelled);
	}
	if (n == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, ARR_NDIM(ids), ARR_DIMS(ids),
											 ARR_LBOUND(ids), TEXTOID, -1, false, TYPALIGN_INT));
}

static text *
text_of(const LmTokenizer *tokenizer, int32 id)
{
	return cstring_to_text(gpt_token_spelled(tokenizer, id));
}

char *
gpt_token_spelled(const LmTokenizer *tokenizer, int32 id)
{
	StringInfoData result;
	LmBytes bytes;

	gpt_check_token(tokenizer, id);
	bytes = lm_tokenizer_name(tokenizer, id);
	initStringInfo(&result);
	for (size_t i = 0; i < bytes.size;)
	{
		int length = lm_utf8_length(bytes.data + i, bytes.size - i);

		if (length > 0 && bytes.data[i] != '\0')
			appendBinaryStringInfo(&result, bytes.data + i, length);
		else
			appendStringInfo(&result, "<0x%02X>", (unsigned char) bytes.data[i]);
		i += Max(length, 1);
	}
	return result.data;
}

/*
 * src/sql/sql_tokens.c
 *
 * gpt_tokens: the tokens of a text, and how likely each was.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/call_try.h"
#include "serve/token_scores.h"
#include "sql/arguments.h"
#include "sql/named_tokenizer.h"

PG_FUNCTION_INFO_V1(gpt_tokens);

/* The columns of a row, in their order. */
typedef enum Column
{
	COLUMN_POSITION,
	COLUMN_TOKEN,
	COLUMN_TEXT,
	COLUMN_BYTES,
	COLUMN_OFFSET,
	COLUMN_LENGTH,
	COLUMN_LOGPROB,
	COLUMN_RANK,
	COLUMN_ENTROPY,
	COLUMN_EXPECTED,
	N_COLUMNS,
} Column;

static void put_row(ReturnSetInfo *set, const GptTokenWalk *walk);

/*
 * gpt_tokens(model text, input text, prompt text DEFAULT NULL) RETURNS SETOF (position integer,
 * token integer, text text, bytes bytea, offset integer, length integer, logprob float8, rank
 * integer, entropy float8, expected text)
 *
 * NULL model or input gives no rows; NULL prompt means that there is none. The first token of a
 * model without a token in front has no score.
 */
Datum
gpt_tokens(PG_FUNCTION_ARGS)
{
	LmBytes prompt = {NULL, 0};
	const GptServed *served;
	GptTokenScores *tokens;
	GptTokenWalk walk;
	LmError error = {.code = LM_OK};
	text *input;
	bool nulls;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	input = PG_GETARG_TEXT_PP(1);
	if (!PG_ARGISNULL(2))
	{
		text *value = PG_GETARG_TEXT_PP(2);

		prompt = (LmBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	}
	nulls = gpt_try_nulls(fcinfo, NULL);
	served = gpt_try_acquire(fcinfo, "gpt_tokens", gpt_argument_text(fcinfo, 0),
							 GPT_SERVED_LANGUAGE_MODEL, nulls);
	if (served == NULL)
		return (Datum) 0;

	/* Now do the work. */
	tokens = gpt_token_scores_or_null(&error, served, prompt,
									  (LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)});
	if (tokens != NULL)
		gpt_token_walk_begin(&walk, tokens);
	else
		(void) gpt_try_error(&error, "gpt_tokens", served->model, nulls);
	while (tokens != NULL && gpt_token_walk_next(&walk))
	{
		CHECK_FOR_INTERRUPTS();
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &walk);
	}
	gpt_cache_release(served);
	return (Datum) 0;
}

static void
put_row(ReturnSetInfo *set, const GptTokenWalk *walk)
{
	const GptTokenScores *tokens = walk->tokens;
	const LmTokenScore *score = &tokens->scores[walk->i];
	const char *data = tokens->text.data;
	bool is_scored = score->rank > 0;
	Datum values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS] = {false};
	char *expected = NULL;

	values[COLUMN_POSITION] = Int32GetDatum((int32) walk->i + 1);
	values[COLUMN_TOKEN] = Int32GetDatum(score->id);
	values[COLUMN_TEXT] = PointerGetDatum(cstring_to_text_with_len(
		data + walk->text_start, (int) (walk->text_end - walk->text_start)));
	values[COLUMN_BYTES] = PointerGetDatum(
		cstring_to_text_with_len(data + walk->start, (int) (walk->end - walk->start)));
	values[COLUMN_OFFSET] = Int32GetDatum((int32) walk->start);
	values[COLUMN_LENGTH] = Int32GetDatum((int32) (walk->end - walk->start));
	nulls[COLUMN_LOGPROB] = nulls[COLUMN_RANK] = nulls[COLUMN_ENTROPY] = !is_scored;
	/* A model may have more rows of logits than its tokenizer has tokens. */
	nulls[COLUMN_EXPECTED] =
		!is_scored || score->expected >= lm_tokenizer_spec(tokens->tokenizer)->n_tokens;
	if (is_scored)
	{
		values[COLUMN_LOGPROB] = Float8GetDatum(score->logprob);
		values[COLUMN_RANK] = Int32GetDatum(score->rank);
		values[COLUMN_ENTROPY] = Float8GetDatum(score->entropy);
	}
	if (!nulls[COLUMN_EXPECTED])
	{
		expected = gpt_token_spelled(tokens->tokenizer, score->expected);
		values[COLUMN_EXPECTED] = CStringGetTextDatum(expected);
	}
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	pfree(DatumGetPointer(values[COLUMN_TEXT]));
	pfree(DatumGetPointer(values[COLUMN_BYTES]));
	if (expected == NULL)
		return;
	pfree(expected);
	pfree(DatumGetPointer(values[COLUMN_EXPECTED]));
}

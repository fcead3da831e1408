/*
 * src/sql/sql_look.c
 *
 * gpt_attention and gpt_logit_lens: what the layers of a model do with a text.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/model_probe.h"
#include "sql/arguments.h"
#include "sql/named_tokenizer.h"

#define LENS_ROWS 16 /* whose logits are there at once */

/* The columns of gpt_attention and of gpt_logit_lens, in their order. */
typedef enum AttentionColumn
{
	ATTENTION_QUERY,
	ATTENTION_QUERY_TEXT,
	ATTENTION_KEY,
	ATTENTION_KEY_TEXT,
	ATTENTION_WEIGHT,
	N_ATTENTION_COLUMNS,
} AttentionColumn;

typedef enum LensColumn
{
	LENS_LAYER,
	LENS_POSITION,
	LENS_TEXT,
	LENS_TOKEN,
	LENS_LOGPROB,
	LENS_NEXT_LOGPROB,
	LENS_NEXT_RANK,
	N_LENS_COLUMNS,
} LensColumn;

/* A text that a probe has read. */
typedef struct Look
{
	GptProbe *model;
	LmProbe *probe;
	LmTokens tokens;
	int first; /* position of the first token: 0 where it stands in front of the text */
	Datum *texts; /* [tokens.count] */
} Look;

PG_FUNCTION_INFO_V1(gpt_attention);
PG_FUNCTION_INFO_V1(gpt_logit_lens);

static bool begin_look(Look *look, FunctionCallInfo fcinfo, GptServedKind kind, const char *use,
					   uint64 held);
static void count(Look *look);
static void spell_tokens(Look *look);
static void put_attention(ReturnSetInfo *set, const Look *look, int head);
static void put_guesses(ReturnSetInfo *set, const Look *look, int layer, float *logits);

/*
 * gpt_attention(model text, input text, layer integer, head integer DEFAULT NULL) RETURNS SETOF
 * (query integer, query_text text, key integer, key_text text, weight real)
 *
 * How much each token attends to each token that it sees, in a layer and head counted from 1; head
 * NULL: the mean of all. Position 0 is the token in front of the text. NULL elsewhere gives no
 * rows.
 */
Datum
gpt_attention(PG_FUNCTION_ARGS)
{
	const LmConfig *config;
	int layer, head;
	LmError error;
	Look look;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(2) || !begin_look(&look, fcinfo, GPT_SERVED_ANY, "gpt_attention", 0))
		return (Datum) 0;
	config = gpt_probe_served(look.model)->config;
	layer = gpt_argument_integer(fcinfo, 2, "layer", 1, 1, config->layers);
	head = PG_ARGISNULL(3) ? 0 : gpt_argument_integer(fcinfo, 3, "head", 1, 1, config->heads);

	/* Now do the work. */
	while (!lm_probe_layer(look.probe, layer - 1, &error))
		gpt_bridge_retry(&error);
	put_attention((ReturnSetInfo *) fcinfo->resultinfo, &look, head - 1);
	count(&look);
	return (Datum) 0;
}

/*
 * gpt_logit_lens(model text, input text) RETURNS SETOF (layer integer, position integer, text text,
 * token text, logprob real, next_logprob real, next_rank bigint)    STRICT
 *
 * What the model would predict after each token, if its last layer were this one: the most likely
 * token, and how likely the token of the text is that follows (NULL after the last). Layer 0 is the
 * embeddings, position 0 the token in front of the text.
 */
Datum
gpt_logit_lens(PG_FUNCTION_ARGS)
{
	const LmConfig *config;
	float *logits;
	size_t size;
	Look look;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	if (!begin_look(&look, fcinfo, GPT_SERVED_LANGUAGE_MODEL, "gpt_logit_lens", LENS_ROWS))
		return (Datum) 0;
	config = gpt_probe_served(look.model)->config;
	size = (size_t) LENS_ROWS * config->vocabulary * sizeof(float);
	logits = MemoryContextAllocHuge(CurrentMemoryContext, size);

	/* Now do the work. */
	for (int layer = 0; layer <= config->layers; layer++)
		put_guesses((ReturnSetInfo *) fcinfo->resultinfo, &look, layer, logits);
	count(&look);
	return (Datum) 0;
}

/*
 * Reads the text of a call; false: an argument is NULL, or there is no token. logits_rows: as many
 * rows of logits the caller will have.
 */
static bool
begin_look(Look *look, FunctionCallInfo fcinfo, GptServedKind kind, const char *use,
		   uint64 logits_rows)
{
	uint64 held;
	text *input;
	int n_prefix;
	LmError error;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return false;
	look->model = gpt_probe_acquire(fcinfo->flinfo, gpt_argument_text(fcinfo, 0), kind, use);
	input = PG_GETARG_TEXT_PP(1);
	look->tokens = gpt_probe_encode(&n_prefix, look->model,
									(LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)});
	if (look->tokens.count == 0)
		return false;
	held = logits_rows * gpt_probe_served(look->model)->config->vocabulary * sizeof(float) +
		   look->tokens.count * 128;
	look->probe = gpt_probe_get(look->model, (int) look->tokens.count, held);
	while (
		!lm_probe_read(look->probe, look->tokens.ids, (int) look->tokens.count, n_prefix, &error))
		gpt_bridge_retry(&error);
	spell_tokens(look);
	return true;
}

/* The token in front is not one of the text's. */
static void
count(Look *look)
{
	gpt_probe_count(look->model, (int64) look->tokens.count - (look->first == 0 ? 1 : 0));
}

/* The texts of tokens: a character belongs to the token that ends it. */
static void
spell_tokens(Look *look)
{
	const LmTokenizer *tokenizer = gpt_probe_served(look->model)->tokenizer;
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);
	int32 front = spec->beginning >= 0 ? spec->beginning : spec->end_of_text;
	StringInfoData held;

	look->first = front >= 0 && look->tokens.ids[0] == front ? 0 : 1;
	look->texts = palloc(look->tokens.count * sizeof(Datum));
	initStringInfo(&held);
	for (size_t i = 0; i < look->tokens.count; i++)
	{
		int32 id = look->tokens.ids[i];
		LmBytes bytes = lm_tokenizer_bytes(tokenizer, id);
		int whole = 0;

		CHECK_FOR_INTERRUPTS();
		if (bytes.size == 0)
		{
			look->texts[i] = CStringGetTextDatum(gpt_token_spelled(tokenizer, id));
			continue;
		}
		appendBinaryStringInfo(&held, bytes.data, (int) bytes.size);
		while (whole < held.len)
		{
			int length = lm_utf8_length(held.data + whole, held.len - whole);

			if (length <= 0)
				break;
			whole += length;
		}
		look->texts[i] = PointerGetDatum(cstring_to_text_with_len(held.data, whole));
		memmove(held.data, held.data + whole, held.len - whole);
		held.len -= whole;
	}
}

/* A row for each pair of tokens, of which the first sees the second. */
static void
put_attention(ReturnSetInfo *set, const Look *look, int head)
{
	int n = (int) look->tokens.count;
	float *weights = palloc(n * sizeof(float));

	for (int query = 0; query < n; query++)
	{
		lm_probe_attention(weights, look->probe, query, head);
		for (int key = 0; key < n; key++)
		{
			Datum values[N_ATTENTION_COLUMNS];
			bool nulls[N_ATTENTION_COLUMNS] = {false};

			CHECK_FOR_INTERRUPTS();
			if (weights[key] == 0)
				continue;
			values[ATTENTION_QUERY] = Int32GetDatum(look->first + query);
			values[ATTENTION_QUERY_TEXT] = look->texts[query];
			values[ATTENTION_KEY] = Int32GetDatum(look->first + key);
			values[ATTENTION_KEY_TEXT] = look->texts[key];
			values[ATTENTION_WEIGHT] = Float4GetDatum(weights[key]);
			tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
		}
	}
}

/* A row for each token, in a layer. logits: room for LENS_ROWS rows. */
static void
put_guesses(ReturnSetInfo *set, const Look *look, int layer, float *logits)
{
	const LmTokenizer *tokenizer = gpt_probe_served(look->model)->tokenizer;
	int n = (int) look->tokens.count;
	LmGuess guesses[LENS_ROWS];
	int32 next[LENS_ROWS];
	LmError error;

	for (int first = 0; first < n; first += LENS_ROWS)
	{
		int rows = Min(LENS_ROWS, n - first);

		for (int i = 0; i < rows; i++)
			next[i] = first + i + 1 < n ? look->tokens.ids[first + i + 1] : -1;
		while (!lm_probe_guess(guesses, logits, look->probe, layer, first, rows, next, &error))
			gpt_bridge_retry(&error);
		for (int i = 0; i < rows; i++)
		{
			char *token = gpt_token_spelled(tokenizer, guesses[i].id);
			Datum values[N_LENS_COLUMNS];
			bool nulls[N_LENS_COLUMNS] = {false};

			values[LENS_LAYER] = Int32GetDatum(layer);
			values[LENS_POSITION] = Int32GetDatum(look->first + first + i);
			values[LENS_TEXT] = look->texts[first + i];
			values[LENS_TOKEN] = CStringGetTextDatum(token);
			values[LENS_LOGPROB] = Float4GetDatum((float4) guesses[i].logprob);
			values[LENS_NEXT_LOGPROB] = Float4GetDatum((float4) guesses[i].next_logprob);
			values[LENS_NEXT_RANK] = Int64GetDatum(guesses[i].next_rank);
			nulls[LENS_NEXT_LOGPROB] = nulls[LENS_NEXT_RANK] = next[i] < 0;
			tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
			pfree(token);
		}
	}
}

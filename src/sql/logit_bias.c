/*
 * src/sql/logit_bias.c
 *
 * From the argument logit_bias to the biases of tokens. A key is the number of a token or its text:
 * the bytes that it adds to an output, or the name of a special token, such as the end of a text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/bridge.h"
#include "sql/logit_bias.h"

#define MAX_KEYS 10000
#define MAX_BIAS 100
#define MAX_DIGITS 9
#define SHOWN 60 /* bytes of a key in messages */

typedef struct Biases
{
	LmBias *all;
	int n;
	int capacity;
} Biases;

static bool find_tokens(Biases *found, LmBytes key, float bias, const GptServed *served);
static bool is_number(LmBytes key);
static void find_text(Biases *found, LmBytes key, float bias, LmTokenizer *tokenizer);
static void find_name(Biases *found, LmBytes key, float bias, const LmTokenizer *tokenizer);
static void add(Biases *found, int32 id, float bias);
static int compare(const void *a, const void *b);
static const char *shown(LmBytes key);

void
gpt_logit_bias_check(const Jsonb *json)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	LmBytes key = {"", 0};

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("logit_bias is not a JSON object"),
						errhint("Its keys are texts or numbers of tokens, its values numbers.")));
	if (JB_ROOT_COUNT(json) > MAX_KEYS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("logit_bias has %d keys", (int) JB_ROOT_COUNT(json)),
						errhint("It may have up to %d.", MAX_KEYS)));
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &json->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		double bias;

		if (token == WJB_KEY)
			key = (LmBytes){value.val.string.val, value.val.string.len};
		if (token != WJB_VALUE)
			continue;
		if (value.type != jbvNumeric)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("logit_bias of key \"%s\" is not a number", shown(key))));
		bias = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value.val.numeric)));
		if (!(bias >= -MAX_BIAS && bias <= MAX_BIAS))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("logit_bias of key \"%s\" is out of range: %g", shown(key), bias),
					 errhint("It must be between %d and %d.", -MAX_BIAS, MAX_BIAS)));
	}
}

bool
gpt_logit_bias_resolve(LmSampling *sampling, const Jsonb *json, const GptServed *served,
					   LmError *error)
{
	JsonbIterator *iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &json->root));
	JsonbIteratorToken token;
	JsonbValue value;
	LmBytes key = {"", 0};
	Biases found = {0};

	while (!lm_tokenizer_sort(served->tokenizer, error))
		gpt_bridge_retry(error);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = (LmBytes){value.val.string.val, value.val.string.len};
		if (token != WJB_VALUE)
			continue;
		if (!find_tokens(&found, key,
						 (float) DatumGetFloat8(DirectFunctionCall1(
							 numeric_float8_no_overflow, NumericGetDatum(value.val.numeric))),
						 served))
			return lm_fail(error, LM_ERR_ARGUMENT, -1,
						   "logit_bias has key \"%s\", which is not one token of model \"%s\"",
						   shown(key), served->model);
	}
	if (found.n > 1)
		qsort(found.all, found.n, sizeof(LmBias), compare);
	for (int i = 1; i < found.n; i++)
		if (found.all[i].id == found.all[i - 1].id)
			return lm_fail(error, LM_ERR_ARGUMENT, -1, "logit_bias names token %d twice",
						   found.all[i].id);
	sampling->biases = found.all;
	sampling->n_biases = found.n;
	return true;
}

static bool
find_tokens(Biases *found, LmBytes key, float bias, const GptServed *served)
{
	int before = found->n;

	if (is_number(key))
	{
		int32 id = pg_strtoint32(pnstrdup(key.data, key.size));

		if (id < lm_tokenizer_spec(served->tokenizer)->n_tokens)
			add(found, id, bias);
	}
	else if (key.size > 0)
		find_text(found, key, bias, served->tokenizer);
	if (found->n == before && !is_number(key))
		find_name(found, key, bias, served->tokenizer);
	return found->n > before;
}

static bool
is_number(LmBytes key)
{
	for (size_t i = 0; i < key.size; i++)
		if (key.data[i] < '0' || key.data[i] > '9')
			return false;
	return key.size > 0 && key.size <= MAX_DIGITS;
}

/* Tokens of the same bytes, such as one that was added, have the bias all of them. */
static void
find_text(Biases *found, LmBytes key, float bias, LmTokenizer *tokenizer)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);
	LmTokenRange range = {0, spec->n_tokens};
	bool is_ordered = spec->kind != LM_TOKENIZER_BYTES && spec->kind != LM_TOKENIZER_CHARS;

	if (is_ordered)
		range = lm_tokenizer_beginning(tokenizer, key);
	for (int32 place = range.first; place < range.end; place++)
	{
		int32 id = is_ordered ? lm_tokenizer_ordered(tokenizer, place) : place;
		LmBytes bytes = lm_tokenizer_bytes(tokenizer, id);

		if (bytes.size == key.size && memcmp(bytes.data, key.data, key.size) == 0)
			add(found, id, bias);
		else if (is_ordered)
			return; /* the shortest come first */
	}
}

static void
find_name(Biases *found, LmBytes key, float bias, const LmTokenizer *tokenizer)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);

	for (int32 id = 0; id < spec->n_tokens; id++)
	{
		LmBytes name;

		if ((spec->special == NULL || !spec->special[id]) && id != spec->end_of_text)
			continue;
		name = lm_tokenizer_name(tokenizer, id);
		if (name.size == key.size && memcmp(name.data, key.data, key.size) == 0)
			add(found, id, bias);
	}
}

static void
add(Biases *found, int32 id, float bias)
{
	if (found->n == found->capacity)
	{
		found->capacity = Max(2 * found->capacity, 16);
		found->all = found->all == NULL ? palloc(found->capacity * sizeof(LmBias))
										: repalloc(found->all, found->capacity * sizeof(LmBias));
	}
	found->all[found->n++] = (LmBias){id, bias};
}

static int
compare(const void *a, const void *b)
{
	const LmBias *first = a, *second = b;

	return (first->id > second->id) - (first->id < second->id);
}

/* A key for a message, cut where it is long; palloc'd. */
static const char *
shown(LmBytes key)
{
	int size = pg_mbcliplen(key.data, (int) key.size, SHOWN);

	return psprintf("%.*s%s", size, key.data, size < (int) key.size ? "..." : "");
}

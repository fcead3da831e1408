/*
 * src/sql/sql_choose.c
 *
 * gpt_choose and gpt_embed: what a language model says of a text without having been trained to say
 * it.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/words.h"
#include "serve/cache.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

#define SLICE 64 /* choices that are scored together */

PG_FUNCTION_INFO_V1(gpt_choose);
PG_FUNCTION_INFO_V1(gpt_embed);

/* Embeddings on their way to rows. */
typedef struct EmbeddingSet
{
	GptElements *elements;
	MemoryContext slice; /* of the answers */
	GptAnswer answers[GPT_ELEMENTS];
	int n;
	int next;
} EmbeddingSet;

static Datum choose(const GptServed *served, LmBytes prompt, ArrayType *choices);
static int next_choices(Datum *slice, ArrayIterator iterator);
static void rate(double *ratings, const GptServed *served, LmBytes prompt, const Datum *slice,
				 int n);
static double logprob_of(const GptAnswer *answer);
static LmPooling read_pooling(FunctionCallInfo fcinfo);
static void normalize(float *embedding, int n);
static Datum array_of(float *embedding, int n, bool wants_normal);
static Datum embed_elements(FunctionCallInfo fcinfo);
static EmbeddingSet *begin_set(FunctionCallInfo fcinfo, MemoryContext context);
static void embed_slice(EmbeddingSet *embeddings);
static bool read_embed(GptCall *call, FunctionCallInfo fcinfo);
static Datum embed_result(const GptCall *call, const GptServed *served, bool *is_null);

const GptCallKind gpt_embed_call = {"gpt_embed",	gpt_embed,	FLOAT4ARRAYOID, LM_TASK_EMBED,
									GPT_SERVED_ANY, read_embed, embed_result};

static LmBytes
bytes_of(Datum value)
{
	text *detoasted = DatumGetTextPP(value);

	return (LmBytes){VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted)};
}

/*
 * gpt_choose(model text, prompt text, choices text[]) RETURNS text
 *
 * The choice that the prompt makes more likely than it is by itself: the largest (log p(choice |
 * prompt) - log p(choice)) / tokens (Holtzman et al. 2021, "Surface form competition", with the
 * empty prompt as domain; Brown et al. 2020, section 2.4). The first of equals. NULL gives NULL, as
 * do choices of which none has a scored token; a null among them is passed over.
 */
Datum
gpt_choose(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	Datum best;
	ArrayType *choices;
	LmBytes prompt;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	prompt = bytes_of(PG_GETARG_DATUM(1));
	gpt_bridge_check_memory(
		VARATT_IS_EXTENDED(PG_GETARG_POINTER(2)) ? toast_raw_datum_size(PG_GETARG_DATUM(2)) : 0);
	choices = PG_GETARG_ARRAYTYPE_P(2);
	served = gpt_cache_acquire(gpt_argument_text(fcinfo, 0), GPT_SERVED_LANGUAGE_MODEL);

	/* Now do the work. */
	best = choose(served, prompt, choices);
	gpt_cache_release(served);
	if (best == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(best);
}

/* 0: none. */
static Datum
choose(const GptServed *served, LmBytes prompt, ArrayType *choices)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt choices", ALLOCSET_DEFAULT_SIZES);
	ArrayIterator iterator = array_create_iterator(choices, 0, NULL);
	double ratings[SLICE];
	Datum slice[SLICE];
	Datum best = (Datum) 0;
	double highest = 0;
	int n;

	while ((n = next_choices(slice, iterator)) > 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(scratch);

		rate(ratings, served, prompt, slice, n);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
		for (int i = 0; i < n; i++)
		{
			if (isnan(ratings[i]) || (best != (Datum) 0 && ratings[i] <= highest))
				continue;
			highest = ratings[i];
			best = slice[i];
		}
	}
	MemoryContextDelete(scratch);
	return best;
}

/* Reads choices that are not null, and returns their number: 0 after the last one. */
static int
next_choices(Datum *slice, ArrayIterator iterator)
{
	bool is_null;
	int n = 0;

	while (n < SLICE && array_iterate(iterator, &slice[n], &is_null))
		n += is_null ? 0 : 1;
	return n;
}

/* NaN where a choice has no scored token. */
static void
rate(double *ratings, const GptServed *served, LmBytes prompt, const Datum *slice, int n)
{
	GptAnswer *after = palloc(n * sizeof(GptAnswer));
	GptAnswer *alone = palloc(n * sizeof(GptAnswer));
	GptCall *calls = palloc(n * sizeof(GptCall));

	for (int i = 0; i < n; i++)
	{
		gpt_score_of_text(&calls[i], bytes_of(slice[i]));
		calls[i].request.prompt = (LmBytes){"", 0};
		calls[i].cleaning = LM_CLEAN_KEEP_START;
	}
	gpt_call_answer(alone, &gpt_logprob_call, served, calls, n, 0, NULL);
	for (int i = 0; i < n; i++)
		calls[i].request.prompt = prompt;
	gpt_call_answer(after, &gpt_logprob_call, served, calls, n, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		if (after[i].error != NULL || alone[i].error != NULL)
			gpt_bridge_raise(after[i].error != NULL ? after[i].error : alone[i].error);
		ratings[i] = NAN;
		if (!after[i].is_null)
			ratings[i] = (DatumGetFloat8(after[i].value) - logprob_of(&alone[i])) /
						 (double) after[i].n_tokens;
	}
}

/* 0 of a text without a scored token */
static double
logprob_of(const GptAnswer *answer)
{
	return answer->is_null ? 0 : DatumGetFloat8(answer->value);
}

/*
 * gpt_embed(model text, input text, pooling text DEFAULT 'mean', normalized boolean DEFAULT true)
 * RETURNS real[]
 *
 * The normalised output of the model's last block, pooled over the text's tokens, as long as the
 * model has channels; of length 1 where that is wanted. NULL model or input gives NULL, as does a
 * text without tokens; NULL elsewhere means the default. With input text[] it returns a set: the
 * array of each element, in their order.
 */
Datum
gpt_embed(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	if (gpt_call_is_for_elements(fcinfo, 1))
		return embed_elements(fcinfo);
	return gpt_call_one(&gpt_embed_call, fcinfo);
}

static Datum
array_of(float *embedding, int n, bool wants_normal)
{
	Datum *values = palloc(n * sizeof(Datum));
	ArrayType *array;

	if (wants_normal)
		normalize(embedding, n);
	for (int i = 0; i < n; i++)
		values[i] = Float4GetDatum(embedding[i]);
	array = construct_array(values, n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
	pfree(values);
	return PointerGetDatum(array);
}

/*
 * A row for each element, null where it has no embedding; so that rows can stand beside those of
 * unnest. Answers are those of a slice: the caller may stop between two rows, so that nothing is
 * held but memory. One statement sees one version of the model.
 */
static Datum
embed_elements(FunctionCallInfo fcinfo)
{
	FuncCallContext *set;
	EmbeddingSet *embeddings;
	GptAnswer *answer;

	if (SRF_IS_FIRSTCALL())
	{
		set = SRF_FIRSTCALL_INIT();
		set->user_fctx = begin_set(fcinfo, set->multi_call_memory_ctx);
	}
	set = SRF_PERCALL_SETUP();
	embeddings = set->user_fctx;
	if (embeddings == NULL ||
		(embeddings->next == embeddings->n && gpt_elements_end(embeddings->elements)))
		SRF_RETURN_DONE(set);

	/* Now do the work. */
	if (embeddings->next == embeddings->n)
		embed_slice(embeddings);
	answer = &embeddings->answers[embeddings->next++];
	if (answer->is_null)
		SRF_RETURN_NEXT_NULL(set);
	SRF_RETURN_NEXT(set, answer->value);
}

/* Prepares the set-returning form of gpt_embed; NULL for a NULL argument. */
static EmbeddingSet *
begin_set(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	GptElements *elements = gpt_elements_begin(&gpt_embed_call, fcinfo);
	EmbeddingSet *embeddings = NULL;

	if (elements != NULL)
	{
		embeddings = palloc0(sizeof(EmbeddingSet));
		embeddings->elements = elements;
		embeddings->slice =
			AllocSetContextCreate(context, "gpt embeddings", ALLOCSET_DEFAULT_SIZES);
		/* The model is checked even if the array has no element. */
		gpt_cache_release(gpt_cache_acquire(gpt_elements_model(elements), GPT_SERVED_ANY));
	}
	MemoryContextSwitchTo(caller);
	return embeddings;
}

/* Computes the embeddings of the next elements, whose vectors replace the last ones. */
static void
embed_slice(EmbeddingSet *embeddings)
{
	const GptServed *served =
		gpt_cache_acquire(gpt_elements_model(embeddings->elements), GPT_SERVED_ANY);
	MemoryContext caller;

	MemoryContextReset(embeddings->slice);
	caller = MemoryContextSwitchTo(embeddings->slice);
	embeddings->n =
		gpt_elements_next(embeddings->answers, embeddings->elements, served,
						  (uint64) GPT_ELEMENTS * served->config->channels * sizeof(float));
	MemoryContextSwitchTo(caller);
	gpt_cache_release(served);
	embeddings->next = 0;
}

static bool
read_embed(GptCall *call, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		return false;
	memset(call, 0, sizeof(GptCall));
	call->request.task = LM_TASK_EMBED;
	call->request.prompt = (LmBytes){"", 0};
	call->request.text = bytes_of(PG_GETARG_DATUM(1));
	call->request.pooling = read_pooling(fcinfo);
	call->detail = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	return true;
}

static Datum
embed_result(const GptCall *call, const GptServed *served, bool *is_null)
{
	*is_null = call->request.n_tokens == 0;
	return *is_null ? (Datum) 0
					: array_of(call->request.vector, served->config->channels, call->detail != 0);
}

/* Reads the argument "pooling": NULL means the mean over tokens. */
static LmPooling
read_pooling(FunctionCallInfo fcinfo)
{
	char *name;
	int pooling;

	if (PG_ARGISNULL(2))
		return LM_POOL_MEAN;
	name = gpt_argument_text(fcinfo, 2);
	pooling = gpt_word_find(lm_pooling_name, name, strlen(name));
	if (pooling < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pooling \"%s\" does not exist", name),
						errhint("Pooling must be %s.", gpt_words_list(lm_pooling_name, " or "))));
	return (LmPooling) pooling;
}

/* Scales to length 1; a vector of zeros stays. */
static void
normalize(float *embedding, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) embedding[i] * embedding[i];
	for (int i = 0; i < n && sum > 0; i++)
		embedding[i] = (float) (embedding[i] / sqrt(sum));
}

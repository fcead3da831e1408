/*
 * src/sql/sql_embed.c
 *
 * gpt_embed: a text as a vector.
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
 * gpt_embed(model text, input text, pooling text DEFAULT 'auto', normalized boolean DEFAULT true)
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
		/* The model is checked even if the array has no element. */
		const GptServed *served = gpt_elements_acquire(elements);

		if (served != NULL)
		{
			gpt_cache_release(served);
			embeddings = palloc0(sizeof(EmbeddingSet));
			embeddings->elements = elements;
			embeddings->slice =
				AllocSetContextCreate(context, "gpt embeddings", ALLOCSET_DEFAULT_SIZES);
		}
	}
	MemoryContextSwitchTo(caller);
	return embeddings;
}

/* Computes the embeddings of the next elements, whose vectors replace the last ones. */
static void
embed_slice(EmbeddingSet *embeddings)
{
	const GptServed *served = gpt_elements_acquire(embeddings->elements);
	MemoryContext caller;

	/* It was there at the beginning of the set, under the same snapshot. */
	if (served == NULL)
		elog(ERROR, "model of gpt_embed is gone");
	MemoryContextReset(embeddings->slice);
	caller = MemoryContextSwitchTo(embeddings->slice);
	embeddings->n = gpt_elements_next(embeddings->answers, embeddings->elements, served,
									  (uint64) GPT_ELEMENTS * lm_embedding_most(served->config) *
										  sizeof(float));
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
					: array_of(call->request.vector, call->request.n_vector, call->detail != 0);
}

/* Reads the argument "pooling": NULL means "auto". */
static LmPooling
read_pooling(FunctionCallInfo fcinfo)
{
	char *name;
	int pooling;

	if (PG_ARGISNULL(2))
		return LM_POOL_AUTO;
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

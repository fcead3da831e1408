/*
 * src/serve/batching_memo.c
 *
 * The answers of a step by the arguments of their calls: an equal call of a later row, or of the
 * same batch, is not made again. For functions that are not volatile; a statement sees one version
 * of each model. It keeps what fits hash_mem in two tables: when the younger one is full, it
 * becomes the older one, and what is found there moves over, so values that come again and again
 * stay.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "core/compat.h"
#include "serve/batching_parts.h"

/* A full memo with fewer hits for each miss ends. */
#define WORTHWHILE 0.05
#define FIRST_SIZE 256

typedef struct Key
{
	uint32 hash;
	int size;
	const char *bytes;
} Key;

typedef struct Entry
{
	Key key;
	uint32 status; /* of the table */
	GptBatchValue *value; /* stays where it is */
} Entry;

#define SH_PREFIX memo
#define SH_ELEMENT_TYPE Entry
#define SH_KEY_TYPE Key
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((key).hash)
#define SH_EQUAL(table, a, b) \
	((a).hash == (b).hash && (a).size == (b).size && memcmp((a).bytes, (b).bytes, (a).size) == 0)
#define SH_SCOPE static inline
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) ((entry)->key.hash)
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct GptBatchMemo
{
	MemoryContext owner; /* of the statement: a context without a parent would outlive it */
	MemoryContext context; /* of the table and all values */
	memo_hash *table;
	MemoryContext old_context; /* NULL before the first table was full */
	memo_hash *old_table;
	Size limit; /* of each */
	StringInfoData key; /* of the present call */
	int n_arguments;
	int *arguments; /* that vary */
	int16 *lengths;
	bool *by_value;
	int16 result_length;
	bool result_by_value;
	int64 n_hits;
	int64 n_misses;
};

static void begin_table(GptBatchMemo *memo);
static void new_entry(Entry *entry, GptBatchMemo *memo, const Key *key);
static void set_value(GptBatchValue *value, GptBatchMemo *memo, Datum datum, bool is_null);
static void write_key(GptBatchMemo *memo, FunctionCallInfo fcinfo);

GptBatchMemo *
gpt_batch_memo_begin(FuncExpr *call, int n_calls)
{
	GptBatchMemo *memo;
	ListCell *cell;

	if (func_volatile(call->funcid) == PROVOLATILE_VOLATILE)
		return NULL;
	memo = palloc0(sizeof(GptBatchMemo));
	memo->owner = CurrentMemoryContext;
	memo->limit = get_hash_memory_limit() / n_calls / 2;
	memo->arguments = palloc(list_length(call->args) * sizeof(int));
	memo->lengths = palloc(list_length(call->args) * sizeof(int16));
	memo->by_value = palloc(list_length(call->args) * sizeof(bool));
	foreach (cell, call->args)
	{
		if (IsA(lfirst(cell), Const))
			continue;
		get_typlenbyval(exprType(lfirst(cell)), &memo->lengths[memo->n_arguments],
						&memo->by_value[memo->n_arguments]);
		memo->arguments[memo->n_arguments++] = foreach_current_index(cell);
	}
	get_typlenbyval(call->funcresulttype, &memo->result_length, &memo->result_by_value);
	initStringInfo(&memo->key);
	begin_table(memo);
	return memo;
}

static void
begin_table(GptBatchMemo *memo)
{
	memo->context = GenerationContextCreate(memo->owner, "gpt batch memo", ALLOCSET_DEFAULT_SIZES);
	memo->table = memo_create(memo->context, FIRST_SIZE, NULL);
}

void
gpt_batch_memo_batch(GptBatchMemo **memo)
{
	GptBatchMemo *full = *memo;

	if (full == NULL || MemoryContextMemAllocated(full->context, true) < full->limit)
		return;
	if (full->old_context != NULL)
		MemoryContextDelete(full->old_context);
	if (full->n_hits >= WORTHWHILE * full->n_misses)
	{
		full->old_context = full->context;
		full->old_table = full->table;
		begin_table(full);
		return;
	}
	MemoryContextDelete(full->context);
	pfree(full->key.data);
	*memo = NULL;
}

GptBatchValue *
gpt_batch_memo_find(GptBatchMemo *memo, FunctionCallInfo fcinfo)
{
	Entry *entry;
	bool found;
	Key key;

	write_key(memo, fcinfo);
	key.bytes = memo->key.data;
	key.size = memo->key.len;
	key.hash = hash_bytes((const unsigned char *) key.bytes, key.size);
	entry = memo_insert(memo->table, key, &found);
	if (!found)
		new_entry(entry, memo, &key);
	if (entry->value->place == GPT_BATCH_NOT_ASKED)
		memo->n_misses++;
	else
		memo->n_hits++;
	return entry->value;
}

/* Takes the value over from the older table, if it is there. */
static void
new_entry(Entry *entry, GptBatchMemo *memo, const Key *key)
{
	GptBatchValue *value = MemoryContextAllocZero(memo->context, sizeof(GptBatchValue) + key->size);
	Entry *old = memo->old_table == NULL ? NULL : memo_lookup(memo->old_table, *key);

	entry->value = value;
	entry->key.bytes = memcpy(value + 1, key->bytes, key->size);
	value->place = GPT_BATCH_NOT_ASKED;
	if (old != NULL && old->value->place == GPT_BATCH_KNOWN)
		set_value(value, memo, old->value->value, old->value->is_null);
}

static void
set_value(GptBatchValue *value, GptBatchMemo *memo, Datum datum, bool is_null)
{
	MemoryContext caller = MemoryContextSwitchTo(memo->context);

	value->is_null = is_null;
	if (!is_null)
		value->value = datumCopy(datum, memo->result_by_value, memo->result_length);
	value->place = GPT_BATCH_KNOWN;
	MemoryContextSwitchTo(caller);
}

/* The bytes of the arguments that vary, each behind its size. */
static void
write_key(GptBatchMemo *memo, FunctionCallInfo fcinfo)
{
	resetStringInfo(&memo->key);
	for (int i = 0; i < memo->n_arguments; i++)
	{
		const NullableDatum *argument = &fcinfo->args[memo->arguments[i]];
		const void *bytes = &argument->value;
		int size = sizeof(Datum);

		if (argument->isnull)
			size = -1;
		else if (!memo->by_value[i] && memo->lengths[i] == -1)
		{
			bytes = VARDATA_ANY(DatumGetPointer(argument->value));
			size = VARSIZE_ANY_EXHDR(DatumGetPointer(argument->value));
		}
		else if (!memo->by_value[i])
		{
			bytes = DatumGetPointer(argument->value);
			size = memo->lengths[i] > 0 ? memo->lengths[i] : (int) strlen(bytes) + 1;
		}
		appendBinaryStringInfo(&memo->key, (const char *) &size, sizeof(size));
		if (size > 0)
			appendBinaryStringInfo(&memo->key, bytes, size);
	}
}

void
gpt_batch_memo_keep(GptBatchMemo *memo, GptBatchValue *value, const GptAnswer *answer)
{
	value->place = GPT_BATCH_NOT_ASKED;
	if (answer->error == NULL && !answer->bounded)
		set_value(value, memo, answer->value, answer->is_null);
}

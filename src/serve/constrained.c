/*
 * src/serve/constrained.c
 *
 * The constraints of a session: each is found by its value and by the tokens of the model, and kept
 * with what is known of it. The least recently used go when there are more than MOST_KEPT, or when
 * they take more than MOST_MEMORY; those in use stay.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/cache_parts.h"
#include "serve/constrained.h"

#define MOST_KEPT 64
#define MOST_VOCABULARIES 4 /* kept without a constraint */
#define MOST_MEMORY ((uint64) 64 << 20)
#define MEMORY_OF_ONE ((size_t) 8 << 20) /* of states and masks */

/* The tokens of a model. */
typedef struct Vocabulary
{
	dlist_node node; /* most recently used first */
	MemoryContext context;
	uint8 sha256[GPT_SHA256_SIZE]; /* of the tokenizer */
	int size;
	uint64 ends; /* hash of the tokens that end a text */
	LmVocabulary *vocabulary;
	int n_users;
} Vocabulary;

typedef struct Entry
{
	dlist_node node; /* most recently used first */
	MemoryContext context;
	GptConstraint source; /* with a copy of the value */
	uint64 hash;
	Vocabulary *vocabulary;
	LmConstraint *constraint;
	uint64 generation; /* of the engine whose generations may follow it */
	int n_pins;
	bool is_dropped; /* in no list; freed with its last pin */
} Entry;

/* A use that ends with its memory context. */
typedef struct Pin
{
	MemoryContextCallback callback;
	Entry *entry;
} Pin;

static dlist_head entries = DLIST_STATIC_INIT(entries);
static dlist_head vocabularies = DLIST_STATIC_INIT(vocabularies);

static Entry *find(const GptConstraint *constraint, uint64 hash, const Vocabulary *vocabulary);
static Entry *create(const GptConstraint *constraint, uint64 hash, Vocabulary *vocabulary,
					 LmError *error);
static Vocabulary *vocabulary_of(const GptServed *served);
static Vocabulary *read_vocabulary(const GptServed *served, const GptCachedModel *model,
								   uint64 ends);
static void pin(Entry *entry);
static void trim(void);
static void drop(Entry *entry);
static void free_entry(Entry *entry);

GptConstraint *
gpt_constraint_read(GptConstraintKind kind, Datum value)
{
	GptConstraint *constraint = palloc(sizeof(GptConstraint));

	constraint->kind = kind;
	/* Arrays and jsonb are aligned, with headers of four bytes. */
	constraint->value =
		kind == GPT_CONSTRAINT_PATTERN ? PG_DETOAST_DATUM_PACKED(value) : PG_DETOAST_DATUM(value);
	return constraint;
}

LmConstraint *
gpt_constraint_get(const GptConstraint *constraint, const GptServed *served, LmError *error)
{
	Vocabulary *vocabulary = vocabulary_of(served);
	uint64 hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(constraint->value),
									  VARSIZE_ANY_EXHDR(constraint->value), constraint->kind);
	Entry *entry = find(constraint, hash, vocabulary);

	/* Generations of an engine that has gone did not say good-bye. */
	if (entry != NULL && entry->generation != gpt_bridge_generation())
	{
		drop(entry);
		entry = NULL;
	}
	if (entry == NULL)
		entry = create(constraint, hash, vocabulary, error);
	if (entry == NULL)
		return NULL;
	dlist_move_head(&entries, &entry->node);
	pin(entry);
	trim();
	return entry->constraint;
}

static Entry *
find(const GptConstraint *constraint, uint64 hash, const Vocabulary *vocabulary)
{
	Size size = VARSIZE_ANY_EXHDR(constraint->value);
	dlist_iter iter;

	dlist_foreach(iter, &entries)
	{
		Entry *entry = dlist_container(Entry, node, iter.cur);

		if (entry->hash == hash && entry->source.kind == constraint->kind &&
			entry->vocabulary == vocabulary && VARSIZE_ANY_EXHDR(entry->source.value) == size &&
			memcmp(VARDATA_ANY(entry->source.value), VARDATA_ANY(constraint->value), size) == 0)
			return entry;
	}
	return NULL;
}

/* An error before gpt_cache_keep frees all of it. */
static Entry *
create(const GptConstraint *constraint, uint64 hash, Vocabulary *vocabulary, LmError *error)
{
	MemoryContext context = gpt_cache_make_context("gpt constraint");
	MemoryContext scratch = gpt_cache_make_context("gpt constraint scratch");
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	const LmHost *host = gpt_bridge_host(context);
	Size size = VARSIZE_ANY(constraint->value);
	LmAutomaton *automaton;
	struct varlena *copy;
	Entry *entry;

	while ((automaton = gpt_constraint_build(constraint, vocabulary->vocabulary, host, error)) ==
		   NULL)
	{
		MemoryContextReset(scratch);
		if (error->code == LM_ERR_STOPPED || error->code == LM_ERR_MEMORY)
			gpt_bridge_retry(error);
		else
			break;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	if (automaton == NULL)
	{
		MemoryContextDelete(context);
		if (error->code == LM_ERR_FORMAT)
			error->code = LM_ERR_ARGUMENT;
		return NULL;
	}
	entry = MemoryContextAllocZero(context, sizeof(Entry));
	entry->context = context;
	entry->constraint =
		lm_constraint_create(host, automaton, vocabulary->vocabulary, MEMORY_OF_ONE, error);
	if (entry->constraint == NULL)
		gpt_bridge_raise(error);
	copy = MemoryContextAllocHuge(context, size);
	memcpy(copy, constraint->value, size);
	entry->source = (GptConstraint){constraint->kind, copy};
	entry->hash = hash;
	entry->vocabulary = vocabulary;
	entry->generation = gpt_bridge_generation();
	gpt_cache_keep(context);
	vocabulary->n_users++;
	dlist_push_head(&entries, &entry->node);
	return entry;
}

static Vocabulary *
vocabulary_of(const GptServed *served)
{
	const GptCachedModel *model = gpt_cached_entry_of(served);
	uint64 ends = hash_bytes_extended((const unsigned char *) model->ends,
									  model->n_ends * sizeof(int32), model->n_ends);
	dlist_iter iter;

	dlist_foreach(iter, &vocabularies)
	{
		Vocabulary *vocabulary = dlist_container(Vocabulary, node, iter.cur);

		if (vocabulary->size == model->config.vocabulary && vocabulary->ends == ends &&
			memcmp(vocabulary->sha256, model->tokenizer->sha256, GPT_SHA256_SIZE) == 0)
		{
			dlist_move_head(&vocabularies, &vocabulary->node);
			return vocabulary;
		}
	}
	return read_vocabulary(served, model, ends);
}

static Vocabulary *
read_vocabulary(const GptServed *served, const GptCachedModel *model, uint64 ends)
{
	LmSession *session = gpt_cache_session(served);
	MemoryContext context = gpt_cache_make_context("gpt vocabulary");
	Vocabulary *vocabulary = MemoryContextAllocZero(context, sizeof(Vocabulary));
	dlist_mutable_iter iter;
	LmError error;
	int n = 0;

	vocabulary->context = context;
	memcpy(vocabulary->sha256, model->tokenizer->sha256, GPT_SHA256_SIZE);
	vocabulary->size = model->config.vocabulary;
	vocabulary->ends = ends;
	while ((vocabulary->vocabulary =
				lm_vocabulary_create(gpt_bridge_host(context), session, &error)) == NULL)
		gpt_bridge_retry(&error);
	dlist_foreach_modify(iter, &vocabularies)
	{
		Vocabulary *old = dlist_container(Vocabulary, node, iter.cur);

		if (old->n_users > 0 || ++n < MOST_VOCABULARIES)
			continue;
		dlist_delete(&old->node);
		MemoryContextDelete(old->context);
	}
	gpt_cache_keep(context);
	dlist_push_head(&vocabularies, &vocabulary->node);
	return vocabulary;
}

static void
unpin(void *arg)
{
	Entry *entry = ((Pin *) arg)->entry;

	if (--entry->n_pins == 0 && entry->is_dropped)
		free_entry(entry);
}

/* The entry stays until the current context is reset. */
static void
pin(Entry *entry)
{
	Pin *use = palloc(sizeof(Pin));

	use->entry = entry;
	use->callback.func = unpin;
	use->callback.arg = use;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &use->callback);
	entry->n_pins++;
}

uint64
gpt_constraint_memory(void)
{
	uint64 memory = 0;
	dlist_iter iter;

	dlist_foreach(iter, &entries)
	{
		const Entry *entry = dlist_container(Entry, node, iter.cur);

		memory += lm_constraint_memory(entry->constraint) + VARSIZE_ANY(entry->source.value);
	}
	dlist_foreach(iter, &vocabularies)
	{
		memory += lm_vocabulary_memory(dlist_container(Vocabulary, node, iter.cur)->vocabulary);
	}
	return memory;
}

/* Frees the least recently used entries that nobody uses, until the others are few enough. */
static void
trim(void)
{
	uint64 memory = 0;
	int n = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &entries)
	{
		Entry *entry = dlist_container(Entry, node, iter.cur);

		memory += lm_constraint_memory(entry->constraint) + VARSIZE_ANY(entry->source.value);
		n++;
		if ((n > MOST_KEPT || memory > MOST_MEMORY) && entry->n_pins == 0 &&
			lm_constraint_users(entry->constraint) == 0)
		{
			memory -= lm_constraint_memory(entry->constraint) + VARSIZE_ANY(entry->source.value);
			n--;
			drop(entry);
		}
	}
}

static void
drop(Entry *entry)
{
	dlist_delete(&entry->node);
	entry->is_dropped = true;
	if (entry->n_pins == 0)
		free_entry(entry);
}

static void
free_entry(Entry *entry)
{
	entry->vocabulary->n_users--;
	MemoryContextDelete(entry->context);
}

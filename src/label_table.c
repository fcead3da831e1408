/*
 * src/label_table.c
 *
 * What rows have of labels goes in; out come names, sets and their numbers.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "bridge.h"
#include "engine/config.h"
#include "label_table.h"
#include "source.h"

#define SET_MEMORY (sizeof(SetEntry) + 64) /* bytes of an entry and what the server needs to keep it and its members */

typedef struct NameEntry
{
	char name[GPT_LABEL_SIZE + 1];
	uint32 number; /* in the order of their first rows */
} NameEntry;

typedef struct SetKey
{
	uint32 *members; /* ascending numbers */
	uint32 n;
} SetKey;

typedef struct SetEntry
{
	SetKey key;
	uint32 number; /* in the order of their first rows */
} SetEntry;

struct GptLabelTable
{
	MemoryContext context; /* of everything here */
	bool is_fixed; /* no name is added */
	HTAB *names; /* NameEntry */
	HTAB *sets; /* SetEntry; NULL: rows have one label */
	uint32 n_names;
	uint32 n_sets;
	uint64 n_members;
	uint64 set_memory;
	uint32 *row; /* [LM_MAX_LABELS] numbers of one row's */
	uint32 *name_numbers; /* [n_names] final ones, by those of first rows */
	uint32 *set_numbers; /* [n_sets] */
	GptLabels labels;
};

static uint32 add_name(GptLabelTable *table, const char *name);
static uint32 add_set(GptLabelTable *table, uint32 n);
static void sort_names(GptLabelTable *table);
static void sort_sets(GptLabelTable *table);
static uint32 hash_set(const void *key, Size size);
static int match_sets(const void *a, const void *b, Size size);
static int compare_numbers(const void *a, const void *b);

GptLabelTable *
gpt_label_table_create(const char *const *names, int n, bool sets)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt labels", ALLOCSET_DEFAULT_SIZES);
	GptLabelTable *table = MemoryContextAllocZero(context, sizeof(GptLabelTable));
	HASHCTL control = {.keysize = sizeof(((NameEntry *) NULL)->name), .entrysize = sizeof(NameEntry), .hcxt = context};
	HASHCTL set_control = {.keysize = sizeof(SetKey), .entrysize = sizeof(SetEntry), .hash = hash_set, .match = match_sets, .hcxt = context};

	table->context = context;
	table->names = hash_create("gpt labels", 128, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	if (sets)
	{
		table->sets = hash_create("gpt sets of labels", 128, &set_control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
		table->row = MemoryContextAlloc(context, LM_MAX_LABELS * sizeof(uint32));
	}
	for (int i = 0; i < n; i++)
		(void) add_name(table, names[i]);
	table->is_fixed = n > 0;
	return table;
}

void
gpt_label_table_free(GptLabelTable *table)
{
	MemoryContextDelete(table->context);
}

int
gpt_label_table_find(const GptLabelTable *table, const char *name)
{
	const NameEntry *entry = hash_search(table->names, name, HASH_FIND, NULL);

	return entry != NULL ? (int) entry->number : -1;
}

/* ---- Adding ---------------------------------------------------------------------------------------- */

uint32
gpt_label_table_add(GptLabelTable *table, const char *const *names, int n)
{
	uint32 n_distinct = 0;

	if (table->sets == NULL)
		return add_name(table, names[0]);
	Assert(n <= LM_MAX_LABELS);
	for (int i = 0; i < n; i++)
		table->row[i] = add_name(table, names[i]);
	qsort(table->row, n, sizeof(uint32), compare_numbers);
	for (int i = 0; i < n; i++)
	{
		if (i == 0 || table->row[i] != table->row[i - 1])
			table->row[n_distinct++] = table->row[i];
	}
	return add_set(table, n_distinct);
}

static uint32
add_name(GptLabelTable *table, const char *name)
{
	bool found;
	NameEntry *entry = hash_search(table->names, name, table->is_fixed ? HASH_FIND : HASH_ENTER, &found);

	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label \"%s\" is not one of the model's", name),
				 errdetail("The model tells %u labels apart.", table->n_names),
				 errhint("Begin with a model that is no classifier yet, or train a new one.")));
	if (found)
		return entry->number;
	if (table->n_names >= LM_MAX_LABELS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("rows have more than %d different labels", LM_MAX_LABELS),
				 errhint("A number that measures something is no label; make ranges of it.")));
	entry->number = table->n_names++;
	return entry->number;
}

/* Of the first n numbers of table->row. */
static uint32
add_set(GptLabelTable *table, uint32 n)
{
	SetKey key = {table->row, n};
	bool found;
	SetEntry *entry = hash_search(table->sets, &key, HASH_ENTER, &found);

	if (found)
		return entry->number;
	entry->key.members = MemoryContextAlloc(table->context, Max(n, 1) * sizeof(uint32));
	memcpy(entry->key.members, table->row, n * sizeof(uint32));
	entry->number = table->n_sets++;
	table->n_members += n;
	/* Sorted they are there once more. */
	table->set_memory += 2 * (SET_MEMORY + n * sizeof(uint32));
	gpt_bridge_check_memory(table->set_memory);
	if (table->n_sets >= PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("rows have too many different sets of labels")));
	return entry->number;
}

static uint32
hash_set(const void *key, Size size)
{
	const SetKey *set = key;

	return hash_bytes((const unsigned char *) set->members, (int) (set->n * sizeof(uint32)));
}

/* 0 for equals, as memcmp. */
static int
match_sets(const void *a, const void *b, Size size)
{
	const SetKey *first = a;
	const SetKey *second = b;

	return first->n != second->n || memcmp(first->members, second->members, first->n * sizeof(uint32)) != 0;
}

/* ---- Sorting --------------------------------------------------------------------------------------- */

const GptLabels *
gpt_label_table_sort(GptLabelTable *table)
{
	sort_names(table);
	if (table->sets != NULL)
		sort_sets(table);
	return &table->labels;
}

uint32
gpt_label_table_number(const GptLabelTable *table, uint32 added)
{
	return table->sets != NULL ? table->set_numbers[added] : table->name_numbers[added];
}

static int
compare_numbers(const void *a, const void *b)
{
	uint32 first = *(const uint32 *) a;
	uint32 second = *(const uint32 *) b;

	return first < second ? -1 : first > second;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(NameEntry *const *) a)->name, (*(NameEntry *const *) b)->name);
}

/* By name; those that were given keep their numbers. */
static void
sort_names(GptLabelTable *table)
{
	NameEntry **entries = MemoryContextAlloc(table->context, Max(table->n_names, 1) * sizeof(NameEntry *));
	const char **names = MemoryContextAlloc(table->context, Max(table->n_names, 1) * sizeof(char *));
	HASH_SEQ_STATUS status;
	NameEntry *entry;

	hash_seq_init(&status, table->names);
	while ((entry = hash_seq_search(&status)) != NULL)
		entries[entry->number] = entry;
	if (table->sets != NULL && table->n_names == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no row has a label"),
				 errdetail("In all rows the array \"label\" is empty.")));
	if (table->sets == NULL && table->n_names < 2)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("rows have only one label, \"%s\"", entries[0]->name),
				 errdetail("A classifier needs at least two.")));
	if (!table->is_fixed)
		qsort(entries, table->n_names, sizeof(NameEntry *), compare_names);
	table->name_numbers = MemoryContextAlloc(table->context, table->n_names * sizeof(uint32));
	for (uint32 i = 0; i < table->n_names; i++)
	{
		names[i] = entries[i]->name;
		table->name_numbers[entries[i]->number] = i;
	}
	table->labels.n = (int) table->n_names;
	table->labels.names = names;
}

/* By their members, one after the other. */
static int
compare_sets(const void *a, const void *b)
{
	const SetKey *first = &(*(SetEntry *const *) a)->key;
	const SetKey *second = &(*(SetEntry *const *) b)->key;

	for (uint32 i = 0; i < first->n && i < second->n; i++)
	{
		if (first->members[i] != second->members[i])
			return first->members[i] < second->members[i] ? -1 : 1;
	}
	return first->n < second->n ? -1 : first->n > second->n;
}

/* From here on the table of sets is not looked up: its keys change. */
static void
sort_sets(GptLabelTable *table)
{
	MemoryContext context = table->context;
	SetEntry **entries = MemoryContextAllocHuge(context, (Size) table->n_sets * sizeof(SetEntry *));
	uint64_t *ends = MemoryContextAllocHuge(context, (Size) table->n_sets * sizeof(uint64_t));
	uint32_t *members = MemoryContextAllocHuge(context, (Size) Max(table->n_members, 1) * sizeof(uint32_t));
	uint64 n = 0;
	HASH_SEQ_STATUS status;
	SetEntry *entry;

	hash_seq_init(&status, table->sets);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		for (uint32 i = 0; i < entry->key.n; i++)
			entry->key.members[i] = table->name_numbers[entry->key.members[i]];
		qsort(entry->key.members, entry->key.n, sizeof(uint32), compare_numbers);
		entries[entry->number] = entry;
	}
	CHECK_FOR_INTERRUPTS();
	qsort(entries, table->n_sets, sizeof(SetEntry *), compare_sets);
	table->set_numbers = MemoryContextAllocHuge(context, (Size) table->n_sets * sizeof(uint32));
	for (uint32 i = 0; i < table->n_sets; i++)
	{
		const SetKey *set = &entries[i]->key;

		memcpy(members + n, set->members, set->n * sizeof(uint32));
		n += set->n;
		ends[i] = n;
		table->set_numbers[entries[i]->number] = i;
	}
	pfree(entries);
	table->labels.sets = (LmLabelSets){table->n_sets, ends, members};
	table->labels.n_members = n;
}

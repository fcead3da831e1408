/*
 * src/corpus/label_table.c
 *
 * What rows have of labels goes in; out come names, sets and their numbers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "core/bridge.h"
#include "corpus/label_table.h"
#include "corpus/source.h"
#include "engine/config.h"

/* bytes of an entry and what the server needs to keep it and its members */
#define SET_MEMORY (sizeof(SetEntry) + 64)

/* bytes of an entry and what the server needs to keep it */
#define SPELLING_MEMORY (sizeof(Spelling) + 64)
#define NO_NUMBER PG_UINT32_MAX

/* A label as it is written in rows, or in NFC. Entries of the table do not move. */
typedef struct Spelling
{
	char name[GPT_LABEL_SIZE + 1];
	uint32 number; /* of the label, in the order of their first rows */
	struct Spelling *normal; /* itself, unless another one is its NFC form */
	uint64 n_rows; /* that have it, or one of which it is the NFC form */
} Spelling;

/* Labels whose values have the same hash are chained. */
typedef struct LabelValue
{
	Datum value;
	uint32 next; /* NO_NUMBER: none */
} LabelValue;

typedef struct HashEntry
{
	uint64 hash;
	uint32 first;
} HashEntry;

/* The equality of a type. */
typedef struct TypeEquality
{
	Oid type;
	Oid collation;
	FmgrInfo hash;
	FmgrInfo equal;
	uint64 seed; /* random, so that nobody can craft values with equal hashes */
	HTAB *hashes; /* HashEntry */
	LabelValue *values; /* [LM_MAX_LABELS] by number */
} TypeEquality;

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
	uint32 n_given; /* names, whose numbers stay */
	bool is_fixed; /* no name is added */
	bool is_part; /* it may have fewer than two labels */
	bool normalize_nfc;
	HTAB *names; /* Spelling */
	TypeEquality *equality; /* NULL: bytes tell labels apart */
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

static TypeEquality *create_equality(const GptLabelEquality *equality, MemoryContext context);
static void give_name(GptLabelTable *table, const char *name);
static Spelling *look_up(GptLabelTable *table, const char *name);
static uint32 find_equal(GptLabelTable *table, const char *name);
static uint32 add_name(GptLabelTable *table, const char *name);
static uint32 add_set(GptLabelTable *table, uint32 n);
static void sort_names(GptLabelTable *table);
static void sort_sets(GptLabelTable *table);
static int match_names(const void *a, const void *b, Size size);
static void *copy_name(void *target, const void *name, Size size);
static uint32 hash_set(const void *key, Size size);
static int match_sets(const void *a, const void *b, Size size);
static int compare_numbers(const void *a, const void *b);

GptLabelTable *
gpt_label_table_create(const GptLabelOptions *options)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt labels", ALLOCSET_DEFAULT_SIZES);
	GptLabelTable *table = MemoryContextAllocZero(context, sizeof(GptLabelTable));
	HASHCTL control = {.keysize = sizeof(((Spelling *) NULL)->name),
					   .entrysize = sizeof(Spelling),
					   .hash = gpt_bridge_hash_string,
					   .match = match_names,
					   .keycopy = copy_name,
					   .hcxt = context};
	HASHCTL set_control = {.keysize = sizeof(SetKey),
						   .entrysize = sizeof(SetEntry),
						   .hash = hash_set,
						   .match = match_sets,
						   .hcxt = context};

	table->context = context;
	table->normalize_nfc = options->normalize_nfc;
	table->is_part = options->is_part;
	table->names =
		hash_create("gpt labels", 128, &control,
					HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_KEYCOPY | HASH_CONTEXT);
	if (OidIsValid(options->equality.type))
		table->equality = create_equality(&options->equality, context);
	if (options->sets)
	{
		table->sets = hash_create("gpt sets of labels", 128, &set_control,
								  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
		table->row = MemoryContextAlloc(context, LM_MAX_LABELS * sizeof(uint32));
	}
	for (int i = 0; i < options->n; i++)
		give_name(table, options->names[i]);
	table->n_given = (uint32) options->n;
	table->is_fixed = options->n > 0 && !options->grows;
	return table;
}

/*
 * Copies the type's hash and equality functions; a random seed keeps crafted labels from colliding.
 */
static TypeEquality *
create_equality(const GptLabelEquality *equality, MemoryContext context)
{
	const TypeCacheEntry *type = lookup_type_cache(
		equality->type, TYPECACHE_EQ_OPR_FINFO | TYPECACHE_HASH_EXTENDED_PROC_FINFO);
	TypeEquality *created = MemoryContextAllocZero(context, sizeof(TypeEquality));
	HASHCTL control = {.keysize = sizeof(uint64), .entrysize = sizeof(HashEntry), .hcxt = context};

	created->type = equality->type;
	created->collation = equality->collation;
	fmgr_info_copy(&created->hash, (FmgrInfo *) &type->hash_extended_proc_finfo, context);
	fmgr_info_copy(&created->equal, (FmgrInfo *) &type->eq_opr_finfo, context);
	if (!pg_strong_random(&created->seed, sizeof(created->seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not draw a random seed")));
	created->hashes =
		hash_create("gpt labels by value", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	created->values = MemoryContextAlloc(context, LM_MAX_LABELS * sizeof(LabelValue));
	return created;
}

void
gpt_label_table_free(GptLabelTable *table)
{
	MemoryContextDelete(table->context);
}

int
gpt_label_table_find(GptLabelTable *table, const char *name)
{
	const Spelling *spelling = look_up(table, name);

	return spelling != NULL ? (int) spelling->number : -1;
}

/* ---- Spellings ---------------------------------------------------------- */

static const char *
normal_form(const char *name)
{
	LmBytes normal = gpt_bridge_nfc((LmBytes){name, strlen(name)});

	if (normal.size > GPT_LABEL_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("label \"%s\" has %zu bytes in Unicode normalization form C, at "
							   "most %d are possible",
							   name, normal.size, GPT_LABEL_SIZE)));
	return pnstrdup(normal.data, normal.size);
}

static int
match_names(const void *a, const void *b, Size size)
{
	return strcmp(a, b);
}

static void *
copy_name(void *target, const void *name, Size size)
{
	strlcpy(target, name, size);
	return target;
}

static Spelling *
find_spelling(const GptLabelTable *table, const char *name)
{
	return hash_search(table->names, name, HASH_FIND, NULL);
}

static Spelling *
enter_spelling(GptLabelTable *table, const char *name, uint32 number)
{
	Spelling *spelling = hash_search(table->names, name, HASH_ENTER, NULL);

	spelling->number = number;
	spelling->normal = spelling;
	spelling->n_rows = 0;
	gpt_bridge_check_memory((uint64) hash_get_num_entries(table->names) * SPELLING_MEMORY);
	return spelling;
}

static uint64
hash_value(TypeEquality *equality, Datum value)
{
	return DatumGetUInt64(FunctionCall2Coll(&equality->hash, equality->collation, value,
											UInt64GetDatum(equality->seed)));
}

/* A further label; a value that is equal to it is found by find_equal from then on. */
static Spelling *
enter_label(GptLabelTable *table, const char *name)
{
	TypeEquality *equality = table->equality;
	uint32 number = table->n_names;

	if (number >= LM_MAX_LABELS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("rows have more than %d different labels", LM_MAX_LABELS),
						errhint("A measured number is not a label; group it into ranges.")));
	if (equality != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(table->context);
		LabelValue *value = &equality->values[number];
		HashEntry *entry;
		uint64 hash;
		bool found;

		value->value = CStringGetTextDatum(name);
		hash = hash_value(equality, value->value);
		entry = hash_search(equality->hashes, &hash, HASH_ENTER, &found);
		value->next = found ? entry->first : NO_NUMBER;
		entry->first = number;
		MemoryContextSwitchTo(old_context);
	}
	table->n_names++;
	return enter_spelling(table, name, number);
}

/*
 * NO_NUMBER where no label is equal. A type that is kept as text is takes a text as its own value.
 */
static uint32
find_equal(GptLabelTable *table, const char *name)
{
	TypeEquality *equality = table->equality;
	Datum value = CStringGetTextDatum(name);
	uint64 hash = hash_value(equality, value);
	const HashEntry *entry = hash_search(equality->hashes, &hash, HASH_FIND, NULL);
	uint32 number = entry != NULL ? entry->first : NO_NUMBER;

	while (number != NO_NUMBER &&
		   !DatumGetBool(FunctionCall2Coll(&equality->equal, equality->collation, value,
										   equality->values[number].value)))
	{
		CHECK_FOR_INTERRUPTS();
		number = equality->values[number].next;
	}
	return number;
}

static Spelling *
look_up_normal(GptLabelTable *table, const char *name)
{
	Spelling *spelling = find_spelling(table, name);
	uint32 number;

	if (spelling != NULL || table->equality == NULL)
		return spelling;
	number = find_equal(table, name);
	return number != NO_NUMBER ? enter_spelling(table, name, number) : NULL;
}

/*
 * Entered where it is a new spelling of a label that there is; NULL where there is no such label.
 */
static Spelling *
look_up(GptLabelTable *table, const char *name)
{
	Spelling *spelling = find_spelling(table, name);
	Spelling *normal;
	const char *form;

	if (spelling != NULL)
		return spelling;
	form = table->normalize_nfc ? normal_form(name) : name;
	normal = look_up_normal(table, form);
	if (normal == NULL || strcmp(form, name) == 0)
		return normal;
	spelling = enter_spelling(table, name, normal->number);
	spelling->normal = normal;
	return spelling;
}

/*
 * One of those that there may be. Of a model that was trained before labels were normalised it may
 * not be in NFC.
 */
static void
give_name(GptLabelTable *table, const char *name)
{
	uint32 equal = table->equality != NULL ? find_equal(table, name) : NO_NUMBER;
	Spelling *spelling;

	if (equal != NO_NUMBER)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("labels \"%s\" and \"%s\" of the model are equal as values of type %s",
						TextDatumGetCString(table->equality->values[equal].value), name,
						format_type_be(table->equality->type)),
				 errdetail("The column \"label\" of query is of that type."),
				 errhint("Select the label as text, under a deterministic collation.")));
	spelling = enter_label(table, name);
	spelling->n_rows = PG_UINT64_MAX;
	if (table->normalize_nfc && find_spelling(table, normal_form(name)) == NULL)
		(void) enter_spelling(table, normal_form(name), spelling->number);
}

/* ---- Adding ------------------------------------------------------------- */

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

/* The number of the label of a row; enters a new label unless the model's labels are fixed. */
static uint32
add_name(GptLabelTable *table, const char *name)
{
	Spelling *spelling = look_up(table, name);

	if (spelling == NULL && table->is_fixed)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label \"%s\" is not a label of the model", name),
				 errdetail("The model has %u labels.", table->n_names),
				 errhint("Start from a model that is not a classifier, or train a new one.")));
	if (spelling == NULL)
		spelling = enter_label(table, table->normalize_nfc ? normal_form(name) : name);
	if (spelling->number >= table->n_given)
		spelling->normal->n_rows++;
	return spelling->number;
}

/* The number of the set that consists of the first n members of table->row. */
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
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("rows have too many different sets of labels")));
	return entry->number;
}

static uint32
hash_set(const void *key, Size size)
{
	const SetKey *set = key;

	return lm_hash_bytes(*gpt_bridge_hash_key(), (const char *) set->members,
						 set->n * sizeof(uint32));
}

/* 0 for equals, as memcmp. */
static int
match_sets(const void *a, const void *b, Size size)
{
	const SetKey *first = a;
	const SetKey *second = b;

	return first->n != second->n ||
		   memcmp(first->members, second->members, first->n * sizeof(uint32)) != 0;
}

/* ---- Sorting ------------------------------------------------------------ */

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
	return strcmp((*(Spelling *const *) a)->name, (*(Spelling *const *) b)->name);
}

/* The spelling that gives each label its name. */
static Spelling **
choose_spellings(const GptLabelTable *table)
{
	Spelling **chosen =
		MemoryContextAllocZero(table->context, Max(table->n_names, 1) * sizeof(Spelling *));
	HASH_SEQ_STATUS status;
	Spelling *spelling;

	hash_seq_init(&status, table->names);
	while ((spelling = hash_seq_search(&status)) != NULL)
	{
		const Spelling *other = chosen[spelling->number];

		CHECK_FOR_INTERRUPTS();
		if (spelling->normal == spelling &&
			(other == NULL || spelling->n_rows > other->n_rows ||
			 (spelling->n_rows == other->n_rows && strcmp(spelling->name, other->name) < 0)))
			chosen[spelling->number] = spelling;
	}
	return chosen;
}

/* Sorts the labels by name; given labels keep their numbers, before all others. */
static void
sort_names(GptLabelTable *table)
{
	Spelling **entries = choose_spellings(table);
	const char **names =
		MemoryContextAlloc(table->context, Max(table->n_names, 1) * sizeof(char *));

	if (table->sets != NULL && table->n_names == 0 && !table->is_part)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errmsg("no row has a label"),
						errdetail("In all rows the array \"label\" is empty.")));
	if (table->sets == NULL && table->n_names < 2 && !table->is_part)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("rows have only one label, \"%s\"", entries[0]->name),
						errdetail("A classifier needs at least two.")));
	qsort(entries + table->n_given, table->n_names - table->n_given, sizeof(Spelling *),
		  compare_names);
	table->name_numbers = MemoryContextAlloc(table->context, table->n_names * sizeof(uint32));
	for (uint32 i = 0; i < table->n_names; i++)
	{
		names[i] = entries[i]->name;
		table->name_numbers[entries[i]->number] = i;
	}
	table->labels.n = (int) table->n_names;
	table->labels.names = names;
}

/* Orders sets by their members, one after the other. */
static int
compare_sets(const void *a, const void *b)
{
	const SetKey *first = &(*(SetEntry *const *) a)->key;
	const SetKey *second = &(*(SetEntry *const *) b)->key;

	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < first->n && i < second->n; i++)
	{
		if (first->members[i] != second->members[i])
			return first->members[i] < second->members[i] ? -1 : 1;
	}
	return first->n < second->n ? -1 : first->n > second->n;
}

/* The keys change from here on, so the hash table is not used any more. */
static void
sort_sets(GptLabelTable *table)
{
	MemoryContext context = table->context;
	SetEntry **entries = MemoryContextAllocHuge(context, (Size) table->n_sets * sizeof(SetEntry *));
	uint64_t *ends = MemoryContextAllocHuge(context, (Size) table->n_sets * sizeof(uint64_t));
	uint32_t *members =
		MemoryContextAllocHuge(context, (Size) Max(table->n_members, 1) * sizeof(uint32_t));
	uint64 n = 0;
	HASH_SEQ_STATUS status;
	SetEntry *entry;

	hash_seq_init(&status, table->sets);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 i = 0; i < entry->key.n; i++)
			entry->key.members[i] = table->name_numbers[entry->key.members[i]];
		qsort(entry->key.members, entry->key.n, sizeof(uint32), compare_numbers);
		entries[entry->number] = entry;
	}
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

/*
 * src/corpus/equal_rows.c
 *
 * Records go in; those that equal another one are marked. One pass over the file hashes all
 * records, or, where memory does not suffice, those of one range of hashes; then tickets (half of a
 * hash, number of the row) are sorted, and runs of equal rows found.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "corpus/duplicates.h"
#include "corpus/spool_private.h"
#include "corpus/tickets.h"

#define MEMORY_SHARE 4 /* of gpt.max_memory: its fourth part */
#define LEAST_CAPACITY 1024
#define ROW_SIZE (sizeof(Row) + 2 * sizeof(uint64))
#define GONE PG_UINT32_MAX /* instead of a record */
#define HELD_OUT (-1.0f) /* instead of a weight */

/* A record whose hash lies in the range of the pass. */
typedef struct Row
{
	uint64 hash[2];
	uint32 record; /* its number */
	float weight;
} Row;

typedef struct EqualRows
{
	GptSpool *spool;
	GptRepeated *repeated;
	Row *rows; /* [capacity] */
	uint64 *tickets; /* [2 * capacity] with the scratch of sorting */
	size_t n;
	size_t capacity;
	uint64 points[2]; /* at which the polynomials of the hashes are evaluated */
} EqualRows;

static void read_range(EqualRows *equal, uint32 range, uint32 n_ranges);
static void add_row(EqualRows *equal, const Row *row);
static void merge(EqualRows *equal);
static size_t merge_equal(EqualRows *equal, uint64 *tickets, size_t n);

void
gpt_equal_rows_find(GptRepeated *repeated, GptSpool *spool)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt equal rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	const LmHashKey *key = gpt_bridge_hash_key();
	EqualRows equal = {.spool = spool, .repeated = repeated};
	uint64 size = (uint64) spool->n_records * ROW_SIZE;
	uint32 n_ranges = (uint32) (size / (gpt_settings_max_memory() / MEMORY_SHARE) + 1);

	equal.capacity = Max((size_t) spool->n_records / n_ranges, LEAST_CAPACITY);
	equal.rows = MemoryContextAllocHuge(context, equal.capacity * sizeof(Row));
	equal.tickets = MemoryContextAllocHuge(context, 2 * equal.capacity * sizeof(uint64));
	equal.points[0] = (key->left ^ UINT64_C(0x8BB84B93962EACC9)) & LM_HASH_PRIME;
	equal.points[1] = (key->right ^ UINT64_C(0x4B33A62ED433D4A3)) & LM_HASH_PRIME;
	for (uint32 range = 0; range < n_ranges; range++)
	{
		read_range(&equal, range, n_ranges);
		merge(&equal);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/*
 * The hash of everything that is learnt of a record, below 2^61: a polynomial whose coefficients
 * are label, number, sizes and words of the texts.
 */
static uint64
hash_record(const GptSpool *spool, uint64 point)
{
	const GptSpoolRecord *record = &spool->record;
	uint64 hash = gpt_spool_label(spool, record);

	hash = lm_hash_words(point, hash, (const char *) &record->target, sizeof(record->target));
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
		hash = lm_hash_multiply(hash, point) + record->sizes[text];
	hash = lm_hash_words(point, hash, spool->text, record->size);
	return lm_hash_multiply(hash, point) % LM_HASH_PRIME;
}

static void
read_range(EqualRows *equal, uint32 range, uint32 n_ranges)
{
	GptSpool *spool = equal->spool;

	equal->n = 0;
	gpt_spool_rewind(spool);
	while (gpt_spool_read_record(spool))
	{
		Row row = {.record = (uint32) (spool->n_read - 1), .weight = spool->record.weight};

		CHECK_FOR_INTERRUPTS();
		row.hash[0] = hash_record(spool, equal->points[0]);
		if ((row.hash[0] >> 29) * n_ranges >> 32 != range)
			continue;
		row.hash[1] = hash_record(spool, equal->points[1]);
		if (spool->record.flags & GPT_ROW_VALIDATION)
			row.weight = HELD_OUT;
		add_row(equal, &row);
	}
}

/* Where there is no room, equal rows leave; different ones that are too many get more of it. */
static void
add_row(EqualRows *equal, const Row *row)
{
	if (equal->n == equal->capacity)
	{
		merge(equal);
		if (equal->n > equal->capacity / 4 * 3)
		{
			equal->capacity = equal->capacity / 4 * 5;
			gpt_bridge_check_memory((uint64) equal->capacity * ROW_SIZE);
			equal->rows = repalloc_huge(equal->rows, equal->capacity * sizeof(Row));
			equal->tickets = repalloc_huge(equal->tickets, 2 * equal->capacity * sizeof(uint64));
		}
	}
	equal->rows[equal->n++] = *row;
}

static bool
are_equal(const Row *a, const Row *b)
{
	return a->hash[0] == b->hash[0] && a->hash[1] == b->hash[1];
}

/* Marks rows that equal another one; the others stay, in their order. */
static void
merge(EqualRows *equal)
{
	size_t n = 0;
	uint64 *tickets;

	for (size_t i = 0; i < equal->n; i++)
		equal->tickets[i] = GPT_TICKET(equal->rows[i].hash[0] >> 29, i);
	tickets = gpt_tickets_sort(equal->tickets, equal->tickets + equal->n, equal->n);
	for (size_t first = 0, end; first < equal->n; first = end)
	{
		CHECK_FOR_INTERRUPTS();
		end = gpt_tickets_run(tickets, first, equal->n);
		for (size_t left = end - first; left > 1;)
			left = merge_equal(equal, tickets + first, left);
	}
	for (size_t i = 0; i < equal->n; i++)
	{
		if (equal->rows[i].record != GONE)
			equal->rows[n++] = equal->rows[i];
	}
	equal->n = n;
}

/* The second one leaves; the first is a row to train on. */
static void
leave(EqualRows *equal, const Row *kept, Row *row)
{
	GptRepeated *repeated = equal->repeated;
	GptDuplicates *counts = &equal->spool->duplicates;

	if (row->weight == HELD_OUT)
	{
		GPT_SET_BIT(repeated->leaked, row->record);
		counts->leaked++;
	}
	else
	{
		GPT_SET_BIT(repeated->equal, row->record);
		counts->exact++;
		if (repeated->kept != NULL)
		{
			repeated->kept[row->record] = kept->record;
			repeated->similarity[row->record] = 1;
		}
	}
	row->record = GONE;
}

/* Whether the row is a better one to keep: one that is trained on, of the largest weight. */
static bool
is_better(const Row *row, const Row *kept)
{
	return row->weight > kept->weight; /* HELD_OUT is the smallest weight */
}

/*
 * Of n tickets, whose hashes agree in a half, does those that equal the first one, and moves the
 * others to the front. Returns the number of these: there are hardly ever any.
 */
static size_t
merge_equal(EqualRows *equal, uint64 *tickets, size_t n)
{
	const Row first = equal->rows[GPT_TICKET_NUMBER(tickets[0])];
	Row *kept = &equal->rows[GPT_TICKET_NUMBER(tickets[0])];
	size_t n_others = 0;

	for (size_t i = 0; i < n; i++)
	{
		Row *row = &equal->rows[GPT_TICKET_NUMBER(tickets[i])];

		if (are_equal(row, &first) && is_better(row, kept))
			kept = row;
	}
	for (size_t i = 0; i < n; i++)
	{
		Row *row = &equal->rows[GPT_TICKET_NUMBER(tickets[i])];

		if (i % GPT_TICKETS_POLL == 0)
			CHECK_FOR_INTERRUPTS();
		if (!are_equal(row, &first))
			tickets[n_others++] = tickets[i];
		else if (row != kept && kept->weight != HELD_OUT)
			leave(equal, kept, row);
	}
	return n_others;
}

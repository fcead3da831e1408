/*
 * src/corpus/near_rows.c
 *
 * Records go in; those whose text is near that of one that stays are marked. The way is described
 * in corpus/duplicates.h:
 *
 *   1. the records that are left become rows;
 *   2. for each class of sketches, for as many bands at a time as there is memory for: a pass over
 *      the file makes the sketches, and in each band the rows of a bucket find leaders;
 *   3. rows whose leader has left are settled.
 *
 * Rows and items are in the order of the file. Buckets and rows to settle are brought into the
 * order of preference, which does not depend on it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "corpus/duplicates.h"
#include "corpus/spool_private.h"
#include "corpus/tickets.h"
#include "engine/minhash.h"

#define MOST_LEADERS 64 /* of a bucket */
#define MOST_FAILURES 4 /* of a row */
#define MEMORY_SHARE 2 /* of gpt.max_memory: the half */
#define HELD_SHARE 8 /* and an eighth for the file of a small corpus */
#define FEW 16 /* rows that are sorted by insertion */
#define NONE PG_UINT32_MAX
#define LABEL_FACTOR 0x9E3779B1U /* any large odd number */
#define LESS_MEMORY "Option \"dedup\": \"exact\" needs less."

/* A record that may be near another one. */
typedef struct Row
{
	uint64 place; /* in the file */
	uint64 hash;
	uint32 record; /* its number */
	uint32 length; /* code points */
	uint32 label;
	float weight;
	uint32 leader; /* the row that it is near; NONE */
	float similarity; /* to it */
	bool is_held_out; /* is no leader */
	uint8 failures;
} Row;

/* The rows that have sketches in a class. */
typedef struct Items
{
	int class_number;
	size_t n;
	uint32 *rows; /* [n] their numbers */
	uint64 (*bits)[LM_SKETCH_WORDS]; /* [n] */
	uint32 *bands; /* [n_bands][n] */
	int first_band;
	int n_bands; /* of this pass */
	uint64 *tickets; /* [2][n] */
} Items;

typedef struct NearRows
{
	GptSpool *spool;
	const LmHost *host;
	GptNearTexts *texts;
	Row *rows; /* [n] */
	size_t n;
	LmCodePoints points;
} NearRows;

static void collect(NearRows *near);
static void find_in_class(NearRows *near, int class_number);
static void settle(NearRows *near, GptRepeated *repeated);

void
gpt_near_rows_find(GptRepeated *repeated, GptSpool *spool)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt near rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	NearRows near = {.spool = spool, .host = gpt_bridge_host(context)};

	gpt_spool_hold(spool, gpt_settings_max_memory() / HELD_SHARE);
	near.texts = gpt_near_texts_create(spool);
	collect(&near);
	for (int class_number = 0; class_number < LM_SKETCH_CLASSES; class_number++)
		find_in_class(&near, class_number);
	settle(&near, repeated);
	gpt_spool_release(spool);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/* ---- 1. Rows, and their order ------------------------------------------- */

/* Rows of different labels are not near each other, nor are those of different numbers. */
static uint32
label_of(const GptSpool *spool)
{
	float target = (float) spool->record.target;
	uint32 bits;

	if (!spool->task->measured)
		return gpt_spool_label(spool, &spool->record);
	memcpy(&bits, &target, sizeof(bits));
	return bits;
}

static void
collect(NearRows *near)
{
	GptSpool *spool = near->spool;
	uint64 most = spool->n_records - spool->duplicates.exact;

	gpt_bridge_check_memory_with(most * sizeof(Row), LESS_MEMORY);
	near->rows = MemoryContextAllocHuge(CurrentMemoryContext, most * sizeof(Row) + 1);
	gpt_spool_rewind(spool);
	while (gpt_spool_read_record(spool))
	{
		const GptSpoolRecord *record = &spool->record;

		CHECK_FOR_INTERRUPTS();
		near->rows[near->n++] = (Row){
			.place = spool->place,
			.hash = record->hash[1],
			.record = (uint32) (spool->n_read - 1),
			.length = (uint32) lm_code_point_count(spool->text, record->size),
			.label = label_of(spool),
			.weight = record->weight,
			.leader = NONE,
			.is_held_out = (record->flags & GPT_ROW_VALIDATION) != 0,
		};
	}
}

/* The numbers by which rows are ordered, the least important first. */
static uint32
preference(const Row *row, int number)
{
	uint32 bits;

	switch (number)
	{
		case 0:
			return (uint32) row->hash;
		case 1:
			return (uint32) (row->hash >> 32);
		case 2:
			return ~row->length;
		default:
			/* Floats that are not negative compare as their bits do. */
			memcpy(&bits, &row->weight, sizeof(bits));
			return row->is_held_out ? PG_UINT32_MAX : PG_INT32_MAX - bits;
	}
}

#define PREFERENCES 4

static bool
is_preferred(const Row *a, const Row *b)
{
	uint32 left = preference(a, 3);
	uint32 right = preference(b, 3);

	if (left != right)
		return left < right;
	return a->length != b->length ? a->length > b->length : a->hash < b->hash;
}

/* The row of a ticket, whose number is that of a row or, with rows, a place among these. */
static const Row *
row_of(const NearRows *near, const uint32 *rows, uint64 ticket)
{
	uint32 number = GPT_TICKET_NUMBER(ticket);

	return &near->rows[rows != NULL ? rows[number] : number];
}

static void
sort_few(const NearRows *near, const uint32 *rows, uint64 *tickets, size_t n)
{
	for (size_t i = 1; i < n; i++)
	{
		uint64 ticket = tickets[i];
		const Row *row = row_of(near, rows, ticket);
		size_t place = i;

		for (; place > 0 && is_preferred(row, row_of(near, rows, tickets[place - 1])); place--)
			tickets[place] = tickets[place - 1];
		tickets[place] = ticket;
	}
}

/*
 * Brings tickets of rows into the order of preference: those to train on, larger weights, longer
 * ones, smaller hashes first. scratch: [n].
 */
static void
sort_rows(const NearRows *near, const uint32 *rows, uint64 *tickets, uint64 *scratch, size_t n)
{
	uint64 *sorted = tickets;

	if (n <= FEW)
	{
		sort_few(near, rows, tickets, n);
		return;
	}
	for (int number = 0; number < PREFERENCES; number++)
	{
		CHECK_FOR_INTERRUPTS();
		for (size_t i = 0; i < n; i++)
			sorted[i] = GPT_TICKET(preference(row_of(near, rows, sorted[i]), number),
								   GPT_TICKET_NUMBER(sorted[i]));
		sorted = gpt_tickets_sort(sorted, sorted == tickets ? scratch : tickets, n);
	}
	if (sorted != tickets)
		memcpy(tickets, sorted, n * sizeof(uint64));
}

/* ---- 2. Sketches and buckets -------------------------------------------- */

static void create_items(Items *items, NearRows *near);
static void make_sketches(Items *items, NearRows *near);
static void find_in_band(const Items *items, NearRows *near, int band);
static void find_in_bucket(const Items *items, NearRows *near, const uint64 *tickets, size_t n);
static bool find_leader(const Items *items, NearRows *near, uint32 item, const uint32 *leaders,
						size_t n_leaders);

static void
find_in_class(NearRows *near, int class_number)
{
	Items items = {.class_number = class_number};

	for (size_t i = 0; i < near->n; i++)
		items.n += lm_sketch_has_class(near->rows[i].length, class_number);
	if (items.n < 2)
		return;
	create_items(&items, near);
	while (items.first_band < lm_sketch_bands(class_number))
	{
		items.n_bands = Min(items.n_bands, lm_sketch_bands(class_number) - items.first_band);
		make_sketches(&items, near);
		for (int band = 0; band < items.n_bands; band++)
			find_in_band(&items, near, band);
		items.first_band += items.n_bands;
	}
	pfree(items.rows);
	pfree(items.bits);
	pfree(items.bands);
	pfree(items.tickets);
}

/* Chooses the number of bands of a pass by the memory that is left. */
static void
create_items(Items *items, NearRows *near)
{
	const uint64 item_size = sizeof(uint32) + sizeof(items->bits[0]) + 2 * sizeof(uint64);
	uint64 most = gpt_settings_max_memory() / MEMORY_SHARE;
	uint64 taken = near->n * sizeof(Row) + items->n * item_size;
	uint64 n_bands = most > taken ? (most - taken) / (items->n * sizeof(uint32)) : 1;
	size_t n = 0;

	items->n_bands = (int) Max(1, Min(n_bands, lm_sketch_bands(items->class_number)));
	gpt_bridge_check_memory_with(taken + items->n * items->n_bands * sizeof(uint32), LESS_MEMORY);
	items->rows = MemoryContextAllocHuge(CurrentMemoryContext, items->n * sizeof(uint32));
	items->bits = MemoryContextAllocHuge(CurrentMemoryContext, items->n * sizeof(items->bits[0]));
	items->bands =
		MemoryContextAllocHuge(CurrentMemoryContext, items->n * items->n_bands * sizeof(uint32));
	items->tickets = MemoryContextAllocHuge(CurrentMemoryContext, 2 * items->n * sizeof(uint64));
	for (size_t i = 0; i < near->n; i++)
	{
		if (lm_sketch_has_class(near->rows[i].length, items->class_number))
			items->rows[n++] = (uint32) i;
	}
}

/* A pass over the file. */
static void
make_sketches(Items *items, NearRows *near)
{
	GptSpool *spool = near->spool;
	size_t item = 0;
	LmSketch sketch;
	LmError error;

	gpt_spool_rewind(spool);
	for (uint32 row = 0; item < items->n && gpt_spool_read_record(spool); row++)
	{
		CHECK_FOR_INTERRUPTS();
		if (items->rows[item] != row)
			continue;
		if (near->rows[row].leader == NONE)
		{
			while (
				!lm_code_points(&near->points, spool->text, spool->record.size, near->host, &error))
				gpt_bridge_retry(&error);
			while (!lm_sketch(&sketch, &near->points, items->class_number, near->host, &error))
				gpt_bridge_retry(&error);
			memcpy(items->bits[item], sketch.bits, sizeof(sketch.bits));
			/* Rows of different labels seldom share a bucket. */
			for (int band = 0; band < items->n_bands; band++)
				items->bands[band * items->n + item] =
					sketch.bands[items->first_band + band] ^ near->rows[row].label * LABEL_FACTOR;
		}
		item++;
	}
}

static void
find_in_band(const Items *items, NearRows *near, int band)
{
	const uint32 *hashes = items->bands + band * items->n;
	uint64 *tickets = items->tickets;
	uint64 *scratch = items->tickets + items->n;
	size_t n = 0;

	for (size_t i = 0; i < items->n; i++)
	{
		if (i % GPT_TICKETS_POLL == 0)
			CHECK_FOR_INTERRUPTS();
		if (near->rows[items->rows[i]].leader == NONE)
			tickets[n++] = GPT_TICKET(hashes[i], i);
	}
	tickets = gpt_tickets_sort(tickets, scratch, n);
	scratch = tickets == scratch ? items->tickets : scratch;
	for (size_t first = 0, end; first < n; first = end)
	{
		if (first % GPT_TICKETS_POLL == 0)
			CHECK_FOR_INTERRUPTS();
		end = gpt_tickets_run(tickets, first, n);
		if (end - first == 1)
			continue;
		sort_rows(near, items->rows, tickets + first, scratch + first, end - first);
		find_in_bucket(items, near, tickets + first, end - first);
	}
}

/* Tickets of the items of a bucket, in the order of preference. */
static void
find_in_bucket(const Items *items, NearRows *near, const uint64 *tickets, size_t n)
{
	uint32 leaders[MOST_LEADERS];
	size_t n_leaders = 0;

	for (size_t i = 0; i < n; i++)
	{
		uint32 item = GPT_TICKET_NUMBER(tickets[i]);

		CHECK_FOR_INTERRUPTS();
		if (!find_leader(items, near, item, leaders, n_leaders) && n_leaders < MOST_LEADERS &&
			!near->rows[items->rows[item]].is_held_out)
			leaders[n_leaders++] = item;
	}
}

/* Whether two rows can be near at all, so that it is worth reading their texts. */
static bool
may_be_near(const Items *items, const NearRows *near, uint32 a, uint32 b)
{
	const Row *left = &near->rows[items->rows[a]];
	const Row *right = &near->rows[items->rows[b]];
	uint32 difference =
		left->length > right->length ? left->length - right->length : right->length - left->length;

	return left->label == right->label &&
		   difference <= lm_near_limit(left->length, right->length) &&
		   lm_sketch_resemble(items->bits[a], items->bits[b], items->class_number);
}

/* Whether the item is near one of the leaders. */
static bool
find_leader(const Items *items, NearRows *near, uint32 item, const uint32 *leaders,
			size_t n_leaders)
{
	Row *row = &near->rows[items->rows[item]];

	for (size_t i = 0; i < n_leaders && row->failures < MOST_FAILURES; i++)
	{
		uint32 leader = items->rows[leaders[i]];

		if (!may_be_near(items, near, leaders[i], item))
			continue;
		if (gpt_near_texts_compare(&row->similarity, near->texts, near->rows[leader].place,
								   row->place))
		{
			row->leader = leader;
			return true;
		}
		row->failures++;
	}
	return false;
}

/* ---- 3. Leaders that have left ------------------------------------------- */

static void settle_row(NearRows *near, GptRepeated *repeated, Row *row);

/* In the order of preference: a leader is settled before its rows. */
static void
settle(NearRows *near, GptRepeated *repeated)
{
	size_t n = 0;
	uint64 *tickets;

	for (size_t i = 0; i < near->n; i++)
		n += near->rows[i].leader != NONE;
	gpt_bridge_check_memory_with(near->n * sizeof(Row) + 2 * n * sizeof(uint64), LESS_MEMORY);
	tickets = MemoryContextAllocHuge(CurrentMemoryContext, 2 * n * sizeof(uint64) + 1);
	n = 0;
	for (size_t i = 0; i < near->n; i++)
	{
		if (near->rows[i].leader != NONE)
			tickets[n++] = i;
	}
	sort_rows(near, NULL, tickets, tickets + n, n);
	for (size_t i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		settle_row(near, repeated, &near->rows[GPT_TICKET_NUMBER(tickets[i])]);
	}
}

static void
settle_row(NearRows *near, GptRepeated *repeated, Row *row)
{
	GptDuplicates *counts = &near->spool->duplicates;

	if (near->rows[row->leader].leader != NONE)
	{
		row->leader = near->rows[row->leader].leader;
		if (!gpt_near_texts_compare(&row->similarity, near->texts, near->rows[row->leader].place,
									row->place))
			row->leader = NONE;
	}
	if (row->leader == NONE)
		return;
	if (row->is_held_out)
	{
		counts->leaked += !GPT_BIT(repeated->leaked, row->record);
		return;
	}
	GPT_SET_BIT(repeated->near, row->record);
	counts->near++;
	if (repeated->kept != NULL)
	{
		repeated->kept[row->record] = near->rows[row->leader].record;
		repeated->similarity[row->record] = row->similarity;
	}
}

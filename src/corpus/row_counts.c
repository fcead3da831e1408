/*
 * src/corpus/row_counts.c
 *
 * Rows go in, groups of equal ones come out. New rows are appended; when the array is full, equal
 * ones are merged. If it is still full, the larger half of the keys is dropped. The moment of this
 * follows from the rows alone, because the number of different keys below a limit only grows.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "corpus/row_counts.h"

#define FIRST_CAPACITY 1024
#define MEMORY_SHARE 8 /* of gpt.max_memory: its eighth part */
/* beyond which merging again would not be worth it */
#define FULL(capacity) ((capacity) / 4 * 3)

static void make_room(GptRowCounts *counts);
static void merge(GptRowCounts *counts);
static void halve(GptRowCounts *counts);

GptRowCounts *
gpt_row_counts_create(void)
{
	GptRowCounts *counts = palloc0(sizeof(GptRowCounts));

	counts->host = gpt_bridge_host(CurrentMemoryContext);
	counts->capacity = FIRST_CAPACITY;
	counts->groups = palloc(FIRST_CAPACITY * sizeof(LmRowGroup));
	counts->most = Max(FIRST_CAPACITY,
					   (size_t) (gpt_settings_max_memory() / MEMORY_SHARE) / sizeof(LmRowGroup));
	counts->below = PG_UINT64_MAX;
	return counts;
}

void
gpt_row_counts_free(GptRowCounts *counts)
{
	pfree(counts->groups);
	pfree(counts);
}

void
gpt_row_counts_add(GptRowCounts *counts, uint64 key, uint64 prompt, uint32 size, uint32 label)
{
	counts->n_rows++;
	counts->n_bytes += size;
	if (key > counts->below)
		return;
	if (counts->n == counts->capacity)
		make_room(counts);
	counts->groups[counts->n++] =
		(LmRowGroup){.key = key, .prompt = prompt, .size = size, .label = label, .n_rows = 1};
}

static void
make_room(GptRowCounts *counts)
{
	merge(counts);
	if (counts->n <= FULL(counts->capacity))
		return;
	if (counts->capacity < counts->most)
	{
		counts->capacity = Min(2 * counts->capacity, counts->most);
		counts->groups = repalloc_huge(counts->groups, counts->capacity * sizeof(LmRowGroup));
	}
	else
		halve(counts);
}

static void
merge(GptRowCounts *counts)
{
	size_t n;

	if (counts->n == 0)
		return;
	while ((n = lm_row_groups_merge(counts->groups, counts->n, counts->host)) == 0)
		CHECK_FOR_INTERRUPTS();
	counts->n = n;
}

/* Drops the larger half of the keys until the merged groups leave room. */
static void
halve(GptRowCounts *counts)
{
	while (counts->n > FULL(counts->most))
	{
		counts->below /= 2;
		while (counts->n > 0 && counts->groups[counts->n - 1].key > counts->below)
			counts->n--;
	}
}

void
gpt_row_counts_finish(GptRowCounts *counts)
{
	merge(counts);
	halve(counts);
}

void
gpt_row_counts_keep(GptRowCounts *counts, uint32 flags)
{
	size_t n = 0;

	for (size_t i = 0; i < counts->n; i++)
	{
		if (counts->groups[i].flags & flags)
			counts->groups[n++] = counts->groups[i];
	}
	counts->n = n;
	counts->capacity = Max(n, 1);
	counts->groups = repalloc_huge(counts->groups, counts->capacity * sizeof(LmRowGroup));
}

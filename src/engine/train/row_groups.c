/*
 * src/engine/train/row_groups.c
 *
 * Groups of equal rows: sorted, merged and found. The sort is a quicksort in three parts (Bentley
 * and McIlroy 1993, "Engineering a sort function"), because a corpus may be a few rows many times
 * over. The sort of the C library could not be stopped.
 */
#include "train/row_groups.h"

#define SMALL_SORT 16
#define ASKING_SORT 4096 /* parts of so many groups ask */

static bool sort_from(LmRowGroup *groups, size_t n, LmCompareGroups compare, const LmHost *host,
					  uint64_t *random);

/*
 * The finalizer of SplitMix64 (Steele et al. 2014, "Fast splittable pseudorandom number
 * generators").
 */
uint64_t
lm_row_mix(uint64_t hash)
{
	hash ^= hash >> 30;
	hash *= 0xBF58476D1CE4E5B9u;
	hash ^= hash >> 27;
	hash *= 0x94D049BB133111EBu;
	return hash ^ hash >> 31;
}

int
lm_compare_keys(const LmRowGroup *a, const LmRowGroup *b)
{
	return (a->key > b->key) - (a->key < b->key);
}

int
lm_compare_prompts(const LmRowGroup *a, const LmRowGroup *b)
{
	return a->prompt != b->prompt ? (a->prompt > b->prompt) - (a->prompt < b->prompt)
								  : lm_compare_keys(a, b);
}

bool
lm_row_groups_sort(LmRowGroup *groups, size_t n, LmCompareGroups compare, const LmHost *host)
{
	uint64_t random = 1;

	return sort_from(groups, n, compare, host, &random);
}

static void
swap(LmRowGroup *a, LmRowGroup *b)
{
	LmRowGroup other = *a;

	*a = *b;
	*b = other;
}

static void
sort_small(LmRowGroup *groups, size_t n, LmCompareGroups compare)
{
	for (size_t i = 1; i < n; i++)
	{
		LmRowGroup group = groups[i];
		size_t to = i;

		for (; to > 0 && compare(&group, &groups[to - 1]) < 0; to--)
			groups[to] = groups[to - 1];
		groups[to] = group;
	}
}

/* The median of three groups at random places, which nobody can foresee when choosing rows. */
static LmRowGroup
choose_pivot(const LmRowGroup *groups, size_t n, LmCompareGroups compare, uint64_t *random)
{
	LmRowGroup three[3];

	for (int i = 0; i < 3; i++)
	{
		*random = lm_row_mix(*random + 0x9E3779B97F4A7C15u);
		three[i] = groups[*random % n];
	}
	sort_small(three, 3, compare);
	return three[1];
}

/* Quicksort with three parts around a random pivot; false when the host asks to stop. */
static bool
sort_from(LmRowGroup *groups, size_t n, LmCompareGroups compare, const LmHost *host,
		  uint64_t *random)
{
	while (n > SMALL_SORT)
	{
		LmRowGroup pivot = choose_pivot(groups, n, compare, random);
		size_t less = 0, at = 0, more = n;

		if (n > ASKING_SORT && host->should_stop && host->should_stop(host->context))
			return false;
		while (at < more)
		{
			int order = compare(&groups[at], &pivot);

			if (order < 0)
				swap(&groups[less++], &groups[at++]);
			else if (order > 0)
				swap(&groups[at], &groups[--more]);
			else
				at++;
		}
		/* The call takes the smaller part, so that the depth is at most the logarithm of n. */
		if (less < n - more)
		{
			if (!sort_from(groups, less, compare, host, random))
				return false;
			groups += more;
			n -= more;
		}
		else
		{
			if (!sort_from(groups + more, n - more, compare, host, random))
				return false;
			n = less;
		}
	}
	sort_small(groups, n, compare);
	return true;
}

static int
compare_equal(const LmRowGroup *a, const LmRowGroup *b)
{
	return a->key != b->key ? lm_compare_keys(a, b) : (a->label > b->label) - (a->label < b->label);
}

size_t
lm_row_groups_merge(LmRowGroup *groups, size_t n, const LmHost *host)
{
	size_t n_merged = 0;

	if (!lm_row_groups_sort(groups, n, compare_equal, host))
		return 0;
	for (size_t i = 0; i < n; i++)
	{
		LmRowGroup *last = n_merged > 0 ? &groups[n_merged - 1] : groups;

		if (n_merged == 0 || compare_equal(last, &groups[i]) != 0)
			groups[n_merged++] = groups[i];
		else
			last->n_rows = last->n_rows > UINT32_MAX - groups[i].n_rows
							   ? UINT32_MAX
							   : last->n_rows + groups[i].n_rows;
	}
	return n_merged;
}

LmRowGroup *
lm_row_groups_find(LmRowGroup *groups, size_t n, uint64_t key)
{
	size_t low = 0, high = n;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (groups[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && groups[low].key == key ? &groups[low] : NULL;
}

bool
lm_row_groups_by_prompt(LmRowGroup *groups, size_t n, const LmHost *host)
{
	return lm_row_groups_sort(groups, n, lm_compare_prompts, host);
}

void
lm_row_groups_elsewhere(LmRowGroup *groups, size_t n, uint64_t prompt)
{
	size_t low = 0, high = n;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (groups[middle].prompt < prompt)
			low = middle + 1;
		else
			high = middle;
	}
	/* All groups of a prompt, once. */
	for (; low < n && groups[low].prompt == prompt && !(groups[low].flags & LM_GROUP_ELSEWHERE);
		 low++)
		groups[low].flags |= LM_GROUP_ELSEWHERE;
}

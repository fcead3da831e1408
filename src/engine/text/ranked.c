/*
 * src/engine/text/ranked.c
 *
 * A heap of the best strings, and heapsort (Williams 1964): in place, and no order makes it slow.
 */
#include "text/ranked.h"
#include "text/utf8.h"

#define POLLED 4096 /* items moved between two looks at whether to stop */

/* Whether a comes before b. */
static bool
before(const LmRanked *a, const LmRanked *b)
{
	size_t size = a->bytes.size < b->bytes.size ? a->bytes.size : b->bytes.size;
	int order;

	if (a->value != b->value)
		return a->value > b->value;
	order = memcmp(a->bytes.data, b->bytes.data, size);
	return order != 0 ? order < 0 : a->bytes.size < b->bytes.size;
}

/* Puts item where the hole sinks to; the last one is on top. */
static void
sink(LmRanked *items, size_t n, size_t hole, LmRanked item)
{
	for (size_t child = 2 * hole + 1; child < n; child = 2 * hole + 1)
	{
		if (child + 1 < n && before(&items[child], &items[child + 1]))
			child++;
		if (!before(&item, &items[child]))
			break;
		items[hole] = items[child];
		hole = child;
	}
	items[hole] = item;
}

void
lm_ranked_keep(LmRanked *items, size_t *n, size_t most, LmRanked item)
{
	size_t hole = *n;

	if (hole == most)
	{
		if (most > 0 && before(&item, &items[0]))
			sink(items, most, 0, item);
		return;
	}
	(*n)++;
	for (; hole > 0 && before(&items[(hole - 1) / 2], &item); hole = (hole - 1) / 2)
		items[hole] = items[(hole - 1) / 2];
	items[hole] = item;
}

bool
lm_ranked_sort(const LmHost *host, LmRanked *items, size_t n, LmError *error)
{
	for (size_t i = n / 2; i > 0; i--)
	{
		if (i % POLLED == 0 && !lm_text_go_on(host, error))
			return false;
		sink(items, n, i - 1, items[i - 1]);
	}
	for (size_t end = n; end > 1; end--)
	{
		LmRanked last = items[end - 1];

		if (end % POLLED == 0 && !lm_text_go_on(host, error))
			return false;
		items[end - 1] = items[0];
		sink(items, end - 1, 0, last);
	}
	return true;
}

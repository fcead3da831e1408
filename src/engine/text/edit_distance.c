/*
 * src/engine/text/edit_distance.c
 *
 * Two texts go in, the number of edits between them comes out, if it is small.
 *
 * furthest[d] is the furthest point of a on diagonal d (b's point minus a's) that e edits reach,
 * after all equal code points that follow; one more edit moves to a neighbouring diagonal or along
 * the same one (Ukkonen 1985, "Algorithms for approximate string matching", section 2). Diagonals
 * from which the remaining edits cannot reach the end are left out.
 */
#include "engine/minhash.h"
#include "text/array.h"
#include "text/utf8.h"

#define NOWHERE (-1)

typedef struct Pair
{
	const uint32_t *a;
	const uint32_t *b;
	int64_t n_a;
	int64_t n_b;
} Pair;

size_t
lm_near_limit(size_t n_a, size_t n_b)
{
	size_t limit = (n_a > n_b ? n_a : n_b) / LM_NEAR_SHARE;

	return limit < LM_NEAR_MOST ? limit : LM_NEAR_MOST;
}

/* The end of the run of equal code points that begins at a's point i on the diagonal. */
static inline int64_t
slide(const Pair *pair, int64_t diagonal, int64_t i)
{
	while (i < pair->n_a && i + diagonal < pair->n_b && pair->a[i] == pair->b[i + diagonal])
		i++;
	return i;
}

static inline int64_t
larger(int64_t x, int64_t y)
{
	return x > y ? x : y;
}

static inline int64_t
smaller(int64_t x, int64_t y)
{
	return x < y ? x : y;
}

/*
 * One more edit on all diagonals from first to last, where furthest has its values of one edit
 * less. Returns the number of code points it passed.
 */
static int64_t
advance(const Pair *pair, int64_t *furthest, int64_t first, int64_t last)
{
	int64_t before = furthest[first - 1]; /* of the diagonal on the left, one edit less */
	int64_t work = 0;

	for (int64_t d = first; d <= last; d++)
	{
		int64_t here = furthest[d];
		int64_t i = NOWHERE;

		if (here != NOWHERE)
			i = smaller(here + 1, pair->n_a); /* replaced */
		if (furthest[d + 1] != NOWHERE)
			i = larger(i, smaller(furthest[d + 1] + 1, pair->n_a)); /* removed from a */
		if (before != NOWHERE)
			i = larger(i, before); /* inserted */
		before = here;
		if (i != NOWHERE)
			i = i + d > pair->n_b ? smaller(i, pair->n_b - d) : i;
		if (i != NOWHERE)
		{
			furthest[d] = slide(pair, d, i);
			work += furthest[d] - i + 1;
		}
	}
	return work;
}

bool
lm_edit_distance(size_t *distance, const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b,
				 size_t limit, LmEditScratch *scratch, const LmHost *host, LmError *error)
{
	Pair pair = {a, b, (int64_t) n_a, (int64_t) n_b};
	int64_t end = pair.n_b - pair.n_a, most = (int64_t) limit, work = 0;
	size_t size = 2 * limit + 5;
	int64_t *furthest;

	*distance = limit + 1;
	if ((end < 0 ? -end : end) > most)
		return true;
	if (!lm_array_reserve(host, &scratch->furthest, &scratch->capacity, size, sizeof(int64_t),
						  error))
		return false;
	for (size_t i = 0; i < size; i++)
		scratch->furthest[i] = NOWHERE;
	furthest = scratch->furthest + limit + 2;
	furthest[0] = slide(&pair, 0, 0);
	for (int64_t edits = 0; edits <= most; edits++)
	{
		if (edits > 0)
			work += advance(&pair, furthest, larger(-edits, end - (most - edits)),
							smaller(edits, end + (most - edits)));
		if (furthest[end] == pair.n_a)
		{
			*distance = (size_t) edits;
			return true;
		}
		if (work >= (int64_t) LM_POLL_SIZE)
		{
			work = 0;
			if (!lm_text_go_on(host, error))
				return false;
		}
	}
	return true;
}

void
lm_edit_scratch_free(LmEditScratch *scratch, const LmHost *host)
{
	lm_array_free(host, scratch->furthest);
	scratch->capacity = 0;
}

/*
 * src/engine/text/bpe_ranked.c
 *
 * The merges of a very long piece in linear time: rank after rank, all places of a rank from left
 * to right. That is the order of the heap in bpe_long.c where a merge makes only pairs of higher
 * ranks, as it does where each merge comes after those that make its parts: in every vocabulary
 * that was learnt by merging.
 *
 * The places of a rank are a list that is linked in both directions, so that a place leaves its
 * list when its pair changes. New places come behind the others; if they are not in order, they are
 * sorted when their rank comes. Memory is 36 bytes a byte of the piece, and 8 bytes a merge.
 */
#include "text/bpe.h"
#include "text/utf8.h"

#define NONE (-1)
#define POLL_MERGES 16384

typedef struct Symbol
{
	int32_t id; /* NONE: merged into the one on its left */
	int32_t previous, next;
	int32_t rank; /* of the pair that starts here, or NONE */
	int32_t before, after; /* places of the same rank; of the first one `before` is NONE */
} Symbol;

typedef struct Ranked
{
	const LmBpe *bpe;
	Symbol *symbols; /* [n] */
	int32_t *first, *last; /* [n_ranks] places of a rank, or NONE */
	int32_t *places; /* [n] those of the present rank ... */
	int32_t *scratch; /* [n] ... and room to sort them */
	int32_t present; /* the rank whose places left their list */
} Ranked;

static bool allocate(Ranked *ranked, LmBpe *bpe, int32_t n, LmError *error);
static void release(Ranked *ranked, LmBpe *bpe);
static void begin(Ranked *ranked, const int32_t *ids, int32_t n);
static bool merge_all(Ranked *ranked, LmError *error);
static int32_t take_places(Ranked *ranked, int32_t rank);
static void merge(Ranked *ranked, int32_t place);
static void set_rank(Ranked *ranked, int32_t place);
static void sort(int32_t *places, int32_t *scratch, int32_t n);
static int32_t run_end(const int32_t *places, int32_t start, int32_t n);
static size_t collect(int32_t *ids, const Symbol *symbols);

bool
lm_bpe_find_order(LmBpe *bpe, LmError *error)
{
	int32_t last_id = 0, last_rank = -1, *made;
	bool ordered = true;

	for (uint32_t i = 0; i <= bpe->merge_mask; i++)
	{
		if (bpe->merges[i].key == 0)
			continue;
		last_id = bpe->merges[i].result > last_id ? bpe->merges[i].result : last_id;
		last_rank = bpe->merges[i].rank > last_rank ? bpe->merges[i].rank : last_rank;
	}
	made = lm_array_allocate(&bpe->host, (size_t) last_id + 1, sizeof *made, error);
	if (!made)
		return false;
	for (int32_t id = 0; id <= last_id; id++)
		made[id] = NONE;
	for (uint32_t i = 0; i <= bpe->merge_mask; i++)
		if (bpe->merges[i].key != 0 && bpe->merges[i].rank > made[bpe->merges[i].result])
			made[bpe->merges[i].result] = bpe->merges[i].rank;
	for (uint32_t i = 0; i <= bpe->merge_mask && ordered; i++)
	{
		int32_t left = (int32_t) (bpe->merges[i].key >> 32) - 1;
		int32_t right = (int32_t) (uint32_t) bpe->merges[i].key;

		if (bpe->merges[i].key != 0)
			ordered = (left > last_id || made[left] < bpe->merges[i].rank) &&
					  (right > last_id || made[right] < bpe->merges[i].rank);
	}
	lm_free(&bpe->host, made);
	bpe->n_ranks = last_rank + 1;
	bpe->order = ordered ? LM_BPE_ORDERED : LM_BPE_UNORDERED;
	return true;
}

bool
lm_bpe_merge_ranked(LmBpe *bpe, int32_t *ids, int32_t n, size_t *n_left, LmError *error)
{
	Ranked ranked = {.bpe = bpe, .present = NONE};
	bool done = allocate(&ranked, bpe, n, error);

	if (done)
	{
		begin(&ranked, ids, n);
		done = merge_all(&ranked, error);
	}
	if (done)
		*n_left = collect(ids, ranked.symbols);
	release(&ranked, bpe);
	return done;
}

static bool
allocate(Ranked *ranked, LmBpe *bpe, int32_t n, LmError *error)
{
	size_t n_ranks = bpe->n_ranks > 0 ? (size_t) bpe->n_ranks : 1;

	ranked->symbols = lm_array_allocate(&bpe->host, (size_t) n, sizeof *ranked->symbols, error);
	if (ranked->symbols)
		ranked->places =
			lm_array_allocate(&bpe->host, 2 * (size_t) n, sizeof *ranked->places, error);
	if (ranked->places)
		ranked->first = lm_array_allocate(&bpe->host, 2 * n_ranks, sizeof *ranked->first, error);
	if (!ranked->first)
		return false;
	ranked->scratch = ranked->places + n;
	ranked->last = ranked->first + n_ranks;
	for (size_t i = 0; i < n_ranks; i++)
		ranked->first[i] = ranked->last[i] = NONE;
	return true;
}

static void
release(Ranked *ranked, LmBpe *bpe)
{
	lm_free(&bpe->host, ranked->symbols);
	lm_free(&bpe->host, ranked->places);
	lm_free(&bpe->host, ranked->first);
}

static void
begin(Ranked *ranked, const int32_t *ids, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		ranked->symbols[i] = (Symbol){.id = ids[i],
									  .previous = i - 1,
									  .next = i + 1 < n ? i + 1 : NONE,
									  .rank = NONE,
									  .before = NONE,
									  .after = NONE};
	for (int32_t i = 0; i < n; i++)
		set_rank(ranked, i);
}

static bool
merge_all(Ranked *ranked, LmError *error)
{
	size_t steps = 0;

	for (int32_t rank = 0; rank < ranked->bpe->n_ranks; rank++)
	{
		int32_t n = take_places(ranked, rank);

		for (int32_t i = 0; i < n; i++, steps++)
		{
			if (steps % POLL_MERGES == 0 && !lm_text_go_on(&ranked->bpe->host, error))
				return false;
			if (ranked->symbols[ranked->places[i]].rank == rank)
				merge(ranked, ranked->places[i]);
		}
	}
	return true;
}

/* Moves the places of a rank out of their list, in order; returns how many there are. */
static int32_t
take_places(Ranked *ranked, int32_t rank)
{
	int32_t n = 0;

	for (int32_t place = ranked->first[rank]; place != NONE; place = ranked->symbols[place].after)
		ranked->places[n++] = place;
	ranked->first[rank] = ranked->last[rank] = NONE;
	ranked->present = rank;
	sort(ranked->places, ranked->scratch, n);
	return n;
}

/* Merges the pair at a place of the present rank. */
static void
merge(Ranked *ranked, int32_t place)
{
	Symbol *symbols = ranked->symbols, *left = &symbols[place], *right = &symbols[left->next];
	int32_t gone = left->next;

	left->id = lm_bpe_merge(ranked->bpe, left->id, right->id)->result;
	left->next = right->next;
	right->id = NONE;
	set_rank(ranked, gone);
	if (left->next != NONE)
		symbols[left->next].previous = place;
	if (left->previous != NONE)
		set_rank(ranked, left->previous);
	set_rank(ranked, place);
}

/* Moves a place from the list of its rank to that of its pair's. */
static void
set_rank(Ranked *ranked, int32_t place)
{
	Symbol *symbols = ranked->symbols, *symbol = &symbols[place];
	const LmMergeSlot *found = NULL;

	if (symbol->rank != NONE && symbol->rank != ranked->present)
	{
		if (symbol->before != NONE)
			symbols[symbol->before].after = symbol->after;
		else
			ranked->first[symbol->rank] = symbol->after;
		if (symbol->after != NONE)
			symbols[symbol->after].before = symbol->before;
		else
			ranked->last[symbol->rank] = symbol->before;
	}
	if (symbol->id != NONE && symbol->next != NONE)
		found = lm_bpe_merge(ranked->bpe, symbol->id, symbols[symbol->next].id);
	symbol->rank = found ? found->rank : NONE;
	if (!found)
		return;
	symbol->before = ranked->last[symbol->rank];
	symbol->after = NONE;
	if (symbol->before != NONE)
		symbols[symbol->before].after = place;
	else
		ranked->first[symbol->rank] = place;
	ranked->last[symbol->rank] = place;
}

/* Merges neighbouring runs of ascending places until there is one: natural merge sort. */
static void
sort(int32_t *places, int32_t *scratch, int32_t n)
{
	while (run_end(places, 0, n) < n)
	{
		for (int32_t start = 0, end; start < n; start = end)
		{
			int32_t middle = run_end(places, start, n), left = start, right = middle;

			end = run_end(places, middle, n);
			for (int32_t i = start; i < end; i++)
				scratch[i] = right == end || (left < middle && places[left] < places[right])
								 ? places[left++]
								 : places[right++];
		}
		memcpy(places, scratch, (size_t) n * sizeof *places);
	}
}

/* Where the ascending run ends that begins at start. */
static int32_t
run_end(const int32_t *places, int32_t start, int32_t n)
{
	int32_t end = start + 1;

	if (start >= n)
		return n;
	while (end < n && places[end] > places[end - 1])
		end++;
	return end;
}

/* The ids that are left, in their order; returns how many. */
static size_t
collect(int32_t *ids, const Symbol *symbols)
{
	size_t n = 0;

	for (int32_t i = 0; i != NONE; i = symbols[i].next)
		ids[n++] = symbols[i].id;
	return n;
}

/*
 * src/engine/text/bpe_long.c
 *
 * The merges of a long piece (a line of one letter, Chinese without punctuation, base64): a list of
 * symbols, and a heap of its pairs ordered by (rank, place). An entry of the heap whose pair has
 * changed since is skipped when it comes up. Time n log n, memory 36 bytes a byte of the piece.
 * Very long pieces go to bpe_ranked.c where they can.
 */
#include "text/bpe.h"
#include "text/split.h"
#include "text/utf8.h"

#define NONE (-1)
#define POLL_MERGES 16384
#define RANKED_FROM 16384 /* ids */

typedef struct Symbol
{
	int32_t id; /* NONE: merged into the one on its left */
	int32_t previous, next;
	int32_t rank; /* of the pair that starts here, or NONE */
} Symbol;

/*
 * The heap's entries are rank << 32 | place, so that the smallest is the leftmost of the lowest
 * rank.
 */
typedef struct Heap
{
	uint64_t *entries;
	size_t count;
} Heap;

static bool merge_by_heap(const LmBpe *bpe, int32_t *ids, int32_t n, size_t *n_left,
						  LmError *error);
static void make_symbols(const LmBpe *bpe, Symbol *symbols, const int32_t *ids, int32_t n);
static void make_heap(Heap *heap, const Symbol *symbols, int32_t n);
static bool merge_all(const LmBpe *bpe, Symbol *symbols, Heap *heap, LmError *error);
static void set_rank(const LmBpe *bpe, Symbol *symbols, Heap *heap, int32_t place);
static void heap_push(Heap *heap, uint64_t entry);
static uint64_t heap_pop(Heap *heap);
static void heap_sink(Heap *heap, size_t hole, uint64_t entry);
static size_t collect_symbols(int32_t *ids, const Symbol *symbols);

bool
lm_bpe_encode_long(LmBpe *bpe, LmTokens *tokens, LmBytes piece, LmError *error)
{
	int32_t *ids, n = 0;
	size_t n_left;
	bool done = false;

	if (piece.size > LM_MAX_PIECE_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "text has a word of more than %zu bytes",
					   LM_MAX_PIECE_SIZE);
	ids = lm_array_allocate(&bpe->host, piece.size, sizeof *ids, error);
	if (ids)
		n = lm_bpe_begin(bpe, ids, piece, error);
	if (n > 0 &&
		(n < RANKED_FROM || bpe->order != LM_BPE_UNKNOWN_ORDER || lm_bpe_find_order(bpe, error)))
		done = (n >= RANKED_FROM && bpe->order == LM_BPE_ORDERED
					? lm_bpe_merge_ranked(bpe, ids, n, &n_left, error)
					: merge_by_heap(bpe, ids, n, &n_left, error)) &&
			   lm_bpe_append(bpe, tokens, ids, n_left, error);
	lm_free(&bpe->host, ids);
	return done;
}

/* Merges n ids in place; *n_left are left. */
static bool
merge_by_heap(const LmBpe *bpe, int32_t *ids, int32_t n, size_t *n_left, LmError *error)
{
	Symbol *symbols = lm_array_allocate(&bpe->host, (size_t) n, sizeof *symbols, error);
	Heap heap = {NULL, 0};
	bool done = false;

	/*
	 * n - 1 pairs at first; each merge takes one entry out and puts two in, of at most n - 1
	 * merges.
	 */
	if (symbols)
		heap.entries = lm_array_allocate(&bpe->host, 2 * (size_t) n, sizeof *heap.entries, error);
	if (heap.entries)
	{
		make_symbols(bpe, symbols, ids, n);
		make_heap(&heap, symbols, n);
		done = merge_all(bpe, symbols, &heap, error);
	}
	if (done)
		*n_left = collect_symbols(ids, symbols);
	lm_free(&bpe->host, heap.entries);
	lm_free(&bpe->host, symbols);
	return done;
}

/* Makes a linked symbol of each id; a symbol knows the rank of its merge with the next one. */
static void
make_symbols(const LmBpe *bpe, Symbol *symbols, const int32_t *ids, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
	{
		const LmMergeSlot *merge = NULL;

		symbols[i].id = ids[i];
		symbols[i].previous = i - 1;
		symbols[i].next = i + 1 < n ? i + 1 : NONE;
		if (i + 1 < n)
			merge = lm_bpe_merge(bpe, ids[i], ids[i + 1]);
		symbols[i].rank = merge ? merge->rank : NONE;
	}
}

static void
make_heap(Heap *heap, const Symbol *symbols, int32_t n)
{
	for (int32_t i = 0; i < n; i++)
		if (symbols[i].rank != NONE)
			heap->entries[heap->count++] = (uint64_t) symbols[i].rank << 32 | (uint32_t) i;
	for (size_t i = heap->count / 2; i-- > 0;)
		heap_sink(heap, i, heap->entries[i]);
}

/* Applies merges by rank, then by place; skips heap entries that earlier merges outdated. */
static bool
merge_all(const LmBpe *bpe, Symbol *symbols, Heap *heap, LmError *error)
{
	for (size_t round = 0; heap->count > 0; round++)
	{
		uint64_t entry = heap_pop(heap);
		int32_t place = (int32_t) (uint32_t) entry;
		Symbol *left = &symbols[place], *right;

		if (round % POLL_MERGES == 0 && !lm_text_go_on(&bpe->host, error))
			return false;
		if (left->id == NONE || left->rank != (int32_t) (entry >> 32))
			continue;
		right = &symbols[left->next];
		left->id = lm_bpe_merge(bpe, left->id, right->id)->result;
		left->next = right->next;
		right->id = NONE;
		if (left->next != NONE)
			symbols[left->next].previous = place;
		set_rank(bpe, symbols, heap, place);
		if (left->previous != NONE)
			set_rank(bpe, symbols, heap, left->previous);
	}
	return true;
}

static void
set_rank(const LmBpe *bpe, Symbol *symbols, Heap *heap, int32_t place)
{
	Symbol *symbol = &symbols[place];
	const LmMergeSlot *merge = NULL;

	if (symbol->next != NONE)
		merge = lm_bpe_merge(bpe, symbol->id, symbols[symbol->next].id);
	symbol->rank = merge ? merge->rank : NONE;
	if (merge)
		heap_push(heap, (uint64_t) merge->rank << 32 | (uint32_t) place);
}

static void
heap_push(Heap *heap, uint64_t entry)
{
	size_t hole = heap->count++;

	while (hole > 0 && heap->entries[(hole - 1) / 2] > entry)
	{
		heap->entries[hole] = heap->entries[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	heap->entries[hole] = entry;
}

static uint64_t
heap_pop(Heap *heap)
{
	uint64_t top = heap->entries[0];

	heap->count--;
	if (heap->count > 0)
		heap_sink(heap, 0, heap->entries[heap->count]);
	return top;
}

/* Moves the hole down until entry fits, and puts entry there; the smallest entry is on top. */
static void
heap_sink(Heap *heap, size_t hole, uint64_t entry)
{
	size_t child;

	while ((child = 2 * hole + 1) < heap->count)
	{
		if (child + 1 < heap->count && heap->entries[child + 1] < heap->entries[child])
			child++;
		if (heap->entries[child] >= entry)
			break;
		heap->entries[hole] = heap->entries[child];
		hole = child;
	}
	heap->entries[hole] = entry;
}

/* The ids that are left, in their order; returns how many. */
static size_t
collect_symbols(int32_t *ids, const Symbol *symbols)
{
	size_t n = 0;

	for (int32_t i = 0; i != NONE; i = symbols[i].next)
		ids[n++] = symbols[i].id;
	return n;
}

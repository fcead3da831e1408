/*
 * src/engine/text/order.c
 *
 * The tokens of a tokenizer in the order of their bytes. Tokens that begin with the same bytes
 * are neighbours, which bisection finds.
 */
#include "text/tokenizer_parts.h"

#define POLLED 4096 /* tokens moved between two looks at whether to stop */

static int compare(LmBytes a, LmBytes b);
static void sift_down(const LmTokenizer *tokenizer, int32_t *heap, int32_t n, int32_t i);
static int32_t bisect(const LmTokenizer *tokenizer, LmBytes beginning, bool behind);

bool
lm_tokenizer_sort(LmTokenizer *tokenizer, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	int32_t *ids, n = 0;

	if (tokenizer->order || spec->kind == LM_TOKENIZER_BYTES || spec->kind == LM_TOKENIZER_CHARS)
		return true;
	ids = lm_array_allocate(&tokenizer->host, (size_t) spec->n_tokens, sizeof *ids, error);
	if (!ids)
		return false;
	for (int32_t id = 0; id < spec->n_tokens; id++)
		if (!spec->special[id])
			ids[n++] = id;
	if (!lm_tokenizer_sort_ids(tokenizer, ids, n, error))
	{
		lm_free(&tokenizer->host, ids);
		return false;
	}
	tokenizer->order = tokenizer->sorted = ids;
	tokenizer->n_ordered = n;
	return true;
}

static int
compare(LmBytes a, LmBytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Tokens of the same bytes, such as an added one, are in the order of their ids. */
static int
compare_tokens(const LmTokenizer *tokenizer, int32_t a, int32_t b)
{
	int order = compare(lm_tokenizer_token(tokenizer, a), lm_tokenizer_token(tokenizer, b));

	return order != 0 ? order : (a > b) - (a < b);
}

/* Heapsort (Williams 1964): in place, and no order of the tokens makes it slow. */
bool
lm_tokenizer_sort_ids(const LmTokenizer *tokenizer, int32_t *ids, int32_t n, LmError *error)
{
	for (int32_t i = n / 2 - 1; i >= 0; i--)
	{
		if (i % POLLED == 0 && !lm_text_go_on(&tokenizer->host, error))
			return false;
		sift_down(tokenizer, ids, n, i);
	}
	for (int32_t end = n - 1; end > 0; end--)
	{
		int32_t largest = ids[0];

		if (end % POLLED == 0 && !lm_text_go_on(&tokenizer->host, error))
			return false;
		ids[0] = ids[end];
		ids[end] = largest;
		sift_down(tokenizer, ids, end, 0);
	}
	return true;
}

/* Restores the heap below i: no token may be smaller than its children, in the order of bytes. */
static void
sift_down(const LmTokenizer *tokenizer, int32_t *heap, int32_t n, int32_t i)
{
	int32_t moved = heap[i];

	for (int32_t child = 2 * i + 1; child < n; child = 2 * i + 1)
	{
		if (child + 1 < n && compare_tokens(tokenizer, heap[child + 1], heap[child]) > 0)
			child++;
		if (compare_tokens(tokenizer, heap[child], moved) <= 0)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moved;
}

LmTokenRange
lm_tokenizer_beginning(const LmTokenizer *tokenizer, LmBytes beginning)
{
	return (LmTokenRange){bisect(tokenizer, beginning, false), bisect(tokenizer, beginning, true)};
}

LmTokenRange
lm_tokenizer_longer(const LmTokenizer *tokenizer, LmBytes beginning)
{
	LmTokenRange range = lm_tokenizer_beginning(tokenizer, beginning);

	/* The shortest come first. */
	while (range.first < range.end &&
		   lm_tokenizer_token(tokenizer, tokenizer->order[range.first]).size == beginning.size)
		range.first++;
	return range;
}

/* The first place whose token is not before the beginning, or that is after all that have it. */
static int32_t
bisect(const LmTokenizer *tokenizer, LmBytes beginning, bool behind)
{
	int32_t low = 0, high = tokenizer->n_ordered;

	while (low < high)
	{
		int32_t middle = low + (high - low) / 2;
		LmBytes token = lm_tokenizer_token(tokenizer, tokenizer->order[middle]);
		int order;

		if (behind && token.size > beginning.size)
			token.size = beginning.size;
		order = compare(token, beginning);
		if (order < 0 || (behind && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int32_t
lm_tokenizer_ordered(const LmTokenizer *tokenizer, int32_t place)
{
	return tokenizer->order[place];
}

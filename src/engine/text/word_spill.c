/*
 * src/engine/text/word_spill.c
 *
 * The words of all threads go into one table, or out in blocks and back.
 */
#include "text/array.h"
#include "text/utf8.h"
#include "text/word_counter_private.h"

/* A word in a block: this, then its bytes. */
typedef struct Spilled
{
	int64_t count;
	uint32_t size;
} Spilled;

static bool fill_buffers(LmWordCounter *counter, int *part, LmBytes *block);
static LmBytes take_buffer(LmWordCounter *counter, int part);

const LmWords *
lm_counter_words(LmWordCounter *counter, LmError *error)
{
	LmWords *all = &counter->workers[0].words;

	for (int i = 1; i < counter->n_workers; i++)
	{
		LmWords *words = &counter->workers[i].words;
		LmWordCursor cursor = {0, 0};
		LmBytes word;
		int64_t count;

		if (words->count == 0)
			continue;
		/* Once there is room for all, nothing can fail before they have moved. */
		if (!lm_text_go_on(&counter->host, error) ||
			!lm_words_reserve(all, words->count, words->size, error))
			return NULL;
		while (lm_words_next(words, &cursor, &word, &count))
			lm_words_put(all, &word, 1, count);
		lm_words_free(words);
	}
	return all;
}

LmBytes
lm_counter_spill(LmWordCounter *counter, int *part, LmError *error)
{
	LmBytes block = {NULL, 0};

	if (!counter->buffers)
	{
		counter->buffers = lm_array_allocate(&counter->host, LM_SPILL_PARTS, LM_SPILL_BLOCK, error);
		if (!counter->buffers)
			return block;
		memset(counter->filled, 0, sizeof counter->filled);
		counter->cursor = (LmWordCursor){0, 0};
		counter->spilling = 0;
	}
	for (; counter->spilling < counter->n_workers; counter->spilling++)
	{
		if (fill_buffers(counter, part, &block))
			return block;
		lm_words_free(&counter->workers[counter->spilling].words);
		counter->cursor = (LmWordCursor){0, 0};
	}
	for (*part = 0; *part < LM_SPILL_PARTS; (*part)++)
		if (counter->filled[*part] > 0)
			return take_buffer(counter, *part);
	counter->full = false;
	lm_counter_release(counter);
	return (LmBytes){"", 0};
}

/* Gives the words of a table to their parts; true, with the block, once a buffer is full. */
static bool
fill_buffers(LmWordCounter *counter, int *part, LmBytes *block)
{
	const LmWords *words = &counter->workers[counter->spilling].words;
	LmWordCursor before = counter->cursor;
	LmBytes word;
	int64_t count;

	for (; lm_words_next(words, &counter->cursor, &word, &count); before = counter->cursor)
	{
		Spilled head = {count, (uint32_t) word.size};
		char *place;

		*part =
			(int) (lm_hash_bytes(counter->host.hash_key, word.data, word.size) % LM_SPILL_PARTS);
		if (counter->filled[*part] + sizeof head + word.size > LM_SPILL_BLOCK)
		{
			counter->cursor = before; /* the word comes again */
			*block = take_buffer(counter, *part);
			return true;
		}
		place = counter->buffers + (size_t) *part * LM_SPILL_BLOCK + counter->filled[*part];
		memcpy(place, &head, sizeof head);
		memcpy(place + sizeof head, word.data, word.size);
		counter->filled[*part] += sizeof head + word.size;
	}
	return false;
}

static LmBytes
take_buffer(LmWordCounter *counter, int part)
{
	LmBytes block = {counter->buffers + (size_t) part * LM_SPILL_BLOCK, counter->filled[part]};

	counter->filled[part] = 0;
	return block;
}

bool
lm_counter_restore(LmWordCounter *counter, LmBytes block, LmError *error)
{
	while (block.size > 0)
	{
		Spilled head;

		if (block.size >= sizeof head)
			memcpy(&head, block.data, sizeof head);
		if (block.size < sizeof head || head.size < 1 || head.size > LM_WORD_MOST ||
			head.count < 1 || head.size > block.size - sizeof head)
			return lm_fail(error, LM_ERR_FORMAT, -1, "block of spilled words is damaged");
		block.data += sizeof head;
		if (!lm_words_add(&counter->workers[0].words, (LmBytes){block.data, head.size}, head.count,
						  error))
			return false;
		block.data += head.size;
		block.size -= sizeof head + head.size;
	}
	return true;
}

/*
 * src/engine/text/words.c
 *
 * A counting hash table of byte strings with open addressing. Its time goes into misses of the
 * cache, so words are put in batches: the slots of all of them are fetched before the first is
 * looked at.
 */
#include "text/array.h"
#include "text/words.h"

#define LEAST_SLOTS 1024
#define OFFSET_BITS 17 /* of LM_WORD_BLOCK / 8 */
#define MAX_BLOCKS ((size_t) 1 << (32 - OFFSET_BITS))
#define HEAD_SIZE sizeof(uint64_t)
#define SIZE_BITS 11
#define SIZE_MASK (((uint64_t) 1 << SIZE_BITS) - 1)
#define PUT_BATCH 64

static bool grow_slots(LmWords *words, size_t n_words, LmError *error);
static bool add_blocks(LmWords *words, size_t n, LmError *error);
static uint64_t *find_record(LmWords *words, LmBytes word, uint32_t hash);
static uint64_t *append(LmWords *words, LmBytes word, uint64_t *slot, uint32_t hash);

static size_t
record_size(size_t word_size)
{
	return HEAD_SIZE + ((word_size + 7) & ~(size_t) 7);
}

/* Blocks that n words of size bytes may need beside the one that is being filled. */
static size_t
blocks_for(size_t n, size_t size)
{
	size_t bytes = size + n * (HEAD_SIZE + 7);

	/* A record that does not fit leaves up to its size of a block unused. */
	return bytes / (LM_WORD_BLOCK - record_size(LM_WORD_MOST) - HEAD_SIZE) + 1;
}

bool
lm_words_room(const LmWords *words, size_t n, size_t size)
{
	return (words->count + n) * 3 <= words->n_slots * 2 &&
		   words->n_blocks >= words->last + 1 + blocks_for(n, size);
}

bool
lm_words_reserve(LmWords *words, size_t n, size_t size, LmError *error)
{
	size_t wanted = words->last + 1 + blocks_for(n, size);

	if ((words->count + n) * 3 > words->n_slots * 2 && !grow_slots(words, words->count + n, error))
		return false;
	return words->n_blocks >= wanted || add_blocks(words, wanted - words->n_blocks, error);
}

static bool
add_blocks(LmWords *words, size_t n, LmError *error)
{
	if (words->n_blocks + n > MAX_BLOCKS)
		return lm_fail(error, LM_ERR_LIMIT, -1, "texts have more than %zu bytes of distinct words",
					   MAX_BLOCKS * LM_WORD_BLOCK);
	if (!lm_array_reserve(&words->host, &words->blocks, &words->blocks_capacity,
						  words->n_blocks + n, sizeof *words->blocks, error))
		return false;
	for (; n > 0; n--)
	{
		char *block = lm_allocate_unset(&words->host, LM_WORD_BLOCK);

		if (!block)
			return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for words");
		words->blocks[words->n_blocks++] = block;
	}
	if (words->used == 0)
		words->used = HEAD_SIZE; /* no record is at place 0 */
	return true;
}

/* A table for so many words; all are entered again. */
static bool
grow_slots(LmWords *words, size_t n_words, LmError *error)
{
	size_t n_slots = words->n_slots ? words->n_slots : LEAST_SLOTS;
	uint64_t *slots;

	while (n_words * 3 > n_slots * 2)
		n_slots *= 2;
	slots = lm_array_allocate(&words->host, n_slots, sizeof *slots, error);
	if (!slots)
		return false;
	for (size_t i = 0; i < words->n_slots; i++)
	{
		size_t slot = words->slots[i] >> 32 & (n_slots - 1);

		if (words->slots[i] == 0)
			continue;
		while (slots[slot] != 0)
			slot = (slot + 1) & (n_slots - 1);
		slots[slot] = words->slots[i];
	}
	lm_free(&words->host, words->slots);
	words->slots = slots;
	words->n_slots = n_slots;
	return true;
}

bool
lm_words_add(LmWords *words, LmBytes word, int64_t count, LmError *error)
{
	if (!lm_words_reserve(words, 1, word.size, error))
		return false;
	lm_words_put(words, &word, 1, count);
	return true;
}

void
lm_words_put(LmWords *words, const LmBytes *batch, int n, int64_t count)
{
	uint32_t hashes[PUT_BATCH];

	for (int begin = 0; begin < n; begin += PUT_BATCH)
	{
		int m = n - begin < PUT_BATCH ? n - begin : PUT_BATCH;

		for (int i = 0; i < m; i++)
		{
			LmBytes word = batch[begin + i];

			hashes[i] = lm_hash_bytes(words->host.hash_key, word.data, word.size);
			__builtin_prefetch(&words->slots[hashes[i] & (words->n_slots - 1)]);
		}
		for (int i = 0; i < m; i++)
			*find_record(words, batch[begin + i], hashes[i]) += (uint64_t) count << SIZE_BITS;
	}
}

static uint64_t *
record_at(const LmWords *words, uint32_t place)
{
	return (uint64_t *) (words->blocks[place >> OFFSET_BITS] +
						 8 * (size_t) (place & ((1u << OFFSET_BITS) - 1)));
}

/* The record of a word; NULL, and the slot that it would have, if there is none. */
static uint64_t *
look_up(const LmWords *words, LmBytes word, uint32_t hash, size_t *place)
{
	size_t mask = words->n_slots - 1, slot = hash & mask;

	for (; words->slots[slot] != 0; slot = (slot + 1) & mask)
	{
		uint64_t *record;

		if (words->slots[slot] >> 32 != hash)
			continue;
		record = record_at(words, (uint32_t) words->slots[slot]);
		if ((*record & SIZE_MASK) == word.size && memcmp(record + 1, word.data, word.size) == 0)
			return record;
	}
	*place = slot;
	return NULL;
}

/* The record of a word, which is entered with a count of 0 if there is none. */
static uint64_t *
find_record(LmWords *words, LmBytes word, uint32_t hash)
{
	size_t place;
	uint64_t *record = look_up(words, word, hash, &place);

	return record ? record : append(words, word, &words->slots[place], hash);
}

int64_t
lm_words_count(const LmWords *words, LmBytes word)
{
	size_t place;
	const uint64_t *record;

	if (words->count == 0)
		return 0;
	record =
		look_up(words, word, lm_hash_bytes(words->host.hash_key, word.data, word.size), &place);
	return record ? (int64_t) (*record >> SIZE_BITS) : 0;
}

static uint64_t *
append(LmWords *words, LmBytes word, uint64_t *slot, uint32_t hash)
{
	uint64_t *record;

	/* The place after a record is that of the 0 that ends a block. */
	if (words->used + record_size(word.size) + HEAD_SIZE > LM_WORD_BLOCK)
	{
		words->last++;
		words->used = 0;
	}
	record = (uint64_t *) (words->blocks[words->last] + words->used);
	*slot = (uint64_t) hash << 32 | words->last << OFFSET_BITS | words->used / 8;
	words->used += record_size(word.size);
	words->count++;
	words->size += word.size;
	*record = word.size;
	memcpy(record + 1, word.data, word.size);
	*(uint64_t *) (words->blocks[words->last] + words->used) = 0;
	return record;
}

bool
lm_words_next(const LmWords *words, LmWordCursor *cursor, LmBytes *word, int64_t *count)
{
	const uint64_t *record;

	if (words->count == 0)
		return false;
	if (cursor->block == 0 && cursor->offset == 0)
		cursor->offset = HEAD_SIZE;
	record = (const uint64_t *) (words->blocks[cursor->block] + cursor->offset);
	if (*record == 0)
	{
		if (cursor->block == words->last)
			return false;
		*cursor = (LmWordCursor){cursor->block + 1, 0};
		record = (const uint64_t *) words->blocks[cursor->block];
	}
	*word = (LmBytes){(const char *) (record + 1), *record & SIZE_MASK};
	*count = (int64_t) (*record >> SIZE_BITS);
	cursor->offset += record_size(word->size);
	return true;
}

void
lm_words_clear(LmWords *words)
{
	if (words->count > 0)
		memset(words->slots, 0, words->n_slots * sizeof *words->slots);
	words->count = words->size = words->last = 0;
	words->used = words->n_blocks > 0 ? HEAD_SIZE : 0;
}

void
lm_words_free(LmWords *words)
{
	LmHost host = words->host;

	for (size_t i = 0; i < words->n_blocks; i++)
		lm_free(&host, words->blocks[i]);
	lm_array_free(&host, words->blocks);
	lm_free(&host, words->slots);
	memset(words, 0, sizeof *words);
	words->host = host;
}

size_t
lm_words_memory(const LmWords *words)
{
	return words->n_blocks * LM_WORD_BLOCK + words->n_slots * sizeof *words->slots;
}

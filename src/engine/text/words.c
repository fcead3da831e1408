/*
 * src/engine/text/words.c
 *
 * A counting hash table of byte strings with open addressing.
 */
#include "text/array.h"
#include "text/words.h"

static bool grow_slots(LmWords *words, LmError *error);
static size_t find_slot(const LmWords *words, LmBytes word, uint32_t hash);
static bool append_word(LmWords *words, LmBytes word, uint32_t hash, LmError *error);

bool
lm_words_add(LmWords *words, LmBytes word, LmError *error)
{
	uint32_t hash = lm_hash_bytes(words->host.hash_key, word.data, word.size);
	size_t slot;

	if (words->count * 3 >= words->n_slots * 2 && !grow_slots(words, error))
		return false;
	slot = find_slot(words, word, hash);
	if (words->slots[slot] == 0)
	{
		if (!append_word(words, word, hash, error))
			return false;
		words->slots[slot] = (int32_t) words->count;
	}
	words->words[words->slots[slot] - 1].count++;
	return true;
}

void
lm_words_free(LmWords *words)
{
	lm_array_free(&words->host, words->words);
	lm_array_free(&words->host, words->arena);
	lm_free(&words->host, words->slots);
}

size_t
lm_words_memory(const LmWords *words)
{
	return words->capacity * sizeof *words->words + words->arena_capacity +
		   words->n_slots * sizeof *words->slots;
}

/* The slot that holds the word, or the empty one where it belongs. */
static size_t
find_slot(const LmWords *words, LmBytes word, uint32_t hash)
{
	size_t slot = hash & (words->n_slots - 1);

	for (; words->slots[slot] != 0; slot = (slot + 1) & (words->n_slots - 1))
	{
		const LmWord *other = &words->words[words->slots[slot] - 1];

		if (other->hash == hash &&
			lm_bytes_equal((LmBytes){words->arena + other->offset, other->size}, word))
			break;
	}
	return slot;
}

/* Doubles the hash table and enters all words again. */
static bool
grow_slots(LmWords *words, LmError *error)
{
	size_t n_slots = words->n_slots ? 2 * words->n_slots : 1024;
	int32_t *slots = lm_array_allocate(&words->host, n_slots, sizeof *slots, error);

	if (!slots)
		return false;
	for (size_t i = 0; i < words->count; i++)
	{
		size_t slot = words->words[i].hash & (n_slots - 1);

		while (slots[slot] != 0)
			slot = (slot + 1) & (n_slots - 1);
		slots[slot] = (int32_t) i + 1;
	}
	lm_free(&words->host, words->slots);
	words->slots = slots;
	words->n_slots = n_slots;
	return true;
}

/* Adds a word with a count of 0; its bytes are copied to the arena. */
static bool
append_word(LmWords *words, LmBytes word, uint32_t hash, LmError *error)
{
	if (words->count == INT32_MAX - 1)
		return lm_fail(error, LM_ERR_LIMIT, -1, "texts have more than %d distinct words",
					   INT32_MAX - 1);
	if (!lm_array_reserve(&words->host, &words->words, &words->capacity, words->count + 1,
						  sizeof *words->words, error) ||
		!lm_array_reserve(&words->host, &words->arena, &words->arena_capacity,
						  words->arena_size + word.size, 1, error))
		return false;
	memcpy(words->arena + words->arena_size, word.data, word.size);
	words->words[words->count++] = (LmWord){words->arena_size, (uint32_t) word.size, hash, 0};
	words->arena_size += word.size;
	return true;
}

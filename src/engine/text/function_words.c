/*
 * src/engine/text/function_words.c
 *
 * Words with their language go in, the languages of a word come out: an open hash table.
 */
#include <string.h>

#include "engine/hash.h"
#include "text/function_words.h"

#define FIRST_SLOTS 4096 /* a power of two */

typedef struct Slot
{
	uint32_t languages; /* 0: empty */
	uint8_t size;
	char word[LM_LONGEST_WORD];
} Slot;

struct LmFunctionWords
{
	LmHost host;
	Slot *slots;
	size_t n_slots;
	size_t count;
};

static Slot *slot_of(const LmFunctionWords *words, LmBytes word);
static bool grow(LmFunctionWords *words, LmError *error);

LmFunctionWords *
lm_function_words_create(const LmHost *host, LmError *error)
{
	LmFunctionWords *words = lm_allocate(host, sizeof *words);

	if (words)
	{
		words->host = *host;
		if (grow(words, error))
			return words;
		lm_free(host, words);
		return NULL;
	}
	lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
	return NULL;
}

void
lm_function_words_free(LmFunctionWords *words)
{
	LmHost host;

	if (!words)
		return;
	host = words->host;
	lm_free(&host, words->slots);
	lm_free(&host, words);
}

/* The slot that has the word, or the empty one where it would be. */
static Slot *
slot_of(const LmFunctionWords *words, LmBytes word)
{
	size_t i = lm_hash_bytes(words->host.hash_key, word.data, word.size);

	for (;; i++)
	{
		Slot *slot = &words->slots[i & (words->n_slots - 1)];

		if (slot->languages == 0 ||
			(slot->size == word.size && memcmp(slot->word, word.data, word.size) == 0))
			return slot;
	}
}

static bool
grow(LmFunctionWords *words, LmError *error)
{
	LmFunctionWords larger = *words;

	larger.n_slots = words->n_slots ? 2 * words->n_slots : FIRST_SLOTS;
	larger.slots = lm_allocate(&words->host, larger.n_slots * sizeof *larger.slots);
	if (!larger.slots)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %zu words", larger.n_slots);
	for (size_t i = 0; i < words->n_slots; i++)
		if (words->slots[i].languages != 0)
			*slot_of(&larger, (LmBytes){words->slots[i].word, words->slots[i].size}) =
				words->slots[i];
	lm_free(&words->host, words->slots);
	*words = larger;
	return true;
}

bool
lm_function_words_add(LmFunctionWords *words, LmBytes word, int language, LmError *error)
{
	Slot *slot;

	if (word.size == 0 || word.size > LM_LONGEST_WORD)
		return true;
	if (2 * words->count >= words->n_slots && !grow(words, error))
		return false;
	slot = slot_of(words, word);
	if (slot->languages == 0)
	{
		slot->size = (uint8_t) word.size;
		memcpy(slot->word, word.data, word.size);
		words->count++;
	}
	slot->languages |= (uint32_t) 1 << language;
	return true;
}

uint32_t
lm_function_words_find(const LmFunctionWords *words, LmBytes word)
{
	return slot_of(words, word)->languages;
}

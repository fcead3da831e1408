/*
 * src/engine/text/letters.c
 *
 * The description of a tokenizer in; the table of its characters and the set of their neighbours
 * out (text/letters.h).
 */
#include "text/letters.h"
#include "text/split.h"
#include "text/utf8.h"

#define POLL_TOKENS 4096

static size_t count_letters(const LmTokenizerSpec *spec);
static void add_letter(LmLetters *letters, LmBytes token, int32_t id);
static void add_pairs(LmLetters *letters, LmBytes token);

bool
lm_letters_create(LmLetters *letters, const LmHost *host, const LmTokenizerSpec *spec,
				  LmError *error)
{
	size_t n_slots = lm_table_size(count_letters(spec));

	letters->key = host->hash_key;
	letters->mask = (uint32_t) (n_slots - 1);
	letters->slots = lm_array_allocate(host, n_slots, sizeof *letters->slots, error);
	letters->pairs = lm_array_allocate(host, LM_PAIR_WORDS, sizeof *letters->pairs, error);
	if (!letters->slots || !letters->pairs)
		return false;
	for (int32_t id = 0; id < spec->n_tokens; id++)
	{
		if (id % POLL_TOKENS == 0 && !lm_text_go_on(host, error))
			return false;
		if (!lm_spec_makes(spec, id))
			continue;
		add_letter(letters, spec->tokens[id], id);
		add_pairs(letters, spec->tokens[id]);
	}
	return true;
}

void
lm_letters_free(LmLetters *letters, const LmHost *host)
{
	lm_free(host, letters->slots);
	lm_free(host, letters->pairs);
	memset(letters, 0, sizeof *letters);
}

static size_t
count_letters(const LmTokenizerSpec *spec)
{
	size_t n = 0;

	for (int32_t id = 0; id < spec->n_tokens; id++)
		n += spec->tokens[id].size <= 4;
	return n;
}

/* Enters a token of one character in the table; no two of them are the same. */
static void
add_letter(LmLetters *letters, LmBytes token, int32_t id)
{
	int length;
	int32_t code = lm_utf8_decode(token.data, &length);
	uint32_t slot;

	if ((size_t) length != token.size)
		return;
	slot = lm_hash_pair(letters->key, (uint64_t) code) & letters->mask;
	while (letters->slots[slot].code != 0)
		slot = (slot + 1) & letters->mask;
	letters->slots[slot] = (LmLetterSlot){code + 1, id};
}

static void
add_pairs(LmLetters *letters, LmBytes token)
{
	int length;
	int32_t left = lm_utf8_decode(token.data, &length);

	for (size_t i = (size_t) length; i < token.size; i += (size_t) length)
	{
		int32_t right = lm_utf8_decode(token.data + i, &length);
		size_t bit = lm_letter_pair(letters, left, right);

		letters->pairs[bit / 64] |= UINT64_C(1) << bit % 64;
		left = right;
	}
}

size_t
lm_letters_piece_end(const LmLetters *letters, const LmHost *host, LmBytes text, size_t position,
					 bool split_spaces)
{
	size_t poll = position + LM_POLL_SIZE, most = position + LM_MAX_PIECE_SIZE;
	int length;
	int32_t left = lm_utf8_decode(text.data + position, &length);

	position += (size_t) length;
	/* A piece that is too long is an error of whoever encodes it. */
	while (position < text.size && position <= most)
	{
		int32_t right = lm_utf8_decode(text.data + position, &length);
		size_t bit = lm_letter_pair(letters, left, right);

		if (!(letters->pairs[bit / 64] >> bit % 64 & 1) || (split_spaces && right == ' '))
			break;
		left = right;
		position += (size_t) length;
		if (position >= poll)
		{
			if (!lm_text_go_on(host, NULL))
				return 0;
			poll = position + LM_POLL_SIZE;
		}
	}
	return position;
}

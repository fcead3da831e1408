/*
 * src/engine/text/charsmap.c
 *
 * A text and a table of characters in, the text that SentencePiece cuts into pieces out
 * (text/charsmap.h).
 */
#include "text/array.h"
#include "text/charsmap.h"
#include "text/utf8.h"

#define MAX_TABLE_SIZE ((size_t) 64 << 20)

static LmBytes replacement(LmBytes table, LmBytes text, size_t *length);
static bool find_longest(LmBytes table, LmBytes text, uint32_t *value, size_t *length);
static uint32_t word_at(LmBytes table, size_t index);
static uint32_t offset_of(uint32_t unit);
static void strip_end(LmText *out);

bool
lm_charsmap_check(LmBytes table, LmError *error)
{
	uint32_t trie;

	if (table.size == 0)
		return true;
	if (table.size > MAX_TABLE_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "table of characters has %zu bytes, the limit is %zu", table.size,
					   MAX_TABLE_SIZE);
	trie = table.size >= 4 ? word_at(table, 0) : 0;
	if (trie < 4 || trie % 4 != 0 || (size_t) trie + 5 > table.size ||
		table.data[table.size - 1] != '\0')
		return lm_fail(error, LM_ERR_FORMAT, -1,
					   "table of characters of %zu bytes has a trie of %u bytes", table.size,
					   (unsigned) trie);
	return true;
}

bool
lm_charsmap_apply(const LmHost *host, LmText *out, LmBytes text, LmBytes table, bool collapse,
				  LmError *error)
{
	bool after_space = collapse;
	size_t poll = 0, length;

	out->size = 0;
	for (size_t i = 0; i < text.size; i += length)
	{
		LmBytes piece = replacement(table, (LmBytes){text.data + i, text.size - i}, &length);

		if (i >= poll)
		{
			if (!lm_text_go_on(host, error))
				return false;
			poll = i + LM_POLL_SIZE / 16;
		}
		for (; after_space && piece.size > 0 && piece.data[0] == ' '; piece.size--)
			piece.data++;
		if (piece.size == 0)
			continue;
		if (out->size + piece.size > LM_MAX_TEXT_SIZE)
			return lm_fail(error, LM_ERR_LIMIT, -1, "normalized text has more than %zu bytes",
						   LM_MAX_TEXT_SIZE);
		if (!lm_array_reserve(host, &out->data, &out->capacity, out->size + piece.size, 1, error))
			return false;
		memcpy(out->data + out->size, piece.data, piece.size);
		out->size += piece.size;
		after_space = collapse && piece.data[piece.size - 1] == ' ';
	}
	if (collapse)
		strip_end(out);
	return true;
}

/* What the beginning of a text becomes, and its length: a key's string, or a character itself. */
static LmBytes
replacement(LmBytes table, LmBytes text, size_t *length)
{
	uint32_t value;
	int one;

	if (table.size > 0 && find_longest(table, text, &value, length))
	{
		size_t strings = 4 + (size_t) word_at(table, 0), position;

		if (value < table.size - strings)
		{
			const char *string = table.data + strings + value;
			LmBytes found = {string, strlen(string)};

			if (lm_utf8_valid(found.data, found.size, &position))
				return found;
		}
	}
	lm_utf8_decode(text.data, &one);
	*length = (size_t) one;
	return (LmBytes){text.data, *length};
}

/* The longest key that a text begins with; keys end with characters, or else they are none. */
static bool
find_longest(LmBytes table, LmBytes text, uint32_t *value, size_t *length)
{
	const uint32_t label_mask = UINT32_C(0x800000FF), leaf = UINT32_C(1) << 8;
	size_t n_units = word_at(table, 0) / 4;
	uint32_t node = offset_of(word_at(table, 1));

	*length = 0;
	for (size_t i = 0; i < text.size; i++)
	{
		unsigned char byte = (unsigned char) text.data[i];
		uint32_t unit;

		node ^= byte;
		if (node >= n_units)
			break;
		unit = word_at(table, 1 + (size_t) node);
		if ((unit & label_mask) != byte)
			break;
		node ^= offset_of(unit);
		if (!(unit & leaf) || node >= n_units ||
			lm_utf8_boundary(text.data, text.size, i + 1) != i + 1)
			continue;
		*value = word_at(table, 1 + (size_t) node) & UINT32_C(0x7FFFFFFF);
		*length = i + 1;
	}
	return *length > 0;
}

/* Four bytes of a table, little-endian. */
static uint32_t
word_at(LmBytes table, size_t index)
{
	const unsigned char *bytes = (const unsigned char *) table.data + 4 * index;

	return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
		   (uint32_t) bytes[3] << 24;
}

/* Where the children of a unit are, to be combined with the unit's own place. */
static uint32_t
offset_of(uint32_t unit)
{
	return (unit >> 10) << ((unit & UINT32_C(1) << 9) >> 6);
}

/* Drops spaces, and U+2581 which is one, from the end. */
static void
strip_end(LmText *out)
{
	const size_t sign_size = sizeof LM_SPACE_SIGN - 1;

	for (;;)
	{
		const char *end = out->data + out->size;

		if (out->size > 0 && end[-1] == ' ')
			out->size--;
		else if (out->size >= sign_size && memcmp(end - sign_size, LM_SPACE_SIGN, sign_size) == 0)
			out->size -= sign_size;
		else
			return;
	}
}

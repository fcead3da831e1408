/*
 * test/unit/tokenizer_fixture.h
 *
 * What the tests of the text room share: GPT-2's vocabulary and other merges files as specs, a
 * reader for files of strings with ids, and checks that name what differs.
 */
#ifndef TEST_TOKENIZER_FIXTURE_H
#define TEST_TOKENIZER_FIXTURE_H

#include "tap.h"
#include "engine/tokenizer.h"

/*
 * The character that stands for a byte in the ByteLevel alphabet (Radford et al. 2019, encoder.py),
 * as UTF-8.
 */
static inline int
fixture_alphabet(int byte, char *text)
{
	int code = byte;

	if (byte <= 32)
		code = 256 + byte;
	else if (byte >= 127 && byte <= 160)
		code = 256 + 33 + byte - 127;
	else if (byte == 173)
		code = 256 + 33 + 34;
	if (code < 0x80)
	{
		text[0] = (char) code;
		return 1;
	}
	text[0] = (char) (0xC0 | code >> 6);
	text[1] = (char) (0x80 | (code & 0x3F));
	return 2;
}

/* A word of the ByteLevel alphabet as bytes, in place; returns the size. */
static inline size_t
fixture_unalphabet(char *word, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size;)
	{
		char text[2];
		int byte, length = 0;

		for (byte = 0; byte < 256; byte++)
		{
			length = fixture_alphabet(byte, text);
			if (i + (size_t) length <= size && memcmp(word + i, text, (size_t) length) == 0)
				break;
		}
		word[n++] = (char) byte;
		i += (size_t) length;
	}
	return n;
}

/* A spec on malloc'd memory, released with fixture_free. */
typedef struct FixtureSpec
{
	LmTokenizerSpec spec;
	char *file;
	char bytes[256];
	int capacity;
	char **owned;
	int n_owned;
} FixtureSpec;

static inline int32_t
fixture_add_token(FixtureSpec *fixture, const char *left, size_t left_size, const char *right,
				  size_t right_size)
{
	LmTokenizerSpec *spec = &fixture->spec;
	char *bytes = malloc(left_size + right_size + 1);

	if (spec->n_tokens == fixture->capacity)
	{
		fixture->capacity = fixture->capacity ? 2 * fixture->capacity : 1024;
		spec->tokens = realloc(spec->tokens, (size_t) fixture->capacity * sizeof *spec->tokens);
		spec->special = realloc(spec->special, (size_t) fixture->capacity * sizeof *spec->special);
		spec->merges = realloc(spec->merges, (size_t) fixture->capacity * sizeof *spec->merges);
		fixture->owned =
			realloc(fixture->owned, (size_t) fixture->capacity * sizeof *fixture->owned);
	}
	memcpy(bytes, left, left_size);
	memcpy(bytes + left_size, right, right_size);
	fixture->owned[fixture->n_owned++] = bytes;
	spec->special[spec->n_tokens] = false;
	spec->tokens[spec->n_tokens] = (LmBytes){bytes, left_size + right_size};
	return spec->n_tokens++;
}

static inline int32_t
fixture_find_token(const int32_t *table, size_t mask, const LmTokenizerSpec *spec,
				   const char *bytes, size_t size, size_t *slot)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char) bytes[i]) * 1099511628211u;
	for (*slot = (size_t) hash & mask; table[*slot] != 0; *slot = (*slot + 1) & mask)
		if (spec->tokens[table[*slot] - 1].size == size &&
			memcmp(spec->tokens[table[*slot] - 1].data, bytes, size) == 0)
			return table[*slot] - 1;
	return -1;
}

/*
 * The spec of a merges file ("vocab.bpe"): the bytes in the order of the alphabet (GPT-2's) or of
 * their values, then the result of each merge, then the end of text.
 */
static inline bool
fixture_load_merges(FixtureSpec *fixture, const char *path, bool alphabet_order)
{
	LmTokenizerSpec *spec = &fixture->spec;
	size_t size, mask = (1 << 18) - 1, slot;
	int32_t *table = calloc(mask + 1, sizeof *table);
	char *line;

	memset(fixture, 0, sizeof *fixture);
	spec->end_of_text = spec->beginning = spec->unknown = -1;
	fixture->file = tap_read_file(path, &size);
	if (!fixture->file)
	{
		free(table);
		return false;
	}
	for (int turn = 0; turn < 2; turn++)
		for (int byte = 0; byte < 256; byte++)
		{
			char text[2], value = (char) byte;
			bool printable = !(byte <= 32 || (byte >= 127 && byte <= 160) || byte == 173);

			fixture_alphabet(byte, text);
			if (alphabet_order ? printable == (turn == 0) : turn == 0)
				fixture_add_token(fixture, &value, 1, "", 0);
		}
	for (int id = 0; id < 256; id++)
	{
		fixture_find_token(table, mask, spec, spec->tokens[id].data, 1, &slot);
		table[slot] = id + 1;
	}
	/* Lines are "left right", and maybe a count. */
	for (line = strtok(fixture->file, "\n"); line; line = strtok(NULL, "\n"))
	{
		char *space = strchr(line, ' ');
		size_t left_size, right_size;
		LmMerge merge;

		if (line[0] == '#' && line[1] == 'v')
			continue;
		right_size = fixture_unalphabet(space + 1, strcspn(space + 1, " "));
		left_size = fixture_unalphabet(line, (size_t) (space - line));
		merge.left = fixture_find_token(table, mask, spec, line, left_size, &slot);
		merge.right = fixture_find_token(table, mask, spec, space + 1, right_size, &slot);
		merge.result = fixture_add_token(fixture, line, left_size, space + 1, right_size);
		fixture_find_token(table, mask, spec, spec->tokens[merge.result].data,
						   left_size + right_size, &slot);
		table[slot] = merge.result + 1;
		spec->merges[spec->n_merges++] = merge;
	}
	spec->end_of_text = fixture_add_token(fixture, LM_END_OF_TEXT, strlen(LM_END_OF_TEXT), "", 0);
	spec->special[spec->end_of_text] = true;
	free(table);
	return true;
}

static inline void
fixture_free(FixtureSpec *fixture)
{
	for (int i = 0; i < fixture->n_owned; i++)
		free(fixture->owned[i]);
	free(fixture->owned);
	free(fixture->spec.tokens);
	free(fixture->spec.special);
	free(fixture->spec.merges);
	free(fixture->file);
	memset(fixture, 0, sizeof *fixture);
}

/* The four hexadecimal digits of a JSON escape. */
static inline int32_t
fixture_hex4(const char *digits)
{
	char copy[5] = {digits[0], digits[1], digits[2], digits[3], 0};

	return (int32_t) strtol(copy, NULL, 16);
}

/*
 * A JSON string, *cursor after its opening quote; in place as UTF-8, *cursor then after the closing
 * one.
 */
static inline LmBytes
fixture_json_string(char **cursor)
{
	char *in = *cursor, *start = in, *out = in;
	const char *names = "bfnrt", *values = "\b\f\n\r\t";

	while (*in != '"')
	{
		int32_t code;

		if (*in != '\\')
		{
			*out++ = *in++;
			continue;
		}
		in++;
		if (*in != 'u')
		{
			const char *name = strchr(names, *in);

			*out++ = name ? values[name - names] : *in;
			in++;
			continue;
		}
		code = fixture_hex4(in + 1);
		in += 5;
		if (code >= 0xD800 && code < 0xDC00)
		{
			code = 0x10000 + ((code - 0xD800) << 10) + fixture_hex4(in + 2) - 0xDC00;
			in += 6;
		}
		if (code < 0x80)
			*out++ = (char) code;
		else if (code < 0x800)
		{
			*out++ = (char) (0xC0 | code >> 6);
			*out++ = (char) (0x80 | (code & 0x3F));
		}
		else if (code < 0x10000)
		{
			*out++ = (char) (0xE0 | code >> 12);
			*out++ = (char) (0x80 | (code >> 6 & 0x3F));
			*out++ = (char) (0x80 | (code & 0x3F));
		}
		else
		{
			*out++ = (char) (0xF0 | code >> 18);
			*out++ = (char) (0x80 | (code >> 12 & 0x3F));
			*out++ = (char) (0x80 | (code >> 6 & 0x3F));
			*out++ = (char) (0x80 | (code & 0x3F));
		}
	}
	*cursor = in + 1;
	return (LmBytes){start, (size_t) (out - start)};
}

/*
 * Calls check for every {"text": "...", "<key>": [ids]} of a JSON file; returns how many there
 * were, -1 where the file is missing.
 */
static inline int
fixture_each_string(const char *path, const char *key,
					void (*check)(void *, LmBytes, const LmTokens *), void *context)
{
	size_t size;
	char *file = tap_read_file(path, &size), *cursor = file, quoted[64];
	int n = 0;

	if (!file)
		return -1;
	snprintf(quoted, sizeof quoted, "\"%s\": [", key);
	while ((cursor = strstr(cursor, "\"text\": \"")) != NULL)
	{
		LmTokens ids = {NULL};
		LmBytes text;

		cursor += strlen("\"text\": \"");
		text = fixture_json_string(&cursor);
		cursor = strstr(cursor, quoted) + strlen(quoted);
		while (*cursor != ']')
		{
			if (ids.count == ids.capacity)
				ids.ids =
					realloc(ids.ids, (ids.capacity = 2 * ids.capacity + 16) * sizeof *ids.ids);
			ids.ids[ids.count++] = (int32_t) strtol(cursor, &cursor, 10);
			while (*cursor == ',' || *cursor == ' ')
				cursor++;
		}
		check(context, text, &ids);
		free(ids.ids);
		n++;
	}
	free(file);
	return n;
}

/* The ids of a text are the wanted ones and decode to the text. */
static inline bool
fixture_encodes_to(LmTokenizer *tokenizer, const LmHost *host, LmBytes text, const LmTokens *wanted)
{
	LmTokens tokens = {NULL};
	LmError error = {0};
	bool same = lm_tokenizer_encode(tokenizer, &tokens, text.data, text.size, &error);

	if (!same)
		printf("# %s\n", error.message);
	same = same && tokens.count == wanted->count &&
		   (tokens.count == 0 ||
			memcmp(tokens.ids, wanted->ids, tokens.count * sizeof *tokens.ids) == 0);
	if (!same)
		printf("# wrong ids for: %.*s\n", (int) text.size, text.data);
	lm_tokens_free(host, &tokens);
	return same;
}

/* The concatenated bytes of the tokens are the text. */
static inline bool
fixture_decodes_to(const LmTokenizer *tokenizer, const LmTokens *tokens, LmBytes text)
{
	size_t position = 0;

	for (size_t i = 0; i < tokens->count; i++)
	{
		LmBytes bytes = lm_tokenizer_bytes(tokenizer, tokens->ids[i]);

		if (position + bytes.size > text.size ||
			memcmp(text.data + position, bytes.data, bytes.size) != 0)
			return false;
		position += bytes.size;
	}
	return position == text.size;
}

#endif /* TEST_TOKENIZER_FIXTURE_H */

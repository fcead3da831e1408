/*
 * src/engine/text/chars.c
 *
 * Tokenizers of characters: text in, one id a code point out, through a table in two steps (page,
 * place).
 */
#include "text/array.h"
#include "text/chars.h"
#include "text/letters.h"
#include "text/utf8.h"

static int32_t number_pages(LmChars *chars, const LmTokenizerSpec *spec);
static bool encode_part(const LmChars *chars, LmTokens *tokens, const char *text, size_t start,
						size_t end, LmError *error);

LmChars *
lm_chars_create(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	LmChars *chars = lm_array_allocate(host, 1, sizeof *chars, error);

	if (!chars)
		return NULL;
	chars->host = *host;
	chars->unknown = spec->unknown;
	chars->ids =
		lm_array_allocate(host, (size_t) number_pages(chars, spec), sizeof *chars->ids, error);
	if (!chars->ids)
	{
		lm_chars_free(chars);
		return NULL;
	}
	for (int id = 0; id < spec->n_tokens; id++)
	{
		int length;
		int32_t code;

		if (!lm_spec_makes(spec, id))
			continue;
		code = lm_utf8_decode(spec->tokens[id].data, &length);
		chars->ids[chars->pages[code / LM_CODE_PAGE]][code % LM_CODE_PAGE] = id + 1;
	}
	return chars;
}

LmChars *
lm_chars_fork(const LmChars *chars, const LmHost *host, LmError *error)
{
	LmChars *fork = lm_array_allocate(host, 1, sizeof *fork, error);

	if (!fork)
		return NULL;
	*fork = *chars;
	fork->host = *host;
	return fork;
}

void
lm_chars_free(LmChars *chars)
{
	LmHost host;

	if (!chars)
		return;
	host = chars->host;
	lm_free(&host, chars->ids);
	lm_free(&host, chars);
}

/*
 * Gives the pages that have characters a number from 1; returns how many pages there are with the
 * empty one.
 */
static int32_t
number_pages(LmChars *chars, const LmTokenizerSpec *spec)
{
	int32_t n_pages = 1;

	for (int id = 0; id < spec->n_tokens; id++)
	{
		int length;
		int32_t *page;

		if (!lm_spec_makes(spec, id))
			continue;
		page = &chars->pages[lm_utf8_decode(spec->tokens[id].data, &length) / LM_CODE_PAGE];
		if (*page == 0)
			*page = n_pages++;
	}
	return n_pages;
}

bool
lm_chars_encode(const LmChars *chars, LmTokens *tokens, const char *text, size_t size,
				LmError *error)
{
	for (size_t start = 0, end; start < size; start = end)
	{
		end = lm_utf8_boundary(text, size, start + LM_POLL_SIZE);
		if (!lm_text_go_on(&chars->host, error) ||
			!encode_part(chars, tokens, text, start, end, error))
			return false;
	}
	return true;
}

/* Encodes characters [start, end) by table; one without a token becomes `unknown`, else fails. */
static bool
encode_part(const LmChars *chars, LmTokens *tokens, const char *text, size_t start, size_t end,
			LmError *error)
{
	int length;

	if (!lm_tokens_reserve(&chars->host, tokens, end - start, error))
		return false;
	for (size_t i = start; i < end; i += (size_t) length)
	{
		int32_t code = lm_utf8_decode(text + i, &length);
		int32_t id = chars->ids[chars->pages[code / LM_CODE_PAGE]][code % LM_CODE_PAGE] - 1;

		if (id < 0)
			id = chars->unknown;
		if (id < 0)
			return lm_fail(error, LM_ERR_ENCODING, (int64_t) i,
						   "tokenizer has no token for the character U+%04X", (unsigned) code);
		tokens->ids[tokens->count++] = id;
	}
	return true;
}

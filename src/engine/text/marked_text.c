/*
 * src/engine/text/marked_text.c
 *
 * A marked text goes in, its tokens come out. What stands between two special tokens is collected
 * without its marks, and encoded as one text.
 */
#include <string.h>

#include "engine/marked_text.h"
#include "text/array.h"
#include "text/named_tokens.h"

/* An encoding under way. */
typedef struct Encoding
{
	LmTokenizer *tokenizer;
	LmTokens *tokens;
	char *piece; /* the text since the last special token */
	size_t size;
	size_t capacity;
	bool flagged;
	bool is_template;
	bool is_learned;
	bool after_piece; /* the last id is a piece's, not a special token */
	bool begun; /* there is a last id */
} Encoding;

static bool encode(Encoding *encoding, const char *text, size_t size, LmError *error);
static bool take_mark(Encoding *encoding, char mark, LmError *error);
static bool take_template(Encoding *encoding, size_t *taken, LmBytes text, LmError *error);
static bool flush(Encoding *encoding, LmError *error);
static bool append_id(Encoding *encoding, int32_t id, LmError *error);

bool
lm_marked_encode(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
				 bool flagged, LmError *error)
{
	Encoding encoding = {
		.tokenizer = tokenizer, .tokens = tokens, .flagged = flagged, .is_template = true};
	size_t count = tokens->count;
	bool done = encode(&encoding, text, size, error);

	if (!done)
		tokens->count = count;
	lm_array_free(&tokenizer->host, encoding.piece);
	return done;
}

static bool
encode(Encoding *encoding, const char *text, size_t size, LmError *error)
{
	size_t i = 0;

	/* A piece is never longer than the text. */
	if (!lm_array_reserve(&encoding->tokenizer->host, &encoding->piece, &encoding->capacity, size,
						  1, error))
		return false;
	while (i < size)
	{
		size_t taken;

		if (text[i] == '\0')
		{
			if (!take_mark(encoding, i + 1 < size ? text[i + 1] : '\0', error))
				return false;
			i += 2;
			continue;
		}
		if (encoding->is_template)
		{
			if (!take_template(encoding, &taken, (LmBytes){text + i, size - i}, error))
				return false;
		}
		else
		{
			const char *mark = memchr(text + i, '\0', size - i);

			taken = mark ? (size_t) (mark - text) - i : size - i;
			memcpy(encoding->piece + encoding->size, text + i, taken);
			encoding->size += taken;
		}
		i += taken;
	}
	return flush(encoding, error);
}

/* Whether what follows counts. A cut belongs here only where ids show it. */
static bool
set_learned(Encoding *encoding, bool is_learned, LmError *error)
{
	if (encoding->flagged && encoding->is_learned != is_learned && !flush(encoding, error))
		return false;
	encoding->is_learned = is_learned;
	return true;
}

static bool
take_mark(Encoding *encoding, char mark, LmError *error)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(encoding->tokenizer);

	switch (mark)
	{
		case LM_MARK_TEMPLATE:
		case LM_MARK_CONTENT:
			encoding->is_template = mark == LM_MARK_TEMPLATE;
			return true;
		case LM_MARK_LEARNED:
		case LM_MARK_CONTEXT:
			return set_learned(encoding, mark == LM_MARK_LEARNED, error);
		case LM_MARK_BEGINNING:
			return append_id(encoding, spec->beginning >= 0 ? spec->beginning : spec->end_of_text,
							 error);
		case LM_MARK_END:
			return append_id(encoding, spec->end_of_text, error);
		default:
			return lm_fail(error, LM_ERR_FORMAT, -1, "a text has the unknown mark %d", mark);
	}
}

/* Takes a special token's name, or else one byte; *taken: their size. */
static bool
take_template(Encoding *encoding, size_t *taken, LmBytes text, LmError *error)
{
	int32_t id;

	if (!lm_named_tokens_find(taken, &id, encoding->tokenizer, text, error))
		return false;
	if (*taken > 0)
		return append_id(encoding, id, error);
	encoding->piece[encoding->size++] = text.data[0];
	*taken = 1;
	return true;
}

/* Encodes the piece and empties it. */
static bool
flush(Encoding *encoding, LmError *error)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(encoding->tokenizer);
	LmTokens *tokens = encoding->tokens;
	size_t first = tokens->count;
	/* A space comes in front of the text, or of each part after a special token. */
	bool inside = encoding->after_piece || (encoding->begun && spec->prefix_once);

	if (encoding->size == 0)
		return true;
	if (!lm_tokenizer_encode_part(encoding->tokenizer, tokens, encoding->piece, encoding->size,
								  inside ? LM_ENCODE_INSIDE : 0, error))
		return false;
	encoding->after_piece = encoding->begun = true;
	encoding->size = 0;
	for (size_t i = first; encoding->flagged && !encoding->is_learned && i < tokens->count; i++)
		tokens->ids[i] |= LM_ID_CONTEXT;
	return true;
}

/* Appends a special token, after the text before it; nothing for -1. */
static bool
append_id(Encoding *encoding, int32_t id, LmError *error)
{
	if (!flush(encoding, error))
		return false;
	if (id < 0)
		return true;
	encoding->after_piece = false;
	encoding->begun = true;
	if (encoding->flagged && !encoding->is_learned)
		id |= LM_ID_CONTEXT;
	return lm_tokens_append(&encoding->tokenizer->host, encoding->tokens, id, error);
}

size_t
lm_marked_learned_size(const char *text, size_t size)
{
	bool is_learned = false, is_content = false;
	size_t learned = 0;

	for (size_t i = 0; i < size; i++)
	{
		char mark = i + 1 < size ? text[i + 1] : '\0';

		if (text[i] != '\0')
		{
			learned += is_learned && is_content;
			continue;
		}
		i++;
		if (mark == LM_MARK_LEARNED || mark == LM_MARK_CONTEXT)
			is_learned = mark == LM_MARK_LEARNED;
		if (mark == LM_MARK_CONTENT || mark == LM_MARK_TEMPLATE)
			is_content = mark == LM_MARK_CONTENT;
	}
	return learned;
}

/* The offset of a mark, from a position on; the size of the text if there is none. */
static size_t
find_mark(LmBytes text, size_t from, LmMark mark)
{
	while (from + 1 < text.size && !(text.data[from] == '\0' && text.data[from + 1] == (char) mark))
		from++;
	return from + 1 < text.size ? from : text.size;
}

bool
lm_marked_next(LmBytes *learned, size_t *position, LmBytes text)
{
	size_t begin = find_mark(text, *position, LM_MARK_LEARNED);
	size_t end = find_mark(text, begin, LM_MARK_CONTEXT);

	*learned = (LmBytes){text.data + begin, end - begin};
	*position = end;
	return begin < text.size;
}

size_t
lm_marked_content(char *content, LmBytes text)
{
	bool is_content = false;
	size_t n = 0;

	for (size_t i = 0; i < text.size; i++)
	{
		if (text.data[i] != '\0' && is_content)
			content[n++] = text.data[i];
		if (text.data[i] != '\0' || ++i == text.size)
			continue;
		if (text.data[i] == LM_MARK_CONTENT || text.data[i] == LM_MARK_TEMPLATE)
			is_content = text.data[i] == LM_MARK_CONTENT;
	}
	return n;
}

/*
 * src/engine/text/marked_text.c
 *
 * A marked text goes in, its tokens come out. What stands between two special tokens is collected
 * without its marks, and encoded as one text.
 */
#include <string.h>

#include <unicode/uchar.h>

#include "engine/marked_text.h"
#include "text/tokenizer_parts.h"

#define MAX_RESERVED 16

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
	bool strips; /* it takes white space on its right */
	/* tags of the template: turns of Gemma are <start_of_turn>, which need not be a special token
	 */
	int32_t reserved[MAX_RESERVED];
	int n_reserved;
} Encoding;

static void reserve_tags(Encoding *encoding, LmBytes text);
static bool encode(Encoding *encoding, LmBytes text, LmError *error);
static bool take_mark(Encoding *encoding, char mark, LmError *error);
static bool take_template(Encoding *encoding, size_t *taken, LmBytes text, LmError *error);
static bool take_content(Encoding *encoding, size_t *taken, LmBytes text, LmError *error);
static bool flush(Encoding *encoding, LmError *error);
static bool append_id(Encoding *encoding, int32_t id, LmError *error);

bool
lm_marked_encode(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
				 bool flagged, LmError *error)
{
	Encoding encoding = {.tokenizer = tokenizer, .tokens = tokens, .flagged = flagged};
	size_t count = tokens->count;
	bool done;

	reserve_tags(&encoding, (LmBytes){text, size});
	done = encode(&encoding, (LmBytes){text, size}, error);
	if (!done)
		tokens->count = count;
	lm_array_free(&tokenizer->host, encoding.piece);
	return done;
}

bool
lm_marked_encode_both(LmTokenizer *tokenizer, LmTokens *tokens, size_t *n_prompt, LmBytes prompt,
					  LmBytes text, LmError *error)
{
	Encoding encoding = {.tokenizer = tokenizer, .tokens = tokens};
	size_t count = tokens->count;
	bool done;

	reserve_tags(&encoding, prompt);
	reserve_tags(&encoding, text);
	done = encode(&encoding, prompt, error);
	*n_prompt = tokens->count - count;
	done = done && encode(&encoding, text, error);
	if (!done)
		tokens->count = count;
	lm_array_free(&tokenizer->host, encoding.piece);
	return done;
}

static bool
encode(Encoding *encoding, LmBytes text, LmError *error)
{
	size_t i = 0;

	/* A piece is never longer than the text. */
	if (!lm_array_reserve(&encoding->tokenizer->host, &encoding->piece, &encoding->capacity,
						  text.size, 1, error))
		return false;
	encoding->is_template = true;
	while (i < text.size)
	{
		LmBytes rest = {text.data + i, text.size - i};
		size_t taken = 2;

		if (rest.data[0] == '\0' ? !take_mark(encoding, rest.size > 1 ? rest.data[1] : '\0', error)
			: encoding->is_template ? !take_template(encoding, &taken, rest, error)
									: !take_content(encoding, &taken, rest, error))
			return false;
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

/* Appends bytes to the piece; a token in front of them may take white space away. */
static void
append_bytes(Encoding *encoding, LmBytes text)
{
	while (encoding->strips && text.size > 0)
	{
		int length = lm_utf8_length(text.data, text.size), decoded;

		if (length == 0 || !u_isUWhiteSpace(lm_utf8_decode(text.data, &decoded)))
			encoding->strips = false;
		else
			text = (LmBytes){text.data + length, text.size - (size_t) length};
	}
	memcpy(encoding->piece + encoding->size, text.data, text.size);
	encoding->size += text.size;
}

/* Bytes of the character that a text begins with; 1 where it is none. */
static size_t
character_size(LmBytes text)
{
	int length = lm_utf8_length(text.data, text.size);

	return length > 0 ? (size_t) length : 1;
}

/* Takes a token's name, or else one character; *taken: their size. */
static bool
take_template(Encoding *encoding, size_t *taken, LmBytes text, LmError *error)
{
	int32_t id = lm_added_named(encoding->tokenizer, text);

	if (id >= 0)
	{
		*taken = lm_tokenizer_token(encoding->tokenizer, id).size;
		return append_id(encoding, id, error);
	}
	*taken = character_size(text);
	append_bytes(encoding, (LmBytes){text.data, *taken});
	return true;
}

/* Whether a name is a tag of letters: <think>, </think>. */
static bool
is_tag(LmBytes name)
{
	size_t i = name.size > 1 && name.data[1] == '/' ? 2 : 1;

	if (name.size < i + 2 || name.data[0] != '<' || name.data[name.size - 1] != '>')
		return false;
	for (; i + 1 < name.size; i++)
		if (!(name.data[i] >= 'a' && name.data[i] <= 'z') && name.data[i] != '_')
			return false;
	return true;
}

/* Whether a name is a tag of reasoning, which a model writes within an answer. */
static bool
is_reasoning(LmBytes name)
{
	return (name.size == 7 && memcmp(name.data, "<think>", 7) == 0) ||
		   (name.size == 8 && memcmp(name.data, "</think>", 8) == 0);
}

static bool
is_reserved(const Encoding *encoding, int32_t id)
{
	for (int i = 0; i < encoding->n_reserved; i++)
		if (encoding->reserved[i] == id)
			return true;
	return false;
}

/* Finds the tags of the template's parts, which are then text in a content. */
static void
reserve_tags(Encoding *encoding, LmBytes text)
{
	bool is_template = true;

	for (size_t i = 0; i < text.size; i++)
	{
		const char *mark = text.data + i;
		int32_t id;
		LmBytes name;

		if (!is_template)
			mark = memchr(mark, '\0', text.size - i);
		if (!mark)
			return;
		i = (size_t) (mark - text.data);
		if (*mark == '\0' && ++i < text.size)
			is_template =
				mark[1] == LM_MARK_TEMPLATE || (is_template && mark[1] != LM_MARK_CONTENT);
		if (*mark != '<')
			continue;
		id = lm_added_named(encoding->tokenizer, (LmBytes){mark, text.size - i});
		if (id < 0 || is_reserved(encoding, id) || encoding->n_reserved == MAX_RESERVED)
			continue;
		name = lm_tokenizer_token(encoding->tokenizer, id);
		if (is_tag(name) && !is_reasoning(name))
			encoding->reserved[encoding->n_reserved++] = id;
	}
}

/*
 * Takes content up to a mark, or to a name of an added token that the tokenizer would find in a
 * text: the name is cut after its first character, so that nobody finds it.
 */
static bool
take_content(Encoding *encoding, size_t *taken, LmBytes text, LmError *error)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(encoding->tokenizer);
	const LmAdded *added = &encoding->tokenizer->added;
	const char *mark = memchr(text.data, '\0', text.size);
	size_t size = mark ? (size_t) (mark - text.data) : text.size;
	bool searches = added->plain[0] || added->plain[1];

	for (size_t i = 0; searches && i < size; i++)
	{
		int32_t id = lm_added_named(encoding->tokenizer, (LmBytes){text.data + i, size - i});

		if (id < 0 || spec->special[id] ||
			(is_tag(lm_tokenizer_token(encoding->tokenizer, id)) && !is_reserved(encoding, id)))
			continue;
		*taken = i + character_size((LmBytes){text.data + i, size - i});
		append_bytes(encoding, (LmBytes){text.data, *taken});
		return flush(encoding, error);
	}
	*taken = size;
	append_bytes(encoding, (LmBytes){text.data, size});
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

/* Drops white space from the end of the piece. */
static void
strip_piece(Encoding *encoding)
{
	while (encoding->size > 0)
	{
		size_t start = lm_utf8_boundary(encoding->piece, encoding->size, encoding->size - 1);
		int length = lm_utf8_length(encoding->piece + start, encoding->size - start), decoded;

		if (length == 0 || !u_isUWhiteSpace(lm_utf8_decode(encoding->piece + start, &decoded)))
			return;
		encoding->size = start;
	}
}

/* Appends a special or added token, after the text before it; nothing for -1. */
static bool
append_id(Encoding *encoding, int32_t id, LmError *error)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(encoding->tokenizer);
	int flags = id >= 0 && spec->flags ? spec->flags[id] : 0;

	if (flags & LM_TOKEN_LSTRIP)
		strip_piece(encoding);
	if (!flush(encoding, error))
		return false;
	if (id < 0)
		return true;
	encoding->strips = flags & LM_TOKEN_RSTRIP;
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

/*
 * src/engine/text/added.c
 *
 * Text in, the added tokens that it spells out (text/added.h). The rules are those of Hugging
 * Face's added vocabulary: a token that may not be in a word gives up its place, one that strips
 * takes the white space beside it.
 */
#include <unicode/uchar.h>

#include "text/added.h"
#include "text/tokenizer_parts.h"

static void describe(LmTokenizer *tokenizer);
static int32_t longest(const LmTokenizer *tokenizer, LmBytes text, bool normalized, size_t *size);
static int32_t longest_spelled(const LmTokenizer *tokenizer, LmBytes text, int flags);
static int32_t longest_signed(const LmTokenizer *tokenizer, LmBytes text, size_t *size);
static size_t n_spaces(LmBytes token);
static int flags_of(const LmTokenizer *tokenizer, int32_t id);
static int32_t narrow(const LmTokenizer *tokenizer, int32_t low, int32_t high, size_t depth,
					  int byte);
static bool inside_word(LmBytes text, size_t start, size_t end);
static bool is_word(int32_t code);
static size_t strip_left(LmBytes text, size_t position, size_t start);
static size_t strip_right(LmBytes text, size_t end);

bool
lm_added_create(LmTokenizer *tokenizer, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	LmAdded *added = &tokenizer->added;
	int32_t n = 0;

	for (int32_t id = 0; id < spec->n_tokens; id++)
		n += spec->special[id] || (spec->flags && spec->flags[id] & LM_TOKEN_ADDED);
	if (n == 0)
		return true;
	added->own = lm_array_allocate(&tokenizer->host, (size_t) n, sizeof *added->own, error);
	if (!added->own)
		return false;
	for (int32_t id = 0; id < spec->n_tokens; id++)
		if (spec->special[id] || (spec->flags && spec->flags[id] & LM_TOKEN_ADDED))
			added->own[added->n++] = id;
	added->ids = added->own;
	if (!lm_tokenizer_sort_ids(tokenizer, added->own, n, error))
		return false;
	describe(tokenizer);
	return true;
}

void
lm_added_open(LmTokenizer *tokenizer, const int32_t *ids, int32_t n)
{
	tokenizer->added = (LmAdded){.n = n, .ids = ids};
	describe(tokenizer);
}

/* Notes which kinds of tokens there are and their first bytes. */
static void
describe(LmTokenizer *tokenizer)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	LmAdded *added = &tokenizer->added;

	for (int32_t i = 0; i < added->n; i++)
	{
		int32_t id = added->ids[i];
		int flags = flags_of(tokenizer, id);
		bool normalized = flags & LM_TOKEN_NORMALIZED;
		LmBytes token = lm_tokenizer_token(tokenizer, id);
		char first = token.data[0];

		if (flags & LM_TOKEN_SIGNS && first == ' ')
			first = LM_SPACE_SIGN[0];
		added->first[(unsigned char) first] = true;
		if (flags & LM_TOKEN_SIGNS && token.size > added->longest_signed)
			added->longest_signed = token.size;
		if (spec->special[id])
			added->special[normalized] = true;
		else
			added->plain[normalized] = true;
	}
}

bool
lm_added_wanted(const LmAdded *added, bool normalized, int flags)
{
	return added->plain[normalized] || (flags & LM_ENCODE_SPECIAL && added->special[normalized]);
}

bool
lm_added_next(const LmTokenizer *tokenizer, LmAddedMatch *match, LmBytes text, bool normalized,
			  int flags, LmError *error)
{
	size_t poll = match->next, size;

	for (size_t i = match->next; i < text.size; i++)
	{
		int32_t id;
		int token_flags;
		size_t end;

		if (i >= poll)
		{
			if (!lm_text_go_on(&tokenizer->host, error))
				return false;
			poll = i + LM_POLL_SIZE;
		}
		if (!tokenizer->added.first[(unsigned char) text.data[i]])
			continue;
		id = longest(tokenizer, (LmBytes){text.data + i, text.size - i}, normalized, &size);
		if (id < 0)
			continue;
		end = i + size;
		token_flags = flags_of(tokenizer, id);
		if ((tokenizer->spec->special[id] && !(flags & LM_ENCODE_SPECIAL)) ||
			(token_flags & LM_TOKEN_WORD && inside_word(text, i, end)))
		{
			i = end - 1;
			continue;
		}
		match->id = id;
		match->start = token_flags & LM_TOKEN_LSTRIP ? strip_left(text, match->end, i) : i;
		match->next = end;
		match->end = token_flags & LM_TOKEN_RSTRIP ? strip_right(text, end) : end;
		return true;
	}
	*match = (LmAddedMatch){text.size, text.size, text.size, -1};
	return true;
}

int32_t
lm_added_named(const LmTokenizer *tokenizer, LmBytes text)
{
	int32_t raw, normalized;

	if (text.size == 0 || !tokenizer->added.first[(unsigned char) text.data[0]])
		return -1;
	raw = longest_spelled(tokenizer, text, 0);
	normalized = longest_spelled(tokenizer, text, LM_TOKEN_NORMALIZED);
	if (raw < 0 || normalized < 0)
		return raw < 0 ? normalized : raw;
	return lm_tokenizer_token(tokenizer, raw).size > lm_tokenizer_token(tokenizer, normalized).size
			   ? raw
			   : normalized;
}

/* The longest token of this pass that the text begins with, and its size there; or -1. */
static int32_t
longest(const LmTokenizer *tokenizer, LmBytes text, bool normalized, size_t *size)
{
	int32_t id = longest_spelled(tokenizer, text, normalized ? LM_TOKEN_NORMALIZED : 0);
	size_t signed_size = 0;
	int32_t other = tokenizer->added.longest_signed > 0 && !normalized
						? longest_signed(tokenizer, text, &signed_size)
						: -1;

	*size = id < 0 ? 0 : lm_tokenizer_token(tokenizer, id).size;
	if (other < 0 || signed_size <= *size)
		return id;
	*size = signed_size;
	return other;
}

/* The longest token with these of the flags NORMALIZED and SIGNS whose bytes the text begins with.
 */
static int32_t
longest_spelled(const LmTokenizer *tokenizer, LmBytes text, int flags)
{
	int32_t low = 0, high = tokenizer->added.n, found = -1;

	for (size_t depth = 0; depth < text.size; depth++)
	{
		int byte = (unsigned char) text.data[depth];
		int32_t id;

		low = narrow(tokenizer, low, high, depth, byte);
		high = narrow(tokenizer, low, high, depth, byte + 1);
		if (low == high)
			break;
		/* The shortest of those that begin with these bytes comes first. */
		id = tokenizer->added.ids[low];
		if (lm_tokenizer_token(tokenizer, id).size == depth + 1 &&
			(flags_of(tokenizer, id) & (LM_TOKEN_NORMALIZED | LM_TOKEN_SIGNS)) == flags)
			found = id;
	}
	return found;
}

/* The longest token of those that a text spells with signs of spaces, and its size there; or -1. */
static int32_t
longest_signed(const LmTokenizer *tokenizer, LmBytes text, size_t *size)
{
	const size_t sign_size = sizeof LM_SPACE_SIGN - 1;
	char spaced[LM_MAX_TOKEN_SIZE];
	size_t n = 0;
	int32_t id;

	for (size_t i = 0; i < text.size && n < tokenizer->added.longest_signed && text.data[i] != ' ';)
	{
		bool sign =
			text.size - i >= sign_size && memcmp(text.data + i, LM_SPACE_SIGN, sign_size) == 0;

		spaced[n++] = sign ? ' ' : text.data[i];
		i += sign ? sign_size : 1;
	}
	id = longest_spelled(tokenizer, (LmBytes){spaced, n}, LM_TOKEN_SIGNS);
	if (id >= 0)
	{
		LmBytes token = lm_tokenizer_token(tokenizer, id);

		*size = token.size + n_spaces(token) * (sign_size - 1);
	}
	return id;
}

static size_t
n_spaces(LmBytes token)
{
	size_t n = 0;

	for (size_t i = 0; i < token.size; i++)
		n += token.data[i] == ' ';
	return n;
}

static int
flags_of(const LmTokenizer *tokenizer, int32_t id)
{
	return tokenizer->spec->flags ? tokenizer->spec->flags[id] : 0;
}

/*
 * The first of the tokens [low, high), which agree in their first `depth` bytes, whose next byte is
 * at least `byte`.
 */
static int32_t
narrow(const LmTokenizer *tokenizer, int32_t low, int32_t high, size_t depth, int byte)
{
	while (low < high)
	{
		int32_t middle = low + (high - low) / 2;
		LmBytes token = lm_tokenizer_token(tokenizer, tokenizer->added.ids[middle]);

		if (token.size <= depth || (unsigned char) token.data[depth] < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Whether a letter of a word touches text[start..end) on either side. */
static bool
inside_word(LmBytes text, size_t start, size_t end)
{
	int length;

	if (start > 0 && is_word(lm_utf8_decode(
						 text.data + lm_utf8_boundary(text.data, text.size, start - 1), &length)))
		return true;
	return end < text.size && is_word(lm_utf8_decode(text.data + end, &length));
}

/* \w of Unicode Technical Standard 18, annex C. */
static bool
is_word(int32_t code)
{
	return u_hasBinaryProperty(code, UCHAR_ALPHABETIC) ||
		   u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) ||
		   U_MASK(u_charType(code)) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK);
}

/* Where the white space that ends at start begins, but not before position where that is less. */
static size_t
strip_left(LmBytes text, size_t position, size_t start)
{
	while (start > position)
	{
		size_t previous = lm_utf8_boundary(text.data, text.size, start - 1);
		int length;

		if (!u_isUWhiteSpace(lm_utf8_decode(text.data + previous, &length)))
			break;
		start = previous;
	}
	return start;
}

static size_t
strip_right(LmBytes text, size_t end)
{
	while (end < text.size)
	{
		int length;

		if (!u_isUWhiteSpace(lm_utf8_decode(text.data + end, &length)))
			break;
		end += (size_t) length;
	}
	return end;
}

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
static int32_t longest(const LmTokenizer *tokenizer, LmBytes text, bool normalized);
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
		bool normalized = spec->flags && spec->flags[id] & LM_TOKEN_NORMALIZED;

		added->first[(unsigned char) lm_tokenizer_token(tokenizer, id).data[0]] = true;
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
	const LmTokenizerSpec *spec = tokenizer->spec;
	size_t poll = match->next;

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
		id = longest(tokenizer, (LmBytes){text.data + i, text.size - i}, normalized);
		if (id < 0)
			continue;
		end = i + lm_tokenizer_token(tokenizer, id).size;
		token_flags = spec->flags ? spec->flags[id] : 0;
		if ((spec->special[id] && !(flags & LM_ENCODE_SPECIAL)) ||
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
	raw = longest(tokenizer, text, false);
	normalized = longest(tokenizer, text, true);
	if (raw < 0 || normalized < 0)
		return raw < 0 ? normalized : raw;
	return lm_tokenizer_token(tokenizer, raw).size > lm_tokenizer_token(tokenizer, normalized).size
			   ? raw
			   : normalized;
}

/* The longest token of this pass that the text begins with, or -1. */
static int32_t
longest(const LmTokenizer *tokenizer, LmBytes text, bool normalized)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
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
			(spec->flags && spec->flags[id] & LM_TOKEN_NORMALIZED) == normalized)
			found = id;
	}
	return found;
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

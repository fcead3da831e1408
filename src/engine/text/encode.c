/*
 * src/engine/text/encode.c
 *
 * Text in, ids out:
 *
 *   text -> valid? -> sections between added tokens -> (NFC, NFKC) -> (spaces)
 *        -> sections between added tokens of normalised text
 *        -> pieces -> ids                     of BPE, SENTENCEPIECE, UNIGRAM
 *        -> ids                               of characters
 *   text -> ids                               of bytes
 */
#include "text/charsmap.h"
#include "text/tokenizer_parts.h"

#define LETTER_PIECES 16

/* A section of a text, and whether nothing is in front of it. */
typedef struct Section
{
	LmBytes text;
	bool first; /* nothing of the text is in front of it */
	bool inside; /* no space comes in front of it */
} Section;

typedef bool (*EncodeSection)(LmTokenizer *tokenizer, LmTokens *tokens, Section section, int flags,
							  LmError *error);

static bool encode_bytes(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes text, LmError *error);
static bool encode_sections(LmTokenizer *tokenizer, LmTokens *tokens, Section whole,
							bool normalized, EncodeSection encode, int flags, LmError *error);
static bool encode_raw(LmTokenizer *tokenizer, LmTokens *tokens, Section section, int flags,
					   LmError *error);
static bool encode_normalized(LmTokenizer *tokenizer, LmTokens *tokens, Section section, int flags,
							  LmError *error);
static bool wants_prefix(const LmTokenizerSpec *spec, Section section, bool any);
static bool begins_with_space(const LmTokenizerSpec *spec, LmBytes text);
static bool has_sign(LmBytes text);
static bool set_spaces(LmTokenizer *tokenizer, LmBytes *text, bool prefix, LmError *error);
static bool encode_model(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes text, LmError *error);
static bool encode_pieces(LmTokenizer *tokenizer, LmTokens *tokens, int level, LmBytes text,
						  LmError *error);
static void begin_word(LmTokenizer *tokenizer);
static bool encode_letters(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes text, LmError *error);
static bool encode_letter_pieces(LmTokenizer *tokenizer, LmTokens *tokens, const LmBytes *pieces,
								 int n, LmError *error);

bool
lm_tokenizer_encode(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
					LmError *error)
{
	return lm_tokenizer_encode_part(tokenizer, tokens, text, size, 0, error);
}

bool
lm_tokenizer_encode_part(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
						 int flags, LmError *error)
{
	size_t count = tokens->count;
	bool inside = flags & LM_ENCODE_INSIDE;
	Section whole = {{text, size}, !inside, inside};
	bool done;

	if (tokenizer->spec->kind == LM_TOKENIZER_BYTES && !(flags & LM_ENCODE_SPECIAL))
		done = encode_bytes(tokenizer, tokens, whole.text, error);
	else
		done = lm_text_check(&tokenizer->host, text, size, error) &&
			   encode_sections(tokenizer, tokens, whole, false, encode_raw, flags, error);
	lm_tokenizer_free_scratch(tokenizer);
	if (!done)
		tokens->count = count;
	return done;
}

void
lm_tokenizer_free_scratch(LmTokenizer *tokenizer)
{
	lm_array_free(&tokenizer->host, tokenizer->normalized.data);
	lm_array_free(&tokenizer->host, tokenizer->spaced.data);
	memset(&tokenizer->normalized, 0, sizeof tokenizer->normalized);
	memset(&tokenizer->spaced, 0, sizeof tokenizer->spaced);
}

/* Appends one token a byte: byte i is token i, so no table is needed. */
static bool
encode_bytes(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes text, LmError *error)
{
	if (text.size > LM_MAX_TEXT_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "text has %zu bytes, the limit is %zu", text.size,
					   LM_MAX_TEXT_SIZE);
	if (!lm_tokens_reserve(&tokenizer->host, tokens, text.size, error))
		return false;
	for (size_t i = 0; i < text.size; i++)
	{
		if (i % LM_POLL_SIZE == 0 && !lm_text_go_on(&tokenizer->host, error))
			return false;
		tokens->ids[tokens->count++] = (unsigned char) text.data[i];
	}
	return true;
}

/* ------------------------------------------------------------ sections */

/* Appends the added tokens of a pass, and what `encode` makes of the sections between them. */
static bool
encode_sections(LmTokenizer *tokenizer, LmTokens *tokens, Section whole, bool normalized,
				EncodeSection encode, int flags, LmError *error)
{
	LmAddedMatch match = {0};

	if (!lm_added_wanted(&tokenizer->added, normalized, flags))
		return encode(tokenizer, tokens, whole, flags, error);
	do
	{
		size_t start = match.end;
		Section section = {.first = whole.first && start == 0,
						   .inside = whole.inside && start == 0};

		if (!lm_added_next(tokenizer, &match, whole.text, normalized, flags, error))
			return false;
		if (start < match.start)
		{
			section.text = (LmBytes){whole.text.data + start, match.start - start};
			if (!encode(tokenizer, tokens, section, flags, error))
				return false;
		}
		if (match.id >= 0 && !lm_tokens_append(&tokenizer->host, tokens, match.id, error))
			return false;
	} while (match.id >= 0);
	return true;
}

/* Normalises a section of the raw text, puts the space in front of it, and goes on. */
static bool
encode_raw(LmTokenizer *tokenizer, LmTokens *tokens, Section section, int flags, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	LmText *normalized = &tokenizer->normalized;
	bool any = section.text.size > 0;

	if (spec->normalize_nfkc || spec->normalize_nfc)
	{
		if (!(spec->normalize_nfkc ? lm_text_normalize_kc : lm_text_normalize)(
				&tokenizer->host, normalized, section.text.data, section.text.size, error))
			return false;
		section.text = (LmBytes){normalized->data, normalized->size};
	}
	if (spec->charsmap.size > 0 || spec->collapse_spaces)
	{
		if (!lm_charsmap_apply(&tokenizer->host, normalized, section.text, spec->charsmap,
							   spec->collapse_spaces, error))
			return false;
		section.text = (LmBytes){normalized->data, normalized->size};
		/* A text of which nothing is left still has its prefix, where spaces stay. */
		any = any && (normalized->size > 0 || !spec->collapse_spaces);
	}
	if (spec->prefix == LM_PREFIX_ALWAYS)
	{
		if (!set_spaces(tokenizer, &section.text, wants_prefix(spec, section, any), error))
			return false;
		section.inside = true;
	}
	return encode_sections(tokenizer, tokens, section, true, encode_normalized, flags, error);
}

/* Encodes a section without added tokens; a space comes in front of it if one is missing. */
static bool
encode_normalized(LmTokenizer *tokenizer, LmTokens *tokens, Section section, int flags,
				  LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;

	(void) flags;
	if (spec->prefix != LM_PREFIX_ALWAYS &&
		!set_spaces(tokenizer, &section.text, wants_prefix(spec, section, section.text.size > 0),
					error))
		return false;
	return encode_model(tokenizer, tokens, section.text, error);
}

/* Whether a space comes in front of a section that has `any` text. */
static bool
wants_prefix(const LmTokenizerSpec *spec, Section section, bool any)
{
	if (section.inside || !any || (spec->prefix_once && !section.first))
		return false;
	return spec->prefix == LM_PREFIX_ALWAYS ||
		   (spec->prefix == LM_PREFIX_MISSING && !begins_with_space(spec, section.text));
}

static bool
begins_with_space(const LmTokenizerSpec *spec, LmBytes text)
{
	const size_t size = sizeof LM_SPACE_SIGN - 1;

	return text.data[0] == ' ' ||
		   (spec->space_sign && text.size >= size && memcmp(text.data, LM_SPACE_SIGN, size) == 0);
}

static bool
has_sign(LmBytes text)
{
	const size_t size = sizeof LM_SPACE_SIGN - 1;
	const char *place = text.data, *end;

	/* A text without bytes may have no data. */
	if (text.size < size)
		return false;
	end = text.data + text.size;
	while ((size_t) (end - place) >= size &&
		   (place = memchr(place, LM_SPACE_SIGN[0], (size_t) (end - place))) != NULL)
	{
		if ((size_t) (end - place) >= size && memcmp(place, LM_SPACE_SIGN, size) == 0)
			return true;
		place++;
	}
	return false;
}

/* Puts a space in front of the text, and spaces for signs of them, where that changes the text. */
static bool
set_spaces(LmTokenizer *tokenizer, LmBytes *text, bool prefix, LmError *error)
{
	bool signs = tokenizer->spec->space_sign && has_sign(*text);

	if (!prefix && !signs)
		return true;
	if (!lm_text_set_spaces(&tokenizer->host, &tokenizer->spaced, *text, prefix, signs, error))
		return false;
	*text = (LmBytes){tokenizer->spaced.data, tokenizer->spaced.size};
	return true;
}

/* ------------------------------------------------------------ models */

static bool
encode_model(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes text, LmError *error)
{
	switch (tokenizer->spec->kind)
	{
		case LM_TOKENIZER_BYTES:
			return encode_bytes(tokenizer, tokens, text, error);
		case LM_TOKENIZER_CHARS:
			return lm_chars_encode(tokenizer->chars, tokens, text.data, text.size, error);
		case LM_TOKENIZER_BPE:
			return encode_pieces(tokenizer, tokens, 0, text, error);
		case LM_TOKENIZER_SENTENCEPIECE:
		case LM_TOKENIZER_UNIGRAM:
			break;
	}
	return encode_letters(tokenizer, tokens, text, error);
}

/* Splits the text by the pattern of this level, and its pieces by those of the next ones. */
static bool
encode_pieces(LmTokenizer *tokenizer, LmTokens *tokens, int level, LmBytes text, LmError *error)
{
	LmPieces *pieces = &tokenizer->pieces[level];
	bool last = level == tokenizer->n_splits - 1;

	lm_split_start(&tokenizer->splits[level], text.data, text.size);
	do
	{
		if (!lm_split_next(&tokenizer->splits[level], pieces, error))
			return false;
		if (last && !lm_bpe_encode(&tokenizer->bpe, tokens, pieces->pieces, pieces->count, error))
			return false;
		for (int i = 0; !last && i < pieces->count; i++)
			if (!encode_pieces(tokenizer, tokens, level + 1, pieces->pieces[i], error))
				return false;
	} while (pieces->count > 0);
	return true;
}

/* Nothing of the pieces before matters to the next one. */
static void
begin_word(LmTokenizer *tokenizer)
{
	tokenizer->bpe.after_unknown = tokenizer->unigram.after_unknown = false;
	tokenizer->unigram.score = 0;
}

/* Cuts the text where no token can cross, and merges or weighs the pieces, a few at a time. */
static bool
encode_letters(LmTokenizer *tokenizer, LmTokens *tokens, LmBytes text, LmError *error)
{
	bool split_spaces = tokenizer->spec->split_spaces;
	LmBytes pieces[LETTER_PIECES];
	size_t poll = 0, end;
	int n = 0;

	begin_word(tokenizer);
	for (size_t start = 0; start < text.size; start = end)
	{
		bool begins = split_spaces && text.data[start] == ' ';

		if (start >= poll)
		{
			if (!lm_text_go_on(&tokenizer->host, error))
				return false;
			poll = start + LM_POLL_SIZE;
		}
		end =
			lm_letters_piece_end(&tokenizer->letters, &tokenizer->host, text, start, split_spaces);
		if (end == 0)
			return lm_fail(error, LM_ERR_STOPPED, -1, "stopped");
		if (n == LETTER_PIECES || (begins && n > 0))
		{
			if (!encode_letter_pieces(tokenizer, tokens, pieces, n, error))
				return false;
			n = 0;
		}
		if (begins)
			begin_word(tokenizer);
		pieces[n++] = (LmBytes){text.data + start, end - start};
	}
	return encode_letter_pieces(tokenizer, tokens, pieces, n, error);
}

static bool
encode_letter_pieces(LmTokenizer *tokenizer, LmTokens *tokens, const LmBytes *pieces, int n,
					 LmError *error)
{
	if (tokenizer->spec->kind == LM_TOKENIZER_SENTENCEPIECE)
		return lm_bpe_encode(&tokenizer->bpe, tokens, pieces, n, error);
	for (int i = 0; i < n; i++)
		if (!lm_unigram_encode(tokenizer, tokens, pieces[i], error))
			return false;
	return true;
}

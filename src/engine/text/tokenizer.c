/*
 * src/engine/text/tokenizer.c
 *
 * The tokenizer as its callers see it: a checked copy of its description, and the way
 *
 *   text -> valid? -> (NFC) -> pieces -> ids        of BPE,
 *   text -> valid? -> (NFC) -> ids                  of characters,
 *   text -> ids                                     of bytes.
 */
#include "text/named_tokens.h"
#include "text/spec.h"
#include "text/tokenizer_parts.h"

static bool build(LmTokenizer *tokenizer, LmError *error);
static bool encode_text(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
						LmError *error);
static bool encode_bytes(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
						 LmError *error);
static bool encode_pieces(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
						  LmError *error);
static void free_normalized(LmTokenizer *tokenizer);

LmTokenizer *
lm_tokenizer_create(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	LmTokenizer *tokenizer;

	if (!lm_spec_check(host, spec, error))
		return NULL;
	tokenizer = lm_array_allocate(host, 1, sizeof *tokenizer, error);
	if (!tokenizer)
		return NULL;
	tokenizer->host = *host;
	tokenizer->split.host = tokenizer->bpe.host = *host;
	tokenizer->spec = lm_spec_copy(host, spec, error);
	if (tokenizer->spec && build(tokenizer, error))
		return tokenizer;
	lm_tokenizer_free(tokenizer);
	return NULL;
}

/* Makes the splitter and tables that the tokenizer's kind needs; bytes need none. */
static bool
build(LmTokenizer *tokenizer, LmError *error)
{
	const LmHost *host = &tokenizer->host;
	const LmTokenizerSpec *spec = tokenizer->spec;

	switch (spec->kind)
	{
		case LM_TOKENIZER_BPE:
			return lm_split_create(&tokenizer->split, host, spec->pattern, error) &&
				   lm_bpe_create(&tokenizer->bpe, host, spec, error);
		case LM_TOKENIZER_CHARS:
			tokenizer->chars = lm_chars_create(host, spec, error);
			return tokenizer->chars != NULL;
		case LM_TOKENIZER_BYTES:
			break;
	}
	return true;
}

LmTokenizer *
lm_tokenizer_fork(const LmTokenizer *tokenizer, const LmHost *host, LmError *error)
{
	LmTokenizer *fork = lm_array_allocate(host, 1, sizeof *fork, error);

	if (!fork)
		return NULL;
	fork->host = fork->bpe.host = *host;
	fork->forked = true;
	fork->spec = tokenizer->spec;
	fork->offsets = tokenizer->offsets;
	fork->bytes = tokenizer->bytes;
	fork->order = tokenizer->order;
	fork->n_ordered = tokenizer->n_ordered;
	if (tokenizer->spec->kind == LM_TOKENIZER_BPE)
	{
		lm_bpe_fork(&fork->bpe, &tokenizer->bpe, host);
		if (!lm_split_fork(&fork->split, &tokenizer->split, host, error))
		{
			lm_tokenizer_free(fork);
			return NULL;
		}
	}
	if (tokenizer->chars)
	{
		fork->chars = lm_chars_fork(tokenizer->chars, host, error);
		if (!fork->chars)
		{
			lm_tokenizer_free(fork);
			return NULL;
		}
	}
	return fork;
}

void
lm_tokenizer_free(LmTokenizer *tokenizer)
{
	LmHost host;

	if (!tokenizer)
		return;
	host = tokenizer->host;
	if (tokenizer->forked)
	{
		tokenizer->spec = NULL;
		tokenizer->bpe.merges = NULL;
		if (tokenizer->chars)
			tokenizer->chars->ids = NULL;
	}
	if (tokenizer->mapped)
		tokenizer->bpe.merges = NULL;
	free_normalized(tokenizer);
	lm_named_tokens_free(tokenizer);
	lm_free(&host, tokenizer->sorted);
	lm_chars_free(tokenizer->chars);
	if (tokenizer->bpe.host.reallocate)
		lm_bpe_free(&tokenizer->bpe);
	if (tokenizer->split.host.reallocate)
		lm_split_free(&tokenizer->split);
	lm_free(&host, tokenizer->spec);
	lm_free(&host, tokenizer);
}

const LmTokenizerSpec *
lm_tokenizer_spec(const LmTokenizer *tokenizer)
{
	return tokenizer->spec;
}

LmBytes
lm_tokenizer_bytes(const LmTokenizer *tokenizer, int32_t id)
{
	const LmTokenizerSpec *spec = tokenizer->spec;

	if (id < 0 || id >= spec->n_tokens || spec->special[id])
		return (LmBytes){"", 0};
	return lm_tokenizer_token(tokenizer, id);
}

bool
lm_tokenizer_encode(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
					LmError *error)
{
	size_t count = tokens->count;
	bool done = false;

	switch (tokenizer->spec->kind)
	{
		case LM_TOKENIZER_BYTES:
			done = encode_bytes(tokenizer, tokens, text, size, error);
			break;
		case LM_TOKENIZER_BPE:
		case LM_TOKENIZER_CHARS:
			done = encode_text(tokenizer, tokens, text, size, error);
			break;
	}
	if (!done)
		tokens->count = count;
	return done;
}

/* Appends one token a byte: byte i is token i, so no table is needed. */
static bool
encode_bytes(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
			 LmError *error)
{
	if (size > LM_MAX_TEXT_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "text has %zu bytes, the limit is %zu", size,
					   LM_MAX_TEXT_SIZE);
	if (!lm_tokens_reserve(&tokenizer->host, tokens, size, error))
		return false;
	for (size_t i = 0; i < size; i++)
	{
		if (i % LM_POLL_SIZE == 0 && !lm_text_go_on(&tokenizer->host, error))
			return false;
		tokens->ids[tokens->count++] = (unsigned char) text[i];
	}
	return true;
}

/* Checks the UTF-8, normalises where the tokenizer does, and encodes by characters or by BPE. */
static bool
encode_text(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size, LmError *error)
{
	LmText *normalized = &tokenizer->normalized;
	bool done;

	if (!lm_text_check(&tokenizer->host, text, size, error))
		return false;
	if (tokenizer->spec->normalize_nfc)
	{
		if (!lm_text_normalize(&tokenizer->host, normalized, text, size, error))
		{
			free_normalized(tokenizer);
			return false;
		}
		text = normalized->data;
		size = normalized->size;
	}
	if (tokenizer->chars)
		done = lm_chars_encode(tokenizer->chars, tokens, text, size, error);
	else
		done = encode_pieces(tokenizer, tokens, text, size, error);
	free_normalized(tokenizer);
	return done;
}

/* Splits the text into pieces and encodes each by BPE, a batch of pieces at a time. */
static bool
encode_pieces(LmTokenizer *tokenizer, LmTokens *tokens, const char *text, size_t size,
			  LmError *error)
{
	LmPieces *pieces = &tokenizer->pieces;

	lm_split_start(&tokenizer->split, text, size);
	do
	{
		if (!lm_split_next(&tokenizer->split, pieces, error))
			return false;
		for (int i = 0; i < pieces->count; i++)
			if (!lm_bpe_encode(&tokenizer->bpe, tokens, pieces->pieces[i], error))
				return false;
	} while (pieces->count > 0);
	return true;
}

static void
free_normalized(LmTokenizer *tokenizer)
{
	lm_array_free(&tokenizer->host, tokenizer->normalized.data);
	memset(&tokenizer->normalized, 0, sizeof tokenizer->normalized);
}

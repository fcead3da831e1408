/*
 * src/engine/text/cuts.c
 *
 * The description of a byte-level BPE in, the neighbours of its tokens out (text/cuts.h), by which
 * pieces are cut.
 */
#include "text/cuts.h"
#include "text/letters.h"
#include "text/split.h"
#include "text/utf8.h"

#define POLL_TOKENS 4096

static void add_token(LmCuts *cuts, LmBytes token);
static void add_boundary(LmCuts *cuts, LmBytes token, size_t start, size_t boundary);
static size_t pair_bit(const LmCuts *cuts, int32_t left, int32_t right);
static bool is_first(char byte);

bool
lm_cuts_create(LmCuts *cuts, const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	uint64_t *words = lm_array_allocate(host, LM_CUTS_WORDS, sizeof *words, error);

	if (!words)
		return false;
	lm_cuts_open(cuts, words, host->hash_key);
	for (int32_t id = 0; id < spec->n_tokens; id++)
	{
		if (id % POLL_TOKENS == 0 && !lm_text_go_on(host, error))
			return false;
		if (lm_spec_makes(spec, id))
			add_token(cuts, spec->tokens[id]);
	}
	return true;
}

void
lm_cuts_open(LmCuts *cuts, uint64_t *words, LmHashKey key)
{
	*cuts = (LmCuts){words, words + LM_MIXED_WORDS, key};
}

void
lm_cuts_free(LmCuts *cuts, const LmHost *host)
{
	lm_free(host, cuts->mixed);
	*cuts = (LmCuts){NULL};
}

/* Enters the boundaries of characters within a token. */
static void
add_token(LmCuts *cuts, LmBytes token)
{
	size_t start = 0;

	for (size_t i = 1; i < token.size; i++)
	{
		if (!is_first(token.data[i]))
			continue;
		add_boundary(cuts, token, start, i);
		start = i;
	}
}

/* The left neighbour starts at start, at the token's or at its first byte. */
static void
add_boundary(LmCuts *cuts, LmBytes token, size_t start, size_t boundary)
{
	int left = lm_utf8_length(token.data + start, boundary - start);
	int right = lm_utf8_length(token.data + boundary, token.size - boundary);
	size_t bit;

	if (left > 0 && start + (size_t) left == boundary && right > 0)
	{
		bit = pair_bit(cuts, lm_utf8_decode(token.data + start, &left),
					   lm_utf8_decode(token.data + boundary, &right));
		cuts->pairs[bit / 64] |= UINT64_C(1) << bit % 64;
		return;
	}
	bit = (size_t) (unsigned char) token.data[boundary - 1] << 8 |
		  (unsigned char) token.data[boundary];
	cuts->mixed[bit / 64] |= UINT64_C(1) << bit % 64;
}

static size_t
pair_bit(const LmCuts *cuts, int32_t left, int32_t right)
{
	return lm_hash_pair(cuts->key, (uint64_t) left << 32 | (uint32_t) right) & (LM_CUT_BITS - 1);
}

/* Whether a byte begins a character. */
static bool
is_first(char byte)
{
	return ((unsigned char) byte & 0xC0) != 0x80;
}

size_t
lm_cuts_end(const LmCuts *cuts, LmBytes piece, size_t position)
{
	size_t most = position + LM_MAX_PIECE_SIZE;
	int length;
	int32_t left = lm_utf8_decode(piece.data + position, &length);

	position += (size_t) length;
	while (position < piece.size && position <= most)
	{
		int32_t right = lm_utf8_decode(piece.data + position, &length);
		size_t mixed = (size_t) (unsigned char) piece.data[position - 1] << 8 |
					   (unsigned char) piece.data[position];

		if (!(cuts->mixed[mixed / 64] >> mixed % 64 & 1))
		{
			size_t bit = pair_bit(cuts, left, right);

			if (!(cuts->pairs[bit / 64] >> bit % 64 & 1))
				break;
		}
		left = right;
		position += (size_t) length;
	}
	return position;
}

/*
 * src/engine/text/bpe_encode.c
 *
 * Pieces of text in, their ids out: start from the bytes, merge the neighbours of lowest rank, the
 * leftmost first, until no merge applies (Sennrich et al. 2016, algorithm 1; Radford et al. 2019
 * for bytes).
 *
 * Text repeats its words, so most pieces come from a cache that a hash indexes directly. Pieces
 * that are not there are cut where no token crosses (text/cuts.h), and their parts looked up too.
 * Short parts are merged in arrays on the stack, long ones in bpe_long.c.
 */
#include "text/split.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

#define SHORT_SIZE 64 /* bytes up to which looking at every pair beats the heap */
#define CACHE_SLOTS 32768 /* of 64 bytes each */
#define CACHE_AFTER 16384 /* bytes of text before the cache is made */
/* keys that are made, and their slots fetched, before the first of them is looked up */
#define KEYS_AHEAD 16
#define CACHED_PARTS 3 /* a piece of more parts is not cached as a whole */
#define NO_RANK INT32_MAX

static bool has_cache(LmBpe *bpe, size_t size, LmError *error);
static bool encode_keyed(LmBpe *bpe, LmTokens *tokens, LmBytes piece, const LmPieceKey *key,
						 LmError *error);
static bool encode_whole(LmBpe *bpe, LmTokens *tokens, LmBytes piece, int *n_parts, LmError *error);
static bool encode_parts(LmBpe *bpe, LmTokens *tokens, LmBytes piece, int *n_parts, LmError *error);
static bool encode_part(LmBpe *bpe, LmTokens *tokens, LmBytes part, LmError *error);
static bool merge_keyed(LmBpe *bpe, LmTokens *tokens, LmBytes part, const LmPieceKey *key,
						LmError *error);
static bool merge_part(LmBpe *bpe, LmTokens *tokens, LmBytes part, LmError *error);
static LmPieceKey make_key(LmBytes piece, unsigned flag);
static uint64_t short_word(const char *data, size_t size);
static LmCacheSlot *slot_of(const LmBpe *bpe, const LmPieceKey *key);
static bool is_in(const LmCacheSlot *slot, const LmPieceKey *key);
static void keep(LmCacheSlot *slot, const LmPieceKey *key, const int32_t *ids, size_t n_ids);
static int encode_short(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error);
static int32_t pair_rank(const LmBpe *bpe, int32_t left, int32_t right);
static int begin_characters(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error);
static int begin_unknown(const LmBpe *bpe, int32_t *ids, LmBytes character);

bool
lm_bpe_encode(LmBpe *bpe, LmTokens *tokens, const LmBytes *pieces, int n, LmError *error)
{
	LmPieceKey keys[KEYS_AHEAD];
	int n_parts;

	for (int first = 0, last; first < n; first = last)
	{
		size_t size = 0;
		bool cached;

		last = n - first < KEYS_AHEAD ? n : first + KEYS_AHEAD;
		for (int i = first; i < last; i++)
			size += pieces[i].size;
		if (!has_cache(bpe, size, error))
			return false;
		cached = bpe->cache != NULL;
		for (int i = first; cached && i < last; i++)
			if (pieces[i].size <= LM_CACHED_BYTES)
			{
				keys[i - first] = make_key(pieces[i], 0);
				__builtin_prefetch(slot_of(bpe, &keys[i - first]));
			}
		for (int i = first; i < last; i++)
			if (cached && pieces[i].size <= LM_CACHED_BYTES
					? !encode_keyed(bpe, tokens, pieces[i], &keys[i - first], error)
					: !encode_whole(bpe, tokens, pieces[i], &n_parts, error))
				return false;
	}
	return true;
}

/* Makes the cache when enough text came for it to pay. */
static bool
has_cache(LmBpe *bpe, size_t size, LmError *error)
{
	bpe->text_size += size;
	if (!bpe->cache && bpe->text_size >= CACHE_AFTER)
		bpe->cache = lm_array_allocate(&bpe->host, CACHE_SLOTS, sizeof *bpe->cache, error);
	return bpe->cache || bpe->text_size < CACHE_AFTER;
}

/* Encodes a short piece; the direct-mapped cache keeps the ids of recent ones. */
static bool
encode_keyed(LmBpe *bpe, LmTokens *tokens, LmBytes piece, const LmPieceKey *key, LmError *error)
{
	LmCacheSlot *slot = slot_of(bpe, key);
	size_t count = tokens->count;
	int n_parts;

	if (is_in(slot, key))
		return lm_bpe_append(bpe, tokens, slot->ids, slot->n_ids, error);
	/* The ids that are appended may lack an `unknown` that joined the one in front of it. */
	if (bpe->letters)
		return merge_keyed(bpe, tokens, piece, key, error);
	if (!encode_whole(bpe, tokens, piece, &n_parts, error))
		return false;
	if (n_parts <= CACHED_PARTS)
		keep(slot, key, tokens->ids + count, tokens->count - count);
	return true;
}

/* A piece that is a token, or else its parts. */
static bool
encode_whole(LmBpe *bpe, LmTokens *tokens, LmBytes piece, int *n_parts, LmError *error)
{
	*n_parts = 1;
	if (bpe->whole && piece.size <= LM_MAX_TOKEN_SIZE)
	{
		int32_t id = lm_token_index_find(bpe->whole, piece);

		if (id >= 0)
			return lm_tokens_append(&bpe->host, tokens, id, error);
	}
	return bpe->cuts.mixed ? encode_parts(bpe, tokens, piece, n_parts, error)
						   : merge_part(bpe, tokens, piece, error);
}

/* Cuts a piece where no token crosses. */
static bool
encode_parts(LmBpe *bpe, LmTokens *tokens, LmBytes piece, int *n_parts, LmError *error)
{
	size_t poll = LM_POLL_SIZE;

	*n_parts = 0;
	for (size_t start = 0, end; start < piece.size; start = end)
	{
		LmBytes part;

		if (start >= poll)
		{
			if (!lm_text_go_on(&bpe->host, error))
				return false;
			poll = start + LM_POLL_SIZE;
		}
		end = lm_cuts_end(&bpe->cuts, piece, start);
		part = (LmBytes){piece.data + start, end - start};
		++*n_parts;
		if (part.size == piece.size ? !merge_part(bpe, tokens, part, error)
									: !encode_part(bpe, tokens, part, error))
			return false;
	}
	return true;
}

/* A part of a piece, by the cache or by merges. */
static bool
encode_part(LmBpe *bpe, LmTokens *tokens, LmBytes part, LmError *error)
{
	const LmCacheSlot *slot;
	LmPieceKey key;

	if (!bpe->cache || part.size > LM_CACHED_BYTES)
		return merge_part(bpe, tokens, part, error);
	key = make_key(part, bpe->whole ? LM_PART : 0);
	slot = slot_of(bpe, &key);
	if (is_in(slot, &key))
		return lm_bpe_append(bpe, tokens, slot->ids, slot->n_ids, error);
	return merge_keyed(bpe, tokens, part, &key, error);
}

/* Appends and keeps what the merges make of a part with a key. */
static bool
merge_keyed(LmBpe *bpe, LmTokens *tokens, LmBytes part, const LmPieceKey *key, LmError *error)
{
	int32_t ids[LM_CACHED_BYTES];
	int n_ids = encode_short(bpe, ids, part, error);

	if (n_ids < 0)
		return false;
	keep(slot_of(bpe, key), key, ids, (size_t) n_ids);
	return lm_bpe_append(bpe, tokens, ids, (size_t) n_ids, error);
}

/* Appends what the merges make of a part. */
static bool
merge_part(LmBpe *bpe, LmTokens *tokens, LmBytes part, LmError *error)
{
	int32_t ids[SHORT_SIZE];
	int n_ids;

	if (part.size > SHORT_SIZE)
		return lm_bpe_encode_long(bpe, tokens, part, error);
	n_ids = encode_short(bpe, ids, part, error);
	return n_ids >= 0 && lm_bpe_append(bpe, tokens, ids, (size_t) n_ids, error);
}

/* ------------------------------------------------------------ cache */

/*
 * Of pieces that collide the newest stays, which costs no more than merging one piece again. So the
 * hash may be a fast one without a secret.
 */
static inline LmPieceKey
make_key(LmBytes piece, unsigned flag)
{
	LmPieceKey key = {.size = (uint8_t) (piece.size | flag)};
	uint64_t hash = key.size * UINT64_C(0x9E3779B97F4A7C15);

	if (piece.size <= 8)
		key.words[0] = short_word(piece.data, piece.size);
	else
	{
		memcpy(&key.words[0], piece.data, 8);
		memcpy(&key.words[1], piece.data + (piece.size <= 16 ? piece.size - 8 : 8), 8);
		if (piece.size > 16)
			memcpy(&key.words[2], piece.data + piece.size - 8, 8);
	}
	hash = (hash ^ key.words[0]) * UINT64_C(0xD6E8FEB86659FD93);
	if (piece.size > 8)
	{
		hash = (hash ^ hash >> 32 ^ key.words[1]) * UINT64_C(0xD6E8FEB86659FD93);
		hash = (hash ^ hash >> 32 ^ key.words[2]) * UINT64_C(0xD6E8FEB86659FD93);
	}
	key.hash = (uint32_t) (hash >> 32 ^ hash >> 47);
	return key;
}

/* 1 to 8 bytes in one word, which has them all. */
static inline uint64_t
short_word(const char *data, size_t size)
{
	const unsigned char *bytes = (const unsigned char *) data;
	uint32_t low, high;

	if (size < 4)
		return bytes[0] | bytes[size / 2] << 8 | bytes[size - 1] << 16;
	memcpy(&low, data, 4);
	memcpy(&high, data + size - 4, 4);
	return (uint64_t) high << 32 | low;
}

static inline LmCacheSlot *
slot_of(const LmBpe *bpe, const LmPieceKey *key)
{
	return &bpe->cache[key->hash & (CACHE_SLOTS - 1)];
}

static inline bool
is_in(const LmCacheSlot *slot, const LmPieceKey *key)
{
	uint64_t difference = slot->size ^ key->size;

	for (int i = 0; i < LM_CACHED_WORDS; i++)
		difference |= slot->words[i] ^ key->words[i];
	return difference == 0;
}

static void
keep(LmCacheSlot *slot, const LmPieceKey *key, const int32_t *ids, size_t n_ids)
{
	if (n_ids > LM_CACHED_IDS)
		return;
	memcpy(slot->words, key->words, sizeof slot->words);
	slot->size = key->size;
	slot->n_ids = (uint8_t) n_ids;
	memcpy(slot->ids, ids, n_ids * sizeof *ids);
}

/* ------------------------------------------------------------ merges */

/* Room for piece.size ids; returns how many there are, or -1. */
static int
encode_short(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error)
{
	int32_t ranks[SHORT_SIZE]; /* of the pair that starts there */
	int n = lm_bpe_begin(bpe, ids, piece, error);

	for (int i = 0; i + 1 < n; i++)
		ranks[i] = pair_rank(bpe, ids[i], ids[i + 1]);
	while (n > 1)
	{
		int best = 0;

		for (int i = 1; i + 1 < n; i++)
			if (ranks[i] < ranks[best])
				best = i;
		if (ranks[best] == NO_RANK)
			break;
		ids[best] = lm_bpe_merge(bpe, ids[best], ids[best + 1])->result;
		n--;
		memmove(ids + best + 1, ids + best + 2, (size_t) (n - best - 1) * sizeof *ids);
		memmove(ranks + best, ranks + best + 1, (size_t) (n - best - 1) * sizeof *ranks);
		if (best > 0)
			ranks[best - 1] = pair_rank(bpe, ids[best - 1], ids[best]);
		if (best + 1 < n)
			ranks[best] = pair_rank(bpe, ids[best], ids[best + 1]);
	}
	return n;
}

static int32_t
pair_rank(const LmBpe *bpe, int32_t left, int32_t right)
{
	const LmMergeSlot *merge = lm_bpe_merge(bpe, left, right);

	return merge ? merge->rank : NO_RANK;
}

int32_t
lm_bpe_begin(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error)
{
	if (bpe->letters)
		return begin_characters(bpe, ids, piece, error);
	for (size_t i = 0; i < piece.size; i++)
		ids[i] = bpe->byte_ids[(unsigned char) piece.data[i]];
	return (int32_t) piece.size;
}

/* The characters of a piece; one without a token is its bytes, or `unknown`. */
static int
begin_characters(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error)
{
	bool after_unknown = false;
	int length, n = 0;

	for (size_t i = 0; i < piece.size; i += (size_t) length)
	{
		int32_t code = lm_utf8_decode(piece.data + i, &length);
		int32_t id = lm_letter_id(bpe->letters, code);
		int n_bytes;

		if (id >= 0)
		{
			ids[n++] = id;
			after_unknown = false;
			continue;
		}
		n_bytes = begin_unknown(bpe, ids + n, (LmBytes){piece.data + i, (size_t) length});
		n += n_bytes;
		if (n_bytes > 0)
			after_unknown = false;
		else if (bpe->unknown < 0)
		{
			lm_fail(error, LM_ERR_ENCODING, -1, "tokenizer has no token for the character U+%04X",
					(unsigned) code);
			return -1;
		}
		else if (!bpe->fuse_unknown || !after_unknown)
		{
			ids[n++] = bpe->unknown;
			after_unknown = true;
		}
	}
	return n;
}

/* The bytes of a character, where all of them have a token, else 0. */
static int
begin_unknown(const LmBpe *bpe, int32_t *ids, LmBytes character)
{
	for (size_t i = 0; i < character.size; i++)
	{
		ids[i] = bpe->byte_ids[(unsigned char) character.data[i]];
		if (ids[i] < 0)
			return 0;
	}
	return (int) character.size;
}

bool
lm_bpe_append(LmBpe *bpe, LmTokens *tokens, const int32_t *ids, size_t n, LmError *error)
{
	if (!lm_tokens_reserve(&bpe->host, tokens, n, error))
		return false;
	if (n > 0 && bpe->fuse_unknown)
	{
		bool joins = bpe->after_unknown && ids[0] == bpe->unknown;

		bpe->after_unknown = ids[n - 1] == bpe->unknown;
		ids += joins;
		n -= joins;
	}
	for (size_t i = 0; i < n; i++)
		tokens->ids[tokens->count++] = ids[i];
	return true;
}

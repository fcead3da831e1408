/*
 * src/engine/text/bpe_encode.c
 *
 * One piece of text in, its ids out: start from the bytes, merge the neighbours of lowest rank, the
 * leftmost first, until no merge applies (Sennrich et al. 2016, algorithm 1; Radford et al. 2019
 * for bytes).
 *
 * Text repeats its words, so most pieces come from a cache that the hash indexes directly. Short
 * pieces are merged in arrays on the stack, long ones in bpe_long.c.
 */
#include "text/bpe.h"
#include "text/split.h"
#include "text/utf8.h"

#define SHORT_SIZE 64 /* bytes up to which looking at every pair beats the heap */
#define CACHE_SLOTS 32768 /* of 64 bytes each */
#define CACHE_AFTER 16384 /* bytes of text before the cache is made */
#define NO_RANK INT32_MAX
#define POLL_MERGES 4096

static bool add_merges(LmBpe *bpe, const LmTokenizerSpec *spec, LmError *error);
static bool encode_cached(LmBpe *bpe, LmTokens *tokens, LmBytes piece, LmError *error);
static uint32_t cache_hash(const char *data, size_t size);
static int encode_short(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error);
static int32_t pair_rank(const LmBpe *bpe, int32_t left, int32_t right);
static int begin_characters(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error);
static int begin_unknown(const LmBpe *bpe, int32_t *ids, LmBytes character);

bool
lm_bpe_create(LmBpe *bpe, const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	size_t n_slots = lm_table_size((size_t) spec->n_merges);

	memset(bpe, 0, sizeof *bpe);
	bpe->host = *host;
	bpe->merge_mask = (uint32_t) (n_slots - 1);
	bpe->key = host->hash_key;
	bpe->merges = lm_array_allocate(host, n_slots, sizeof *bpe->merges, error);
	if (!bpe->merges)
		return false;
	bpe->unknown = spec->unknown;
	bpe->fuse_unknown = spec->fuse_unknown;
	lm_bpe_find_bytes(bpe->byte_ids, spec);
	if (add_merges(bpe, spec, error))
		return true;
	lm_bpe_free(bpe);
	return false;
}

void
lm_bpe_fork(LmBpe *fork, const LmBpe *bpe, const LmHost *host)
{
	*fork = *bpe;
	fork->host = *host;
	fork->after_unknown = false;
	fork->cache = NULL;
	fork->text_size = 0;
}

void
lm_bpe_free(LmBpe *bpe)
{
	lm_free(&bpe->host, bpe->merges);
	lm_free(&bpe->host, bpe->cache);
	memset(bpe, 0, sizeof *bpe);
}

void
lm_bpe_find_bytes(int32_t *byte_ids, const LmTokenizerSpec *spec)
{
	bool flagged = spec->kind != LM_TOKENIZER_BPE;

	for (int byte = 0; byte < 256; byte++)
		byte_ids[byte] = -1;
	for (int id = 0; id < spec->n_tokens; id++)
		if (!spec->special[id] && spec->tokens[id].size == 1 &&
			(flagged ? spec->flags && spec->flags[id] & LM_TOKEN_BYTE : lm_spec_makes(spec, id)))
			byte_ids[(unsigned char) spec->tokens[id].data[0]] = id;
}

/* Enters the merges in the hash table; two merges of the same pair are an error. */
static bool
add_merges(LmBpe *bpe, const LmTokenizerSpec *spec, LmError *error)
{
	for (int rank = 0; rank < spec->n_merges; rank++)
	{
		const LmMerge *merge = &spec->merges[rank];
		uint64_t key = lm_merge_key(merge->left, merge->right);
		uint32_t slot = lm_hash_pair(bpe->key, key) & bpe->merge_mask;

		if (rank % POLL_MERGES == 0 && !lm_text_go_on(&bpe->host, error))
			return false;

		for (; bpe->merges[slot].key != 0; slot = (slot + 1) & bpe->merge_mask)
			if (bpe->merges[slot].key == key)
				return lm_fail(error, LM_ERR_FORMAT, rank,
							   "merges %d and %d are both of tokens %d and %d",
							   bpe->merges[slot].rank, rank, merge->left, merge->right);
		bpe->merges[slot] = (LmMergeSlot){key, rank, merge->result};
	}
	return true;
}

bool
lm_bpe_encode(LmBpe *bpe, LmTokens *tokens, LmBytes piece, LmError *error)
{
	int32_t ids[SHORT_SIZE];

	int n_ids;

	if (piece.size == 1 && !bpe->letters)
		return lm_tokens_append(&bpe->host, tokens, bpe->byte_ids[(unsigned char) piece.data[0]],
								error);
	bpe->text_size += piece.size;
	if (piece.size <= LM_CACHED_BYTES && bpe->text_size >= CACHE_AFTER)
		return encode_cached(bpe, tokens, piece, error);
	if (piece.size > SHORT_SIZE)
		return lm_bpe_encode_long(bpe, tokens, piece, error);
	n_ids = encode_short(bpe, ids, piece, error);
	return n_ids >= 0 && lm_bpe_append(bpe, tokens, ids, (size_t) n_ids, error);
}

/* Encodes a short piece; a direct-mapped cache keeps the ids of recent pieces. */
static bool
encode_cached(LmBpe *bpe, LmTokens *tokens, LmBytes piece, LmError *error)
{
	uint32_t hash = cache_hash(piece.data, piece.size);
	int32_t ids[SHORT_SIZE];
	LmCacheSlot *slot;
	int n_ids;

	if (!bpe->cache)
	{
		bpe->cache = lm_array_allocate(&bpe->host, CACHE_SLOTS, sizeof *bpe->cache, error);
		if (!bpe->cache)
			return false;
	}
	slot = &bpe->cache[hash & (CACHE_SLOTS - 1)];
	if (slot->hash == hash && slot->size == piece.size &&
		memcmp(slot->piece, piece.data, piece.size) == 0)
		return lm_bpe_append(bpe, tokens, slot->ids, slot->n_ids, error);

	n_ids = encode_short(bpe, ids, piece, error);
	if (n_ids < 0)
		return false;
	if (n_ids <= LM_CACHED_IDS)
	{
		slot->hash = hash;
		slot->size = (uint8_t) piece.size;
		slot->n_ids = (uint8_t) n_ids;
		memcpy(slot->piece, piece.data, piece.size);
		memcpy(slot->ids, ids, (size_t) n_ids * sizeof *ids);
	}
	return lm_bpe_append(bpe, tokens, ids, (size_t) n_ids, error);
}

/*
 * Of pieces that collide the newest stays, which costs no more than merging one piece again. So the
 * hash may be a fast one without a key.
 */
static uint32_t
cache_hash(const char *data, size_t size)
{
	uint64_t hash = size * UINT64_C(0x9E3779B97F4A7C15), word;

	for (; size >= 8; size -= 8, data += 8)
	{
		memcpy(&word, data, 8);
		hash = (hash ^ word) * UINT64_C(0xD6E8FEB86659FD93);
		hash ^= hash >> 32;
	}
	for (word = 0; size > 0; size--)
		word = word << 8 | (unsigned char) data[size - 1];
	hash = (hash ^ word) * UINT64_C(0xD6E8FEB86659FD93);
	return (uint32_t) (hash >> 32 ^ hash >> 15);
}

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

/*
 * src/engine/text/bpe.h
 *
 * The merging half of BPE: the ids of one piece, from a table of merges. The merges of byte-level
 * BPE begin with the bytes of the piece, those of SentencePiece with its characters.
 */
#ifndef LM_TEXT_BPE_H
#define LM_TEXT_BPE_H

#include "text/cuts.h"
#include "text/letters.h"

/*
 * One merge: 16 bytes, four to a cache line. key = (left + 1) << 32 | right, 0 where the slot is
 * empty.
 */
typedef struct LmMergeSlot
{
	uint64_t key;
	int32_t rank;
	int32_t result;
} LmMergeSlot;

/*
 * The cache keeps short pieces with few ids. A hash gives a piece its one slot, which the newest
 * piece takes over.
 */
#define LM_CACHED_BYTES 24
#define LM_CACHED_WORDS (LM_CACHED_BYTES / 8)
#define LM_CACHED_IDS 8

/*
 * The bytes of a piece of 1 to LM_CACHED_BYTES bytes as words, which overlap, and 0 where it has
 * none: with the size they are the piece.
 */
typedef struct LmPieceKey
{
	uint64_t words[LM_CACHED_WORDS];
	uint32_t hash;
	uint8_t size; /* with LM_PART for a part of a piece, whose tokens may be others */
} LmPieceKey;

#define LM_PART 0x80

/* A slot of the cache: one cache line. */
typedef struct LmCacheSlot
{
	uint64_t words[LM_CACHED_WORDS];
	int32_t ids[LM_CACHED_IDS];
	uint8_t size; /* as in the key; 0: empty */
	uint8_t n_ids;
} LmCacheSlot;

/* Whether each merge comes after those that make its parts. */
typedef enum LmBpeOrder
{
	LM_BPE_UNKNOWN_ORDER,
	LM_BPE_ORDERED,
	LM_BPE_UNORDERED,
} LmBpeOrder;

/* The byte tokens and merges of a tokenizer, with a cache of pieces. */
typedef struct LmBpe
{
	LmHost host;
	int32_t byte_ids[256]; /* -1: there is none */
	const LmLetters *letters; /* SENTENCEPIECE: the characters' ids; NULL: pieces are bytes */
	int32_t unknown; /* of a character with neither a token nor bytes; -1: an error */
	bool fuse_unknown;
	bool after_unknown; /* the last id was `unknown`, which the next one may join */
	LmMergeSlot *merges;
	uint32_t merge_mask;
	LmHashKey key; /* of the merges: an image brings its own */
	LmBpeOrder order; /* of the merges; found when the first very long piece comes */
	int32_t n_ranks; /* known with it */
	LmCuts cuts; /* BPE: where pieces are cut */
	const LmTokenizer *whole; /* has the index of pieces that are not merged; NULL: there is none */
	LmCacheSlot *cache; /* NULL until enough text came for it to pay */
	size_t text_size; /* bytes of pieces encoded so far */
} LmBpe;

/*
 * Fills bpe with the byte tokens and the merges of a checked spec. False with LM_ERR_FORMAT (two
 * merges of a pair), _MEMORY, _STOPPED.
 */
bool lm_bpe_create(LmBpe *bpe, const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
void lm_bpe_free(LmBpe *bpe);
/* The tokens of the 256 bytes; of SENTENCEPIECE and UNIGRAM those that stand in for characters. */
void lm_bpe_find_bytes(int32_t *byte_ids, const LmTokenizerSpec *spec);
/* Shares the merges, which lm_bpe_free must then not see; a cache of its own. */
void lm_bpe_fork(LmBpe *fork, const LmBpe *bpe, const LmHost *host);

/*
 * Appends the ids of n pieces, one after the other. False with LM_ERR_MEMORY, _LIMIT (piece too
 * long) or _STOPPED, and _ENCODING for a character without tokens.
 */
bool lm_bpe_encode(LmBpe *bpe, LmTokens *tokens, const LmBytes *pieces, int n, LmError *error);

/*
 * The same for a long piece, with a heap, n log n, or by ranks, n. Appends; used by lm_bpe_encode.
 */
bool lm_bpe_encode_long(LmBpe *bpe, LmTokens *tokens, LmBytes piece, LmError *error);

/* src/engine/text/bpe_ranked.c: sets order and n_ranks. LM_ERR_MEMORY. */
bool lm_bpe_find_order(LmBpe *bpe, LmError *error);
/*
 * Merges n ids in place, of which *n_left are left; only where the merges are ordered.
 * LM_ERR_MEMORY, _STOPPED.
 */
bool lm_bpe_merge_ranked(LmBpe *bpe, int32_t *ids, int32_t n, size_t *n_left, LmError *error);

/*
 * The ids that a piece begins with, before any merge: at most one a byte. Returns how many, or -1
 * with LM_ERR_ENCODING.
 */
int32_t lm_bpe_begin(const LmBpe *bpe, int32_t *ids, LmBytes piece, LmError *error);

/* Appends n ids of a piece, of which the first may join an `unknown` in front of it. */
bool lm_bpe_append(LmBpe *bpe, LmTokens *tokens, const int32_t *ids, size_t n, LmError *error);

/* The key of a pair in the table of merges; never 0. */
static inline uint64_t
lm_merge_key(int32_t left, int32_t right)
{
	return (uint64_t) (left + 1) << 32 | (uint32_t) right;
}

/* The merge of two neighbours; NULL when there is none. */
static inline const LmMergeSlot *
lm_bpe_merge(const LmBpe *bpe, int32_t left, int32_t right)
{
	uint64_t key = lm_merge_key(left, right);
	uint32_t slot = lm_hash_pair(bpe->key, key) & bpe->merge_mask;

	while (bpe->merges[slot].key != key)
	{
		if (bpe->merges[slot].key == 0)
			return NULL;
		slot = (slot + 1) & bpe->merge_mask;
	}
	return &bpe->merges[slot];
}

#endif /* LM_TEXT_BPE_H */

/*
 * include/engine/hash.h
 *
 * Hashes for tables whose entries users choose. They are keyed: two different entries have the same
 * hash for only about one key in 2^32, so that nobody who does not know the key can prepare entries
 * that collide. Only the speed of a table may depend on its hashes, never a result.
 */
#ifndef LM_HASH_H
#define LM_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Random numbers of a process. All zeros is a key as well, one that everybody knows. */
typedef struct LmHashKey
{
	uint64_t left;
	uint64_t right;
} LmHashKey;

#define LM_HASH_PRIME ((UINT64_C(1) << 61) - 1)

/*
 * Returns a number congruent to left times right modulo the prime, which may lie a little above the
 * prime; left is below 2^62, right below 2^61.
 */
static inline uint64_t
lm_hash_multiply(uint64_t left, uint64_t right)
{
	unsigned __int128 product = (unsigned __int128) left * right;
	uint64_t sum = ((uint64_t) product & LM_HASH_PRIME) + (uint64_t) (product >> 61);

	return (sum & LM_HASH_PRIME) + (sum >> 61);
}

/*
 * Goes on with a hash, below 2^62, by the words of seven bytes of a text, the last one shorter. The
 * result is below 2^62 as well.
 */
static inline uint64_t
lm_hash_words(uint64_t point, uint64_t hash, const char *data, size_t size)
{
	uint64_t word;

	for (; size >= 8; size -= 7, data += 7)
	{
		memcpy(&word, data, 8);
		hash = lm_hash_multiply(hash, point) + (word & ((UINT64_C(1) << 56) - 1));
	}
	for (word = 0; size > 0; size--)
		word = word << 8 | (unsigned char) data[size - 1];
	return lm_hash_multiply(hash, point) + word;
}

/*
 * The hash of size bytes: the polynomial whose coefficients are the size and the text's words of
 * seven bytes, modulo 2^61 - 1, at the point that the key gives (Carter and Wegman 1979). Two texts
 * of n words collide for at most n + 1 keys of 2^61, times the 2^29 values that have the same 32
 * bits.
 */
static inline uint32_t
lm_hash_bytes(LmHashKey key, const char *data, size_t size)
{
	const uint64_t point = (key.left ^ UINT64_C(0x0D6E8FEB86659FD9)) & LM_HASH_PRIME;
	uint64_t hash = lm_hash_multiply(lm_hash_words(point, size, data, size), point);

	return (uint32_t) (hash >= LM_HASH_PRIME ? hash - LM_HASH_PRIME : hash);
}

/*
 * The hash of two numbers of 32 bits, the halves of pair, by one multiplication (Thorup 2015, "High
 * speed hashing for integers and strings", 3.5).
 */
static inline uint32_t
lm_hash_pair(LmHashKey key, uint64_t pair)
{
	uint64_t high = (key.left ^ UINT64_C(0x9E3779B97F4A7C15)) + (pair >> 32);
	uint64_t low = (key.right ^ UINT64_C(0xC2B2AE3D27D4EB4F)) + (uint32_t) pair;

	return (uint32_t) (high * low >> 32);
}

#endif /* LM_HASH_H */

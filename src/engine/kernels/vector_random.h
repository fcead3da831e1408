/*
 * src/engine/kernels/vector_random.h
 *
 * Philox4x32-10 (see base/random.c) on a vector of counters, and the dropout mask of a row.
 *
 * A group of 64 channels takes eight counters, 8 group + i, of 128 bits each. A 64-bit lane holds
 * one counter's word; channel 64 group + 16 q + 2 i + b takes 16 bits of counter i: the low (q
 * even) or high (q odd) half of word b (q < 2) or 2 + b. So two words put side by side are 16 bits
 * for twice as many neighbouring channels, whatever the width of a vector.
 */
#ifndef LM_VECTOR_RANDOM_H
#define LM_VECTOR_RANDOM_H

#include "base/philox.h"
#include "kernels/simd.h"
#include "kernels/vector_types.h"

#define LONGS (LANES / 2)
#define LOW_HALF 0xffffffffu

/* The keys of all rounds, which depend on the key alone. */
typedef struct RoundKeys
{
	uint32_t word[PHILOX_ROUNDS][2];
} RoundKeys;

/* Each round adds the Weyl constants to the key. */
static RoundKeys
round_keys(LmKey key)
{
	RoundKeys keys;

	for (int round = 0; round < PHILOX_ROUNDS; round++)
	{
		keys.word[round][0] = key.word[0] + (uint32_t) round * PHILOX_WEYL_0;
		keys.word[round][1] = key.word[1] + (uint32_t) round * PHILOX_WEYL_1;
	}
	return keys;
}

/*
 * words[i]: word i of each counter in the low half of a lane; only the low halves of lanes are
 * meant.
 */
INLINE void
philox(Longs words[4], const RoundKeys *keys)
{
	Longs multiplier0 = (Longs){0} + PHILOX_MULTIPLIER_0,
		  multiplier1 = (Longs){0} + PHILOX_MULTIPLIER_1;

	for (int round = 0; round < PHILOX_ROUNDS; round++)
	{
		Longs product0 = multiply_halves(words[0], multiplier0);
		Longs product1 = multiply_halves(words[2], multiplier1);

		words[0] = (product1 >> 32) ^ words[1] ^ (uint64_t) keys->word[round][0];
		words[1] = product1;
		words[2] = (product0 >> 32) ^ words[3] ^ (uint64_t) keys->word[round][1];
		words[3] = product0;
	}
}

/* 0 where the bits are below the threshold, else scale. */
INLINE void
store_mask(float *to, Words bits, uint32_t threshold, float scale)
{
	store(to, choose(is_below(bits, (Words){0} + threshold), splat(0), splat(scale)));
}

/* The mask of channels first .. first + n - 1 of a row, by whole groups in the layout above. */
static void
vector_dropout_mask(float *mask, const LmMaskRow *row, int first, int n)
{
	RoundKeys keys = round_keys(row->key);
	Longs lane;

	for (int i = 0; i < LONGS; i++)
		lane[i] = (uint64_t) i;
	for (int channel = 0; channel < n; channel += LM_MASK_GROUP)
		for (int i = 0; i < 8; i += LONGS)
		{
			float *to = mask + channel + 2 * i;
			Longs words[4];
			Words pair[2];

			words[0] = lane + (uint64_t) ((first + channel) / 8 + i);
			words[1] = (Longs){0} + row->position;
			words[2] = (Longs){0} + row->example;
			words[3] = (Longs){0} + row->head;
			philox(words, &keys);
			pair[0] = (Words) ((words[0] & LOW_HALF) | words[1] << 32);
			pair[1] = (Words) ((words[2] & LOW_HALF) | words[3] << 32);
			for (int j = 0; j < 2; j++)
			{
				store_mask(to + 32 * j, pair[j] & 0xffff, row->threshold, row->scale);
				store_mask(to + 32 * j + 16, pair[j] >> 16, row->threshold, row->scale);
			}
		}
}

#endif /* LM_VECTOR_RANDOM_H */

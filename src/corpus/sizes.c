/*
 * src/corpus/sizes.c
 *
 * Sizes go in, percentiles come out.
 */
#include "postgres.h"

#include <math.h>

#include "port/pg_bitutils.h"

#include "corpus/sizes.h"

#define EXACT_BITS 11 /* of GPT_SIZES_EXACT */
#define STEP_BITS 6 /* of GPT_SIZES_STEPS */

StaticAssertDecl(1 << EXACT_BITS == GPT_SIZES_EXACT && 1 << STEP_BITS == GPT_SIZES_STEPS,
				 "sizes are powers of two");

static int
count_of(int64 size)
{
	int shift;
	int number;

	if (size < GPT_SIZES_EXACT)
		return (int) Max(size, 0);
	shift = pg_leftmost_one_pos64((uint64) size) - STEP_BITS;
	number = GPT_SIZES_EXACT + (shift + STEP_BITS - EXACT_BITS) * GPT_SIZES_STEPS +
			 (int) (size >> shift) - GPT_SIZES_STEPS;
	return Min(number, GPT_SIZES_COUNTS - 1);
}

/* The largest size of a count. */
static int64
largest_of(int number)
{
	int steps = number - GPT_SIZES_EXACT;
	int shift = steps / GPT_SIZES_STEPS + EXACT_BITS - STEP_BITS;

	if (number < GPT_SIZES_EXACT)
		return number;
	return (((int64) (steps % GPT_SIZES_STEPS + GPT_SIZES_STEPS) + 1) << shift) - 1;
}

void
gpt_sizes_add(GptSizes *sizes, int64 size)
{
	sizes->n++;
	sizes->sum += size;
	sizes->n_largest = size > sizes->largest ? 1 : sizes->n_largest + (size == sizes->largest);
	sizes->largest = Max(sizes->largest, size);
	sizes->counts[count_of(size)]++;
}

int64
gpt_sizes_percentile(const GptSizes *sizes, double share)
{
	int64 wanted = Max((int64) ceil(share * (double) sizes->n), 1);
	int64 seen = 0;

	for (int i = 0; i < GPT_SIZES_COUNTS; i++)
	{
		seen += sizes->counts[i];
		if (seen >= wanted)
			return Min(largest_of(i), sizes->largest);
	}
	return sizes->largest;
}

double
gpt_sizes_above(const GptSizes *sizes, int size)
{
	int64 n = 0;

	for (int i = size + 1; i < GPT_SIZES_COUNTS; i++)
		n += sizes->counts[i];
	return sizes->n > 0 ? (double) n / (double) sizes->n : 0;
}

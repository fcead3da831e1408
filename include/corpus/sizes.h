/*
 * include/corpus/sizes.h
 *
 * Sizes of texts, counted, so that percentiles need no sort: a size up to 2047 has a count of its
 * own, larger ones share 64 counts between two powers of two. The result does not depend on the
 * order.
 */
#ifndef GPT_SIZES_H
#define GPT_SIZES_H

#define GPT_SIZES_EXACT 2048
#define GPT_SIZES_STEPS 64 /* counts between two powers of two */
#define GPT_SIZES_COUNTS (GPT_SIZES_EXACT + 30 * GPT_SIZES_STEPS)

/* Zero it before use. */
typedef struct GptSizes
{
	int64 n; /* texts */
	int64 sum; /* of their sizes */
	int64 largest;
	int64 n_largest; /* texts of this size */
	int64 counts[GPT_SIZES_COUNTS];
} GptSizes;

extern void gpt_sizes_add(GptSizes *sizes, int64 size);

/*
 * The smallest size that this share of the texts does not exceed: exact up to 2047, above that less
 * than 1.6 % too large. 0 where there are no texts.
 */
extern int64 gpt_sizes_percentile(const GptSizes *sizes, double share);

/* The share of the texts that are larger than a size below GPT_SIZES_EXACT. */
extern double gpt_sizes_above(const GptSizes *sizes, int size);

#endif /* GPT_SIZES_H */

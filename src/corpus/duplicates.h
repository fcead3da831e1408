/*
 * src/corpus/duplicates.h
 *
 * Rows that repeat others: found after the last row, in passes over the file of the spool.
 */
#ifndef GPT_CORPUS_DUPLICATES_H
#define GPT_CORPUS_DUPLICATES_H

#include "corpus/spool.h"

/*
 * Compares rows as spool->comparison says, counts those that repeat others, and drops those of
 * spool->dedup. Which rows stay, by their content, does not depend on the order of the rows. Counts
 * the documents again. Errors: the numbers of the rows do not fit into gpt.max_memory.
 */
extern void gpt_duplicates_find(GptSpool *spool);

/* The records that have been found to repeat others. */
typedef struct GptRepeated
{
	uint8 *equal; /* [n_records] bits */
	uint8 *near; /* the same; NULL: not looked for */
	uint8 *leaked; /* the same, of rows that are held out */
	uint32 *kept; /* [n_records] the record that stays instead, or itself; NULL: not wanted */
	float *similarity; /* [n_records] to it; NULL as well */
} GptRepeated;

/* ---- src/corpus/equal_rows.c ---------------------------------------------------- */

/*
 * Of rows to train on whose learnt columns are equal, marks all but the one with the largest weight
 * (of equal weights, the first). Counts these and leaked rows in spool->duplicates.
 *
 * Rows are equal if their hashes of 122 bits are, under keys that the process has drawn at random.
 * Two rows of at most n bytes that differ have the same hash with a probability of at most
 * (n / 7 + 4)^2 / 2^122, whoever made them: 2^-80 for rows of a megabyte (Carter and Wegman 1979,
 * "Universal classes of hash functions").
 *
 * Memory: 40 bytes a row; where this is more than a quarter of gpt.max_memory, only rows of some
 * hashes at a time, in several passes.
 */
extern void gpt_equal_rows_find(GptRepeated *repeated, GptSpool *spool);

/* ---- src/corpus/near_rows.c ----------------------------------------------------- */

/*
 * Of rows to train on that are left, marks those whose text is near that of one that stays, and
 * that have its label. Prompts and completions are compared each with its own. Counts them, and
 * further leaked rows.
 *
 * Rows are compared in the order of their preference: larger weight, longer, smaller hash. A row is
 * near another one if lm_near_limit allows the edits between their texts, and between their
 * prompts. Candidates are rows of the same class and label that share a band of their sketches
 * (engine/minhash.h). Each band is one pass over all rows that are left. In a bucket, the rows of
 * one hash of the band, each row is compared with those before it that are near none, the leaders;
 * a row that is near a leader leaves. So that no rows can make this slow, a bucket has at most
 * MOST_LEADERS leaders, and a row at most MOST_FAILURES texts that prove not to be near. In the
 * end a row whose leader has left, too, is compared with the leader's leader; if it is not near it,
 * it stays.
 *
 * Memory: 48 bytes a row; for the rows of a class 44 bytes more, and 4 for each band that a pass
 * makes. A pass makes as many bands as a half of gpt.max_memory has room for.
 */
extern void gpt_near_rows_find(GptRepeated *repeated, GptSpool *spool);

/* ---- src/corpus/near_texts.c ---------------------------------------------------- */

/* Compares the texts of records. Memory is that of the context in which it is created. */
typedef struct GptNearTexts GptNearTexts;

extern GptNearTexts *gpt_near_texts_create(GptSpool *spool);

/*
 * Whether the records at two places are near; then *similarity is the share of their characters
 * that needs no edit.
 */
extern bool gpt_near_texts_compare(float *similarity, GptNearTexts *texts, uint64 left,
								   uint64 right);

#define GPT_BIT(bits, number) ((bits)[(number) / 8] >> (number) % 8 & 1)
#define GPT_SET_BIT(bits, number) ((bits)[(number) / 8] |= 1 << (number) % 8)

#endif /* GPT_CORPUS_DUPLICATES_H */

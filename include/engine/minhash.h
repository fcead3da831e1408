/*
 * include/engine/minhash.h
 *
 * Sketches of texts, by which texts that are nearly equal are found without comparing all pairs,
 * and the comparison that decides.
 *
 * The resemblance of two texts is the Jaccard index of their sets of shingles: |A ∩ B| / |A ∪ B|
 * (Broder 1997, "On the resemblance and containment of documents", section 2). A shingle is a run
 * of characters (code points), so that scripts without spaces are as good as those with them. Of a
 * random order of all shingles, the first of A and the first of B are the same one with a
 * probability that is the resemblance. A sketch has the first shingle of each of many parts of all
 * shingles, by one hash for each shingle (Li, Owen and Zhang 2012, "One permutation hashing"); a
 * part in which a text has no shingle takes that of another part (Shrivastava 2017, "Optimal
 * densification for fast and accurate minwise hashing").
 *
 * The shingles of a sketch are cut into bands of several rows. Two texts that agree in all rows of
 * a band are candidates: with r rows and b bands that happens with probability 1 - (1 - s^r)^b at
 * resemblance s (Leskovec, Rajaraman and Ullman, "Mining of massive datasets", 3.4). The length of
 * a text gives its class:
 *
 *   class  characters      shingle  bands x rows   5 % of the characters changed at random
 *   0      10 to 63        3        20 x 4         s about 0.65, found with probability 0.98
 *   1      64 to 32767     5        40 x 5         s about 0.63, 0.98
 *   2      32768 and more  8        50 x 4         s about 0.50, 0.96
 *
 * A long text has most of the short shingles that its language has, so its shingles are longer. A
 * text whose length is near the border of two classes has a sketch in both.
 *
 * The hashes are fixed, because the sketches decide which texts are compared: the same texts give
 * the same result everywhere. So a user can make texts whose sketches agree by design. The caller
 * bounds the number of comparisons, and lm_near_texts looks at every character.
 */
#ifndef LM_MINHASH_H
#define LM_MINHASH_H

#include "engine/error.h"
#include "engine/host.h"

#define LM_SKETCH_CLASSES 3
#define LM_SKETCH_MAX_BANDS 50
#define LM_SKETCH_WORDS 3

/* The code points of a text. The array grows and is the host's; zeros before its first use. */
typedef struct LmCodePoints
{
	uint32_t *codes; /* [capacity] */
	size_t n;
	size_t capacity;
} LmCodePoints;

/* A text's sketch in one class. */
typedef struct LmSketch
{
	uint32_t
		bands[LM_SKETCH_MAX_BANDS]; /* hashes of the rows of each; those of the class are set */
	uint64_t bits[LM_SKETCH_WORDS]; /* one of each of the first rows (b-bit minwise hashing) */
} LmSketch;

/* Decodes valid UTF-8. LM_ERR_STOPPED or LM_ERR_MEMORY. */
bool lm_code_points(LmCodePoints *points, const char *text, size_t size, const LmHost *host,
					LmError *error);
void lm_code_points_free(LmCodePoints *points, const LmHost *host);

/* The number of code points of valid UTF-8. */
size_t lm_code_point_count(const char *text, size_t size);

/* Whether a text of this many code points has a sketch in the class; the shortest have none. */
bool lm_sketch_has_class(size_t n, int class_number);
int lm_sketch_bands(int class_number);

/*
 * The sketch of a text that has the class. Each point of the text is one shingle's beginning.
 * LM_ERR_STOPPED.
 */
bool lm_sketch(LmSketch *sketch, const LmCodePoints *points, int class_number, const LmHost *host,
			   LmError *error);

/*
 * Whether two sketches of a class agree well enough for a comparison of their texts: hardly ever
 * true below a resemblance of 0.25, hardly ever false from 0.45 on.
 */
bool lm_sketch_resemble(const uint64_t *a, const uint64_t *b, int class_number);

/* ---- src/engine/text/edit_distance.c -------------------------------------------- */

#define LM_NEAR_SHARE 10 /* near: at most one edit for this many code points of the longer text */
#define LM_NEAR_MOST 4000 /* and at most so many edits */

/* Edits that two near texts of these lengths may be apart. */
size_t lm_near_limit(size_t n_a, size_t n_b);

/* Scratch of lm_edit_distance; zeros before its first use. */
typedef struct LmEditScratch
{
	int64_t *furthest; /* [capacity] */
	size_t capacity;
} LmEditScratch;

/*
 * The least number of code points to insert, remove or replace that makes b of a; limit + 1 if
 * there are more than limit. Takes time in proportion to limit^2 plus the length for nearly equal
 * texts, and never more than limit times the length. LM_ERR_STOPPED or LM_ERR_MEMORY.
 */
bool lm_edit_distance(size_t *distance, const uint32_t *a, size_t n_a, const uint32_t *b,
					  size_t n_b, size_t limit, LmEditScratch *scratch, const LmHost *host,
					  LmError *error);
void lm_edit_scratch_free(LmEditScratch *scratch, const LmHost *host);

#endif /* LM_MINHASH_H */

/*
 * src/engine/text/minhash.c
 *
 * The code points of a text go in, its sketch comes out (include/engine/minhash.h).
 */
#include "engine/minhash.h"
#include "text/array.h"
#include "text/utf8.h"

#define MAX_BINS 200
#define MAX_WIDTH 8
#define LEAST_LENGTH LM_NEAR_SHARE /* of shorter ones, only equal texts are near */
#define EMPTY UINT32_MAX /* hashes have 31 bits */

typedef struct SketchClass
{
	size_t from; /* code points */
	size_t below;
	int width; /* of a shingle */
	int bands;
	int rows; /* of a band */
	int least_agreement; /* of the bits, of which two unrelated texts have half in common */
} SketchClass;

/* Bits agree with probability (1 + s) / 2: the limit is at s = 0.3, 3 deviations below 0.5. */
static const SketchClass CLASSES[LM_SKETCH_CLASSES] = {
	{LEAST_LENGTH, 64, 3, 20, 4, 48},
	{64, 32768, 5, 40, 5, 125},
	{32768, SIZE_MAX, 8, 50, 4, 125},
};

/* Odd numbers from the digits of the golden ratio's and Euler's generators of random bits. */
static const uint64_t FACTORS[MAX_WIDTH] = {
	UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xBF58476D1CE4E5B9), UINT64_C(0x94D049BB133111EB),
	UINT64_C(0xC2B2AE3D27D4EB4F), UINT64_C(0x165667B19E3779F9), UINT64_C(0xD6E8FEB86659FD93),
	UINT64_C(0xA0761D6478BD642F), UINT64_C(0xE7037ED1A0B428DB),
};

bool
lm_code_points(LmCodePoints *points, const char *text, size_t size, const LmHost *host,
			   LmError *error)
{
	size_t poll = 0;

	points->n = 0;
	if (!lm_array_reserve(host, &points->codes, &points->capacity, size, sizeof(uint32_t), error))
		return false;
	for (size_t i = 0; i < size;)
	{
		int length;

		if (i >= poll && !lm_text_go_on(host, error))
			return false;
		poll = i >= poll ? i + LM_POLL_SIZE : poll;
		points->codes[points->n++] = (uint32_t) lm_utf8_decode(text + i, &length);
		i += (size_t) length;
	}
	return true;
}

void
lm_code_points_free(LmCodePoints *points, const LmHost *host)
{
	lm_array_free(host, points->codes);
	points->n = points->capacity = 0;
}

size_t
lm_code_point_count(const char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += ((unsigned char) text[i] & 0xC0) != 0x80;
	return n;
}

/* Two near texts have a class in common, though their lengths differ by a tenth. */
bool
lm_sketch_has_class(size_t n, int class_number)
{
	const SketchClass *class = &CLASSES[class_number];
	size_t margin = n / LM_NEAR_SHARE + 1;

	if (n < LEAST_LENGTH)
		return false;
	return n + margin >= class->from && (n < margin || n - margin < class->below);
}

int
lm_sketch_bands(int class_number)
{
	return CLASSES[class_number].bands;
}

/* A bijection whose every bit depends on all bits (Stafford's variant 13). */
static inline uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
	return x ^ x >> 31;
}

/* The smallest hash of the shingles of each bin: one half of a hash chooses the bin. */
static inline void
fill(uint32_t *bins, uint32_t n_bins, const uint32_t *codes, size_t n, int width)
{
	for (size_t i = 0; i < n; i++)
	{
		uint64_t sum = 0;
		uint32_t *bin;
		uint32_t value;

		for (int j = 0; j < width; j++)
			sum += (codes[i + j] + 1) * FACTORS[j];
		sum = mix(sum);
		bin = &bins[(sum >> 32) * n_bins >> 32];
		value = (uint32_t) sum >> 1;
		*bin = value < *bin ? value : *bin;
	}
}

static void
fill_width(uint32_t *bins, uint32_t n_bins, const uint32_t *codes, size_t n, int width)
{
	if (width == 3)
		fill(bins, n_bins, codes, n, 3);
	else if (width == 5)
		fill(bins, n_bins, codes, n, 5);
	else
		fill(bins, n_bins, codes, n, MAX_WIDTH);
}

/*
 * An empty bin takes the value of the first bin that was not empty on a random path, which is the
 * same for each text. The paths of two bins differ by the distance of the bins, so that no bin
 * gives its value to many others.
 */
static void
densify(uint32_t *bins, uint32_t n_bins)
{
	uint32_t filled[2 * MAX_BINS]; /* twice, for paths across the end */
	uint32_t empty[MAX_BINS];
	uint32_t n_empty = 0;

	memcpy(filled, bins, n_bins * sizeof(uint32_t));
	memcpy(filled + n_bins, bins, n_bins * sizeof(uint32_t));
	for (uint32_t i = 0; i < n_bins; i++)
	{
		empty[n_empty] = i;
		n_empty += bins[i] == EMPTY;
	}
	for (uint32_t step = 1; n_empty > 0; step++)
	{
		/* After many random steps, one bin after the other. */
		uint32_t distance = step < 8 * n_bins ? (mix(step) >> 32) * n_bins >> 32 : step % n_bins;
		uint32_t n_left = 0;

		for (uint32_t k = 0; k < n_empty; k++)
		{
			uint32_t i = empty[k];

			bins[i] = filled[i + distance];
			empty[n_left] = i;
			n_left += bins[i] == EMPTY;
		}
		n_empty = n_left;
	}
}

/* The bits of a class with fewer rows are 0. */
static void
hash_bands(LmSketch *sketch, const uint32_t *bins, const SketchClass *class)
{
	for (int band = 0; band < class->bands; band++)
	{
		uint64_t hash = (uint64_t) band;

		for (int row = 0; row < class->rows; row++)
			hash = (hash ^ bins[band * class->rows + row]) * FACTORS[row];
		sketch->bands[band] = (uint32_t) (mix(hash) >> 32);
	}
	for (int word = 0; word < LM_SKETCH_WORDS; word++)
	{
		int left = class->bands * class->rows - 64 * word;
		uint64_t bits = 0;

		for (int i = 0; i < left && i < 64; i++)
			bits |= (uint64_t) (bins[64 * word + i] & 1) << i;
		sketch->bits[word] = bits;
	}
}

bool
lm_sketch(LmSketch *sketch, const LmCodePoints *points, int class_number, const LmHost *host,
		  LmError *error)
{
	const SketchClass *class = &CLASSES[class_number];
	uint32_t n_bins = (uint32_t) (class->bands * class->rows);
	size_t n = points->n - (size_t) class->width + 1;
	uint32_t bins[MAX_BINS];

	for (uint32_t i = 0; i < n_bins; i++)
		bins[i] = EMPTY;
	for (size_t i = 0; i < n; i += LM_POLL_SIZE)
	{
		size_t piece = n - i < LM_POLL_SIZE ? n - i : LM_POLL_SIZE;

		if (!lm_text_go_on(host, error))
			return false;
		fill_width(bins, n_bins, points->codes + i, piece, class->width);
	}
	densify(bins, n_bins);
	hash_bands(sketch, bins, class);
	return true;
}

bool
lm_sketch_resemble(const uint64_t *a, const uint64_t *b, int class_number)
{
	const SketchClass *class = &CLASSES[class_number];
	int n = class->bands * class->rows;
	int agree = n < 64 * LM_SKETCH_WORDS ? n : 64 * LM_SKETCH_WORDS;

	for (int i = 0; i < LM_SKETCH_WORDS; i++)
		agree -= __builtin_popcountll(a[i] ^ b[i]);
	return agree >= class->least_agreement;
}

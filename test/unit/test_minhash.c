/*
 * test/unit/test_minhash.c
 *
 * Sketches of texts against the Jaccard index of their shingles, counted naively, and edit
 * distances against the table of Wagner and Fischer.
 */
#include "engine/minhash.h"
#include "train_support.h"

#define LENGTH 300
#define MOST 32

static LmCodePoints
points_of(const LmHost *host, const char *text)
{
	LmCodePoints points = {NULL};
	LmError error;

	if (!lm_code_points(&points, text, strlen(text), host, &error))
		printf("# %s\n", error.message);
	return points;
}

/* The share of the different shingles of both texts that both have. */
static double
naive_resemblance(const uint32_t *a, const uint32_t *b, int n, int width)
{
	int both = 0, all = 0;

	for (int side = 0; side < 2; side++)
	{
		const uint32_t *own = side == 0 ? a : b, *other = side == 0 ? b : a;

		for (int i = 0; i + width <= n; i++)
		{
			bool before = false, there = false;

			for (int j = 0; j < i; j++)
				before |= memcmp(own + i, own + j, width * sizeof(uint32_t)) == 0;
			for (int j = 0; j + width <= n; j++)
				there |= memcmp(own + i, other + j, width * sizeof(uint32_t)) == 0;
			both += side == 0 && !before && there;
			all += !before && (side == 0 || !there);
		}
	}
	return (double) both / all;
}

/* Bits agree with probability (1 + resemblance) / 2, bands with its fifth power. */
static void
test_resemblance(const LmHost *host)
{
	uint64_t state = 7;
	double worst = 0, sum = 0, bands = 0, wanted_bands = 0;
	int rounds = tap_repeat(160);

	for (int round = 0; round < rounds; round++)
	{
		uint32_t codes[2][LENGTH];
		LmCodePoints points[2];
		LmSketch sketches[2];
		LmError error;
		double agree = 0, difference, resemblance;
		int n_bits = 64 * LM_SKETCH_WORDS;

		for (int i = 0; i < LENGTH; i++)
		{
			codes[0][i] = 0x4E00 + test_random(&state) % 40;
			codes[1][i] = test_random(&state) % 160 < (uint64_t) round / 8
							  ? 0x4E00 + test_random(&state) % 40
							  : codes[0][i];
		}
		for (int side = 0; side < 2; side++)
		{
			points[side] = (LmCodePoints){codes[side], LENGTH, LENGTH};
			lm_sketch(&sketches[side], &points[side], 1, host, &error);
		}
		resemblance = naive_resemblance(codes[0], codes[1], LENGTH, 5);
		for (int i = 0; i < n_bits; i++)
			agree += !((sketches[0].bits[i / 64] ^ sketches[1].bits[i / 64]) >> i % 64 & 1);
		for (int i = 0; i < lm_sketch_bands(1); i++)
			bands += sketches[0].bands[i] == sketches[1].bands[i];
		wanted_bands += lm_sketch_bands(1) * pow(resemblance, 5);
		difference = 2 * agree / n_bits - 1 - resemblance;
		sum += difference / rounds;
		worst = fmax(worst, fabs(difference));
	}
	is_near(sum, 0, 0.02, "bits of sketches estimate the resemblance without bias");
	ok(worst < 0.25, "and never far off (%.2f)", worst);
	is_near(bands / wanted_bands, 1, 0.05, "bands agree as often as five rows do");
}

static void
test_classes(const LmHost *host)
{
	bool shared = true;
	LmCodePoints points = points_of(host, "a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80");

	for (size_t n = 10; n < 40000; n = n < 100 || n > 32000 ? n + 1 : n + 97)
	{
		for (size_t m = n; m - n <= lm_near_limit(n, m); m += n < 100 ? 1 : n / 40)
		{
			bool common = false;

			for (int i = 0; i < LM_SKETCH_CLASSES; i++)
				common |= lm_sketch_has_class(n, i) && lm_sketch_has_class(m, i);
			shared &= common;
		}
	}
	ok(shared, "two texts whose lengths allow that they are near have a class in common");
	ok(!lm_sketch_has_class(9, 0), "texts in which nothing may differ have no sketch");
	ok(points.n == 4 && points.codes[1] == 0xE9 && points.codes[2] == 0x4F60 &&
		   points.codes[3] == 0x1F600,
	   "code points of one to four bytes are decoded");
	is_int(lm_code_point_count("a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80", 10), 4, "and counted");
	lm_code_points_free(&points, host);
}

/* One shingle only, or few: the other bins are filled from these. */
static void
test_few_shingles(const LmHost *host)
{
	LmCodePoints one = points_of(host, "aaaaaaaaaaaaaaaa"), other = points_of(host, "aaaaaaaaaaaa");
	LmCodePoints third = points_of(host, "abababababab");
	LmSketch a, b, c;
	LmError error;

	lm_sketch(&a, &one, 0, host, &error);
	lm_sketch(&b, &other, 0, host, &error);
	lm_sketch(&c, &third, 0, host, &error);
	ok(memcmp(a.bands, b.bands, lm_sketch_bands(0) * sizeof(uint32_t)) == 0 &&
		   lm_sketch_resemble(a.bits, b.bits, 0),
	   "texts of the same one shingle have the same sketch");
	ok(!lm_sketch_resemble(a.bits, c.bits, 0), "texts without a common shingle do not resemble");
	lm_code_points_free(&one, host);
	lm_code_points_free(&other, host);
	lm_code_points_free(&third, host);
}

static size_t
naive_distance(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b)
{
	size_t table[MOST + 1][MOST + 1];

	for (size_t i = 0; i <= n_a; i++)
	{
		for (size_t j = 0; j <= n_b; j++)
		{
			size_t least = i == 0 ? j : i;

			if (i > 0 && j > 0)
			{
				least = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
				least = table[i - 1][j] + 1 < least ? table[i - 1][j] + 1 : least;
				least = table[i][j - 1] + 1 < least ? table[i][j - 1] + 1 : least;
			}
			table[i][j] = least;
		}
	}
	return table[n_a][n_b];
}

static void
test_distance(const LmHost *host)
{
	uint64_t state = 11;
	LmEditScratch scratch = {NULL};
	LmError error;
	bool same = true;

	for (int round = 0; round < tap_repeat(20000); round++)
	{
		uint32_t texts[2][MOST];
		size_t n[2], limit = test_random(&state) % 12, distance, wanted;

		for (int side = 0; side < 2; side++)
		{
			n[side] = test_random(&state) % (MOST + 1);
			for (size_t i = 0; i < n[side]; i++)
				texts[side][i] = (uint32_t) (side == 1 && i < n[0] && test_random(&state) % 4 != 0
												 ? texts[0][i]
												 : test_random(&state) % 3);
		}
		wanted = naive_distance(texts[0], n[0], texts[1], n[1]);
		lm_edit_distance(&distance, texts[0], n[0], texts[1], n[1], limit, &scratch, host, &error);
		same &= distance == (wanted <= limit ? wanted : limit + 1);
	}
	ok(same, "edit distances of random texts are those of the naive twin, or beyond the limit");
	is_int(lm_near_limit(100, 109), 10, "a tenth of the longer text may differ");
	is_int(lm_near_limit(10000000, 1), LM_NEAR_MOST,
		   "and of a very long one no more than the most");
	lm_edit_scratch_free(&scratch, host);
}

static void
test_stops(LmHost host, TapHost *tap)
{
	static char text[1 << 18];
	LmCodePoints points = {NULL}, other = {NULL};
	LmEditScratch scratch = {NULL};
	LmSketch sketch;
	LmError error;
	size_t distance;

	memset(text, 'a', sizeof text);
	lm_code_points(&points, text, sizeof text, &host, &error);
	memset(text, 'b', sizeof text / 2);
	lm_code_points(&other, text, sizeof text, &host, &error);
	tap->stop = true;
	ok(!lm_code_points(&other, text, sizeof text, &host, &error) && error.code == LM_ERR_STOPPED,
	   "decoding can be stopped");
	other.n = sizeof text;
	ok(!lm_sketch(&sketch, &points, 2, &host, &error) && error.code == LM_ERR_STOPPED,
	   "a sketch can be stopped");
	ok(!lm_edit_distance(&distance, points.codes, points.n, other.codes, other.n, 4000, &scratch,
						 &host, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "a comparison can be stopped");
	tap->stop = false;
	tap->fail_after = 0;
	lm_edit_scratch_free(&scratch, &host);
	scratch = (LmEditScratch){NULL};
	ok(!lm_edit_distance(&distance, points.codes, 9, other.codes, 9, 4, &scratch, &host, &error) &&
		   error.code == LM_ERR_MEMORY,
	   "without memory a comparison is an error");
	tap->fail_after = -1;
	lm_code_points_free(&points, &host);
	lm_code_points_free(&other, &host);
	is_int(tap->live, 0, "all memory is given back");
}

int
main(void)
{
	TapHost tap = {.fail_after = -1};
	LmHost host = tap_host(&tap);

	test_resemblance(&host);
	test_classes(&host);
	test_few_shingles(&host);
	test_distance(&host);
	test_stops(host, &tap);
	return done_testing();
}

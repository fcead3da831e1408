/*
 * test/unit/test_overlap.c
 *
 * BLEU and chrF: published and hand-computed scores, words of mteval-v13a, weights, texts that are
 * not what they should be. With the argument "score" it reads pairs of lines, found and wanted, and
 * prints both scores: for a comparison with another implementation.
 */
#include "engine/overlap.h"
#include "text/words_13a.h"
#include "train_support.h"

#define PAIR(overlap, found, wanted, weight) \
	add(host, overlap, (LmBytes){found, strlen(found)}, (LmBytes){wanted, strlen(wanted)}, weight)

static void
add(const LmHost *host, LmOverlap *overlap, LmBytes found, LmBytes wanted, double weight)
{
	LmError error;

	if (!lm_overlap_add(overlap, host, found, wanted, weight, &error))
		printf("Bail out! %s\n", error.message);
}

static double
bleu_of(const LmHost *host, const char *found, const char *wanted)
{
	LmOverlap overlap = {0};

	PAIR(&overlap, found, wanted, 1);
	return lm_overlap_bleu(&overlap);
}

static double
chrf_of(const LmHost *host, const char *found, const char *wanted)
{
	LmOverlap overlap = {0};

	PAIR(&overlap, found, wanted, 1);
	return lm_overlap_chrf(&overlap);
}

/* Whether the words of a text, with single spaces, are these. */
static bool
cuts(const LmHost *host, const char *text, const char *wanted)
{
	LmSpaced spaced = {0};
	LmError error;
	char words[256];
	size_t n = 0;
	bool same;

	if (!lm_words_13a(&spaced, host, (LmBytes){text, strlen(text)}, &error))
		return false;
	for (size_t i = 0; i < spaced.size && n < sizeof words - 1; i++)
		if (spaced.data[i] != ' ' || (n > 0 && words[n - 1] != ' '))
			words[n++] = spaced.data[i];
	n -= n > 0 && words[n - 1] == ' ';
	words[n] = '\0';
	same = strcmp(words, wanted) == 0;
	if (!same)
		printf("# \"%s\"\n", words);
	lm_free(host, spaced.data);
	return same;
}

static void
test_words(const LmHost *host)
{
	ok(cuts(host, "Hello, world.", "Hello , world ."), "signs are words");
	ok(cuts(host, "It's 3.5 or 1,000.", "It's 3.5 or 1,000 ."), "but within numbers");
	ok(cuts(host, "v1.a a.1 5,b", "v1 . a a . 1 5 , b"), "which have digits on both sides");
	ok(cuts(host, "wait...", "wait . . ."), "points are cut one by one");
	ok(cuts(host, "1-2 a-b", "1 - 2 a-b"), "a dash after a digit");
	ok(cuts(host, "\"a\" (b) c/d e_f x'y", "\" a \" ( b ) c / d e _ f x'y"), "quotes and brackets");
	ok(cuts(host, "a&quot;b &amp;lt; <skipped>c", "a \" b < c"), "entities of mteval");
	ok(cuts(host, "long-\nword a\nb", "longword a b"), "a word over two lines");
	ok(cuts(host, "end-\n", "end-"), "not at the end of the text");
	ok(cuts(host, "\xE6\x88\x91\xE3\x80\x82", "\xE6\x88\x91\xE3\x80\x82") && cuts(host, "", ""),
	   "other scripts stay");
}

static void
test_bleu(const LmHost *host)
{
	LmOverlap overlap = {0};

	is_near(bleu_of(host, "this is a test", "this is a test"), 100, 1e-9, "the same text");
	/* 3/4, 1/3, smoothed 1/(2*2), 1/(4*1) */
	is_near(bleu_of(host, "this is a fest", "this is a test"),
			100 * pow(3.0 / 4 * 2 / 3 * 1 / 2 * 1 / 2, 0.25), 1e-9,
			"one word of four: the last length is smoothed");
	is_near(bleu_of(host, "a b x y", "a b c d"), 100 * pow(2.0 / 4 * 1 / 3 * 1 / 4 * 1 / 4, 0.25),
			1e-9, "smoothing is halved for each length without a match");
	is_near(bleu_of(host, "a a a a", "a b c d e"),
			100 * pow(1.0 / 4 * 1 / 6 * 1 / 8 * 1 / 8, 0.25) * exp(1 - 5.0 / 4), 1e-9,
			"a word counts as often as it is wanted, and a short text is punished");
	is_near(bleu_of(host, "a b c", "a b c"), 0, 0, "three words have no n-gram of four");
	is_near(bleu_of(host, "", "a b c d"), 0, 0, "nothing");
	is_near(bleu_of(host, "x y z w", "a b c d"), 0, 0, "no match at all");
	/* example of the README of sacreBLEU, its first references alone: 11/16 7/13 4/10 2/7 */
	PAIR(&overlap, "The dog bit the man.", "The dog bit the man.", 1);
	PAIR(&overlap, "It wasn't surprising.", "It was not unexpected.", 1);
	PAIR(&overlap, "The man had just bitten him.", "The man bit him first.", 1);
	ok(overlap.found_words[0] == 17 && overlap.wanted_words[0] == 17 &&
		   overlap.word_matches[0] == 12 && overlap.word_matches[1] == 6 &&
		   overlap.word_matches[2] == 4 && overlap.word_matches[3] == 3,
	   "counts of a corpus are sums over its texts");
	is_near(lm_overlap_bleu(&overlap), 100 * pow(12.0 / 17 * 6 / 14 * 4 / 11 * 3 / 8, 0.25), 1e-9,
			"so is its score");
}

static void
test_chrf(const LmHost *host)
{
	LmOverlap weighed = {0}, repeated = {0};

	is_near(chrf_of(host, "abcdef", "ab cd\tef"), 100, 1e-9, "white space does not count");
	is_near(chrf_of(host, "a", "a"), 100, 1e-9, "lengths that no text has are left out");
	is_near(chrf_of(host, "", "reference"), 0, 0, "nothing");
	is_near(chrf_of(host, "abcdefg", "hijklmnop"), 0, 0, "nothing in common");
	/* aa, ab: precision 1/2 and 0, recall the same */
	is_near(chrf_of(host, "aa", "ab"), 25, 1e-9, "means over lengths");
	/* n = 1: 2/3 and 2/2; n = 2: 1/2 and 1/1; 3: no reference */
	is_near(chrf_of(host, "abc", "ab"), 100 * 5 * (7.0 / 12) * 1 / (4 * 7.0 / 12 + 1), 1e-9,
			"recall counts twice");
	is_near(chrf_of(host, "\xE6\x88\x91\xE7\x88\xB1", "\xE6\x88\x91\xE5\x90\x83"), 25, 1e-9,
			"characters, not bytes");
	PAIR(&weighed, "the cat", "the hat", 3);
	PAIR(&weighed, "a dog", "the dog", 1);
	for (int i = 0; i < 3; i++)
		PAIR(&repeated, "the cat", "the hat", 1);
	PAIR(&repeated, "a dog", "the dog", 1);
	ok(memcmp(&weighed, &repeated, sizeof weighed) == 0, "a weight counts as so many rows");
}

static void
test_errors(const LmHost *host)
{
	static char large[(16 << 20) + 2];
	LmOverlap overlap = {0};
	LmError error;

	ok(!lm_overlap_add(&overlap, host, (LmBytes){"a\xff", 2}, (LmBytes){"a", 1}, 1, &error) &&
		   error.code == LM_ERR_ENCODING,
	   "what is not UTF-8 is refused");
	memset(large, 'a', sizeof large);
	ok(!lm_overlap_add(&overlap, host, (LmBytes){"a", 1}, (LmBytes){large, sizeof large}, 1,
					   &error) &&
		   error.code == LM_ERR_LIMIT && overlap.found_words[0] == 0,
	   "a text that is too long is refused");
	add(host, &overlap, (LmBytes){large, 1 << 20}, (LmBytes){large, 1 << 20}, 1);
	is_near(lm_overlap_chrf(&overlap), 100, 1e-9, "a megabyte of one letter is compared");
}

/* Lines in turn: found, wanted. */
static void
score(const LmHost *host)
{
	static char found[1 << 20], wanted[1 << 20];
	LmOverlap overlap = {0};

	while (fgets(found, sizeof found, stdin) && fgets(wanted, sizeof wanted, stdin))
		add(host, &overlap, (LmBytes){found, strcspn(found, "\n")},
			(LmBytes){wanted, strcspn(wanted, "\n")}, 1);
	printf("%.17g %.17g\n", lm_overlap_bleu(&overlap), lm_overlap_chrf(&overlap));
}

int
main(int argc, char **argv)
{
	TapHost state;
	LmHost host = tap_host(&state);

	if (argc > 1 && strcmp(argv[1], "score") == 0)
	{
		score(&host);
		return 0;
	}
	test_words(&host);
	test_bleu(&host);
	test_chrf(&host);
	test_errors(&host);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

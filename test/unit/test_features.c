/*
 * test/unit/test_features.c
 *
 * Features of texts: which there are, that they are the same for ever, and their bounds.
 */
#include "engine/features.h"
#include "tap.h"

#define FIRST_KEY 0xE4D728C04F35ULL

static LmFeatures
features_of(const LmHost *host, const char *text, uint32_t part)
{
	LmFeatures features = {0};
	LmError error = {0};

	if (!lm_features_begin(&features, host, &error) ||
		!lm_features_add(&features, host, (LmBytes){text, strlen(text)}, part, &error))
		printf("# %s\n", error.message);
	return features;
}

static size_t
shared(const LmFeatures *a, const LmFeatures *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			n += a->items[i].key == b->items[j].key;
	return n;
}

static bool
same(const LmHost *host, const char *a, const char *b)
{
	LmFeatures left = features_of(host, a, 0), right = features_of(host, b, 0);
	bool equal = left.n == right.n && left.n > 0 &&
				 memcmp(left.items, right.items, left.n * sizeof *left.items) == 0;

	lm_features_free(&left, host);
	lm_features_free(&right, host);
	return equal;
}

static size_t
number_of(const LmHost *host, const char *text, LmFeatureKind kind)
{
	LmFeatures features = features_of(host, text, 0);
	size_t n = 0;

	for (size_t i = 0; i < features.n; i++)
		n += lm_feature_kind(features.items[i].key) == kind;
	lm_features_free(&features, host);
	return n;
}

static void
test_kinds(const LmHost *host)
{
	LmFeatures one = features_of(host, "day day", 0), other = features_of(host, "day day", 1);

	ok(number_of(host, "a b", LM_FEATURE_WORDS) == 5,
	   "two words are two features, and three pairs with both ends");
	ok(number_of(host, "day", LM_FEATURE_LETTERS) == 4 + 3 + 2 + 1,
	   "a word and its ends have runs of two to five letters");
	ok(number_of(host, "\xE5\xBE\x88\xE5\xA5\xBD", LM_FEATURE_WORDS) == 5,
	   "a character of Chinese is a word");
	ok(number_of(host, "don't", LM_FEATURE_WORDS) == 3 &&
		   number_of(host, "don'", LM_FEATURE_WORDS) == 5 &&
		   number_of(host, "a''b", LM_FEATURE_WORDS) == 3 + 5,
	   "an apostrophe is part of a word only inside it");
	ok(number_of(host, "", LM_FEATURE_WORDS) == 0 && number_of(host, " ", LM_FEATURE_WORDS) == 0,
	   "an empty text has no features");
	ok(one.items[0].count == 2 && shared(&one, &other) == 0,
	   "a feature is counted, and parts share none");
	ok(same(host, "STRASSE \xC3\x84", "strasse \xC3\xA4") && !same(host, "a b", "b a"),
	   "case does not matter, order does");
	ok(same(host, "ab cd",
			"ab\xFF"
			"cd") &&
		   same(host, "ab cd",
				"ab\xE2\x82"
				" cd"),
	   "bytes that are no UTF-8 part words");
	/* Stored models have keys. */
	ok(one.items[0].key == FIRST_KEY, "keys stay as they are (%llx)",
	   (unsigned long long) one.items[0].key);
	lm_features_free(&one, host);
	lm_features_free(&other, host);
}

static void
test_bounds(const LmHost *host)
{
	size_t size = (size_t) 3 << 20;
	char *text = malloc(size + 1);
	LmFeatures whole, again;
	LmError error;
	uint64_t state = 1;

	memset(text, ' ', size);
	for (size_t i = 0; i < size; i += 3)
		memcpy(text + i, "\xE5\xBE\x88", 3);
	text[size] = 0;
	whole = features_of(host, text, 0);
	ok(whole.n == 4 + 3 * 4 && whole.items[0].count == size / 3,
	   "a long text is read to its end, with characters over the borders of its pieces");
	lm_features_free(&whole, host);
	for (size_t i = 0; i < size; i++)
	{
		state = state * 6364136223846793005u + 1442695040888963407u;
		text[i] = (char) ('a' + (state >> 33) % 26);
	}
	whole = features_of(host, text, 0);
	again = features_of(host, "a b", 0);
	ok(whole.n == LM_MAX_FEATURES, "a text has a bounded number of features");
	ok(lm_features_begin(&whole, host, &error) &&
		   lm_features_add(&whole, host, (LmBytes){"a b", 3}, 0, &error) && whole.n == again.n &&
		   shared(&whole, &again) == again.n,
	   "a list that was long serves a short text");
	lm_features_free(&whole, host);
	lm_features_free(&again, host);
	free(text);
}

static void
test_failures(const LmHost *host, TapHost *tap)
{
	LmFeatures features = {0};
	LmBytes text = {"a text that cannot be read", 26};
	LmError error;

	tap->stop = true;
	ok(lm_features_begin(&features, host, &error) &&
		   !lm_features_add(&features, host, text, 0, &error) && error.code == LM_ERR_STOPPED,
	   "reading a text can be stopped");
	tap->stop = false;
	lm_features_free(&features, host);
	tap->fail_after = 1;
	ok(lm_features_begin(&features, host, &error) &&
		   !lm_features_add(&features, host, text, 0, &error) && error.code == LM_ERR_MEMORY,
	   "without memory reading a text is an error");
	tap->fail_after = -1;
	lm_features_free(&features, host);
	is_int(tap->live, 0, "all memory is given back");
}

static LmFeatures
match_of(const LmHost *host, const char *a, const char *b)
{
	LmFeatures left = features_of(host, a, 0), right = features_of(host, b, 0), match = {0};
	LmError error = {0};

	if (!lm_features_match(&match, &left, &right, host, &error))
		printf("# %s\n", error.message);
	lm_features_free(&left, host);
	lm_features_free(&right, host);
	return match;
}

static void
test_matches(const LmHost *host)
{
	LmFeatures near = match_of(host, "where is my card", "where is my new card"),
			   back = match_of(host, "where is my new card", "where is my card"),
			   apart = match_of(host, "where is my card", "a fee was charged"),
			   equal = match_of(host, "my card", "my card"), none = match_of(host, "", "");
	size_t turned = shared(&near, &back);

	ok(turned > 0 && turned < near.n && near.n == back.n,
	   "in the other order, what both have or one has is the same, and what each has is not");
	ok(shared(&equal, &near) > shared(&equal, &apart),
	   "the more two texts share, the more they are like equal ones");
	ok(none.n == 0 || shared(&none, &equal) > 0, "of empty texts there is little to say");
	lm_features_free(&near, host);
	lm_features_free(&back, host);
	lm_features_free(&apart, host);
	lm_features_free(&equal, host);
	lm_features_free(&none, host);
}

int
main(void)
{
	TapHost tap = {.fail_after = -1};
	LmHost host = tap_host(&tap);

	test_kinds(&host);
	test_bounds(&host);
	test_matches(&host);
	test_failures(&host, &tap);
	return done_testing();
}

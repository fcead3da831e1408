/*
 * test/unit/test_rouge.c
 *
 * Words of texts, and the longest common subsequence of two texts' words against a naive twin.
 */
#include "engine/rouge.h"
#include "train_support.h"

static double
rouge_of(const LmHost *host, const char *one, const char *other)
{
	double rouge = -1;
	LmError error;

	if (!lm_rouge_l(&rouge, host, (LmBytes){one, strlen(one)}, (LmBytes){other, strlen(other)},
					&error))
		printf("# %s\n", error.message);
	return rouge;
}

static void
test_words(const LmHost *host)
{
	is_near(rouge_of(host, "police killed the gunman", "police kill the gunman"), 0.75, 1e-12,
			"the example of the paper, one word apart");
	is_near(rouge_of(host, "police killed the gunman", "the gunman kill police"), 0.5, 1e-12,
			"and of another order");
	is_near(rouge_of(host, "The cat, sat.", "the CAT sat"), 1, 1e-12,
			"case and punctuation do not count");
	is_near(rouge_of(host, "Straße", "STRASSE"), 1, 1e-12, "case is folded, not only lowered");
	is_near(rouge_of(host, "a b c d", "a c"), 2.0 * 2 / 6, 1e-12, "lengths are weighed alike");
	is_near(rouge_of(host, "", "a"), 0, 0, "nothing beside a word");
	is_near(rouge_of(host, "", "..."), 1, 0, "nothing beside nothing");
	ok(rouge_of(host, "我喜欢北京", "我喜欢上海") > 0.3 &&
		   rouge_of(host, "我喜欢北京", "我喜欢上海") < 0.9,
	   "words without spaces are found");
	is_near(rouge_of(host, "12:30 3.5", "12:30 3.5"), 1, 0, "numbers are words");
}

/* Recursion over all prefixes. */
static int
naive_common(const char *a, int n, const char *b, int m)
{
	int without_a, without_b;

	if (n == 0 || m == 0)
		return 0;
	if (a[n - 1] == b[m - 1])
		return naive_common(a, n - 1, b, m - 1) + 1;
	without_a = naive_common(a, n - 1, b, m);
	without_b = naive_common(a, n, b, m - 1);
	return without_a > without_b ? without_a : without_b;
}

static void
test_random_words(const LmHost *host)
{
	uint64_t state = 5;
	bool same = true;

	for (int round = 0; round < 200; round++)
	{
		char letters[2][10], text[2][32] = {{0}};
		int n[2];

		for (int i = 0; i < 2; i++)
		{
			n[i] = 1 + (int) (test_random(&state) % 9);
			for (int j = 0; j < n[i]; j++)
			{
				letters[i][j] = (char) ('a' + test_random(&state) % 3);
				sprintf(text[i] + 2 * j, "%c ", letters[i][j]);
			}
		}
		same = same &&
			   fabs(rouge_of(host, text[0], text[1]) -
					2.0 * naive_common(letters[0], n[0], letters[1], n[1]) / (n[0] + n[1])) < 1e-12;
	}
	ok(same, "common words of random texts are those of the naive twin");
}

static void
test_errors(const LmHost *host)
{
	static char large[(16 << 20) + 2];
	LmError error;
	double rouge;

	ok(!lm_rouge_l(&rouge, host, (LmBytes){"a\xff", 2}, (LmBytes){"a", 1}, &error) &&
		   error.code == LM_ERR_ENCODING,
	   "what is not UTF-8 is refused");
	memset(large, 'a', sizeof large);
	ok(!lm_rouge_l(&rouge, host, (LmBytes){large, sizeof large}, (LmBytes){"a", 1}, &error) &&
		   error.code == LM_ERR_LIMIT,
	   "a text that is too long is refused");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_words(&host);
	test_random_words(&host);
	test_errors(&host);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

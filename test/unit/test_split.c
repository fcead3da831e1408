/*
 * test/unit/test_split.c
 *
 * The split into pieces: the scan by hand of GPT-2's pattern against ICU's matcher, windows small
 * and large, and patterns and texts that mean harm.
 */
#include <time.h>

#include "split_support.h"

/* GPT-2's pattern in brackets: the same matches, but not recognised as its own. */
static const char *const bracketed =
	"(?:'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+)";

/* The pattern of cl100k_base (tiktoken, 2022), with possessive quantifiers and a bounded one. */
static const char *const cl100k = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,"
								  "3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|"
								  "\\s*[\\r\\n]|\\s+(?!\\S)|\\s";

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

static void
test_every_code_point(LmSplit *by_hand, LmSplit *by_icu)
{
	static const char *const frames[] = {"%s",	 "a%sa", " %s", "  %s  ",
										 "1%s1", ".%s.", "'%s", "\n%s "};
	bool same = true;

	for (size_t frame = 0; frame < sizeof frames / sizeof *frames; frame++)
		for (int32_t code = 1; code < 0x110000; code++)
		{
			char character[5] = {0}, text[16];

			if (code >= 0xD800 && code < 0xE000)
				continue;
			/* Of long ranges of letters a sample, and of all for a sanitizer. */
			if ((code >= 0x3400 || tap_is_sanitized()) && code < 0x20000 && code % 7)
				continue;
			if (code >= 0x20000 && code % 63)
				continue;
			lm_utf8_encode(character, code);
			snprintf(text, sizeof text, frames[frame], character);
			same = same && splits_equal(by_hand, by_icu, text, strlen(text));
		}
	ok(same, "the scan by hand and ICU agree on the code points, in eight surroundings");
}

static void
test_random_texts(LmSplit *by_hand, LmSplit *by_icu)
{
	char text[512];
	bool same = true;

	for (int i = 0; same && i < tap_repeat(100000); i++)
		same = splits_equal(by_hand, by_icu, text, random_text(text, 40));
	ok(same, "the scan by hand and ICU agree on random texts");
}

static void
test_file(LmSplit *by_hand, LmSplit *by_icu, const char *path)
{
	size_t size;
	char *text = tap_read_file(path, &size);
	const char *name = strrchr(path, '/') + 1;

	if (!text)
		skip("the scan by hand and ICU agree on a corpus", "no such file");
	else
		ok(splits_equal(by_hand, by_icu, text, size), "the scan by hand and ICU agree on %s", name);
	free(text);
}

static void
test_corpora(LmSplit *by_hand, LmSplit *by_icu)
{
	static const char *const names[] = {"corpora/tinyshakespeare.txt",
										"corpora/war-and-peace.txt",
										"corpora/wikitext2.valid.txt",
										"corpora/tang_poems_2000.txt",
										"corpora/tinystories_sample.txt",
										"corpora/corpus.en",
										"corpora/names.txt",
										"logs/BGL_2k.log",
										"logs/HDFS_2k.log",
										"golden/tokens.json"};
	const char *folder = tap_data_folder();
	char path[4096];

	test_file(by_hand, by_icu, "test/fixtures/tokenizer/shakespeare.txt");
	test_file(by_hand, by_icu, "test/fixtures/tokenizer/strings.json");
	if (!folder)
	{
		skip("the scan by hand and ICU agree on the corpora", "the test data is not here");
		return;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
	{
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		test_file(by_hand, by_icu, path);
	}
}

static void
test_windows(const LmHost *host)
{
	static const char *const patterns[] = {
		NULL, NULL, "abc|c", "(?<=a)b+|\\d{3}", "[a-z]+(?=[.!])|.", "x*", "zzzzz", "\\bs|\\B."};
	static const size_t window_sizes[] = {4, 5, 16, 100};
	char text[2048];
	bool same = true;

	for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++)
		for (size_t w = 0; w < sizeof window_sizes / sizeof *window_sizes; w++)
		{
			const char *pattern = p == 0 ? bracketed : p == 1 ? cl100k : patterns[p];
			LmSplit whole, windows;

			same = same && lm_split_create(&whole, host, pattern, NULL) &&
				   lm_split_create(&windows, host, pattern, NULL);
			windows.window_size = window_sizes[w];
			for (int i = 0; same && i < 400; i++)
				same = splits_equal(&whole, &windows, text, random_text(text, 300));
			if (!same)
				printf("# pattern %s, window of %zu\n", pattern, window_sizes[w]);
			lm_split_free(&whole);
			lm_split_free(&windows);
		}
	ok(same, "a pattern finds the same pieces through windows of any size");
}

/* Runs the split to its end; the number of pieces, or -1. */
static long
count_pieces(LmSplit *split, const char *text, size_t size, LmError *error)
{
	static LmPieces pieces;
	long count = 0;

	lm_split_start(split, text, size);
	do
	{
		if (!lm_split_next(split, &pieces, error))
			return -1;
		count += pieces.count;
	} while (pieces.count > 0);
	return count;
}

static void
test_long_runs(const LmHost *host)
{
	static const char *const names[] = {"by hand", "by ICU", "of cl100k"};
	size_t size = 1 << 20;
	char *text = malloc(size);

	for (int i = 0; i < 3; i++)
	{
		LmSplit split;
		LmError error = {0};
		double start = seconds();
		long a, blank;

		lm_split_create(&split, host, i == 0 ? NULL : i == 1 ? bracketed : cl100k, NULL);
		memset(text, 'a', size);
		a = count_pieces(&split, text, size, &error);
		memset(text, ' ', size);
		blank = count_pieces(&split, text, size, &error);
		ok(a == 1 && blank == 1 && seconds() - start < 5,
		   "a mebibyte of one letter or of blanks is one piece, in linear time, %s", names[i]);
		lm_split_free(&split);
	}
	free(text);
}

static void
test_bad_patterns(const LmHost *host)
{
	static const char *const patterns[] = {
		"", "(", "[a", "a{2,1}", "(?<=a*)b", "*", "\\p{nonsense}", "\xFF", "(?P<x>a)"};
	bool refused = true;
	char *long_pattern = calloc(1, LM_MAX_PATTERN_SIZE + 2);
	LmError error = {0};
	LmSplit split;

	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
	{
		error = (LmError){0};
		refused = refused && !lm_split_create(&split, host, patterns[i], &error) &&
				  error.code == LM_ERR_FORMAT;
	}
	ok(refused, "a pattern that is not a regular expression is refused");
	memset(long_pattern, 'a', LM_MAX_PATTERN_SIZE + 1);
	ok(!lm_split_create(&split, host, long_pattern, &error) && error.code == LM_ERR_LIMIT,
	   "a pattern that is too long is refused");
	free(long_pattern);
}

static void
test_hostile(TapHost *state, const LmHost *host)
{
	size_t size = 200000;
	char *text = malloc(size);
	LmError error = {0};
	LmSplit split;
	double start = seconds();

	memset(text, 'a', size);
	lm_split_create(&split, host, "(a+)+b", NULL);
	ok(count_pieces(&split, text, size, &error) == -1 && error.code == LM_ERR_LIMIT,
	   "a pattern of exponential time ends with an error");
	ok(seconds() - start < 60, "and does so soon");
	state->stop = true;
	ok(count_pieces(&split, text, size, &error) == -1 && error.code == LM_ERR_STOPPED,
	   "a split stops when told to");
	state->stop = false;
	lm_split_free(&split);

	lm_split_create(&split, host, "(?:a|b|aa)*c", NULL);
	ok(count_pieces(&split, text, size, &error) == -1 && error.code == LM_ERR_LIMIT,
	   "a pattern that fills the matcher's stack ends with an error");
	lm_split_free(&split);
	free(text);
}

/* A should_stop that says yes the n-th time it is asked. */
static int questions_left;

static bool
stop_later(void *context)
{
	return questions_left-- <= 0;
}

static void
test_stop_within_match(LmHost host)
{
	size_t size = 4 << 20;
	char *text = malloc(size);
	LmError error = {0};
	LmSplit split;
	long count;

	host.should_stop = stop_later;
	memset(text, 'a', 3000);
	lm_split_create(&split, &host, "(a+)+b", NULL);
	questions_left = 5;
	count = count_pieces(&split, text, 3000, &error);
	ok(count == -1 && error.code == LM_ERR_STOPPED,
	   "the matcher is stopped in the middle of a match");
	lm_split_free(&split);

	memset(text, 'a', size);
	lm_split_create(&split, &host, NULL, NULL);
	questions_left = 5;
	ok(count_pieces(&split, text, size, &error) == -1 && error.code == LM_ERR_STOPPED,
	   "the scan by hand is stopped in the middle of a piece");
	lm_split_free(&split);
	free(text);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmSplit by_hand, by_icu;

	lm_split_create(&by_hand, &host, NULL, NULL);
	lm_split_create(&by_icu, &host, bracketed, NULL);
	ok(!by_hand.regex && by_icu.regex, "only GPT-2's own pattern is scanned by hand");
	test_every_code_point(&by_hand, &by_icu);
	test_random_texts(&by_hand, &by_icu);
	test_corpora(&by_hand, &by_icu);
	lm_split_free(&by_hand);
	lm_split_free(&by_icu);
	test_windows(&host);
	test_long_runs(&host);
	test_bad_patterns(&host);
	test_hostile(&state, &host);
	test_stop_within_match(host);
	is_int(state.live, 0, "the splits leave no memory behind");
	return done_testing();
}

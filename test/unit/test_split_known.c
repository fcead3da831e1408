/*
 * test/unit/test_split_known.c
 *
 * The splits of well-known vocabularies by hand against ICU's matcher of the same patterns, and
 * that they stop. An argument is the number of random texts for each pattern (20,000).
 */
#include "split_support.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define FRONT "[^\\r\\n\\p{L}\\p{N}]?"
#define REST "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define DEEPSEEK(newline)                                                               \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^" newline                  \
	"\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[" newline "]*|\\s*[" newline \
	"]+|\\s+(?!\\S)|\\s+"
#define N_PATTERNS 15

static const char *const patterns[N_PATTERNS] = {
	/* cl100k_base, Llama 3 */
	CONTRACTIONS "|" FRONT "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" REST,
	/* Qwen 2 and 3 */
	CONTRACTIONS "|" FRONT "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" REST,
	/* o200k_base */
	FRONT UPPER "*" LOWER "+" CONTRACTIONS "?|" FRONT UPPER "+" LOWER "*" CONTRACTIONS
				"?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" REST,
	"\\p{N}", "\\p{N}+", "\\p{N}{1,3}", "(?s:.+)",
	/* GPT-2 */
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
	/* DeepSeek */
	"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
	"[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+",
	"[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
	DEEPSEEK("\\r\\n"), DEEPSEEK("\r\n")};

static TapHost state;
static LmHost host;
static LmSplit by_hand[N_PATTERNS], by_icu[N_PATTERNS];

static void
open_splits(void)
{
	for (int i = 0; i < N_PATTERNS; i++)
	{
		char bracketed[LM_MAX_PATTERN_SIZE];
		LmError error;

		snprintf(bracketed, sizeof bracketed, "(?:%s)", patterns[i]);
		ok(lm_split_create(&by_hand[i], &host, patterns[i], &error) && !by_hand[i].regex,
		   "pattern %d is split by hand", i);
		ok(lm_split_create(&by_icu[i], &host, bracketed, &error) && by_icu[i].regex,
		   "in brackets it is split by ICU");
	}
}

static void
test_code_points(int i)
{
	static const char *const frames[] = {"%s",	  "a%sa", " %sB",	"A%s\n",
										 ".%s'S", "'%s",  "\n%s a", "1%s12"};
	bool same = true;

	for (size_t frame = 0; frame < sizeof frames / sizeof *frames; frame++)
		for (int32_t code = 1; code < 0x20000; code++)
		{
			char character[5] = {0}, text[32];

			if ((code >= 0xD800 && code < 0xE000) || (code >= 0x3000 && code % 31))
				continue;
			lm_utf8_encode(character, code);
			snprintf(text, sizeof text, frames[frame], character);
			same = same && splits_equal(&by_hand[i], &by_icu[i], text, strlen(text));
		}
	ok(same, "pattern %d: by hand and ICU agree on the code points, in eight surroundings", i);
}

/* Letters of every case, marks, contractions and ends of lines, many of each. */
static size_t
random_words(char *text, uint32_t n)
{
	static const int32_t codes[] = {
		'a',  'B',	  'b',	 'S',	's',	't',	'\'',	'\'',	'l', 'E',  'r',	 'v',	 0x17F,
		0xDF, 0x1E9E, 0x1C5, 0x2B0, 0x4E00, 0x301,	0x903,	0x20DD, '/', '\r', '\n', ' ',	 ' ',
		'\t', '5',	  '6',	 0xBD,	0x2167, 0x30A2, 0xAC00, 0x9FA6, '-', '.',  '_',	 0x2019, 0xA0};
	size_t size = 0;

	for (uint32_t i = random_below(n + 1); i > 0; i--)
		size +=
			(size_t) lm_utf8_encode(text + size, codes[random_below(sizeof codes / sizeof *codes)]);
	return size;
}

/* Code points of all planes, the first ones more often, between what patterns stumble over. */
static size_t
random_codes(char *text, uint32_t n)
{
	static const uint32_t ends[] = {0x80, 0x300, 0x700, 0x2100, 0x3100, 0x10000, 0x20000, 0x110000};
	size_t size = 0;

	for (uint32_t i = random_below(n + 1); i > 0; i--)
	{
		uint32_t code = 1 + random_below(ends[random_below(8)] - 1);

		if (random_below(4) == 0)
			size += random_words(text + size, 1);
		else if (code < 0xD800 || code >= 0xE000)
			size += (size_t) lm_utf8_encode(text + size, (int32_t) code);
	}
	return size;
}

static void
test_random(int i, int n_texts)
{
	char text[512];
	bool same = true;

	for (int k = 0; same && k < n_texts; k++)
		same = splits_equal(&by_hand[i], &by_icu[i], text,
							k % 3 == 0	 ? random_text(text, 40)
							: k % 3 == 1 ? random_words(text, 40)
										 : random_codes(text, 40));
	ok(same, "pattern %d: by hand and ICU agree on %d random texts", i, n_texts);
}

static int questions;

static bool
stop_later(void *context)
{
	(void) context;
	return ++questions > 2;
}

/* A run of any class that is longer than two looks at whether to stop. */
static void
test_stop(int i)
{
	static const char *const runs[] = {"a", "A", "1", "-", " ", "\n", "\xE4\xB8\x80", "'"};
	LmHost stopping = host;
	bool stopped = true;
	size_t size = 1 << 20;
	char *text = malloc(size);

	stopping.should_stop = stop_later;
	for (size_t k = 0; k < sizeof runs / sizeof *runs; k++)
	{
		static LmPieces pieces;
		LmSplit split;
		LmError error = {0};
		size_t length = strlen(runs[k]), n = size / length * length;
		bool done;

		for (size_t j = 0; j < n; j++)
			text[j] = runs[k][j % length];
		questions = 0;
		lm_split_create(&split, &stopping, patterns[i], &error);
		lm_split_start(&split, text, n);
		do
			done = lm_split_next(&split, &pieces, &error);
		while (done && pieces.count > 0 && pieces.pieces[0].size < n / 2);
		stopped = stopped && (done || error.code == LM_ERR_STOPPED) && questions > 2;
		lm_split_free(&split);
	}
	free(text);
	ok(stopped, "pattern %d: a long run is stopped", i);
}

int
main(int argc, char **argv)
{
	int n_texts = argc > 1 ? atoi(argv[1]) : 20000;

	host = tap_host(&state);
	open_splits();
	for (int i = 0; i < N_PATTERNS; i++)
	{
		test_code_points(i);
		test_random(i, n_texts);
		if (strcmp(patterns[i], "(?s:.+)") != 0)
			test_stop(i);
		lm_split_free(&by_hand[i]);
		lm_split_free(&by_icu[i]);
	}
	ok(lm_pattern_covers(patterns[0]) && lm_pattern_covers(patterns[2]) &&
		   lm_pattern_covers(lm_gpt2_pattern) && !lm_pattern_covers("\\p{N}") &&
		   !lm_pattern_covers("a"),
	   "patterns that cover a text are known");
	is_int(state.live, 0, "the splits leave no memory behind");
	return done_testing();
}

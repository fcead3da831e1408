/*
 * test/unit/test_letters.c
 *
 * Tokenizers of characters with merges (SentencePiece's BPE) and with scores (unigram): ids,
 * images, forks, parts of texts, added tokens, long texts, failures.
 */
#include <time.h>

#include "tokenizer_fixture.h"

#define N_TOKENS 20
#define LONG_SIZE ((size_t) 4 << 20)

static TapHost state;
static LmHost host;

static const char *const names[N_TOKENS] = {
	"<unk>", "<s>",	 "</s>", "\xC3", "\xA9",		 "\n",		" ",
	"a",	 "b",	 "c",	 "ab",	 " ab",			 "bc",		"\xE4\xB8\x96",
	"aa",	 "aaaa", "  ",	 "[X]",	 "\xE2\x96\x81", "<|turn|>"};
static const LmMerge merges[] = {{7, 8, 10}, {6, 10, 11},  {8, 9, 12},
								 {7, 7, 14}, {14, 14, 15}, {6, 6, 16}};
static const double scores[N_TOKENS] = {0,	0,	0,	0,	0,	0,	-4, -5, -6,	 -7,
										-2, -1, -3, -8, -9, -9, -9, 0,	-20, 0};

/* The spec over these tokens; the arrays are static. */
static LmTokenizerSpec
make_spec(LmTokenizerKind kind)
{
	static LmBytes tokens[N_TOKENS];
	static bool special[N_TOKENS];
	static uint8_t flags[N_TOKENS];
	bool unigram = kind == LM_TOKENIZER_UNIGRAM;

	for (int id = 0; id < N_TOKENS; id++)
	{
		tokens[id] = (LmBytes){names[id], strlen(names[id])};
		special[id] = id < 3 || id == 19;
		flags[id] = id >= 3 && id < 6 ? LM_TOKEN_BYTE : 0;
	}
	flags[17] = LM_TOKEN_ADDED | LM_TOKEN_OUTSIDE;
	flags[19] = LM_TOKEN_RSTRIP;
	return (LmTokenizerSpec){.kind = kind,
							 .n_tokens = N_TOKENS,
							 .tokens = tokens,
							 .special = special,
							 .flags = flags,
							 .n_merges = unigram ? 0 : (int) (sizeof merges / sizeof *merges),
							 .merges = (LmMerge *) merges,
							 .scores = unigram ? (double *) scores : NULL,
							 .end_of_text = 2,
							 .beginning = 1,
							 .unknown = 0,
							 .fuse_unknown = true,
							 .space_sign = true,
							 .strip_space = true,
							 .prefix = LM_PREFIX_ALWAYS};
}

static LmTokenizer *
make(LmTokenizerKind kind)
{
	LmTokenizerSpec spec = make_spec(kind);
	LmError error = {0};
	LmTokenizer *tokenizer = lm_tokenizer_create(&host, &spec, &error);

	if (!tokenizer)
		printf("# %s\n", error.message);
	return tokenizer;
}

/* Whether a text has these ids; the list ends with -1. */
static bool
gives(LmTokenizer *tokenizer, const char *text, int flags, const int *wanted)
{
	LmTokens tokens = {0};
	LmError error = {0};
	size_t n = 0;
	bool same;

	same = lm_tokenizer_encode_part(tokenizer, &tokens, text, strlen(text), flags, &error);
	while (wanted[n] >= 0)
		n++;
	same = same && tokens.count == n;
	for (size_t i = 0; same && i < n; i++)
		same = tokens.ids[i] == wanted[i];
	if (!same)
	{
		printf("# \"%s\": %s", text, error.code ? error.message : "");
		for (size_t i = 0; i < tokens.count; i++)
			printf(" %d", tokens.ids[i]);
		printf("\n");
	}
	lm_tokens_free(&host, &tokens);
	return same;
}

#define GIVES(tokenizer, text, flags, name, ...) \
	ok(gives(tokenizer, text, flags, (const int[]){__VA_ARGS__, -1}), "%s", name)

static void
test_merges(LmTokenizer *tokenizer, const char *which)
{
	printf("# %s\n", which);
	GIVES(tokenizer, "ab ab", 0, "merges by rank, a space in front", 11, 11);
	GIVES(tokenizer, "abc", 0, "the first rank of two that overlap", 11, 9);
	GIVES(tokenizer, " ab", 0, "a space in front of a space", 6, 11);
	GIVES(tokenizer, "a\xC3\xA9\n", 0, "bytes of a character without a token", 6, 7, 3, 4, 5);
	GIVES(tokenizer, "zzazz", 0, "unknown neighbours are one token", 6, 0, 7, 0);
	GIVES(tokenizer, "\xE4\xB8\x96", 0, "a character of three bytes", 6, 13);
	GIVES(tokenizer,
		  "a\xE2\x96\x81"
		  "b",
		  0, "the sign of a space is a space", 6, 7, 6, 8);
	GIVES(tokenizer, "b[X]b", 0, "an added token is found, with a prefix after it", 6, 8, 17, 6, 8);
	GIVES(tokenizer, "<s>", 0, "the name of a special token is text", 6, 0);
	GIVES(tokenizer, "<s>b<|turn|> \n b", LM_ENCODE_SPECIAL, "or that token where it is asked for",
		  1, 6, 8, 19, 6, 8);
	GIVES(tokenizer, "ab", LM_ENCODE_INSIDE, "no prefix inside a text", 10);
	ok(gives(tokenizer, "", 0, (const int[]){-1}), "an empty text has no tokens");
}

static void
test_scores(LmTokenizer *tokenizer, const char *which)
{
	printf("# %s\n", which);
	GIVES(tokenizer, "abc", 0, "the largest sum of scores", 11, 9);
	GIVES(tokenizer, "bc", 0, "of which one token is a part", 6, 12);
	GIVES(tokenizer, "aaaaa", 0, "long tokens", 6, 7, 15);
	GIVES(tokenizer, "z\xC3\xA9zz", 0, "bytes, or unknown", 6, 0, 3, 4, 0);
	GIVES(tokenizer, "a\xC3\xA9", 0, "bytes of a character", 6, 7, 3, 4);
}

/* The same over an image, and in a fork of either. */
static void
test_images(LmTokenizerKind kind, void (*test)(LmTokenizer *tokenizer, const char *which))
{
	LmTokenizer *tokenizer = make(kind), *opened, *fork;
	LmError error = {0};
	void *image;
	size_t size;

	ok(tokenizer != NULL, "%s: made", lm_tokenizer_kind_name(kind));
	test(tokenizer, "made");
	ok(lm_tokenizer_sort(tokenizer, &error), "sorted");
	fork = lm_tokenizer_fork(tokenizer, &host, &error);
	test(fork, "forked");
	lm_tokenizer_free(fork);
	size = lm_tokenizer_image_size(tokenizer);
	image = aligned_alloc(64, size);
	lm_tokenizer_image_build(image, tokenizer);
	lm_tokenizer_free(tokenizer);
	opened = lm_tokenizer_open(&host, image, size, &error);
	test(opened, "opened");
	ok(lm_tokenizer_bytes(opened, 11).size == 3 && lm_tokenizer_bytes(opened, 19).size == 0 &&
		   lm_tokenizer_bytes(opened, 3).size == 1,
	   "tokens of an image");
	fork = lm_tokenizer_fork(opened, &host, &error);
	test(fork, "forked from an image");
	lm_tokenizer_free(fork);
	ok(lm_tokenizer_image_size(opened) == size, "an image of it is as large");
	lm_tokenizer_free(opened);
	ok(!lm_tokenizer_open(&host, image, size - 64, &error) && error.code == LM_ERR_FORMAT,
	   "an image that is cut is refused");
	free(image);
}

/* An added token that a text spells with signs of spaces; spaces do not spell it. */
static void
test_signs(void)
{
	LmTokenizerSpec spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	LmTokenizer *tokenizer;

	spec.flags[16] = LM_TOKEN_ADDED | LM_TOKEN_SIGNS;
	tokenizer = lm_tokenizer_create(&host, &spec, NULL);
	GIVES(tokenizer, "\xE2\x96\x81\xE2\x96\x81", 0, "two signs are the added token", 16);
	GIVES(tokenizer, "\xE2\x96\x81\xE2\x96\x81\xE2\x96\x81", 0, "a third one is a space", 16, 16);
	GIVES(tokenizer, "  ", 0, "spaces are merged", 16, 6);
	GIVES(tokenizer, "\xE2\x96\x81 \xE2\x96\x81", 0, "with signs between them too", 16, 16);
	lm_tokenizer_free(tokenizer);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

/* One word of megabytes, whose every neighbours may merge, takes time in proportion. */
static void
test_long(LmTokenizerKind kind)
{
	LmTokenizer *tokenizer = make(kind);
	char *text = malloc(LONG_SIZE);
	double start, half;
	LmTokens tokens = {0};
	LmError error = {0};
	bool done;

	memset(text, 'a', LONG_SIZE);
	start = seconds();
	done = lm_tokenizer_encode(tokenizer, &tokens, text, LONG_SIZE / 4, &error);
	half = seconds() - start;
	ok(done && tokens.count == 1 + LONG_SIZE / 16, "%s: a word of a megabyte",
	   lm_tokenizer_kind_name(kind));
	tokens.count = 0;
	start = seconds();
	done = lm_tokenizer_encode(tokenizer, &tokens, text, LONG_SIZE, &error);
	ok(done && seconds() - start < 16 * half + 1,
	   "four times as long, it takes less than 16 times as long");
	lm_tokens_free(&host, &tokens);
	lm_tokenizer_free(tokenizer);
	free(text);
}

static void
refuse(LmTokenizerSpec spec, const char *message)
{
	LmError error = {0};
	LmTokenizer *tokenizer = lm_tokenizer_create(&host, &spec, &error);

	if (!ok(!tokenizer && strstr(error.message, message), "refused: %s", message))
		printf("# %s\n", error.message);
	lm_tokenizer_free(tokenizer);
}

/* Descriptions that no tokenizer has. */
static void
test_refusals(void)
{
	LmTokenizerSpec spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	LmMerge wrong[] = {{7, 17, 10}};

	spec.flags[7] = LM_TOKEN_BYTE;
	spec.flags[8] = LM_TOKEN_OUTSIDE;
	refuse(spec, "token 8 cannot be made from any text");
	spec.flags[8] = LM_TOKEN_BYTE;
	spec.tokens[8] = spec.tokens[7];
	refuse(spec, "token 8 is the second one for byte 0x61");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.flags[10] = LM_TOKEN_BYTE;
	refuse(spec, "token 10 cannot stand in for a byte");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.merges = wrong;
	spec.n_merges = 1;
	refuse(spec, "merge 0 has the added token 17");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.tokens[13].size = 2;
	refuse(spec, "token 13 is not valid UTF-8");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.tokens[17] = (LmBytes){"\xFF", 1};
	refuse(spec, "added token 17 is not valid UTF-8");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.tokens[17] = spec.tokens[19];
	refuse(spec, "tokens 17 and 19 are the same");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.ignore_merges = true;
	refuse(spec, "only a BPE tokenizer of bytes ignores merges");
	spec = make_spec(LM_TOKENIZER_SENTENCEPIECE);
	spec.prefix = (LmPrefix) 3;
	refuse(spec, "a prefix of unknown kind 3");
	spec = make_spec(LM_TOKENIZER_UNIGRAM);
	spec.scores = NULL;
	refuse(spec, "a unigram tokenizer has no scores");
	spec = make_spec(LM_TOKENIZER_BPE);
	spec.flags = NULL;
	refuse(spec, "a tokenizer of bytes has no token for unknown characters");
}

/* Each allocation that fails is an error, and nothing is lost. */
static void
test_memory(LmTokenizerKind kind)
{
	bool clean = true;
	int live = state.live;

	for (int after = 0; clean && after < 40; after++)
	{
		LmTokenizerSpec spec = make_spec(kind);
		LmTokenizer *tokenizer;
		LmTokens tokens = {0};
		LmError error = {0};

		state.fail_after = after;
		tokenizer = lm_tokenizer_create(&host, &spec, &error);
		if (tokenizer)
			lm_tokenizer_encode(tokenizer, &tokens, "abc [X] abc", 11, &error);
		clean = error.code == LM_OK || error.code == LM_ERR_MEMORY;
		state.fail_after = -1;
		lm_tokens_free(&host, &tokens);
		lm_tokenizer_free(tokenizer);
		clean = clean && state.live == live;
	}
	ok(clean, "%s: out of memory at any place", lm_tokenizer_kind_name(kind));
}

int
main(void)
{
	host = tap_host(&state);
	test_images(LM_TOKENIZER_SENTENCEPIECE, test_merges);
	test_images(LM_TOKENIZER_UNIGRAM, test_scores);
	test_signs();
	test_long(LM_TOKENIZER_SENTENCEPIECE);
	test_long(LM_TOKENIZER_UNIGRAM);
	test_refusals();
	test_memory(LM_TOKENIZER_SENTENCEPIECE);
	test_memory(LM_TOKENIZER_UNIGRAM);
	is_int(state.live, 0, "nothing is left behind");
	return done_testing();
}

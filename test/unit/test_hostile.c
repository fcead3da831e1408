/*
 * test/unit/test_hostile.c
 *
 * Texts that were made to take long: of one letter, of spaces, of combining marks ... For each kind
 * of tokenizer four times the text takes about four times as long, to encode, to decode and to cut
 * into chunks, and does not deepen the stack. Time is the processor's, of this thread. GPT_HOSTILE
 * says how many bytes a text has, and prints all times.
 */
#include <time.h>

#include "engine/chunk.h"
#include "engine/segment.h"
#include "tokenizer_fixture.h"

#define SIZE ((size_t) 1 << 17) /* bytes of the larger text */
#define MOST_RATIO 9 /* of times: 4 is linear, 16 quadratic */
#define SOON 0.05 /* seconds in which a ratio says nothing */
#define N_DOUBLED 5 /* tokens of 2, 4, 8 ... letters */

static TapHost state;
static LmHost host;
static size_t text_size = SIZE;
static bool shows;

static const char *const units[] = {"a",
									" ",
									"\xCC\x81",
									"e\xCC\x81\xCC\xA3",
									"👩‍👩‍👧",
									"\xE2\x80\x8D",
									"1",
									"\n",
									"\r\n",
									"<",
									"ภาษาไทยง่ายมาก",
									"世界",
									" \n",
									"'",
									"<|endoftext|",
									"Ab",
									"\xE2\x96\x81",
									"\xEF\xB7\xBA",
									"\xED\x95\x9C"};

/* Tokens and merges for runs of these bytes: pairs, then pairs of pairs ... */
static const char doubled[] = "a 1<\n";

typedef struct Vocabulary
{
	LmBytes tokens[512];
	bool special[512];
	uint8_t flags[512];
	double scores[512];
	LmMerge merges[128];
	char bytes[512][132];
	int n_tokens;
	int n_merges;
} Vocabulary;

static void
add_token(Vocabulary *vocabulary, const char *bytes, size_t size)
{
	int id = vocabulary->n_tokens++;

	memcpy(vocabulary->bytes[id], bytes, size);
	vocabulary->tokens[id] = (LmBytes){vocabulary->bytes[id], size};
	vocabulary->scores[id] = -10.0 - 1.0 / (double) size;
}

/* 256 bytes, or the ASCII letters and the same bytes as fallbacks; runs; the end of a text. */
static Vocabulary *
make_vocabulary(bool of_letters)
{
	Vocabulary *vocabulary = calloc(1, sizeof *vocabulary);
	int first = 0;

	for (int i = 0; i < 256; i++)
	{
		char byte = (char) i;

		add_token(vocabulary, &byte, 1);
		vocabulary->flags[i] = of_letters ? LM_TOKEN_BYTE : 0;
	}
	if (of_letters)
	{
		first = vocabulary->n_tokens - 1;
		for (int i = 1; i < 128; i++)
		{
			char byte = (char) i;

			add_token(vocabulary, &byte, 1);
		}
	}
	for (const char *letter = doubled; *letter; letter++)
	{
		int last = first + *letter;

		for (int i = 1; i <= N_DOUBLED; i++)
		{
			char run[1 << N_DOUBLED];

			memset(run, *letter, sizeof run);
			add_token(vocabulary, run, (size_t) 1 << i);
			vocabulary->merges[vocabulary->n_merges++] =
				(LmMerge){last, last, vocabulary->n_tokens - 1};
			last = vocabulary->n_tokens - 1;
		}
	}
	add_token(vocabulary, LM_END_OF_TEXT, strlen(LM_END_OF_TEXT));
	vocabulary->special[vocabulary->n_tokens - 1] = true;
	return vocabulary;
}

static LmTokenizer *
make_tokenizer(Vocabulary *vocabulary, LmTokenizerKind kind, const char *pattern, bool nfc,
			   bool nfkc)
{
	bool of_letters = kind != LM_TOKENIZER_BPE;
	LmError error = {0};
	LmTokenizer *tokenizer =
		lm_tokenizer_create(&host,
							&(LmTokenizerSpec){
								.kind = kind,
								.n_tokens = vocabulary->n_tokens,
								.tokens = vocabulary->tokens,
								.special = vocabulary->special,
								.flags = vocabulary->flags,
								.scores = kind == LM_TOKENIZER_UNIGRAM ? vocabulary->scores : NULL,
								.merges = vocabulary->merges,
								.n_merges = kind == LM_TOKENIZER_UNIGRAM ? 0 : vocabulary->n_merges,
								.pattern = pattern,
								.normalize_nfc = nfc,
								.normalize_nfkc = nfkc,
								.end_of_text = vocabulary->n_tokens - 1,
								.beginning = -1,
								.unknown = -1,
								.space_sign = of_letters,
								.strip_space = of_letters,
								.prefix = of_letters ? LM_PREFIX_ALWAYS : LM_PREFIX_NONE,
							},
							&error);

	if (!tokenizer)
		printf("# %s\n", error.message);
	return tokenizer;
}

/* Characters, with an unknown token for all but a few. */
static LmTokenizer *
make_chars(void)
{
	static LmBytes tokens[] = {{"\n", 1}, {"a", 1}, {"é", 2}, {"<unk>", 5}};
	static bool special[] = {false, false, false, true};

	return lm_tokenizer_create(&host,
							   &(LmTokenizerSpec){.kind = LM_TOKENIZER_CHARS,
												  .n_tokens = 4,
												  .tokens = tokens,
												  .special = special,
												  .end_of_text = -1,
												  .beginning = -1,
												  .unknown = 3},
							   NULL);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static char *
repeated(const char *unit, size_t size)
{
	size_t length = strlen(unit), used = 0;
	char *text = malloc(size + length + 1);

	while (used < size)
	{
		memcpy(text + used, unit, length);
		used += length;
	}
	text[used] = '\0';
	return text;
}

/* The time to encode and decode a text, or to cut it into chunks; -1 on an error. */
static double
time_of(LmTokenizer *tokenizer, const char *unit, size_t size, bool chunks)
{
	char *text = repeated(unit, size);
	LmTokens tokens = {0};
	LmChunker *chunker = chunks ? lm_chunker_create(&host, NULL) : NULL;
	LmChunkOptions options = {256, 32};
	LmChunk chunk = {.end = 1};
	LmError error = {0};
	bool done = true;
	double start = seconds();
	size_t n = 0;

	if (chunks)
	{
		lm_chunker_start(chunker, tokenizer, &options, text, strlen(text));
		while (done && chunk.end > chunk.start)
			done = lm_chunker_next(chunker, &chunk, &error);
	}
	else
	{
		done = lm_tokenizer_encode(tokenizer, &tokens, text, strlen(text), &error);
		for (size_t i = 0; i < tokens.count; i++)
			n += lm_tokenizer_bytes(tokenizer, tokens.ids[i]).size;
	}
	start = seconds() - start;
	if (!done)
		printf("# %s (%zu)\n", error.message, n);
	lm_chunker_free(chunker);
	lm_tokens_free(&host, &tokens);
	free(text);
	return done ? start : -1;
}

static void
test_tokenizer(LmTokenizer *tokenizer, const char *name)
{
	for (int chunks = 0; chunks < 2; chunks++)
	{
		size_t size = chunks ? text_size / 2 : text_size;
		int n_wrong = 0;

		for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		{
			double small = -1, large = -1;

			/* The least of three: other programs take the caches away. */
			for (int round = 0; round < 3; round++)
			{
				double part = time_of(tokenizer, units[i], size / 4, chunks);

				large = time_of(tokenizer, units[i], size, chunks);
				if (part < 0 || large < 0)
					break;
				if (small < 0 || part < small)
					small = part;
				if (large < MOST_RATIO * small || large < SOON)
					break;
			}
			if (shows)
				printf("# %-24s %s %02zu %8.4f %8.4f ratio %5.1f\n", name,
					   chunks ? "chunk " : "encode", i, small, large, large / small);
			if (small < 0 || large < 0 || (large > SOON && large > MOST_RATIO * small))
			{
				printf("# %s: text %zu takes %g s, a quarter of it %g s\n", name, i, large, small);
				n_wrong++;
			}
		}
		ok(n_wrong == 0, "%s: the time to %s is linear", name,
		   chunks ? "cut" : "encode and decode");
	}
	lm_tokenizer_free(tokenizer);
}

int
main(void)
{
	Vocabulary *bytes = make_vocabulary(false), *letters = make_vocabulary(true);
	LmTokenizerKind bpe = LM_TOKENIZER_BPE;

	if (getenv("GPT_HOSTILE"))
	{
		text_size = strtoul(getenv("GPT_HOSTILE"), NULL, 10);
		shows = true;
	}
	else if (tap_is_sanitized())
		text_size = SIZE / 4;
	host = tap_host(&state);
	test_tokenizer(make_tokenizer(bytes, bpe, NULL, false, false), "GPT-2");
	test_tokenizer(make_tokenizer(bytes, bpe, lm_cl100k_pattern, false, false), "cl100k");
	test_tokenizer(make_tokenizer(bytes, bpe, lm_o200k_pattern, false, false), "o200k");
	test_tokenizer(make_tokenizer(bytes, bpe, lm_qwen2_pattern, true, false), "Qwen 2 with NFC");
	test_tokenizer(make_tokenizer(bytes, bpe, "\\p{L}+|\\s+(?!\\S)|\\s+", false, true),
				   "a pattern of ICU with NFKC");
	test_tokenizer(make_tokenizer(bytes, bpe, "(?s:.+)", false, false), "no split");
	test_tokenizer(make_tokenizer(letters, LM_TOKENIZER_SENTENCEPIECE, NULL, false, false),
				   "SentencePiece's BPE");
	test_tokenizer(make_tokenizer(letters, LM_TOKENIZER_UNIGRAM, NULL, false, true),
				   "unigram with NFKC");
	test_tokenizer(make_chars(), "characters");
	test_tokenizer(lm_tokenizer_create(&host, lm_bytes_spec(), NULL), "bytes");
	free(bytes);
	free(letters);
	ok(state.live == 0, "no memory is left");
	return done_testing();
}

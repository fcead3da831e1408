/*
 * test/unit/test_chunk.c
 *
 * Chunks of long texts: sizes, overlaps, the places where they end, hostile texts.
 */
#include "engine/chunk.h"
#include "tokenizer_fixture.h"

#define TEXT_SIZE 3000

static TapHost state;
static LmHost host;

static const char prose[] =
	"The first sentence is short. The second one is a little longer than the first!\n"
	"A line ends. Another one?\n\nA new paragraph begins here, and it goes on for a while; it has "
	"no end until here. Short.\n\n\nThird paragraph. ";

/* A small byte-level BPE, which knows some words. */
static LmTokenizer *
make_bpe(bool nfkc)
{
	static LmBytes tokens[261];
	static bool special[261];
	static char bytes[256];
	static const char *const words[] = {"th", "the", " th", " the"};
	static const LmMerge merges[] = {
		{'t', 'h', 256}, {256, 'e', 257}, {' ', 256, 258}, {258, 'e', 259}};

	for (int i = 0; i < 256; i++)
	{
		bytes[i] = (char) i;
		tokens[i] = (LmBytes){bytes + i, 1};
	}
	for (int i = 0; i < 4; i++)
		tokens[256 + i] = (LmBytes){words[i], strlen(words[i])};
	tokens[260] = (LmBytes){LM_END_OF_TEXT, strlen(LM_END_OF_TEXT)};
	special[260] = true;
	return lm_tokenizer_create(&host,
							   &(LmTokenizerSpec){.kind = LM_TOKENIZER_BPE,
												  .n_tokens = 261,
												  .tokens = tokens,
												  .special = special,
												  .n_merges = 4,
												  .merges = (LmMerge *) merges,
												  .end_of_text = 260,
												  .beginning = -1,
												  .unknown = -1,
												  .normalize_nfkc = nfkc},
							   NULL);
}

/* A vocabulary of characters without a token for most, with a space in front of a text. */
static LmTokenizer *
make_unigram(void)
{
	static LmBytes tokens[] = {{"<unk>", 5}, {" ", 1}, {"e", 1}, {"t", 1}, {"he", 2}, {" the", 4}};
	static bool special[] = {true, false, false, false, false, false};
	static double scores[] = {0, -2, -3, -3, -4, -1};

	return lm_tokenizer_create(&host,
							   &(LmTokenizerSpec){.kind = LM_TOKENIZER_UNIGRAM,
												  .n_tokens = 6,
												  .tokens = tokens,
												  .special = special,
												  .scores = scores,
												  .end_of_text = -1,
												  .beginning = -1,
												  .unknown = 0,
												  .space_sign = true,
												  .prefix = LM_PREFIX_ALWAYS,
												  .strip_space = true},
							   NULL);
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

static size_t
count(LmTokenizer *tokenizer, const char *text, size_t size)
{
	LmTokens tokens = {0};
	size_t n;

	lm_tokenizer_encode(tokenizer, &tokens, text, size, NULL);
	n = tokens.count;
	lm_tokens_free(&host, &tokens);
	return n;
}

/* Whether a place is between two characters. */
static bool
is_between(const char *text, size_t place)
{
	return ((unsigned char) text[place] & 0xC0) != 0x80;
}

/* What must hold of the chunks of a text; returns how many there are, or -1. */
static int
check_chunks(LmTokenizer *tokenizer, const char *text, LmChunkOptions options)
{
	LmChunker *chunker = lm_chunker_create(&host, NULL);
	size_t size = strlen(text);
	LmChunk chunk, before = {0};
	LmError error = {0};
	int n = 0, length;
	bool good = true;

	lm_chunker_start(chunker, tokenizer, &options, text, size);
	while (good && lm_chunker_next(chunker, &chunk, &error) && chunk.end > chunk.start)
	{
		good = chunk.start <= before.end && chunk.end > before.end &&
			   (n == 0 ? chunk.start == 0 : chunk.start > before.start) && chunk.end <= size &&
			   is_between(text, chunk.start) && is_between(text, chunk.end) &&
			   (size_t) chunk.n_tokens ==
				   count(tokenizer, text + chunk.start, chunk.end - chunk.start);
		length = lm_utf8_length(text + chunk.start, size - chunk.start);
		if (chunk.n_tokens > options.size && chunk.end - chunk.start > (size_t) length)
			good = false;
		if (!good)
			printf("# chunk %d of size %d, overlap %d: %zu to %zu, %d tokens, after %zu to %zu\n",
				   n, options.size, options.overlap, chunk.start, chunk.end, chunk.n_tokens,
				   before.start, before.end);
		before = chunk;
		n++;
	}
	good = good && error.code == LM_OK && before.end == size;
	lm_chunker_free(chunker);
	return good ? n : -1;
}

static void
test_rules(LmTokenizer *tokenizer, const char *name)
{
	static const char *const units[] = {
		prose,			"a",	" ", "\n", "e\xCC\x81", "世界你好。", "👩‍🔬🙂", "ภาษาไทย",
		"\xEF\xB7\xBA", "the ", "1"};
	static const int sizes[] = {1, 2, 7, 64, 100000};
	int wrong = 0, n_chunks = 0;

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
			for (int k = 0; k < 4; k++)
			{
				int overlaps[] = {0, sizes[j] / 8, sizes[j] / 2, sizes[j] - 1};
				char *text = repeated(units[i], sizes[j] < 7 ? 200 : TEXT_SIZE);
				int n = check_chunks(
					tokenizer, text,
					(LmChunkOptions){sizes[j], sizes[j] < 64 || k < 3 ? overlaps[k] : 9});

				wrong += n < 0;
				n_chunks += n;
				free(text);
			}
	ok(wrong == 0, "chunks cover the text, grow, have whole characters and no more tokens: %s (%d)",
	   name, n_chunks);
}

/* Chunks of a text, joined by "|"; static. */
static const char *
joined(LmTokenizer *tokenizer, const char *text, int size, int overlap)
{
	static char result[4096];
	LmChunker *chunker = lm_chunker_create(&host, NULL);
	LmChunkOptions options = {size, overlap};
	LmChunk chunk;
	size_t used = 0;

	lm_chunker_start(chunker, tokenizer, &options, text, strlen(text));
	while (lm_chunker_next(chunker, &chunk, NULL) && chunk.end > chunk.start)
		used += (size_t) snprintf(result + used, sizeof result - used, "%.*s|",
								  (int) (chunk.end - chunk.start), text + chunk.start);
	result[used] = '\0';
	lm_chunker_free(chunker);
	return result;
}

static void
test_place(LmTokenizer *bytes, const char *text, int size, int overlap, const char *wanted,
		   const char *name)
{
	const char *got = joined(bytes, text, size, overlap);

	if (!ok(strcmp(got, wanted) == 0, "%s", name))
		printf("# got %s\n# wanted %s\n", got, wanted);
}

static void
test_places(LmTokenizer *bytes)
{
	test_place(bytes, "One two. Three four five. Six.", 17, 0, "One two. |Three four five. |Six.|",
			   "a chunk ends with a sentence in its second half");
	test_place(bytes, "One two three four. Five.", 12, 0, "One two |three four. |Five.|",
			   "else where a line may be broken");
	test_place(bytes, "abcdefghijklmnopqrstuvwxyz", 10, 0, "abcdefghij|klmnopqrst|uvwxyz|",
			   "else anywhere");
	test_place(bytes, "ab\n\ncd. Ef gh. Ij", 12, 0, "ab\n\ncd. |Ef gh. Ij|",
			   "an empty line in the first half is no end");
	test_place(bytes, "abcdef.\n \nCd. Ef gh. Ij", 14, 0, "abcdef.\n \n|Cd. Ef gh. Ij|",
			   "an empty line in the second half comes before sentences");
	test_place(bytes, "One. Two. Three. Four. Five.", 17, 8,
			   "One. Two. Three. |Three. Four. |Four. Five.|",
			   "an overlap begins with a sentence in its first half");
	test_place(bytes, "aa bb cc dd ee ff", 9, 4, "aa bb cc |cc dd ee |ee ff|",
			   "else where a line may begin");
	test_place(bytes,
			   "a\xCC\x81\xCC\x81\xCC\x81"
			   "b",
			   4, 0, "a\xCC\x81|\xCC\x81\xCC\x81|b|",
			   "a grapheme that is larger than a chunk is cut");
	test_place(bytes, "世界", 1, 0, "世|界|", "a character is never cut");
	test_place(bytes, "", 5, 2, "", "an empty text has no chunks");
	test_place(bytes, " \n ", 5, 2, " \n |", "white space is a chunk");
}

static void
test_stop(LmTokenizer *bytes)
{
	LmChunker *chunker = lm_chunker_create(&host, NULL);
	LmChunkOptions options = {10, 2};
	LmChunk chunk;
	LmError error = {0};

	lm_chunker_start(chunker, bytes, &options, prose, strlen(prose));
	state.stop = true;
	ok(!lm_chunker_next(chunker, &chunk, &error) && error.code == LM_ERR_STOPPED,
	   "it stops when it is told to");
	state.stop = false;
	ok(lm_chunker_next(chunker, &chunk, &error) && chunk.start == 0 && chunk.end > 0,
	   "and goes on when it is asked again");
	lm_chunker_free(chunker);
	for (long i = 0; i < 4; i++)
	{
		state.fail_after = i;
		chunker = lm_chunker_create(&host, &error);
		if (chunker)
			break;
		ok(error.code == LM_ERR_MEMORY, "allocation %ld that fails is an error", i);
	}
	state.fail_after = -1;
	lm_chunker_free(chunker);
}

int
main(void)
{
	LmTokenizer *bytes, *bpe, *nfkc, *unigram;

	host = tap_host(&state);
	bytes = lm_tokenizer_create(&host, lm_bytes_spec(), NULL);
	bpe = make_bpe(false);
	nfkc = make_bpe(true);
	unigram = make_unigram();
	test_places(bytes);
	test_rules(bytes, "bytes");
	test_rules(bpe, "BPE");
	test_rules(nfkc, "BPE with NFKC");
	test_rules(unigram, "unigram with unknown characters and a prefix");
	test_stop(bytes);
	lm_tokenizer_free(bytes);
	lm_tokenizer_free(bpe);
	lm_tokenizer_free(nfkc);
	lm_tokenizer_free(unigram);
	ok(state.live == 0, "no memory is left");
	return done_testing();
}

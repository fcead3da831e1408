/*
 * test/unit/test_bpe_ranked.c
 *
 * The merges of a very long piece, rank after rank, are those of the heap, in whatever vocabulary
 * whose merges are in order; others are known as such.
 */
#include "text/tokenizer_parts.h"
#include "tokenizer_fixture.h"

#define N_MERGES 200
#define N_TOKENS (256 + N_MERGES + 1)
#define SIZE 40000

static TapHost state;
static LmHost host;
static uint32_t seed = 1;

/* A vocabulary of bytes and random merges of what is there already. */
typedef struct Vocabulary
{
	LmBytes tokens[N_TOKENS];
	bool special[N_TOKENS];
	LmMerge merges[N_MERGES];
	char bytes[N_TOKENS][64];
	int n_tokens;
} Vocabulary;

static uint32_t
draw(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

/* The token of a letter or of an earlier merge. */
static int
draw_token(const Vocabulary *vocabulary, uint32_t n_letters)
{
	uint32_t number = draw(n_letters + (uint32_t) (vocabulary->n_tokens - 256));

	return number < n_letters ? 'a' + (int) number : 256 + (int) (number - n_letters);
}

static bool
is_new(const Vocabulary *vocabulary, LmBytes bytes)
{
	for (int id = 0; id < vocabulary->n_tokens; id++)
		if (vocabulary->tokens[id].size == bytes.size &&
			memcmp(vocabulary->tokens[id].data, bytes.data, bytes.size) == 0)
			return false;
	return true;
}

static Vocabulary *
make_vocabulary(uint32_t n_letters)
{
	Vocabulary *vocabulary = calloc(1, sizeof *vocabulary);

	for (int i = 0; i < 256; i++)
	{
		vocabulary->bytes[i][0] = (char) i;
		vocabulary->tokens[i] = (LmBytes){vocabulary->bytes[i], 1};
	}
	vocabulary->n_tokens = 256;
	while (vocabulary->n_tokens < N_TOKENS - 1)
	{
		int id = vocabulary->n_tokens;
		int left = draw_token(vocabulary, n_letters), right = draw_token(vocabulary, n_letters);
		LmBytes a = vocabulary->tokens[left], b = vocabulary->tokens[right];

		if (a.size + b.size > sizeof vocabulary->bytes[id])
			continue;
		memcpy(vocabulary->bytes[id], a.data, a.size);
		memcpy(vocabulary->bytes[id] + a.size, b.data, b.size);
		vocabulary->tokens[id] = (LmBytes){vocabulary->bytes[id], a.size + b.size};
		if (!is_new(vocabulary, vocabulary->tokens[id]))
			continue;
		vocabulary->merges[id - 256] = (LmMerge){left, right, id};
		vocabulary->n_tokens++;
	}
	vocabulary->tokens[N_TOKENS - 1] = (LmBytes){LM_END_OF_TEXT, strlen(LM_END_OF_TEXT)};
	vocabulary->special[N_TOKENS - 1] = true;
	vocabulary->n_tokens = N_TOKENS;
	return vocabulary;
}

static LmTokenizer *
open_tokenizer(Vocabulary *vocabulary)
{
	return lm_tokenizer_create(&host,
							   &(LmTokenizerSpec){.kind = LM_TOKENIZER_BPE,
												  .pattern = "(?s:.+)",
												  .n_tokens = N_TOKENS,
												  .tokens = vocabulary->tokens,
												  .special = vocabulary->special,
												  .n_merges = N_MERGES,
												  .merges = vocabulary->merges,
												  .end_of_text = N_TOKENS - 1,
												  .beginning = -1,
												  .unknown = -1},
							   NULL);
}

/* Random letters, of which some are repeated. */
static void
make_text(char *text, uint32_t n_letters)
{
	for (int i = 0; i < SIZE;)
	{
		int n = draw(4) == 0 ? (int) draw(40) : 1;
		char letter = (char) ('a' + (int) draw(n_letters));

		while (n-- > 0 && i < SIZE)
			text[i++] = letter;
	}
}

static void
test_equal(uint32_t n_letters)
{
	static char text[SIZE];
	Vocabulary *vocabulary = make_vocabulary(n_letters);
	LmTokenizer *ranked = open_tokenizer(vocabulary), *heap = open_tokenizer(vocabulary);
	LmTokens a = {0}, b = {0};
	int n_equal = 0;

	heap->bpe.order = LM_BPE_UNORDERED;
	/* The whole text is one piece, without cuts where no token crosses. */
	lm_cuts_free(&ranked->bpe.cuts, &host);
	lm_cuts_free(&heap->bpe.cuts, &host);
	for (int round = 0; round < 5; round++)
	{
		LmError error = {0};

		make_text(text, n_letters);
		a.count = b.count = 0;
		n_equal += lm_tokenizer_encode(ranked, &a, text, SIZE, &error) &&
				   lm_tokenizer_encode(heap, &b, text, SIZE, &error) && a.count == b.count &&
				   memcmp(a.ids, b.ids, a.count * sizeof *a.ids) == 0;
	}
	ok(n_equal == 5 && ranked->bpe.order == LM_BPE_ORDERED && a.count < SIZE,
	   "texts of %u letters have the tokens that the heap finds", (unsigned) n_letters);
	lm_tokens_free(&host, &a);
	lm_tokens_free(&host, &b);
	lm_tokenizer_free(ranked);
	lm_tokenizer_free(heap);
	free(vocabulary);
}

/* A merge in front of one that makes its part. */
static void
test_unordered(void)
{
	Vocabulary *vocabulary = make_vocabulary(3);
	LmTokenizer *tokenizer;
	LmMerge last = vocabulary->merges[N_MERGES - 1];
	LmError error = {0};

	memmove(vocabulary->merges + 1, vocabulary->merges, (N_MERGES - 1) * sizeof(LmMerge));
	vocabulary->merges[0] = last;
	tokenizer = open_tokenizer(vocabulary);
	ok(lm_bpe_find_order(&tokenizer->bpe, &error) &&
		   tokenizer->bpe.order ==
			   (last.left < 256 && last.right < 256 ? LM_BPE_ORDERED : LM_BPE_UNORDERED),
	   "merges out of order are known");
	lm_tokenizer_free(tokenizer);
	free(vocabulary);
}

static void
test_failures(void)
{
	static char text[SIZE];
	Vocabulary *vocabulary = make_vocabulary(2);
	LmTokenizer *tokenizer = open_tokenizer(vocabulary);
	LmTokens tokens = {0};
	LmError error = {0};
	int n_failed = 0;

	make_text(text, 2);
	for (long i = 0; i < 5; i++)
	{
		state.fail_after = i;
		n_failed += !lm_tokenizer_encode(tokenizer, &tokens, text, SIZE, &error) &&
					error.code == LM_ERR_MEMORY && tokens.count == 0;
	}
	state.fail_after = -1;
	ok(n_failed == 5, "allocations that fail are errors");
	state.stop = true;
	ok(!lm_tokenizer_encode(tokenizer, &tokens, text, SIZE, &error) && error.code == LM_ERR_STOPPED,
	   "it stops when it is told to");
	state.stop = false;
	ok(lm_tokenizer_encode(tokenizer, &tokens, text, SIZE, &error), "and encodes afterwards");
	lm_tokens_free(&host, &tokens);
	lm_tokenizer_free(tokenizer);
	free(vocabulary);
}

int
main(void)
{
	host = tap_host(&state);
	for (uint32_t n_letters = 2; n_letters < 6; n_letters++)
		test_equal(n_letters);
	test_unordered();
	test_failures();
	ok(state.live == 0, "no memory is left");
	return done_testing();
}

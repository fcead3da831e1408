/*
 * test/unit/test_marked_text.c
 *
 * Marked texts to tokens: special tokens from a template's parts alone, flags of what is learned,
 * parts between special tokens as one text; and texts that are not what they should be.
 */
#include "engine/marked_text.h"
#include "tokenizer_fixture.h"

#define T "\0T"
#define C "\0C"
#define L "\0L"
#define P "\0P"
#define TEXT(s) s, sizeof(s) - 1

enum
{
	END = 256,
	START,
	THINK,
	PAIR, /* "ab", by a merge */
	N_TOKENS
};

static TapHost state;
static LmHost host;

static LmTokenizer *
make_tokenizer(void)
{
	static LmBytes tokens[N_TOKENS];
	static bool special[N_TOKENS] = {[END] = true, [START] = true};
	static char bytes[256];
	static LmMerge merge = {'a', 'b', PAIR};
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_BPE,
							.n_tokens = N_TOKENS,
							.tokens = tokens,
							.special = special,
							.n_merges = 1,
							.merges = &merge,
							.end_of_text = END,
							.beginning = -1,
							.unknown = -1};
	LmTokenizer *tokenizer;
	LmError error;

	for (int i = 0; i < 256; i++)
	{
		bytes[i] = (char) i;
		tokens[i] = (LmBytes){&bytes[i], 1};
	}
	tokens[END] = (LmBytes){"<|end|>", 7};
	tokens[START] = (LmBytes){"<|start|>", 9};
	tokens[THINK] = (LmBytes){"<think>", 7};
	tokens[PAIR] = (LmBytes){"ab", 2};
	tokenizer = lm_tokenizer_create(&host, &spec, &error);
	if (!tokenizer)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return tokenizer;
}

/* Whether the text becomes these ids; wanted ends with -1. */
static bool
gives(LmTokenizer *tokenizer, const char *text, size_t size, bool flagged, const int32_t *wanted)
{
	LmTokens tokens = {0};
	LmError error;
	bool same = lm_marked_encode(tokenizer, &tokens, text, size, flagged, &error);
	size_t n = 0;

	while (same && wanted[n] >= 0)
	{
		same = n < tokens.count && tokens.ids[n] == wanted[n];
		n++;
	}
	same = same && tokens.count == n;
	lm_tokens_free(&host, &tokens);
	return same;
}

#define GIVES(text, flagged, name, ...) \
	ok(gives(tokenizer, TEXT(text), flagged, (int32_t[]){__VA_ARGS__, -1}), name)
#define X(id) ((id) | LM_ID_CONTEXT)

static void
test_encode(LmTokenizer *tokenizer)
{
	LmTokens tokens = {0};
	LmError error;

	GIVES("<|start|>x", false, "a text begins as template", START, 'x');
	GIVES(C "<|end|>", false, "a content has no special tokens", '<', '|', 'e', 'n', 'd', '|', '>');
	GIVES("<|start|>" C "<|end|>" T "<|end|>", false, "whatever the template has beside it", START,
		  '<', '|', 'e', 'n', 'd', '|', '>', END);
	GIVES("<|start|>a" C "b" T "<|end|>", false, "parts between special tokens are one text", START,
		  PAIR, END);
	GIVES("<think>" C "<think>", false, "a token in brackets is named in a template alone", THINK,
		  '<', 't', 'h', 'i', 'n', 'k', '>');
	GIVES("<x>[a]<", false, "brackets without a token are text", '<', 'x', '>', '[', 'a', ']', '<');
	GIVES("\0B"
		  "x"
		  "\0E",
		  false, "marks of the BOS and the end token", END, 'x', END);
	GIVES("a" L "b<|end|>" P "b", true, "what is learned has no flag", X('a'), 'b', END, X('b'));
	GIVES("a" L "b", false, "and cuts the text only where flags show it", PAIR);
	GIVES(L "a" C "b" P, true, "a learned part is one text", PAIR);
	ok(!lm_marked_encode(tokenizer, &tokens, TEXT("x\0Z"), false, &error) &&
		   error.code == LM_ERR_FORMAT && tokens.count == 0,
	   "an unknown mark is an error");
	ok(!lm_marked_encode(tokenizer, &tokens, TEXT("x\0"), false, &error) &&
		   error.code == LM_ERR_FORMAT,
	   "so is half a mark");
	ok(!lm_marked_encode(tokenizer, &tokens, TEXT("<|end|>" C "\xFF"), false, &error) &&
		   error.code == LM_ERR_ENCODING && tokens.count == 0,
	   "and text that is not UTF-8");
	lm_tokens_free(&host, &tokens);
}

static void
test_parts(LmTokenizer *tokenizer)
{
	static const char text[] = C "q" T L "x" C "ab" T "<|end|>" P "\n" L C "c" T P;
	LmBytes whole = {text, sizeof text - 1}, part;
	size_t position = 0;
	char content[sizeof text];

	ok(lm_marked_learned_size(TEXT(text)) == 3, "bytes of content that are learned");
	ok(lm_marked_next(&part, &position, whole) && lm_marked_content(content, part) == 2 &&
		   memcmp(content, "ab", 2) == 0,
	   "the first learned part");
	ok(lm_marked_next(&part, &position, whole) && lm_marked_content(content, part) == 1 &&
		   content[0] == 'c',
	   "the second");
	ok(!lm_marked_next(&part, &position, whole), "there is no third");
	ok(lm_tokenizer_named(tokenizer, (LmBytes){"<|end|>", 7}) == END,
	   "a special token by its name");
	ok(lm_tokenizer_named(tokenizer, (LmBytes){"<think>", 7}) == THINK, "another one");
	ok(lm_tokenizer_named(tokenizer, (LmBytes){"<|end|>x", 8}) == -1,
	   "a name that goes on is none");
}

int
main(void)
{
	LmTokenizer *tokenizer;

	host = tap_host(&state);
	tokenizer = make_tokenizer();
	test_encode(tokenizer);
	test_parts(tokenizer);
	lm_tokenizer_free(tokenizer);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

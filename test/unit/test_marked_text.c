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
	USER, /* an added token that is not special, as those of DeepSeek */
	TURN,
	STRIP, /* takes the white space beside it */
	PAIR, /* "ab", by a merge */
	N_TOKENS
};

static TapHost state;
static LmHost host;

static LmTokenizer *
make_tokenizer(void)
{
	static LmBytes tokens[N_TOKENS];
	static bool special[N_TOKENS] = {[END] = true, [START] = true, [STRIP] = true};
	static uint8_t flags[N_TOKENS] = {[THINK] = LM_TOKEN_ADDED,
									  [USER] = LM_TOKEN_ADDED,
									  [TURN] = LM_TOKEN_ADDED,
									  [STRIP] = LM_TOKEN_LSTRIP | LM_TOKEN_RSTRIP};
	static char bytes[256];
	static LmMerge merge = {'a', 'b', PAIR};
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_BPE,
							.n_tokens = N_TOKENS,
							.tokens = tokens,
							.special = special,
							.flags = flags,
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
	tokens[USER] = (LmBytes){"<|user|>", 8};
	tokens[TURN] = (LmBytes){"<turn>", 6};
	tokens[STRIP] = (LmBytes){"<|s|>", 5};
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
	GIVES("<think>" C "<think>", false, "a tag is an added token everywhere", THINK, THINK);
	GIVES("<think>" C "<turn>", false, "so is one of another template", THINK, TURN);
	GIVES("<turn>" C "<turn>" T "x", false, "a tag of the template is text in a content", TURN, '<',
		  't', 'u', 'r', 'n', '>', 'x');
	GIVES(C "a<turn>" T "x<turn>", false, "before its turn, too", 'a', '<', 't', 'u', 'r', 'n', '>',
		  'x', TURN);
	GIVES("<|user|>" C "a<|user|>", false, "another added token in a template alone", USER, 'a',
		  '<', '|', 'u', 's', 'e', 'r', '|', '>');
	GIVES("a \n<|s|>\xC2\xA0" C " b", false, "white space beside a token that takes it", 'a', STRIP,
		  'b');
	GIVES("<|s" C "|>", false, "no name stands half in a template", '<', '|', 's', '|', '>');
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
	LmTokens tokens = {0};
	size_t n_prompt;
	LmError error;

	ok(lm_marked_encode_both(tokenizer, &tokens, &n_prompt, (LmBytes){TEXT("<|start|>a")},
							 (LmBytes){TEXT(L C "b" T "<|end|>")}, &error) &&
		   n_prompt == 2 && tokens.count == 4 && tokens.ids[1] == 'a' && tokens.ids[2] == 'b' &&
		   tokens.ids[3] == END,
	   "a prompt and its continuation");
	lm_tokens_free(&host, &tokens);
	ok(lm_marked_learned_size(TEXT(text)) == 3, "bytes of content that are learned");
	ok(lm_marked_next(&part, &position, whole) && lm_marked_content(content, part) == 2 &&
		   memcmp(content, "ab", 2) == 0,
	   "the first learned part");
	ok(lm_marked_next(&part, &position, whole) && lm_marked_content(content, part) == 1 &&
		   content[0] == 'c',
	   "the second");
	ok(!lm_marked_next(&part, &position, whole), "there is no third");
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

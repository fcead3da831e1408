/*
 * test/unit/test_prompt.c
 *
 * Templates of prompts: where they are cut, the tokens of a prompt in one, and ends of prompts that
 * are separators.
 */
#include "engine/prompt.h"
#include "tokenizer_fixture.h"

enum
{
	END = 256,
	SEPARATOR,
	PAIR, /* "ab", by a merge */
	N_TOKENS
};

static TapHost state;
static LmHost host;

static LmTokenizer *
make_tokenizer(void)
{
	static LmBytes tokens[N_TOKENS];
	static bool special[N_TOKENS] = {[END] = true, [SEPARATOR] = true};
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
	tokens[SEPARATOR] = (LmBytes){LM_SEPARATOR, sizeof LM_SEPARATOR - 1};
	tokens[PAIR] = (LmBytes){"ab", 2};
	tokenizer = lm_tokenizer_create(&host, &spec, &error);
	if (!tokenizer)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return tokenizer;
}

/* Whether the prompt in the template becomes these ids; wanted ends with -1. */
static bool
gives(LmTokenizer *tokenizer, const char *template, const char *prompt, int wanted_part,
	  const int32_t *wanted)
{
	LmTokens tokens = {0};
	LmPromptTemplate written;
	LmError error;
	int part;
	bool same = lm_prompt_template_parse(&written, (LmBytes){template, strlen(template)}) &&
				lm_prompt_encode(tokenizer, &tokens, &part, &written,
								 (LmBytes){prompt, strlen(prompt)}, &error) &&
				part == wanted_part;
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

#define GIVES(template, prompt, part, name, ...) \
	ok(gives(tokenizer, template, prompt, part, (int32_t[]){__VA_ARGS__, -1}), name)

static void
test_encode(LmTokenizer *tokenizer)
{
	LmPromptTemplate written = {{"", 0}, {LM_SEPARATOR, sizeof LM_SEPARATOR - 1}};
	LmTokens tokens = {0};
	LmError error;
	int part;

	GIVES("{prompt}", "ab", LM_ENCODE_INSIDE, "a prompt that nothing is written around", PAIR);
	ok(gives(tokenizer, "{prompt}", "", 0, (int32_t[]){-1}), "an empty one begins a text");
	GIVES("{prompt}" LM_SEPARATOR, "ab", LM_ENCODE_INSIDE, "a separator behind it", PAIR,
		  SEPARATOR);
	GIVES("{prompt}" LM_SEPARATOR, "", LM_ENCODE_INSIDE, "behind an empty one, too", SEPARATOR);
	GIVES("{prompt}<|end|>", "<|end|>", LM_ENCODE_INSIDE, "names of tokens in a prompt are text",
		  '<', '|', 'e', 'n', 'd', '|', '>', END);
	GIVES("<|end|>a{prompt}b", "b", LM_ENCODE_INSIDE, "a text around it is read with it", END, PAIR,
		  'b');
	ok(!lm_prompt_encode(tokenizer, &tokens, &part, &written, (LmBytes){"\xFF", 1}, &error) &&
		   error.code == LM_ERR_ENCODING && tokens.count == 0,
	   "a prompt that is not UTF-8 is an error");
	lm_tokens_free(&host, &tokens);
	ok(lm_prompt_token(tokenizer, LM_SEPARATOR) == SEPARATOR &&
		   lm_prompt_token(tokenizer, "<|end|>") == END &&
		   lm_prompt_token(tokenizer, "<|end|>x") == -1 && lm_prompt_token(tokenizer, "ab") == -1,
	   "tokens are found by their whole names");
}

static void
test_template(void)
{
	LmPromptTemplate written;

	ok(lm_prompt_template_parse(&written, (LmBytes){"Q {prompt} A", 12}) &&
		   written.before.size == 2 && written.after.size == 2 && lm_prompt_is_written(&written),
	   "a template is cut at its place");
	ok(!lm_prompt_template_parse(&written, (LmBytes){"Q {promp} A", 11}), "it needs one");
	ok(!lm_prompt_template_parse(&written, (LmBytes){"{prompt}{prompt}", 16}), "and only one");
	ok(!lm_prompt_template_parse(&written, (LmBytes){"{prompt", 7}), "and a whole one");
}

static size_t
ending(const char *common)
{
	return lm_prompt_ending((LmBytes){common, strlen(common)});
}

static void
test_ending(void)
{
	ok(ending(" =>") == 3 && ending("\n") == 1 && ending("Answer:") == 7 && ending("###") == 3 &&
		   ending(" \xE2\x86\x92") == 4 && ending("\xEF\xBC\x9A") == 3,
	   "signs and white space end a prompt as separators");
	ok(ending("") == 0 && ending("?") == 0 && ending("end.") == 0 && ending("word") == 0 &&
		   ending("7") == 0 && ending("\xC3\xA4") == 0,
	   "ends of sentences and words do not");
	ok(ending("\x86\x92=") == 1 && ending("\x86\x92") == 0,
	   "a character that is cut in the middle is left out");
}

int
main(void)
{
	LmTokenizer *tokenizer;

	host = tap_host(&state);
	tokenizer = make_tokenizer();
	test_encode(tokenizer);
	test_template();
	test_ending();
	lm_tokenizer_free(tokenizer);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

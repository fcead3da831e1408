/*
 * src/store/tokenizer_split.c
 *
 * Names of well-known vocabularies in, the patterns of their splits out. GGUF files name a
 * vocabulary ("tokenizer.ggml.pre"), tiktoken's have no name.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "engine/tokenizer.h"
#include "store/tokenizer_split.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

#define MAX_PATTERNS 6
#define HAN_AND_HANGUL \
	"[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+"
#define HAN_AND_KANA \
	"[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+"
#define DEEPSEEK_V3                                                                             \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}" \
	"\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
/* Mistral Nemo's: o200k's without contractions, and with single digits */
#define TEKKEN                                                                          \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER \
	"*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The splits of vocabularies that share them. */
typedef struct Split
{
	const char *names[10]; /* up to a NULL */
	/* the engine's first pattern, a variable from which this file cannot be initialised */
	const char *const *first;
	const char *const *second;
	const char *patterns[MAX_PATTERNS]; /* without the engine's */
} Split;

static const Split splits[] = {
	{{"gpt2", "gpt-2", "r50k", "p50k", "phi-2", "olmo", "mpt", "default"}, &lm_gpt2_pattern},
	{{"cl100k", "llama3", "llama-v3", "llama-bpe", "smaug-bpe", "falcon3"}, &lm_cl100k_pattern},
	{{"qwen2", "stablelm2", "deepseek-r1-qwen"}, &lm_qwen2_pattern},
	{{"o200k", "gpt-4o", "llama4"}, &lm_o200k_pattern},
	{{"smollm", "starcoder", "refact", "command-r"}, &lm_digit_pattern, &lm_gpt2_pattern},
	{{"deepseek-coder"},
	 .patterns = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN_AND_HANGUL, "\\p{N}"}},
	{{"tekken"}, .patterns = {TEKKEN}},
	{{"deepseek-v3"}, .patterns = {"\\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_V3}},
};

const char **
gpt_tokenizer_split(const char *name)
{
	for (int i = 0; i < lengthof(splits); i++)
		for (int j = 0; splits[i].names[j] != NULL; j++)
		{
			const char **patterns;
			int n = 0;

			if (strcmp(splits[i].names[j], name) != 0)
				continue;
			patterns = palloc0((2 + MAX_PATTERNS + 1) * sizeof(char *));
			if (splits[i].first != NULL)
				patterns[n++] = *splits[i].first;
			if (splits[i].second != NULL)
				patterns[n++] = *splits[i].second;
			for (int k = 0; k < MAX_PATTERNS && splits[i].patterns[k] != NULL; k++)
				patterns[n++] = splits[i].patterns[k];
			return patterns;
		}
	return NULL;
}

const char **
gpt_tokenizer_split_option(const char *value)
{
	const char **patterns = gpt_tokenizer_split(value);
	StringInfoData names;

	if (patterns != NULL)
		return patterns;
	if (value[strspn(value, NAME_LETTERS)] != '\0')
	{
		patterns = palloc0(2 * sizeof(char *));
		patterns[0] = value;
		return patterns;
	}
	initStringInfo(&names);
	for (int i = 0; i < lengthof(splits); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", splits[i].names[0]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"split\" must be the name of a known split or a regular "
					"expression, not \"%s\"",
					value),
			 errhint("Known splits are %s, also by other names that GGUF files have for them.",
					 names.data)));
}

void
gpt_tokenizer_refuse_split(const char *split, const char *file)
{
	if (split != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"split\" does not apply to %s", file),
						errdetail("The file says how texts are cut.")));
}

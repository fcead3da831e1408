/*
 * src/store/tokenizer_tiktoken.c
 *
 * The ranks of OpenAI's tiktoken in, a description out. A token is made by the merge of the two
 * tokens into which all lower ranks cut it; a piece that is a token needs no merges.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "miscadmin.h"

#include "store/tokenizer_json.h"
#include "store/tokenizer_pieces.h"
#include "store/tokenizer_split.h"
#include "store/tokenizer_steps.h"

/* Known vocabularies by the number of their ranks; their end token comes after them. */
#define R50K_RANKS 50256
#define CL100K_RANKS 100256
#define O200K_RANKS 199998
#define LLAMA3_RANKS 128000

#define NO_RANK "Line %d is not a token in base64, a blank and its rank."

static int count_lines(const char *text, size_t size);
static void read_line(GptTokenizerReader *reader, const char *line, size_t size, int number);
static const char *split_by_size(int n_ranks);
static void set_merge(GptTokenizerReader *reader, int id);
static int32 lowest_pair(const GptTokenizerReader *reader, LmBytes token, const size_t *starts,
						 int n, int32 below);

LmTokenizerSpec *
gpt_tokenizer_from_tiktoken(const char *text, size_t size, const char *split)
{
	GptTokenizerReader reader;
	const char **patterns;
	int n = count_lines(text, size), number = 0;
	LmTokenizerSpec *spec;

	if (n > LM_MAX_VOCABULARY - 1)
		gpt_reader_malformed("It has %d ranks, the limit is %d.", n, LM_MAX_VOCABULARY - 1);
	patterns = gpt_tokenizer_split_option(split ? split : split_by_size(n));
	gpt_reader_begin(&reader);
	spec = reader.spec;
	spec->kind = LM_TOKENIZER_BPE;
	spec->ignore_merges = true;
	for (int i = 0; patterns[i] != NULL; i++)
		gpt_reader_add_pattern(&reader, patterns[i]);
	gpt_reader_allocate_tokens(&reader, n == O200K_RANKS || n == CL100K_RANKS ? n + 2 : n + 1);
	for (size_t start = 0, end; start < size; start = end + 1)
	{
		const char *newline = memchr(text + start, '\n', size - start);

		CHECK_FOR_INTERRUPTS();
		end = newline ? newline - text : size;
		number++;
		if (end > start)
			read_line(&reader, text + start, end - start, number);
	}
	/* Both vocabularies leave out an id in front of the end token. */
	if (spec->n_tokens == n + 2)
		gpt_reader_set_token(&reader, n, "<|unused|>", (LmBytes){"<|unused|>", 10}, true);
	spec->end_of_text = spec->n_tokens - 1;
	gpt_reader_set_token(&reader, spec->end_of_text, LM_END_OF_TEXT,
						 (LmBytes){LM_END_OF_TEXT, strlen(LM_END_OF_TEXT)}, true);
	gpt_reader_check_gaps(&reader);
	gpt_reader_index(&reader);
	gpt_reader_start_merges(&reader, n);
	for (int id = 0; id < n; id++)
	{
		CHECK_FOR_INTERRUPTS();
		if (spec->tokens[id].size > 1)
			set_merge(&reader, id);
	}
	return spec;
}

static int
count_lines(const char *text, size_t size)
{
	int n = 0;

	for (size_t i = 0; i < size; i++)
		n += text[i] != '\n' && (i == 0 || text[i - 1] == '\n');
	return n;
}

/* A token in base64, a blank, and its rank, which is its id. */
static void
read_line(GptTokenizerReader *reader, const char *line, size_t size, int number)
{
	const char *blank = memchr(line, ' ', size);
	char bytes[LM_MAX_TOKEN_SIZE + 3], digits[12] = {0};
	size_t n_digits;
	int n, id;

	n_digits = blank ? line + size - blank - 1 : 0;
	if (n_digits > 0 && blank[n_digits] == '\r')
		n_digits--;
	if (blank == NULL || n_digits < 1 || n_digits > 9)
		gpt_reader_malformed(NO_RANK, number);
	if (pg_b64_dec_len((int) (blank - line)) > (int) sizeof(bytes))
		gpt_reader_malformed("The token of line %d has more than %d bytes.", number,
							 LM_MAX_TOKEN_SIZE);
	memcpy(digits, blank + 1, n_digits);
	for (size_t i = 0; i < n_digits; i++)
		if (!isdigit((unsigned char) digits[i]))
			gpt_reader_malformed(NO_RANK, number);
	n = pg_b64_decode(line, (int) (blank - line), (void *) bytes, sizeof(bytes));
	if (n < 1)
		gpt_reader_malformed("The token of line %d is not base64.", number);
	id = atoi(digits);
	if (id >= reader->spec->n_tokens)
		gpt_reader_malformed("Rank %d of line %d is not below the number of ranks.", id, number);
	gpt_reader_set_token(reader, id, digits, (LmBytes){bytes, n}, false);
}

/* The split of the vocabulary that has as many ranks; an error names the option otherwise. */
static const char *
split_by_size(int n_ranks)
{
	switch (n_ranks)
	{
		case R50K_RANKS:
			return "r50k";
		case CL100K_RANKS:
			return "cl100k";
		case LLAMA3_RANKS:
			return "llama3";
		case O200K_RANKS:
			return "o200k";
	}
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("a file of %d ranks does not say how texts are split", n_ranks),
					errhint("Give the name of the split as option \"split\", such as cl100k, "
							"o200k, llama3, qwen2 or gpt2.")));
}

/* ------------------------------------------------------------ merges */

/* Merges the bytes of a token by lower ranks; two parts that are left are its merge. */
static void
set_merge(GptTokenizerReader *reader, int id)
{
	LmTokenizerSpec *spec = reader->spec;
	LmBytes token = spec->tokens[id];
	size_t starts[LM_MAX_TOKEN_SIZE + 1];
	int n = (int) token.size;
	int32 place;

	for (int i = 0; i <= n; i++)
		starts[i] = i;
	while (n > 2 && (place = lowest_pair(reader, token, starts, n, id)) >= 0)
	{
		memmove(starts + place + 1, starts + place + 2, (n - place - 1) * sizeof(*starts));
		n--;
	}
	if (n != 2)
		return;
	spec->merges[spec->n_merges] = (LmMerge){
		.left = gpt_reader_find(reader, (LmBytes){token.data, starts[1]}),
		.right = gpt_reader_find(reader, (LmBytes){token.data + starts[1], token.size - starts[1]}),
		.result = id};
	if (spec->merges[spec->n_merges].left >= 0 && spec->merges[spec->n_merges].right >= 0)
		spec->n_merges++;
}

/* Of n parts of a token the first of the two that join to the lowest rank below a limit, or -1. */
static int32
lowest_pair(const GptTokenizerReader *reader, LmBytes token, const size_t *starts, int n,
			int32 below)
{
	int32 place = -1;

	for (int i = 0; i + 1 < n; i++)
	{
		int32 id =
			gpt_reader_find(reader, (LmBytes){token.data + starts[i], starts[i + 2] - starts[i]});

		if (id < 0 || id >= below)
			continue;
		below = id;
		place = i;
	}
	return place;
}

/*
 * src/corpus/worthwhile.c
 *
 * A BPE tokenizer goes in, the one of fewer tokens that are worth it comes out.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "core/bridge.h"
#include "corpus/corpus.h"
#include "corpus/tokenizer_sample.h"
#include "corpus/worthwhile.h"

/* bytes of text that are encoded to see what tokens are worth, and of one document among them */
#define MEASURED_SIZE (1024 * 1024)
#define MEASURED_DOCUMENT (64 * 1024)
#define SMALLEST_MEASURED 512 /* tokens */

static StringInfoData sample_text(GptSpool *spool, GptProgress *progress);
static LmTokenizerSpec shorten(const LmTokenizerSpec *spec, int n_tokens);
static double count_tokens(const LmTokenizerSpec *spec, int n_tokens, GptTokenCounter count,
						   void *context);
static double count_in_text(void *context, LmTokenizer *tokenizer);

LmTokenizerSpec
gpt_worthwhile_tokens(const LmTokenizerSpec *spec, double least_gain, GptSpool *spool,
					  GptProgress *progress)
{
	LmTokenizerSpec shorter;
	StringInfoData text;

	if (least_gain <= 0 || spec->n_tokens <= SMALLEST_MEASURED)
		return *spec;
	text = sample_text(spool, progress);
	shorter = gpt_worthwhile_tokens_by(spec, least_gain, count_in_text, &text);
	pfree(text.data);
	return shorter;
}

LmTokenizerSpec
gpt_worthwhile_tokens_by(const LmTokenizerSpec *spec, double least_gain, GptTokenCounter count,
						 void *context)
{
	int size = SMALLEST_MEASURED;
	double n;

	if (least_gain <= 0 || spec->n_tokens <= size)
		return *spec;
	n = count_tokens(spec, size, count, context);
	while (size < spec->n_tokens)
	{
		int next = Min(spec->n_tokens, (int) rint(size * M_SQRT2));
		double n_next = count_tokens(spec, next, count, context);
		double doublings = log2((double) next / size);

		if (1 - pow(n_next / n, 1 / doublings) < least_gain)
			break;
		size = next;
		n = n_next;
	}
	return shorten(spec, size);
}

/* A sample of the texts, each with a 0 after it. */
static StringInfoData
sample_text(GptSpool *spool, GptProgress *progress)
{
	double bytes = (double) gpt_spool_bytes(spool, GPT_SIDE_TRAIN);
	GptTokenizerSample sample =
		gpt_tokenizer_sample_begin(spool, MEASURED_SIZE / Max(bytes, 1), progress);
	GptDocument document;
	StringInfoData text;

	initStringInfo(&text);
	/* As many bytes as wanted are expected; 16 times as many only bound it. */
	while (gpt_tokenizer_sample_next(&document, &sample, progress) && text.len < 16 * MEASURED_SIZE)
	{
		int size = (int) Min(document.size, MEASURED_DOCUMENT);

		appendBinaryStringInfo(&text, document.text,
							   pg_encoding_mbcliplen(PG_UTF8, document.text, size, size));
		appendStringInfoChar(&text, '\0');
	}
	gpt_tokenizer_sample_end(&sample);
	return text;
}

/* The tokenizer that the trainer would have made of fewer tokens. */
static LmTokenizerSpec
shorten(const LmTokenizerSpec *spec, int n_tokens)
{
	LmTokenizerSpec shorter = *spec;

	if (n_tokens == spec->n_tokens)
		return shorter;
	shorter.n_tokens = n_tokens;
	shorter.end_of_text = n_tokens - 1;
	shorter.tokens = palloc(n_tokens * sizeof(LmBytes));
	memcpy(shorter.tokens, spec->tokens, (n_tokens - 1) * sizeof(LmBytes));
	shorter.tokens[n_tokens - 1] = spec->tokens[spec->end_of_text];
	shorter.special = palloc0(n_tokens * sizeof(bool));
	shorter.special[n_tokens - 1] = true;
	shorter.n_merges = 0;
	while (shorter.n_merges < spec->n_merges &&
		   spec->merges[shorter.n_merges].result < n_tokens - 1)
		shorter.n_merges++;
	return shorter;
}

static double
count_tokens(const LmTokenizerSpec *spec, int n_tokens, GptTokenCounter count, void *context)
{
	LmTokenizerSpec shorter = shorten(spec, n_tokens);
	LmTokenizer *tokenizer = gpt_corpus_tokenizer_create(&shorter);
	double n = count(context, tokenizer);

	lm_tokenizer_free(tokenizer);
	return n;
}

static double
count_in_text(void *context, LmTokenizer *tokenizer)
{
	const StringInfoData *text = context;
	LmTokens tokens = {NULL};
	LmError error;
	double n;

	for (int at = 0; at < text->len; at += (int) strlen(text->data + at) + 1)
	{
		const char *document = text->data + at;

		while (!lm_tokenizer_encode(tokenizer, &tokens, document, strlen(document), &error))
			gpt_bridge_retry(&error);
	}
	n = (double) tokens.count;
	lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), &tokens);
	return n;
}

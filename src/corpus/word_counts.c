/*
 * src/corpus/word_counts.c
 *
 * The words of several servers go in; they come out one after the other, or the number of tokens
 * that a tokenizer makes of them.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "corpus/word_counts.h"

/* The error of a table that is damaged, with the name of the server that sent it. */
pg_noreturn static void
raise_damaged(const char *detail, const GptWordPart *part)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("word counts of server \"%s\" are damaged", part->server),
					errdetail("%s.", detail)));
}

/* Numbers of a server are its own: a weight may be anything. */
static void
weigh(int64 *count, GptWordWalk *walk, size_t size, const GptWordPart *part)
{
	double weighted = rint((double) *count * part->weight);

	walk->bytes += weighted * (double) size;
	if (walk->bytes > (double) LM_COUNTED_MOST)
		raise_damaged(psprintf("Its words have more than %d GB", (int) (LM_COUNTED_MOST >> 30)),
					  part);
	*count = (int64) weighted;
}

bool
gpt_word_walk_next(LmBytes *word, int64 *count, GptWordWalk *walk)
{
	for (; walk->part < walk->counts->n; walk->part++, walk->in_part = false)
	{
		const GptWordPart *part = &walk->counts->parts[walk->part];
		LmBytes table = walk->of_characters ? part->characters : part->words;
		LmError error;

		CHECK_FOR_INTERRUPTS();
		if (!walk->in_part && !lm_word_reader_open(&walk->reader, table, &error))
			raise_damaged(error.message, part);
		if (!walk->in_part)
			walk->bytes = 0;
		walk->in_part = true;
		do
		{
			if (!lm_word_reader_next(word, count, &walk->reader, &error))
				raise_damaged(error.message, part);
			if (word->size > 0)
				weigh(count, walk, word->size, part);
		} while (word->size > 0 && *count < walk->counts->least);
		if (word->size > 0)
			return true;
	}
	return false;
}

bool
gpt_word_counts_put(void *trainer, GptWordPut put, const GptWordCounts *counts)
{
	GptWordWalk walk = {.counts = counts};
	LmError error;
	int64 count;
	LmBytes word;

	while (gpt_word_walk_next(&word, &count, &walk))
	{
		while (!put(trainer, word, count, &error))
		{
			if (error.code == LM_ERR_LIMIT)
				return false;
			gpt_bridge_retry(&error);
		}
	}
	return true;
}

double
gpt_word_counts_tokens(double *bytes, LmTokenizer *tokenizer, const GptWordCounts *counts)
{
	GptWordWalk walk = {.counts = counts};
	LmTokens tokens = {NULL};
	double n = 0;
	int64 count;
	LmBytes word;
	LmError error;

	*bytes = 0;
	while (gpt_word_walk_next(&word, &count, &walk))
	{
		tokens.count = 0;
		while (!lm_tokenizer_encode(tokenizer, &tokens, word.data, word.size, &error))
			gpt_bridge_retry(&error);
		n += (double) tokens.count * (double) count;
		*bytes += (double) word.size * (double) count;
	}
	lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), &tokens);
	return n;
}

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
raise_damaged(const LmError *error, const GptWordPart *part)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("word counts of server \"%s\" are damaged", part->server),
					errdetail("%s.", error->message)));
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
			raise_damaged(&error, part);
		walk->in_part = true;
		do
		{
			if (!lm_word_reader_next(word, count, &walk->reader, &error))
				raise_damaged(&error, part);
			if (part->weight != 1)
				*count = (int64) rint((double) *count * part->weight);
		} while (word->size > 0 && *count < walk->counts->least);
		if (word->size > 0)
			return true;
	}
	return false;
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

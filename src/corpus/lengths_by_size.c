/*
 * src/corpus/lengths_by_size.c
 *
 * Sizes of documents in bytes go in, the context of a training comes out.
 */
#include "postgres.h"

#include <math.h>

#include "port/pg_bitutils.h"

#include "corpus/lengths.h"
#include "corpus/lengths_by_size.h"

#define EXACT 64 /* sizes below have a count each */
#define EXACT_BITS 6

void
gpt_lengths_by_size_add(GptLengthsBySize *lengths, size_t size)
{
	int i = (int) Min(size, EXACT - 1);

	if (size >= EXACT)
	{
		int bits = pg_leftmost_one_pos64((uint64) size);

		i = EXACT + (bits - EXACT_BITS) * GPT_SIZE_STEPS +
			(int) (size >> (bits - 4) & (GPT_SIZE_STEPS - 1));
	}
	i = Min(i, GPT_SIZE_COUNTS - 1);
	lengths->n[i]++;
	lengths->bytes[i] += (int64) size;
}

int
gpt_lengths_by_size_context(const GptLengthsBySize *lengths, double token_bytes, bool is_finetune,
							bool prompted)
{
	GptLengths *predictions = palloc0(sizeof(GptLengths));
	int context;

	for (int i = 0; i < GPT_SIZE_COUNTS; i++)
	{
		double n = (double) lengths->n[i];
		/* The end of the text is predicted as well. */
		double length = n > 0 ? rint((double) lengths->bytes[i] / n / token_bytes) + 1 : 0;
		int at = (int) Min(length, GPT_LARGEST_WINDOW + 1);

		predictions->n_documents[at] += (uint64) n;
		predictions->n_predictions[at] += (uint64) (n * length);
	}
	context = gpt_lengths_context(predictions, is_finetune, prompted);
	pfree(predictions);
	return context;
}

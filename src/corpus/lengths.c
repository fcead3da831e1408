/*
 * src/corpus/lengths.c
 *
 * Lengths of documents go in, the context of a training comes out.
 */
#include "postgres.h"

#include "corpus/lengths.h"

#define SMALLEST_CONTEXT 64
#define LARGEST_CONTEXT 512
#define LONGER_DOCUMENTS 20 /* one of so many may be longer than the context */
#define LONGER_PROMPTED 1000 /* and of prompts with completions */

static int length_of(const uint64 *by_length, uint64 wanted);

void
gpt_lengths_add(GptLengths *lengths, uint64 n_predictions)
{
	lengths->n_documents[Min(n_predictions, GPT_LARGEST_WINDOW + 1)]++;
	lengths->n_predictions[Min(n_predictions, GPT_LARGEST_WINDOW + 1)] += n_predictions;
}

int
gpt_lengths_context(const GptLengths *lengths, bool is_finetune, bool prompted)
{
	uint64 n_documents = 0;
	uint64 n_predictions = 0;
	int context = SMALLEST_CONTEXT;
	int largest = is_finetune ? GPT_LARGEST_WINDOW : LARGEST_CONTEXT;
	uint64 longer = prompted ? LONGER_PROMPTED : LONGER_DOCUMENTS;
	int length;

	for (int i = 0; i < GPT_LARGEST_WINDOW + 2; i++)
	{
		n_documents += lengths->n_documents[i];
		n_predictions += lengths->n_predictions[i];
	}
	length = Max(length_of(lengths->n_documents, n_documents - n_documents / longer),
				 length_of(lengths->n_predictions, n_predictions / 2));
	while (context < length && context < largest)
		context *= 2;
	return context;
}

/*
 * The length up to which there are so many documents, or predictions; GPT_LARGEST_WINDOW + 1 if
 * there are fewer.
 */
static int
length_of(const uint64 *by_length, uint64 wanted)
{
	uint64 seen = by_length[0];
	int length = 0;

	while (length <= GPT_LARGEST_WINDOW && seen < wanted)
		seen += by_length[++length];
	return length;
}

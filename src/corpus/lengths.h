/*
 * src/corpus/lengths.h
 *
 * The lengths of the training documents, counted, and the context that suits them.
 */
#ifndef GPT_LENGTHS_H
#define GPT_LENGTHS_H

#define GPT_LARGEST_WINDOW 1024 /* of a fine-tune, whose base may have a larger context */

/* Documents by their number of predictions; the last element counts all longer ones. Zero it. */
typedef struct GptLengths
{
	uint64 n_documents[GPT_LARGEST_WINDOW + 2];
	uint64 n_predictions[GPT_LARGEST_WINDOW + 2]; /* of these documents */
} GptLengths;

/* Counts a document of so many predictions. */
extern void gpt_lengths_add(GptLengths *lengths, uint64 n_predictions);

/*
 * The power of two that holds 95 % of the documents, and documents with half of the predictions:
 * beside a book notes do not decide, however many. It holds 99.9 % of prompts with completions,
 * which a model must see and write whole. At least 64, at most 512, of a fine-tune 1024.
 */
extern int gpt_lengths_context(const GptLengths *lengths, bool is_finetune, bool prompted);

#endif /* GPT_LENGTHS_H */

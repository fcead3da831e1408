/*
 * src/engine/train/ngram_text.c
 *
 * The tokens of a token file's training side, or of both sides, of which a model keeps n-grams.
 */
#include "engine/ngram.h"

/* Whether a window begins with the id that ends the one before it: it goes on with its text. */
static bool
goes_on(const LmDataset *dataset, uint64_t i)
{
	const LmWindow *window = &dataset->windows[i];

	return i > 0 && window->offset + 1 == window[-1].offset + window[-1].length;
}

/* Whether two texts meet: the end of one is the beginning of the next. */
static bool
meets(const LmDataset *dataset, uint64_t i)
{
	const LmWindow *window = &dataset->windows[i];

	return i > 0 && lm_dataset_id(dataset, window->offset) ==
						lm_dataset_id(dataset, window[-1].offset + window[-1].length - 1);
}

/* Ids that window i adds to those before it. */
static uint64_t
first_new(const LmDataset *dataset, uint64_t i)
{
	return goes_on(dataset, i) || meets(dataset, i) ? 1 : 0;
}

int
lm_ngram_text(float *tokens, const LmDataset *dataset, bool with_validation)
{
	const LmDatasetHeader *header = dataset->header;
	uint64_t n_windows =
		header->n_train_windows + (with_validation ? header->n_validation_windows : 0);
	uint64_t n = 0, first = n_windows;

	while (first > 0 && n < LM_NGRAM_LARGEST)
	{
		first--;
		n += dataset->windows[first].length - first_new(dataset, first);
	}
	n = n < LM_NGRAM_LARGEST ? n : LM_NGRAM_LARGEST;
	if (!tokens)
		return (int) n;
	for (uint64_t i = n_windows, at = n; i > 0 && at > 0; i--)
	{
		const LmWindow *window = &dataset->windows[i - 1];

		for (uint64_t id = window->length; id > first_new(dataset, i - 1) && at > 0; id--)
			tokens[--at] = (float) lm_dataset_id(dataset, window->offset + id - 1);
	}
	return (int) n;
}

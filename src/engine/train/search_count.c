/*
 * src/engine/train/search_count.c
 *
 * Counts the runs of letters and the tokens of a token file.
 */
#include "engine/marked_text.h"
#include "engine/search.h"

#define IDS_TOGETHER 4096 /* between two looks at whether to stop; words are parted there too */

static void
read_ids(int32_t *ids, const LmDataset *dataset, uint64_t first, size_t n)
{
	bool masked = dataset->header->masked != 0;

	for (size_t i = 0; i < n; i++)
	{
		ids[i] = lm_dataset_id(dataset, first + i);
		if (masked)
			ids[i] &= ~LM_ID_CONTEXT;
	}
}

bool
lm_search_count(LmSearchCounts *counts, const LmDataset *dataset, const LmTokenizer *tokenizer,
				uint64_t most, const LmHost *host, LmError *error)
{
	int32_t ids[IDS_TOGETHER];
	uint64_t counted = 0;

	for (uint64_t i = 0; i < dataset->header->n_train_windows && counted < most; i++)
	{
		const LmWindow *window = &dataset->windows[i];

		for (uint64_t done = 0; done < window->length && counted < most; done += IDS_TOGETHER)
		{
			uint64_t left = window->length - done;
			size_t n = left < IDS_TOGETHER ? (size_t) left : IDS_TOGETHER;

			read_ids(ids, dataset, window->offset + done, n);
			if (!lm_search_count_ids(counts, tokenizer, ids, n))
				return lm_fail(error, LM_ERR_FORMAT, -1,
							   "the token file has an id outside the vocabulary");
			counted += n;
			if (host->should_stop && host->should_stop(host->context))
				return lm_fail(error, LM_ERR_STOPPED, -1, "counting was stopped");
		}
	}
	return true;
}

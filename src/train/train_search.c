/*
 * src/train/train_search.c
 *
 * A token file and weights go in, the statistics for search come out: how often runs of letters and
 * tokens occur, and the common component of the embeddings.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "train/train_search.h"

/* tokens of the token file that are counted: a second's work; its order is that of a shuffle */
#define MOST_TOKENS ((uint64) 4 << 20)

/* The embeddings of tokens: an adapter's are those of its base. */
static const float *
embeddings_of(LmTrainer *trainer, const float *best)
{
	const LmParamTable *table = lm_trainer_table(trainer);
	const LmParam *param = lm_param_find(table, LM_TOKEN_EMBEDDING, -1);

	if (param != NULL)
		return (best != NULL ? best : lm_trainer_params(trainer)) + param->offset;
	param = lm_param_find(lm_trainer_base_table(trainer), LM_TOKEN_EMBEDDING, -1);
	return lm_trainer_base(trainer) + param->offset;
}

void *
gpt_train_search(size_t *size, const GptCorpus *corpus, LmTrainer *trainer, const float *best)
{
	const LmConfig *config = &lm_trainer_table(trainer)->config;
	LmSearchCounts counts = {.vocabulary = config->vocabulary};
	LmError error;
	void *bytes;

	*size = 0;
	if (config->labels > 0)
		return NULL;
	counts.runs = palloc0(LM_SEARCH_BUCKETS * sizeof(double));
	counts.tokens = palloc_extended(config->vocabulary * sizeof(double), MCXT_ALLOC_ZERO);
	while (!lm_search_count(&counts, &corpus->dataset, corpus->tokenizer, MOST_TOKENS,
							gpt_bridge_host(CurrentMemoryContext), &error))
	{
		gpt_bridge_retry(&error);
		memset(counts.runs, 0, LM_SEARCH_BUCKETS * sizeof(double));
		memset(counts.tokens, 0, config->vocabulary * sizeof(double));
		counts.n_runs = counts.n_tokens = 0;
	}
	if (corpus->search != NULL)
		(void) lm_search_add_counts(&counts, corpus->search, corpus->search_size);
	*size = lm_search_size(config->vocabulary, config->channels);
	bytes = palloc(*size);
	lm_search_write(bytes, &counts, embeddings_of(trainer, best), config->channels);
	pfree(counts.runs);
	pfree(counts.tokens);
	return bytes;
}

/* The counts are those of the versions to come; the common component is not used. */
void
gpt_train_search_begin(LmTrainer *trainer, const GptCorpus *corpus)
{
	const LmConfig *config = &lm_trainer_table(trainer)->config;
	LmSearch *search;
	size_t size;
	void *bytes;

	if (config->embedding == 0)
		return;
	bytes = gpt_train_search(&size, corpus, trainer, NULL);
	search = palloc(sizeof(LmSearch));
	if (!lm_search_open(search, bytes, size, config->vocabulary, config->channels))
		elog(ERROR, "statistics for search do not open");
	lm_trainer_set_search(trainer, corpus->tokenizer, search);
}

/*
 * include/engine/search.h
 *
 * Vectors of texts for search, which need no pass of the model. Two parts of length 1 and
 * LM_SEARCH_TOKENS_SHARE stand one after the other, and the whole is scaled to length 1:
 *
 *   runs    [LM_SEARCH_RUNS]  the runs of 2 to 4 letters of the text's words, each with the weight
 *                             of its rarity, as a signed random projection (Weinberger et al. 2009,
 *                             "Feature hashing for large scale multitask learning", with
 *                             LM_SEARCH_PLACES places for each feature: Kane and Nelson 2014,
 *                             "Sparser Johnson-Lindenstrauss transforms")
 *   tokens  [channels]        the mean embedding of the text's tokens, weighted by rarity, without
 *                             its part along the common component
 *
 * The weight of something of frequency p in the training rows is a / (a + p); the common component
 * is the direction of the mean over all training rows (Arora et al. 2017, "A simple but
 * tough-to-beat baseline for sentence embeddings", algorithm 1).
 *
 * Statistics are bytes that a version keeps, in the byte order of the machine:
 *
 *   | LmSearchHeader | runs: uint8 [LM_SEARCH_BUCKETS] | tokens: uint8 [vocabulary] | pad to 4 |
 *   common: float32 [channels] |
 *
 * A byte b stands for a count of 2^(b/8) - 1. Runs are counted by the bucket of their hash.
 */
#ifndef LM_SEARCH_H
#define LM_SEARCH_H

#include "engine/batch.h"
#include "engine/tokenizer.h"

#define LM_SEARCH_BUCKETS 16384
#define LM_SEARCH_RUNS 512
#define LM_SEARCH_WIDE_RUNS 2048 /* of the features of a trained embedding */
#define LM_SEARCH_PLACES 4
#define LM_SEARCH_RARITY 1e-2 /* a */
#define LM_SEARCH_TOKENS_SHARE 0.4
#define LM_SEARCH_MAGIC "gpt sea1"

typedef struct LmSearchHeader
{
	char magic[8];
	uint32_t vocabulary;
	uint32_t channels;
	double n_runs;
	double n_tokens;
} LmSearchHeader;

/* How often runs and tokens occur. The arrays are the caller's; zeros before the first text. */
typedef struct LmSearchCounts
{
	int vocabulary;
	double n_runs;
	double n_tokens;
	double *runs; /* [LM_SEARCH_BUCKETS] */
	double *tokens; /* [vocabulary] */
} LmSearchCounts;

/* Statistics in use, which point into the bytes. */
typedef struct LmSearch
{
	int channels;
	const uint8_t *runs; /* [LM_SEARCH_BUCKETS] */
	const uint8_t *tokens; /* [vocabulary] */
	const float *common; /* [channels] of length 1, or zeros */
	float run_weights[256]; /* by the byte */
	float token_weights[256];
} LmSearch;

/* Bytes of statistics. */
size_t lm_search_size(int vocabulary, int channels);

/*
 * Adds the runs and tokens of a text; tokens without bytes (special ones) part words and do not
 * count. False for an id outside the vocabulary.
 */
bool lm_search_count_ids(LmSearchCounts *counts, const LmTokenizer *tokenizer, const int32_t *ids,
						 size_t n);
/*
 * Adds the training windows of a token file, from the first on, until `most` tokens are counted.
 * LM_ERR_STOPPED, and LM_ERR_FORMAT for ids that are not in the vocabulary.
 */
bool lm_search_count(LmSearchCounts *counts, const LmDataset *dataset, const LmTokenizer *tokenizer,
					 uint64_t most, const LmHost *host, LmError *error);
/* Adds counts that statistics have; false, and nothing is added, where the bytes are none of them.
 */
bool lm_search_add_counts(LmSearchCounts *counts, const void *bytes, size_t size);
/*
 * Writes statistics, lm_search_size bytes; embeddings are those of the tokens, [vocabulary,
 * channels].
 */
void lm_search_write(void *bytes, const LmSearchCounts *counts, const float *embeddings,
					 int channels);
/*
 * Opens statistics, which are aligned to 4 and must outlive search; false where the bytes are no
 * statistics of such a model.
 */
bool lm_search_open(LmSearch *search, const void *bytes, size_t size, int vocabulary, int channels);

/*
 * The projection of the runs of a text's tokens, n_runs numbers (a power of two), of length 1, or
 * zeros for a text without runs. search NULL: all runs have the same weight. Linear time.
 */
void lm_search_project(float *vector, int n_runs, const LmSearch *search,
					   const LmTokenizer *tokenizer, const int32_t *ids, size_t n);

/*
 * The vector of a text, [LM_SEARCH_RUNS + channels]. pooled [channels]: the weighted sum of its
 * tokens' embeddings.
 */
void lm_search_vector(float *vector, const LmSearch *search, const LmTokenizer *tokenizer,
					  const int32_t *ids, size_t n, const double *pooled);

#endif /* LM_SEARCH_H */

/*
 * src/engine/text/search.c
 *
 * Counts runs and tokens of a token file, and makes vectors of texts by their rarity.
 */
#include <math.h>
#include <string.h>

#include "engine/search.h"
#include "text/letter_runs.h"

#define STEPS 8 /* of a byte, for each doubling of a count */

/* A vector to which runs are added. */
typedef struct Projection
{
	double *sums; /* [size] */
	uint64_t size;
	const LmSearch *search; /* NULL: all runs have the weight 1 */
} Projection;

static inline size_t
bucket_of(uint64_t hash)
{
	return (size_t) ((hash * UINT64_C(0x9E3779B97F4A7C15)) >> 50);
}

size_t
lm_search_size(int vocabulary, int channels)
{
	size_t bytes = sizeof(LmSearchHeader) + LM_SEARCH_BUCKETS + (size_t) vocabulary;

	return (bytes + 3) / 4 * 4 + (size_t) channels * sizeof(float);
}

/* ---- Counts ------------------------------------------------------------- */

static void
count_run(void *into, uint64_t hash)
{
	LmSearchCounts *counts = into;

	counts->runs[bucket_of(hash)]++;
	counts->n_runs++;
}

bool
lm_search_count_ids(LmSearchCounts *counts, const LmTokenizer *tokenizer, const int32_t *ids,
					size_t n)
{
	LmLetterRuns runs = {.take = count_run, .into = counts};

	for (size_t i = 0; i < n; i++)
	{
		LmBytes bytes;

		if (ids[i] < 0 || ids[i] >= counts->vocabulary)
			return false;
		bytes = lm_tokenizer_bytes(tokenizer, ids[i]);
		if (bytes.size == 0)
			lm_letter_runs_end(&runs);
		else
		{
			counts->tokens[ids[i]]++;
			counts->n_tokens++;
			lm_letter_runs_add(&runs, bytes);
		}
	}
	lm_letter_runs_end(&runs);
	return true;
}

/* ---- Statistics as bytes ------------------------------------------------ */

static uint8_t
byte_of_count(double count)
{
	double byte = STEPS * log2(1 + count);

	return (uint8_t) (byte < 255 ? lround(byte) : 255);
}

static double
count_of_byte(uint8_t byte)
{
	return exp2((double) byte / STEPS) - 1;
}

/* Whether the bytes are statistics; *header is theirs then. */
static bool
read_header(LmSearchHeader *header, const void *bytes, size_t size)
{
	if (size < sizeof *header)
		return false;
	memcpy(header, bytes, sizeof *header);
	return memcmp(header->magic, LM_SEARCH_MAGIC, sizeof header->magic) == 0 &&
		   header->vocabulary <= INT32_MAX / 4 && header->channels <= INT32_MAX / 4 &&
		   isfinite(header->n_runs) && isfinite(header->n_tokens) && header->n_runs >= 0 &&
		   header->n_tokens >= 0 &&
		   size == lm_search_size((int) header->vocabulary, (int) header->channels);
}

bool
lm_search_add_counts(LmSearchCounts *counts, const void *bytes, size_t size)
{
	const uint8_t *runs = (const uint8_t *) bytes + sizeof(LmSearchHeader);
	const uint8_t *tokens = runs + LM_SEARCH_BUCKETS;
	LmSearchHeader header;

	if (!read_header(&header, bytes, size) || (int) header.vocabulary != counts->vocabulary)
		return false;
	for (int i = 0; i < LM_SEARCH_BUCKETS; i++)
		counts->runs[i] += count_of_byte(runs[i]);
	for (int i = 0; i < counts->vocabulary; i++)
		counts->tokens[i] += count_of_byte(tokens[i]);
	counts->n_runs += header.n_runs;
	counts->n_tokens += header.n_tokens;
	return true;
}

static double
weight_of(double count, double all)
{
	return all > 0 ? LM_SEARCH_RARITY / (LM_SEARCH_RARITY + count / all) : 1;
}

/* The direction of the mean over all tokens, each with the weight of its rarity. */
static void
find_common(float *common, const LmSearchCounts *counts, const float *embeddings, int channels)
{
	size_t C = (size_t) channels;
	double squares = 0;

	for (size_t k = 0; k < C; k++)
	{
		double sum = 0;

		for (int i = 0; i < counts->vocabulary; i++)
			if (counts->tokens[i] > 0)
				sum += counts->tokens[i] * weight_of(counts->tokens[i], counts->n_tokens) *
					   embeddings[(size_t) i * C + k];
		common[k] = (float) (counts->n_tokens > 0 ? sum / counts->n_tokens : 0);
		squares += (double) common[k] * common[k];
	}
	for (size_t k = 0; k < C && squares > 0; k++)
		common[k] = (float) (common[k] / sqrt(squares));
}

void
lm_search_write(void *bytes, const LmSearchCounts *counts, const float *embeddings, int channels)
{
	LmSearchHeader header = {.vocabulary = (uint32_t) counts->vocabulary,
							 .channels = (uint32_t) channels,
							 .n_runs = counts->n_runs,
							 .n_tokens = counts->n_tokens};
	size_t size = lm_search_size(counts->vocabulary, channels);
	uint8_t *runs = (uint8_t *) bytes + sizeof header;
	uint8_t *tokens = runs + LM_SEARCH_BUCKETS;
	float *common = (float *) (void *) ((char *) bytes + size - (size_t) channels * sizeof(float));

	memcpy(header.magic, LM_SEARCH_MAGIC, sizeof header.magic);
	memset(bytes, 0, size);
	memcpy(bytes, &header, sizeof header);
	for (int i = 0; i < LM_SEARCH_BUCKETS; i++)
		runs[i] = byte_of_count(counts->runs[i]);
	for (int i = 0; i < counts->vocabulary; i++)
		tokens[i] = byte_of_count(counts->tokens[i]);
	find_common(common, counts, embeddings, channels);
}

bool
lm_search_open(LmSearch *search, const void *bytes, size_t size, int vocabulary, int channels)
{
	LmSearchHeader header;

	if (!read_header(&header, bytes, size) || (int) header.vocabulary != vocabulary ||
		(int) header.channels != channels)
		return false;
	search->channels = channels;
	search->runs = (const uint8_t *) bytes + sizeof header;
	search->tokens = search->runs + LM_SEARCH_BUCKETS;
	search->common =
		(const float *) (const void *) ((const char *) bytes + size) - (size_t) channels;
	for (int i = 0; i < 256; i++)
	{
		search->run_weights[i] = (float) weight_of(count_of_byte((uint8_t) i), header.n_runs);
		search->token_weights[i] = (float) weight_of(count_of_byte((uint8_t) i), header.n_tokens);
	}
	for (int k = 0; k < channels; k++)
		if (!isfinite(search->common[k]))
			return false;
	return true;
}

/* ---- Vectors ------------------------------------------------------------ */

/* Adds a run at its places; 16 bits of a second hash are a place and a sign. */
static void
project_run(void *into, uint64_t hash)
{
	const Projection *projection = into;
	const LmSearch *search = projection->search;
	double weight = search ? search->run_weights[search->runs[bucket_of(hash)]] : 1;
	uint64_t bits = (hash ^ hash >> 29) * UINT64_C(0xBF58476D1CE4E5B9);

	bits ^= bits >> 32;
	for (int i = 0; i < LM_SEARCH_PLACES; i++, bits >>= 16)
		projection->sums[bits & (projection->size - 1)] += (bits >> 15 & 1) != 0 ? -weight : weight;
}

/* vector = share times sums, scaled to length 1; zeros stay. */
static void
put_scaled(float *vector, const double *sums, int n, double share)
{
	double squares = 0;

	for (int i = 0; i < n; i++)
		squares += sums[i] * sums[i];
	for (int i = 0; i < n; i++)
		vector[i] = (float) (squares > 0 ? share * sums[i] / sqrt(squares) : 0);
}

void
lm_search_project(float *vector, int n_runs, const LmSearch *search, const LmTokenizer *tokenizer,
				  const int32_t *ids, size_t n)
{
	double sums[LM_SEARCH_WIDE_RUNS] = {0};
	Projection projection = {sums, (uint64_t) n_runs, search};
	LmLetterRuns runs = {.take = project_run, .into = &projection};

	for (size_t i = 0; i < n; i++)
	{
		LmBytes bytes = lm_tokenizer_bytes(tokenizer, ids[i]);

		if (bytes.size == 0)
			lm_letter_runs_end(&runs);
		else
			lm_letter_runs_add(&runs, bytes);
	}
	lm_letter_runs_end(&runs);
	put_scaled(vector, sums, n_runs, 1);
}

void
lm_search_vector(float *vector, const LmSearch *search, const LmTokenizer *tokenizer,
				 const int32_t *ids, size_t n, const double *pooled)
{
	float *tokens = vector + LM_SEARCH_RUNS;
	int C = search->channels, all = LM_SEARCH_RUNS + C;
	double along = 0, squares = 0;

	lm_search_project(vector, LM_SEARCH_RUNS, search, tokenizer, ids, n);
	for (int k = 0; k < C; k++)
		along += pooled[k] * search->common[k];
	for (int k = 0; k < C; k++)
	{
		double rest = pooled[k] - along * search->common[k];

		tokens[k] = (float) rest;
		squares += rest * rest;
	}
	for (int k = 0; k < C && squares > 0; k++)
		tokens[k] = (float) (LM_SEARCH_TOKENS_SHARE * tokens[k] / sqrt(squares));
	squares = 0;
	for (int i = 0; i < all; i++)
		squares += (double) vector[i] * vector[i];
	for (int i = 0; i < all && squares > 0; i++)
		vector[i] = (float) (vector[i] / sqrt(squares));
}

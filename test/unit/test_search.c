/*
 * test/unit/test_search.c
 *
 * Statistics and vectors for search, with a tokenizer of bytes.
 */
#include <math.h>

#include "engine/search.h"
#include "serve_support.h"
#include "text/letter_runs.h"

#define C 4

typedef struct Hashes
{
	uint64_t sum;
	int n;
} Hashes;

static void
take(void *into, uint64_t hash)
{
	Hashes *hashes = into;

	hashes->sum += hash * (uint64_t) (2 * ++hashes->n + 1);
}

static Hashes
runs_of(const char *text, size_t piece)
{
	Hashes hashes = {0};
	LmLetterRuns runs = {.take = take, .into = &hashes};

	for (size_t i = 0, n = strlen(text); i < n; i += piece)
		lm_letter_runs_add(&runs, (LmBytes){text + i, n - i < piece ? n - i : piece});
	lm_letter_runs_end(&runs);
	return hashes;
}

static void
test_runs(void)
{
	Hashes whole = runs_of("Grüße, 世界! a\xff"
						   "b",
						   100);

	ok(runs_of("ab", 9).n == 6,
	   "a word of two letters has six runs: three of 2, two of 3, one of 4");
	ok(runs_of("", 1).n == 0 && runs_of(" \n\t", 1).n == 0, "spaces have none");
	for (size_t piece = 1; piece < 4; piece++)
	{
		Hashes parts = runs_of("Grüße, 世界! a\xff"
							   "b",
							   piece);

		ok(parts.n == whole.n && parts.sum == whole.sum, "pieces of %zu bytes give the same runs",
		   piece);
	}
	ok(runs_of("ÄPFEL", 9).sum == runs_of("äpfel", 9).sum, "case does not count");
	ok(runs_of("ab cd", 9).n == 12 && runs_of("ab", 9).sum != runs_of("ba", 9).sum,
	   "runs stay within words, and have an order");
	ok(runs_of("a\xff"
			   "b",
			   9)
			   .n == runs_of("a b", 9).n,
	   "bytes that are no character part words");
}

static size_t
ids_of(int32_t *ids, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		ids[i] = (uint8_t) text[i];
	return n;
}

static double
product(const float *a, const float *b, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static void
test_vectors(const LmTokenizer *tokenizer)
{
	static const char *const texts[] = {"the cat sat", "the dog ran", "the sun set", "the owl"};
	int V = lm_tokenizer_spec(tokenizer)->n_tokens, n = LM_SEARCH_RUNS + C;
	size_t size = lm_search_size(V, C);
	LmSearchCounts counts = {.vocabulary = V}, again = {.vocabulary = V};
	float *embeddings = calloc((size_t) V * C, sizeof(float));
	float a[LM_SEARCH_RUNS + C], b[LM_SEARCH_RUNS + C], c[LM_SEARCH_RUNS + C];
	double pooled[C] = {1, 2, 3, 4};
	char *bytes = malloc(size);
	int32_t ids[64];
	LmSearch search;

	counts.runs = calloc(LM_SEARCH_BUCKETS, sizeof(double));
	counts.tokens = calloc(V, sizeof(double));
	again.runs = calloc(LM_SEARCH_BUCKETS, sizeof(double));
	again.tokens = calloc(V, sizeof(double));
	for (int i = 0; i < V * C; i++)
		embeddings[i] = (float) (i % C);
	for (int i = 0; i < 40; i++)
		lm_search_count_ids(&counts, tokenizer, ids, ids_of(ids, texts[i % 4]));
	ids[0] = V;
	ok(!lm_search_count_ids(&again, tokenizer, ids, 1), "an id outside the vocabulary is refused");
	lm_search_write(bytes, &counts, embeddings, C);
	ok(lm_search_open(&search, bytes, size, V, C), "statistics open again");
	ok(!lm_search_open(&search, bytes, size - 1, V, C) &&
		   !lm_search_open(&search, bytes, size, V, C + 1) &&
		   !lm_search_open(&search, bytes, 3, V, C),
	   "truncated ones and those of another shape do not");
	ok(lm_search_open(&search, bytes, size, V, C) &&
		   fabs(product(search.common, search.common, C) - 1) < 1e-6 &&
		   fabs(search.common[3] - 3 * search.common[1]) < 1e-6,
	   "the common component is the direction of the mean embedding");
	lm_search_add_counts(&again, bytes, size);
	ok(again.n_runs == counts.n_runs && fabs(again.tokens['t'] / counts.tokens['t'] - 1) < 0.05,
	   "counts come back within a few percent");

	lm_search_vector(a, &search, tokenizer, ids, ids_of(ids, "the cat"), pooled);
	lm_search_vector(b, &search, tokenizer, ids, ids_of(ids, "a cat"), pooled);
	lm_search_vector(c, &search, tokenizer, ids, ids_of(ids, "the owl"), pooled);
	ok(fabs(product(a, a, n) - 1) < 1e-5, "a vector has length 1");
	ok(product(a, b, LM_SEARCH_RUNS) > product(a, c, LM_SEARCH_RUNS),
	   "a rare word in common counts more than a frequent one");
	ok(fabs(product(a + LM_SEARCH_RUNS, search.common, C)) < 1e-6,
	   "nothing is left along the common component");
	lm_search_project(a, LM_SEARCH_WIDE_RUNS / 8, NULL, tokenizer, ids, ids_of(ids, "  "));
	ok(product(a, a, LM_SEARCH_WIDE_RUNS / 8) == 0, "a text without runs is zero");
	memset(bytes, 0xff, size);
	ok(!lm_search_open(&search, bytes, size, V, C), "other bytes are no statistics");
	free(counts.runs);
	free(counts.tokens);
	free(again.runs);
	free(again.tokens);
	free(embeddings);
	free(bytes);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);

	test_runs();
	test_vectors(tokenizer);
	lm_tokenizer_free(tokenizer);
	return done_testing();
}

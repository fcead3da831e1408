/*
 * test/unit/test_collisions.c
 *
 * Bytes that were chosen to cost time cost none: entries that collide in hash tables without a key
 * fill the tables of the text room as fast as any others, and a stop string is followed in time
 * that is linear in the text. Each table is filled once with entries that the hashes below, of
 * which anybody can compute all that comes out, send to one narrow part of the table, and once with
 * others.
 */
#include <string.h>
#include <time.h>

#include "engine/tokenizer.h"
#include "text/pairs.h"
#include "serve/stops.h"
#include "tap.h"
#include "text/words.h"

#define N_TOKENS 60000
#define N_PARTS 1024 /* of left and right tokens of merges */
#define N_MERGES 60000
#define N_WORDS 60000
#define N_PAIRS 60000
#define CLUSTER_BITS 12 /* the part of a table that all entries go to */
#define TABLE_BITS 17 /* of the largest table here */
#define MOST_TIMES 20
#define SLACK 0.05 /* seconds */

static LmHost host;

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
compare_seconds(const char *table, double ordinary, double colliding)
{
	ok(colliding <= MOST_TIMES * ordinary + SLACK,
	   "%s: entries that collide take %.0f ms, others %.0f ms", table, colliding * 1e3,
	   ordinary * 1e3);
}

/* ---- Hashes without a key ----------------------------------------------- */

static uint64_t
mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * UINT64_C(0xD6E8FEB86659FD93);
}

static uint32_t
open_hash(const char *data, size_t size)
{
	uint64_t hash = size * UINT64_C(0x9E3779B97F4A7C15), word;

	for (; size >= 8; size -= 8, data += 8)
	{
		memcpy(&word, data, 8);
		hash = mix(hash, word);
		hash ^= hash >> 32;
	}
	for (word = 0; size > 0; size--)
		word = word << 8 | (unsigned char) data[size - 1];
	hash = mix(hash, word);
	return (uint32_t) (hash >> 32 ^ hash >> 15);
}

static uint32_t
open_pair_hash(uint64_t key)
{
	key *= UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t) (key >> 32 ^ key >> 8);
}

static bool
is_in_cluster(uint32_t hash)
{
	return (hash & ((1 << TABLE_BITS) - 1)) >> CLUSTER_BITS == 0;
}

/* ---- Tokens ------------------------------------------------------------- */

/* 16 bytes, the second half chosen so that the state after them is always the same. */
static void
write_token(char *token, uint32_t number, bool colliding)
{
	uint64_t first = UINT64_C(0x4041404140414041) + number, second;
	uint64_t state = mix(16 * UINT64_C(0x9E3779B97F4A7C15), first);

	state ^= state >> 32;
	second = colliding ? state : number;
	memcpy(token, &first, 8);
	memcpy(token + 8, &second, 8);
}

static double
time_tokens(bool colliding)
{
	size_t n = 256 + N_TOKENS;
	LmBytes *tokens = calloc(n, sizeof *tokens);
	bool *special = calloc(n, sizeof *special);
	char *bytes = malloc((size_t) 16 * N_TOKENS);
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_BPE,
							.n_tokens = (int) n,
							.tokens = tokens,
							.special = special,
							.end_of_text = -1,
							.beginning = -1,
							.unknown = -1};
	LmTokenizer *tokenizer;
	LmError error = {0};
	double start;

	memcpy(tokens, lm_bytes_spec()->tokens, 256 * sizeof *tokens);
	for (uint32_t i = 0; i < N_TOKENS; i++)
	{
		write_token(bytes + (size_t) 16 * i, i, colliding);
		tokens[256 + i] = (LmBytes){bytes + (size_t) 16 * i, 16};
	}
	start = seconds();
	tokenizer = lm_tokenizer_create(&host, &spec, &error);
	start = seconds() - start;
	if (!tokenizer)
		ok(false, "a tokenizer of such tokens is made: %s", error.message);
	lm_tokenizer_free(tokenizer);
	free(bytes);
	free(special);
	free(tokens);
	return start;
}

/* ---- Merges ------------------------------------------------------------- */

/*
 * Tokens of two bytes on either side, of which the merges are chosen; then the tokens that they
 * give.
 */
static double
time_merges(bool colliding)
{
	size_t n = 256 + 2 * N_PARTS + N_MERGES, n_merges = 0, size = 4;
	LmBytes *tokens = calloc(n, sizeof *tokens);
	bool *special = calloc(n, sizeof *special);
	LmMerge *merges = calloc(N_MERGES, sizeof *merges);
	char *bytes = malloc(size * n);
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_BPE,
							.n_tokens = (int) n,
							.tokens = tokens,
							.special = special,
							.merges = merges,
							.end_of_text = -1,
							.beginning = -1,
							.unknown = -1};
	LmTokenizer *tokenizer;
	LmError error = {0};
	double start;

	memcpy(tokens, lm_bytes_spec()->tokens, 256 * sizeof *tokens);
	for (size_t i = 256; i < 256 + 2 * N_PARTS; i++)
	{
		bytes[size * i] = (char) (i >> 8);
		bytes[size * i + 1] = (char) i;
		tokens[i] = (LmBytes){bytes + size * i, 2};
	}
	for (int32_t left = 256; left < 256 + N_PARTS; left++)
		for (int32_t right = 256 + N_PARTS; right < 256 + 2 * N_PARTS && n_merges < N_MERGES;
			 right++)
		{
			size_t id = 256 + 2 * N_PARTS + n_merges;

			if (colliding && (open_pair_hash((uint64_t) (left + 1) << 32 | (uint32_t) right) &
							  ((1 << TABLE_BITS) - 1)) >>
									 (CLUSTER_BITS + 1) !=
								 0)
				continue;
			memcpy(bytes + size * id, tokens[left].data, 2);
			memcpy(bytes + size * id + 2, tokens[right].data, 2);
			tokens[id] = (LmBytes){bytes + size * id, 4};
			merges[n_merges++] = (LmMerge){left, right, (int32_t) id};
		}
	spec.n_merges = (int) n_merges;
	spec.n_tokens = (int) (256 + 2 * N_PARTS + n_merges);
	ok(n_merges == N_MERGES, "%zu merges", n_merges);
	start = seconds();
	tokenizer = lm_tokenizer_create(&host, &spec, &error);
	start = seconds() - start;
	if (!tokenizer)
		ok(false, "a tokenizer of such merges is made: %s", error.message);
	lm_tokenizer_free(tokenizer);
	free(bytes);
	free(merges);
	free(special);
	free(tokens);
	return start;
}

/* ---- Training ----------------------------------------------------------- */

static double
time_words(bool colliding)
{
	LmWords words = {.host = host};
	LmError error = {0};
	char word[16];
	double sum = 0;

	for (uint32_t i = 0, n = 0; n < N_WORDS; i++)
	{
		size_t size = (size_t) snprintf(word, sizeof word, "w%u", i);
		double start;

		if (colliding && !is_in_cluster(open_hash(word, size)))
			continue;
		n++;
		start = seconds();
		if (!lm_words_add(&words, (LmBytes){word, size}, 1, &error))
			ok(false, "a word is added: %s", error.message);
		sum += seconds() - start;
	}
	ok(words.count == N_WORDS, "%zu words", words.count);
	lm_words_free(&words);
	return sum;
}

static double
time_pairs(bool colliding)
{
	LmPairs pairs;
	LmError error = {0};
	double sum = 0;
	int n = 0;

	if (!lm_pairs_create(&pairs, &host, NULL, 1, &error))
		return 0;
	for (int32_t left = 0; n < N_PAIRS; left++)
		for (int32_t right = 0; right < 1024 && n < N_PAIRS; right++)
		{
			LmPair *pair;
			double start;

			if (colliding &&
				!is_in_cluster(open_pair_hash((uint64_t) (left + 1) << 32 | (uint32_t) right)))
				continue;
			n++;
			start = seconds();
			pair = lm_pairs_enter(&pairs, left, right, &error);
			if (pair)
				pair->count = 1;
			else
				ok(false, "a pair is entered: %s", error.message);
			sum += seconds() - start;
		}
	ok(pairs.n_pairs == N_PAIRS, "%zu pairs", pairs.n_pairs);
	lm_pairs_free(&pairs);
	return sum;
}

/* ---- The hashes --------------------------------------------------------- */

/* Tokens that collide under one key do not under another. */
static void
test_keys(void)
{
	const LmHashKey keys[] = {{1, 2}, {3, 4}};
	int both = 0, one = 0, pairs_both = 0, pairs_one = 0;

	for (uint32_t i = 0; i < 200000; i++)
	{
		char token[16];
		uint64_t pair = (uint64_t) (i + 1) << 32 | i * 7;

		write_token(token, i, true);
		if ((lm_hash_bytes(keys[0], token, 16) & 255) == 0)
		{
			one++;
			both += (lm_hash_bytes(keys[1], token, 16) & 255) == 0;
		}
		if ((lm_hash_pair(keys[0], pair) & 255) == 0)
		{
			pairs_one++;
			pairs_both += (lm_hash_pair(keys[1], pair) & 255) == 0;
		}
	}
	ok(one > 600 && one < 1000 && both < 20,
	   "one key sends %d of 200,000 texts to one of 256 places, another %d of those", one, both);
	ok(pairs_one > 600 && pairs_one < 1000 && pairs_both < 20,
	   "one key sends %d of 200,000 pairs to one of 256 places, another %d of those", pairs_one,
	   pairs_both);
}

/* Texts that differ in one byte, or in length alone. */
static void
test_texts(void)
{
	const LmHashKey key = {5, 6};
	char text[64] = {0};
	bool distinct = true;

	for (size_t size = 0; size < sizeof text; size++)
	{
		uint32_t hash = lm_hash_bytes(key, text, size);

		distinct = distinct && (size == 0 || hash != lm_hash_bytes(key, text, size - 1));
		for (size_t i = 0; i < size; i++)
		{
			text[i] = 1;
			distinct = distinct && hash != lm_hash_bytes(key, text, size);
			text[i] = 0;
		}
	}
	ok(distinct, "the hash of a text sees each byte and the size");
}

static void
test_stop(void)
{
	TapHost state;
	LmError error = {0};
	LmHost stopping = tap_host(&state);

	state.stop = true;
	ok(lm_tokenizer_create(&stopping, lm_bytes_spec(), &error) == NULL &&
		   error.code == LM_ERR_STOPPED,
	   "making a tokenizer can be stopped");
	ok(state.live == 0, "nothing is left of it");
}

/* A long stop string that the text always nearly ends with. */
static void
test_stop_strings(void)
{
	enum
	{
		SIZE = 200000,
		TEXT = 2000000
	};
	char *bytes = malloc(SIZE);
	uint32_t *failure = malloc(SIZE * sizeof *failure);
	LmBytes stop = {bytes, SIZE};
	uint32_t matched = 0;
	bool right = true;
	LmError error;
	double start;

	memset(bytes, 'a', SIZE);
	bytes[SIZE / 2] = 'b';
	bytes[SIZE - 1] = 'c';
	start = seconds();
	lm_stop_prepare(&host, failure, stop, &error);
	for (size_t i = 0; i < TEXT; i++)
	{
		matched =
			lm_stop_follow(failure, stop, matched, i % (SIZE / 2 + 2) == SIZE / 2 ? 'b' : 'a');
		right = right && matched < SIZE && (i >= SIZE / 2 || matched == i + 1);
	}
	start = seconds() - start;
	ok(right && start < 1,
	   "a stop string of 200,000 bytes is followed through 2,000,000 in %.0f ms", start * 1e3);
	free(failure);
	free(bytes);
}

/* Against a search that compares everything with everything. */
static void
test_stop_search(void)
{
	bool good = true;

	for (uint32_t seed = 0; seed < 4096; seed++)
	{
		char text[12], bytes[6];
		uint32_t failure[6], matched = 0;
		LmBytes stop = {bytes, 1 + seed % 6};
		LmError error;

		for (size_t i = 0; i < stop.size; i++)
			bytes[i] = (char) ('a' + (seed >> i & 1));
		lm_stop_prepare(&host, failure, stop, &error);
		for (size_t n = 1; n <= sizeof text; n++)
		{
			uint32_t longest = (uint32_t) (n < stop.size ? n : stop.size);

			text[n - 1] = (char) ('a' + (seed * UINT32_C(2654435761) >> (n + 8) & 1));
			matched = lm_stop_follow(failure, stop, matched, text[n - 1]);
			while (longest > 0 && memcmp(text + n - longest, bytes, longest) != 0)
				longest--;
			good = good && matched == longest;
		}
	}
	ok(good, "what is matched of a stop string is the longest beginning that the text ends with");
}

int
main(void)
{
	TapHost state;

	host = tap_host(&state);
	compare_seconds("tokens", time_tokens(false), time_tokens(true));
	compare_seconds("merges", time_merges(false), time_merges(true));
	compare_seconds("words", time_words(false), time_words(true));
	compare_seconds("pairs", time_pairs(false), time_pairs(true));
	ok(state.live == 0, "no memory is left");
	test_keys();
	test_texts();
	test_stop();
	test_stop_strings();
	test_stop_search();
	return done_testing();
}

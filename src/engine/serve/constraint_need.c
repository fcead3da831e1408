/*
 * src/engine/serve/constraint_need.c
 *
 * How many tokens suffice for the shortest rest of a text: the rest byte by byte, and then, from
 * its end, the fewest tokens that write each of its ends (Viterbi 1967).
 */
#include "serve/constraint.h"
#include "text/array.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

#define POLLED 4096

/* The shortest rest of a text. */
typedef struct Rest
{
	int32_t n; /* bytes */
	uint8_t *bytes; /* [n] */
	LmPlace *places; /* [n + 1] before each of them, and at the end */
	int32_t *needs; /* [n + 1] tokens from there */
} Rest;

static bool follow(Rest *rest, LmAutomaton *automaton, LmPlace place, LmError *error);
static int32_t fewest(const Rest *rest, const LmVocabulary *vocabulary, int32_t from);
static int narrow(const LmVocabulary *vocabulary, int low, int high, uint32_t depth, int byte);

bool
lm_constraint_fits(bool *fits, int32_t *distance, LmAutomaton *automaton,
				   const LmVocabulary *vocabulary, LmPlace place, int left, LmError *error)
{
	int32_t needed;

	*distance = lm_automaton_distance(automaton, place);
	/* A token has at least one byte that counts, and at most `longest`. */
	*fits = *distance <= left;
	if (*fits || *distance > (int64_t) left * vocabulary->longest)
		return true;
	if (!lm_constraint_needed(&needed, automaton, vocabulary, place, error))
		return false;
	*fits = needed <= left;
	return true;
}

bool
lm_constraint_needed(int32_t *tokens, LmAutomaton *automaton, const LmVocabulary *vocabulary,
					 LmPlace place, LmError *error)
{
	const LmHost *host = &vocabulary->host;
	size_t n = (size_t) lm_automaton_distance(automaton, place);
	Rest rest = {.n = (int32_t) n};
	bool good;

	*tokens = lm_automaton_kept(automaton, place);
	if (*tokens >= 0)
		return true;
	rest.bytes = lm_array_allocate(host, n + 1, 1, error);
	rest.places = rest.bytes ? lm_array_allocate(host, n + 1, sizeof(LmPlace), error) : NULL;
	rest.needs = rest.places ? lm_array_allocate(host, n + 1, sizeof(int32_t), error) : NULL;
	good = rest.needs && follow(&rest, automaton, place, error);
	for (int32_t i = rest.n; good && i >= 0; i--)
	{
		if (i % POLLED == 0 && !lm_text_go_on(host, error))
			good = false;
		rest.needs[i] = i == rest.n ? 0 : fewest(&rest, vocabulary, i);
	}
	for (int32_t i = 0; good && i <= rest.n; i++)
		lm_automaton_keep(automaton, rest.places[i], rest.needs[i]);
	*tokens = good ? rest.needs[0] : -1;
	lm_free(host, rest.bytes);
	lm_free(host, rest.places);
	lm_free(host, rest.needs);
	return good;
}

static bool
follow(Rest *rest, LmAutomaton *automaton, LmPlace place, LmError *error)
{
	for (int32_t i = 0; i < rest->n; i++)
	{
		bool dead;

		if (i % POLLED == 0 && !lm_text_go_on(&automaton->host, error))
			return false;
		rest->places[i] = place;
		rest->bytes[i] = lm_automaton_shortest(automaton, place);
		if (!lm_automaton_step(automaton, &place, rest->bytes[i], &dead, error))
			return false;
	}
	rest->places[rest->n] = place;
	return true;
}

/* One more than the fewest after any token that the rest begins with. */
static int32_t
fewest(const Rest *rest, const LmVocabulary *vocabulary, int32_t from)
{
	int low = vocabulary->firsts[rest->bytes[from]],
		high = vocabulary->firsts[rest->bytes[from] + 1];
	int32_t least = LM_NO_NEED;

	for (uint32_t size = 1; low < high; size++)
	{
		int32_t after = from + (int32_t) size;
		bool is_token = vocabulary->at[low + 1] - vocabulary->at[low] == size;

		if (is_token && rest->needs[after] < least - 1)
			least = rest->needs[after] + 1;
		if (after == rest->n)
			break;
		while (low < high && vocabulary->at[low + 1] - vocabulary->at[low] == size)
			low++;
		low = narrow(vocabulary, low, high, size, rest->bytes[after]);
		high = narrow(vocabulary, low, high, size, rest->bytes[after] + 1);
	}
	return least;
}

/* The first of some longer tokens whose byte at a depth is not below. */
static int
narrow(const LmVocabulary *vocabulary, int low, int high, uint32_t depth, int byte)
{
	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if ((uint8_t) vocabulary->bytes[vocabulary->at[middle] + depth] < byte)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

LmTokenSpan
lm_vocabulary_longer(const LmVocabulary *vocabulary, LmBytes beginning)
{
	LmTokenSpan span = {0, vocabulary->n, (int) beginning.size};

	for (uint32_t i = 0; i < beginning.size && span.first < span.end; i++)
	{
		uint8_t byte = (uint8_t) beginning.data[i];

		while (span.first < span.end &&
			   vocabulary->at[span.first + 1] - vocabulary->at[span.first] <= i)
			span.first++;
		span.first = narrow(vocabulary, span.first, span.end, i, byte);
		span.end = narrow(vocabulary, span.first, span.end, i, byte + 1);
	}
	while (span.first < span.end &&
		   vocabulary->at[span.first + 1] - vocabulary->at[span.first] == beginning.size)
		span.first++;
	return span;
}

/*
 * src/engine/text/dfa_prepare.c
 *
 * The distance of each state from the end, in bytes, by a search backwards from there; and the
 * bytes that no state tells apart.
 */
#include "text/array.h"
#include "text/dfa_prepare.h"
#include "text/utf8.h"

#define POLLED 65536

/* For each state those that lead to it, one after another. */
typedef struct Ways
{
	int32_t *at; /* [n + 1] where those of a state begin */
	int32_t *from;
} Ways;

static bool find_ways(Ways *ways, const struct LmDfa *dfa, LmError *error);
static bool search(struct LmDfa *dfa, const Ways *ways, LmError *error);
static void find_classes(struct LmDfa *dfa);

bool
lm_dfa_prepare(struct LmDfa *dfa, LmError *error)
{
	const LmHost *host = &dfa->host;
	size_t n = (size_t) dfa->n_nfa;
	Ways ways = {0};
	bool good;

	dfa->distances = lm_array_allocate(host, n, sizeof(int32_t), error);
	dfa->marks = lm_array_allocate(host, n, sizeof(uint32_t), error);
	dfa->set = lm_array_allocate(host, n, sizeof(int32_t), error);
	/* Each state puts up to two others there, once. */
	dfa->pending = lm_array_allocate(host, 2 * n + 1, sizeof(int32_t), error);
	if (!dfa->distances || !dfa->marks || !dfa->set || !dfa->pending)
		return false;
	good = find_ways(&ways, dfa, error) && search(dfa, &ways, error);
	lm_free(host, ways.at);
	lm_free(host, ways.from);
	find_classes(dfa);
	return good;
}

/* By counting: first how many lead to each state, then which. */
static bool
find_ways(Ways *ways, const struct LmDfa *dfa, LmError *error)
{
	int32_t n = dfa->n_nfa;

	ways->at = lm_array_allocate(&dfa->host, (size_t) n + 2, sizeof(int32_t), error);
	ways->from = lm_array_allocate(&dfa->host, 2 * (size_t) n, sizeof(int32_t), error);
	if (!ways->at || !ways->from || !lm_text_go_on(&dfa->host, error))
		return false;
	for (int32_t i = 0; i < n; i++)
	{
		if (dfa->nfa[i].out >= 0)
			ways->at[dfa->nfa[i].out + 2]++;
		if (dfa->nfa[i].other >= 0)
			ways->at[dfa->nfa[i].other + 2]++;
	}
	for (int32_t i = 2; i <= n + 1; i++)
		ways->at[i] += ways->at[i - 1];
	if (!lm_text_go_on(&dfa->host, error))
		return false;
	for (int32_t i = 0; i < n; i++)
	{
		if (dfa->nfa[i].out >= 0)
			ways->from[ways->at[dfa->nfa[i].out + 1]++] = i;
		if (dfa->nfa[i].other >= 0)
			ways->from[ways->at[dfa->nfa[i].other + 1]++] = i;
	}
	return true;
}

/*
 * Distance by distance: `here` are the states of one distance, to which those are added that lead
 * to them without a byte; `next` are those that lead to them by a byte.
 */
static bool
search(struct LmDfa *dfa, const Ways *ways, LmError *error)
{
	int32_t *here = dfa->set, *next = dfa->pending, n_here = 1, n_next = 0, seen = 0;

	for (int32_t i = 0; i < dfa->n_nfa; i++)
		dfa->distances[i] = LM_NO_NEED;
	here[0] = dfa->end;
	for (int32_t distance = 0; n_here > 0; distance++)
	{
		for (int32_t i = 0; i < n_here; i++)
			dfa->distances[here[i]] = distance;
		for (int32_t i = 0; i < n_here; i++)
			for (int32_t w = ways->at[here[i]]; w < ways->at[here[i] + 1]; w++)
			{
				int32_t from = ways->from[w];

				if (++seen % POLLED == 0 && !lm_text_go_on(&dfa->host, error))
					return false;
				if (dfa->distances[from] != LM_NO_NEED)
					continue;
				if (dfa->nfa[from].is_byte)
					next[n_next++] = from;
				else
				{
					dfa->distances[from] = distance;
					here[n_here++] = from;
				}
			}
		{
			int32_t *swapped = here;

			here = next;
			next = swapped;
			n_here = n_next;
			n_next = 0;
		}
	}
	return true;
}

/* A class begins at each byte where a range of some state begins, or the one after its end. */
static void
find_classes(struct LmDfa *dfa)
{
	bool begins[257] = {true};

	/* A space that may stand in front of a text is told apart from everything. */
	begins[' '] = begins[' ' + 1] = true;
	for (int32_t i = 0; i < dfa->n_nfa; i++)
		if (dfa->nfa[i].is_byte)
			begins[dfa->nfa[i].low] = begins[dfa->nfa[i].high + 1] = true;
	dfa->n_classes = 0;
	for (int byte = 0; byte < 256; byte++)
	{
		dfa->n_classes += begins[byte] ? 1 : 0;
		dfa->classes[byte] = (uint8_t) (dfa->n_classes - 1);
	}
}

/*
 * src/engine/text/dfa.c
 *
 * Sets of states of a nondeterministic automaton, found when they are needed.
 */
#include <stdlib.h>

#include "text/array.h"
#include "text/dfa.h"
#include "text/dfa_prepare.h"
#include "text/utf8.h"

#define FIRST_BUCKETS 256
#define POLLED 262144

static bool find_start(struct LmDfa *dfa, int32_t in, bool *spaced, LmError *error);
static void begin_set(struct LmDfa *dfa);
static int32_t close_set(struct LmDfa *dfa, int32_t n, int32_t from);
static int32_t intern(struct LmDfa *dfa, int32_t n, LmError *error);
static int32_t create_state(struct LmDfa *dfa, int32_t n, uint32_t hash, LmError *error);
static bool grow_buckets(struct LmDfa *dfa, LmError *error);
static void sort_set(int32_t *set, int32_t n);

struct LmDfa *
lm_dfa_create(const LmHost *host, LmNfaState *states, int32_t n, int32_t in, int32_t out,
			  bool *spaced, LmError *error)
{
	struct LmDfa *dfa = lm_array_allocate(host, 1, sizeof *dfa, error);

	if (!dfa)
	{
		lm_array_free(host, states);
		return NULL;
	}
	*dfa = (struct LmDfa){.host = *host, .nfa = states, .n_nfa = n, .end = out, .free = -1};
	if (lm_dfa_prepare(dfa, error) && grow_buckets(dfa, error) &&
		find_start(dfa, in, spaced, error))
		return dfa;
	lm_dfa_free(dfa);
	return NULL;
}

void
lm_dfa_free(struct LmDfa *dfa)
{
	LmHost host;

	if (!dfa)
		return;
	host = dfa->host;
	for (size_t i = 0; i < dfa->n_states; i++)
		lm_free(&host, dfa->states[i].set);
	lm_array_free(&host, dfa->states);
	lm_array_free(&host, dfa->nfa);
	lm_free(&host, dfa->buckets);
	lm_free(&host, dfa->distances);
	lm_free(&host, dfa->marks);
	lm_free(&host, dfa->set);
	lm_free(&host, dfa->pending);
	lm_free(&host, dfa);
}

/*
 * The first state. Where no text begins with a space, one may stand in front: it leads to the first
 * state without it.
 */
static bool
find_start(struct LmDfa *dfa, int32_t in, bool *spaced, LmError *error)
{
	int32_t n, bare, space;
	bool good = true;

	*spaced = false;
	if (dfa->distances[in] == LM_NO_NEED)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "no text satisfies the constraint");
	begin_set(dfa);
	n = close_set(dfa, 0, in);
	bare = dfa->bare = dfa->start = intern(dfa, n, error);
	if (bare < 0)
		return false;
	dfa->states[bare].n_users++;
	space = lm_dfa_step(dfa, bare, ' ', error, &good);
	if (!good)
		return false;
	if (space != LM_STEP_DEAD || !dfa->states[bare].goes_on)
		return true;
	/* The same set with the last state, which reads a space and leads to the first one. */
	*spaced = true;
	begin_set(dfa);
	n = close_set(dfa, close_set(dfa, 0, in), dfa->n_nfa - 1);
	dfa->start = intern(dfa, n, error);
	if (dfa->start < 0)
		return false;
	dfa->states[dfa->start].n_users++;
	return true;
}

static void
begin_set(struct LmDfa *dfa)
{
	if (++dfa->mark == 0)
	{
		memset(dfa->marks, 0, (size_t) dfa->n_nfa * sizeof *dfa->marks);
		dfa->mark = 1;
	}
}

/*
 * Adds to the set of n states all that can be reached from a state without a byte, and from which
 * there is a way to the end. Returns how many they are.
 */
static int32_t
close_set(struct LmDfa *dfa, int32_t n, int32_t from)
{
	int32_t n_pending = 0;

	dfa->pending[n_pending++] = from;
	while (n_pending > 0)
	{
		int32_t state = dfa->pending[--n_pending];
		const LmNfaState *nfa = &dfa->nfa[state];

		/* Each state is marked once, so that there is always room for what waits. */
		if (dfa->marks[state] == dfa->mark || dfa->distances[state] == LM_NO_NEED)
			continue;
		dfa->marks[state] = dfa->mark;
		if (nfa->is_byte || state == dfa->end)
			dfa->set[n++] = state;
		if (nfa->is_byte)
			continue;
		if (nfa->other >= 0)
			dfa->pending[n_pending++] = nfa->other;
		if (nfa->out >= 0)
			dfa->pending[n_pending++] = nfa->out;
	}
	return n;
}

int32_t
lm_dfa_find(struct LmDfa *dfa, int32_t from, uint8_t byte, LmError *error, bool *good)
{
	int32_t n = 0, next;

	dfa->work += (size_t) dfa->states[from].n + 1;
	if (dfa->work > POLLED)
	{
		dfa->work = 0;
		if (!lm_text_go_on(&dfa->host, error))
		{
			*good = false;
			return LM_STEP_OPEN;
		}
	}
	begin_set(dfa);
	for (int32_t i = 0; i < dfa->states[from].n; i++)
	{
		const LmNfaState *nfa = &dfa->nfa[dfa->states[from].set[i]];

		if (nfa->is_byte && nfa->low <= byte && byte <= nfa->high)
			n = close_set(dfa, n, nfa->out);
	}
	next = n == 0 ? LM_STEP_DEAD : intern(dfa, n, error);
	if (n > 0 && next < 0)
		*good = false;
	else
		dfa->states[from].next[dfa->classes[byte]] = next;
	return next;
}

/* The state of a set, which is a new one or known. -1 with LM_ERR_MEMORY. */
static int32_t
intern(struct LmDfa *dfa, int32_t n, LmError *error)
{
	uint32_t hash = 2166136261U;

	sort_set(dfa->set, n);
	for (int32_t i = 0; i < n; i++)
		hash = (hash ^ (uint32_t) dfa->set[i]) * 16777619U;
	hash ^= hash >> 15;
	for (int32_t state = dfa->buckets[hash & (dfa->n_buckets - 1)]; state >= 0;
		 state = dfa->states[state].chain)
		if (dfa->states[state].hash == hash && dfa->states[state].n == n &&
			memcmp(dfa->states[state].set, dfa->set, (size_t) n * sizeof *dfa->set) == 0)
			return state;
	return create_state(dfa, n, hash, error);
}

static int32_t
create_state(struct LmDfa *dfa, int32_t n, uint32_t hash, LmError *error)
{
	size_t size = (size_t) (n + dfa->n_classes) * sizeof(int32_t);
	int32_t id = dfa->free, distance = LM_NO_NEED;
	LmDfaState *state;

	if (dfa->memory + size > LM_MOST_SETS)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "the constraint is too ambiguous: its sets of states have %zu MB",
					   (dfa->memory + size) >> 20),
			   -1;
	if (dfa->n_used >= dfa->n_buckets && !grow_buckets(dfa, error))
		return -1;
	if (id < 0)
	{
		if (dfa->n_states >= LM_MOST_STATES)
			return lm_fail(error, LM_ERR_LIMIT, -1, "the constraint is too ambiguous"), -1;
		if (!lm_array_reserve(&dfa->host, &dfa->states, &dfa->states_capacity, dfa->n_states + 1,
							  sizeof *state, error))
			return -1;
		id = (int32_t) dfa->n_states;
		dfa->states[id] = (LmDfaState){.chain = -1};
	}
	state = &dfa->states[id];
	state->set = lm_allocate_unset(&dfa->host, size);
	if (!state->set)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a constraint"), -1;
	if (dfa->free >= 0)
		dfa->free = state->chain;
	else
		dfa->n_states++;
	memcpy(state->set, dfa->set, (size_t) n * sizeof *dfa->set);
	state->next = state->set + n;
	for (int i = 0; i < dfa->n_classes; i++)
		state->next[i] = LM_STEP_OPEN;
	state->n = n;
	state->hash = hash;
	state->n_users = 0;
	state->kept = -1;
	state->ends = state->goes_on = false;
	for (int32_t i = 0; i < n; i++)
	{
		int32_t here = dfa->distances[dfa->set[i]];

		state->ends |= dfa->set[i] == dfa->end;
		state->goes_on |= dfa->nfa[dfa->set[i]].is_byte;
		distance = here < distance ? here : distance;
	}
	state->distance = distance;
	state->chain = dfa->buckets[hash & (dfa->n_buckets - 1)];
	dfa->buckets[hash & (dfa->n_buckets - 1)] = id;
	dfa->n_used++;
	dfa->memory += size + 64;
	return id;
}

/* Twice as many buckets, or the first ones. */
static bool
grow_buckets(struct LmDfa *dfa, LmError *error)
{
	size_t n = dfa->n_buckets ? dfa->n_buckets * 2 : FIRST_BUCKETS;
	int32_t *buckets = lm_array_allocate(&dfa->host, n, sizeof *buckets, error);

	if (!buckets)
		return false;
	for (size_t i = 0; i < n; i++)
		buckets[i] = -1;
	for (size_t i = 0; i < dfa->n_states; i++)
		if (dfa->states[i].set)
		{
			dfa->states[i].chain = buckets[dfa->states[i].hash & (n - 1)];
			buckets[dfa->states[i].hash & (n - 1)] = (int32_t) i;
		}
	lm_free(&dfa->host, dfa->buckets);
	dfa->buckets = buckets;
	dfa->n_buckets = n;
	return true;
}

static int
compare(const void *a, const void *b)
{
	int32_t first = *(const int32_t *) a, second = *(const int32_t *) b;

	return (first > second) - (first < second);
}

static void
sort_set(int32_t *set, int32_t n)
{
	if (n > 32)
	{
		qsort(set, (size_t) n, sizeof *set, compare);
		return;
	}
	for (int32_t i = 1; i < n; i++)
	{
		int32_t moved = set[i], j = i;

		for (; j > 0 && set[j - 1] > moved; j--)
			set[j] = set[j - 1];
		set[j] = moved;
	}
}

void
lm_dfa_trim(struct LmDfa *dfa)
{
	for (size_t i = 0; i < dfa->n_buckets; i++)
		dfa->buckets[i] = -1;
	dfa->free = -1;
	dfa->n_used = 0;
	dfa->memory = 0;
	for (size_t i = 0; i < dfa->n_states; i++)
	{
		LmDfaState *state = &dfa->states[i];

		if (state->set && state->n_users > 0)
		{
			for (int c = 0; c < dfa->n_classes; c++)
				state->next[c] = LM_STEP_OPEN;
			state->chain = dfa->buckets[state->hash & (dfa->n_buckets - 1)];
			dfa->buckets[state->hash & (dfa->n_buckets - 1)] = (int32_t) i;
			dfa->n_used++;
			dfa->memory += (size_t) (state->n + dfa->n_classes) * sizeof(int32_t) + 64;
			continue;
		}
		lm_free(&dfa->host, state->set);
		state->set = NULL;
		state->chain = dfa->free;
		dfa->free = (int32_t) i;
	}
}

uint8_t
lm_dfa_shortest(const struct LmDfa *dfa, int32_t number)
{
	const LmDfaState *state = &dfa->states[number];
	int lowest = 255;

	for (int32_t i = 0; i < state->n; i++)
	{
		const LmNfaState *nfa = &dfa->nfa[state->set[i]];

		if (nfa->is_byte && dfa->distances[state->set[i]] == state->distance && nfa->low < lowest)
			lowest = nfa->low;
	}
	return (uint8_t) lowest;
}

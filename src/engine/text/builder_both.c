/*
 * src/engine/text/builder_both.c
 *
 * The texts that two languages have in common: a state for each pair of sets of their states that
 * can be reached together (Rabin and Scott 1959, theorem 5). Sets, because pairs of single states
 * would be far more. The product takes the place of the two languages.
 */
#include "text/builder.h"
#include "text/dfa.h"

#define FIRST_ROOM 1024

/* A pair of states, and its number among the pairs. */
typedef struct Pair
{
	int32_t a;
	int32_t b;
	int32_t number; /* -1: the place is free */
	int32_t state; /* of the builder */
} Pair;

/* The pairs found so far, by hash, and in the order in which they were found. */
typedef struct Product
{
	LmBuilder *builder;
	struct LmDfa *a;
	struct LmDfa *b;
	int32_t out;
	Pair *places; /* [n_places] */
	size_t n_places;
	Pair *pairs;
	size_t n, capacity;
} Product;

static struct LmDfa *take(LmBuilder *builder, LmFragment fragment, int32_t end);
static void multiply(Product *product);
static int32_t state_of(Product *product, int32_t a, int32_t b);
static void add_ways(Product *product, Pair pair);
static void move_down(LmBuilder *builder, int32_t to, int32_t from);

void
lm_build_both(LmBuilder *builder)
{
	LmFragment *b = lm_builder_at(builder, 0), *a = lm_builder_at(builder, 1);
	Product product = {.builder = builder};
	int32_t first, end = (int32_t) builder->n_states;

	if (!a || !b)
		return;
	first = a->first;
	product.a = take(builder, *a, b->first);
	product.b = product.a ? take(builder, *b, end) : NULL;
	if (product.a && product.b)
		multiply(&product);
	else
		lm_build_nothing(builder);
	if (!builder->failed)
	{
		LmFragment result = builder->stack[--builder->n_stack];

		builder->n_stack--;
		*lm_builder_at(builder, 0) = (LmFragment){first, result.in, result.out};
		move_down(builder, first, end);
	}
	lm_dfa_free(product.a);
	lm_dfa_free(product.b);
	lm_array_free(&builder->host, product.places);
	lm_array_free(&builder->host, product.pairs);
}

/* The sets of states of a fragment, found when they are needed; NULL: no text is in it, or failed.
 */
static struct LmDfa *
take(LmBuilder *builder, LmFragment fragment, int32_t end)
{
	LmNfaState *states = NULL;
	size_t capacity = 0, n = (size_t) (end - fragment.first);
	struct LmDfa *dfa;
	bool spaced;
	LmError error;

	if (!lm_array_reserve(&builder->host, &states, &capacity, n + 1, sizeof *states,
						  &builder->error))
	{
		builder->failed = true;
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
	{
		states[i] = builder->states[(size_t) fragment.first + i];
		states[i].out -= states[i].out < 0 ? 0 : fragment.first;
		states[i].other -= states[i].other < 0 ? 0 : fragment.first;
	}
	states[n] = (LmNfaState){true, ' ', ' ', fragment.in - fragment.first, -1};
	dfa = lm_dfa_create(&builder->host, states, (int32_t) n + 1, fragment.in - fragment.first,
						fragment.out - fragment.first, &spaced, &error);
	if (!dfa && error.code != LM_ERR_ARGUMENT)
		lm_builder_fail(builder, error.code, error.position, "%s", error.message);
	return dfa;
}

/* Pushes the product. */
static void
multiply(Product *product)
{
	LmBuilder *builder = product->builder;
	int32_t in;

	product->out = lm_builder_fork(builder, -1, -1);
	in = state_of(product, product->a->bare, product->b->bare);
	for (size_t i = 0; i < product->n && lm_builder_go_on(builder, i); i++)
		add_ways(product, product->pairs[i]);
	lm_builder_push(builder, (LmFragment){product->out, in, product->out});
}

/* Adds one more way from a state, of which the first one is its `out`. */
static void
add_way(LmBuilder *builder, int32_t state, int32_t way)
{
	int32_t fork;

	if (builder->failed)
		return;
	if (builder->states[state].out < 0)
	{
		builder->states[state].out = way;
		return;
	}
	fork = lm_builder_fork(builder, way, builder->states[state].other);
	if (!builder->failed)
		builder->states[state].other = fork;
}

/* The ways of both sets: a range for each run of bytes that lead to the same pair. */
static void
add_ways(Product *product, Pair pair)
{
	LmBuilder *builder = product->builder;
	bool good = true;
	int32_t a = LM_STEP_DEAD, b = LM_STEP_DEAD, low = 0;

	if (product->a->states[pair.a].ends && product->b->states[pair.b].ends)
		add_way(builder, pair.state, product->out);
	for (int byte = 0; byte <= 256 && good && !builder->failed; byte++)
	{
		int32_t next_a = LM_STEP_DEAD, next_b = LM_STEP_DEAD;

		if (byte < 256)
			next_a = lm_dfa_step(product->a, pair.a, (uint8_t) byte, &builder->error, &good);
		if (next_a >= 0 && good)
			next_b = lm_dfa_step(product->b, pair.b, (uint8_t) byte, &builder->error, &good);
		if (!good)
			builder->failed = true;
		if (next_b < 0)
			next_a = next_b;
		if (next_a == a && next_b == b)
			continue;
		if (a >= 0)
		{
			int32_t to = state_of(product, a, b);

			add_way(builder, pair.state,
					lm_builder_state(
						builder, (LmNfaState){true, (uint8_t) low, (uint8_t) (byte - 1), to, -1}));
		}
		a = next_a;
		b = next_b;
		low = byte;
	}
}

static Pair *
place_of(const Product *product, int32_t a, int32_t b)
{
	size_t at = ((size_t) a * 0x9E3779B97F4A7C15U + (size_t) b) * 0xD6E8FEB86659FD93U >> 20;

	for (;; at++)
	{
		Pair *place = &product->places[at & (product->n_places - 1)];

		if (place->number < 0 || (place->a == a && place->b == b))
			return place;
	}
}

/* Twice the places, at most half of which are taken. */
static bool
grow(Product *product)
{
	LmBuilder *builder = product->builder;
	size_t n = product->n_places ? product->n_places * 2 : FIRST_ROOM;
	Pair *places = NULL;
	size_t capacity = 0;

	if (!lm_array_reserve(&builder->host, &places, &capacity, n, sizeof *places, &builder->error))
	{
		builder->failed = true;
		return false;
	}
	for (size_t i = 0; i < n; i++)
		places[i].number = -1;
	lm_array_free(&builder->host, product->places);
	product->places = places;
	product->n_places = n;
	for (size_t i = 0; i < product->n; i++)
		*place_of(product, product->pairs[i].a, product->pairs[i].b) = product->pairs[i];
	return true;
}

/* The builder's state of a pair, which gets one unless it has one. */
static int32_t
state_of(Product *product, int32_t a, int32_t b)
{
	LmBuilder *builder = product->builder;
	Pair *place;
	int32_t state;

	if (builder->failed || (2 * (product->n + 1) > product->n_places && !grow(product)))
		return -1;
	place = place_of(product, a, b);
	if (place->number >= 0)
		return place->state;
	state = lm_builder_fork(builder, -1, -1);
	if (state < 0)
		return -1;
	if (!lm_array_reserve(&builder->host, &product->pairs, &product->capacity, product->n + 1,
						  sizeof *product->pairs, &builder->error))
	{
		builder->failed = true;
		return -1;
	}
	*place = (Pair){a, b, (int32_t) product->n, state};
	product->pairs[product->n++] = *place;
	return state;
}

/* The states from `from` on, which only lead to each other, and the fragment of them on top. */
static void
move_down(LmBuilder *builder, int32_t to, int32_t from)
{
	LmFragment *top = lm_builder_at(builder, 0);
	int32_t lower = from - to, n = (int32_t) builder->n_states - from;

	for (int32_t i = 0; i < n; i++)
	{
		LmNfaState state = builder->states[from + i];

		state.out -= state.out < 0 ? 0 : lower;
		state.other -= state.other < 0 ? 0 : lower;
		builder->states[to + i] = state;
	}
	builder->n_states = (size_t) (to + n);
	*top = (LmFragment){to, top->in - lower, top->out - lower};
}

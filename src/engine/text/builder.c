/*
 * src/engine/text/builder.c
 *
 * Languages go onto a stack and are put together; an automaton comes out. Each fragment has one
 * state through which it is entered and one through which it is left (Thompson 1968).
 */
#include <stdarg.h>
#include <stdio.h>

#include "text/builder.h"
#include "text/utf8.h"

#define POLLED 4096

static void copy_states(LmBuilder *builder, LmFragment fragment, int32_t end);
static void repeat(LmBuilder *builder, int64_t min, int64_t max);
static void loop(LmBuilder *builder);

LmBuilder *
lm_builder_create(const LmHost *host, const LmVocabulary *vocabulary, LmError *error)
{
	LmBuilder *builder = lm_array_allocate(host, 1, sizeof *builder, error);

	if (builder)
	{
		builder->host = *host;
		builder->vocabulary = vocabulary;
	}
	return builder;
}

void
lm_builder_free(LmBuilder *builder)
{
	LmHost host;

	if (!builder)
		return;
	host = builder->host;
	lm_array_free(&host, builder->states);
	lm_array_free(&host, builder->stack);
	lm_free(&host, builder);
}

bool
lm_builder_quote(LmBuilder *builder, bool quoted)
{
	bool before = builder->quoted;

	builder->quoted = quoted;
	return before;
}

bool
lm_builder_fail(LmBuilder *builder, LmErrorCode code, int64_t position, const char *format, ...)
{
	va_list arguments;

	if (builder->failed)
		return false;
	builder->failed = true;
	builder->error = (LmError){.code = code, .position = position};
	va_start(arguments, format);
	vsnprintf(builder->error.message, sizeof builder->error.message, format, arguments);
	va_end(arguments);
	return false;
}

bool
lm_builder_go_on(LmBuilder *builder, size_t i)
{
	if (builder->failed)
		return false;
	if (i % POLLED == 0 && !lm_text_go_on(&builder->host, &builder->error))
		builder->failed = true;
	return !builder->failed;
}

int32_t
lm_builder_state(LmBuilder *builder, LmNfaState state)
{
	if (builder->failed)
		return -1;
	if (builder->n_states >= LM_MOST_STATES)
	{
		lm_builder_fail(builder, LM_ERR_LIMIT, -1, "the constraint needs more than %d states",
						LM_MOST_STATES);
		return -1;
	}
	if (!lm_array_reserve(&builder->host, &builder->states, &builder->states_capacity,
						  builder->n_states + 1, sizeof state, &builder->error))
	{
		builder->failed = true;
		return -1;
	}
	/* A sign of the syntax that no token can write leads nowhere. */
	if (state.is_byte && state.low == state.high && state.low < 0x80 && builder->vocabulary &&
		!lm_vocabulary_writes(builder->vocabulary, state.low))
		state.out = -1;
	builder->states[builder->n_states] = state;
	return (int32_t) builder->n_states++;
}

int32_t
lm_builder_fork(LmBuilder *builder, int32_t out, int32_t other)
{
	return lm_builder_state(builder, (LmNfaState){.out = out, .other = other});
}

void
lm_builder_push(LmBuilder *builder, LmFragment fragment)
{
	if (builder->failed)
		return;
	if (!lm_array_reserve(&builder->host, &builder->stack, &builder->stack_capacity,
						  builder->n_stack + 1, sizeof fragment, &builder->error))
		builder->failed = true;
	else
		builder->stack[builder->n_stack++] = fragment;
}

LmFragment *
lm_builder_at(LmBuilder *builder, size_t depth)
{
	if (builder->failed)
		return NULL;
	if (depth >= builder->n_stack)
	{
		lm_builder_fail(builder, LM_ERR_ARGUMENT, -1, "a part of the constraint is missing");
		return NULL;
	}
	return &builder->stack[builder->n_stack - 1 - depth];
}

void
lm_build_bytes(LmBuilder *builder, uint8_t low, uint8_t high)
{
	LmCodeRange range = {low, high};
	bool before = lm_builder_quote(builder, false);

	lm_build_class(builder, &range, 1);
	lm_builder_quote(builder, before);
}

void
lm_build_ascii(LmBuilder *builder, const char *text)
{
	int32_t first = (int32_t) builder->n_states, last = lm_builder_fork(builder, -1, -1);
	LmFragment fragment = {first, last, last};

	for (const char *c = text; *c && !builder->failed; c++)
	{
		int32_t next = lm_builder_fork(builder, -1, -1);
		int32_t byte =
			lm_builder_state(builder, (LmNfaState){true, (uint8_t) *c, (uint8_t) *c, next, -1});

		if (byte >= 0)
			builder->states[fragment.out].out = byte;
		fragment.out = next;
	}
	lm_builder_push(builder, fragment);
}

void
lm_build_nothing(LmBuilder *builder)
{
	int32_t out = lm_builder_fork(builder, -1, -1), in = lm_builder_fork(builder, -1, -1);

	/* A state that leads nowhere, and another one that nothing leads to. */
	lm_builder_push(builder, (LmFragment){out, in, out});
}

void
lm_build_text(LmBuilder *builder, LmBytes text)
{
	size_t i = 0, n = 0;

	lm_build_ascii(builder, "");
	while (i < text.size && lm_builder_go_on(builder, n++))
	{
		LmCodeRange range;
		int size = lm_utf8_length(text.data + i, text.size - i);

		if (size == 0)
		{
			lm_builder_fail(builder, LM_ERR_ENCODING, (int64_t) i, "text is not valid UTF-8");
			return;
		}
		range.low = range.high = lm_utf8_decode(text.data + i, &size);
		lm_build_class(builder, &range, 1);
		lm_build_join(builder);
		i += (size_t) size;
	}
}

void
lm_build_join(LmBuilder *builder)
{
	LmFragment *b = lm_builder_at(builder, 0), *a = lm_builder_at(builder, 1);

	if (!a || !b)
		return;
	builder->states[a->out].out = b->in;
	a->out = b->out;
	builder->n_stack--;
}

void
lm_build_join_behind(LmBuilder *builder)
{
	LmFragment *b = lm_builder_at(builder, 0), *a = lm_builder_at(builder, 1);

	if (!a || !b)
		return;
	builder->states[b->out].out = a->in;
	a->in = b->in;
	builder->n_stack--;
}

void
lm_build_either(LmBuilder *builder)
{
	LmFragment *b = lm_builder_at(builder, 0), *a = lm_builder_at(builder, 1);
	int32_t in, out;

	if (!a || !b)
		return;
	in = lm_builder_fork(builder, a->in, b->in);
	out = lm_builder_fork(builder, -1, -1);
	if (builder->failed)
		return;
	builder->states[a->out].out = out;
	builder->states[b->out].out = out;
	a->in = in;
	a->out = out;
	builder->n_stack--;
}

/* The states of a fragment again, after all states; the fragment ends where `end` says. */
static void
copy_states(LmBuilder *builder, LmFragment fragment, int32_t end)
{
	size_t n = (size_t) (end - fragment.first);
	int32_t offset = (int32_t) builder->n_states - fragment.first;

	if (builder->failed)
		return;
	if (builder->n_states + n > LM_MOST_STATES)
	{
		lm_builder_fail(builder, LM_ERR_LIMIT, -1, "the constraint needs more than %d states",
						LM_MOST_STATES);
		return;
	}
	if (!lm_array_reserve(&builder->host, &builder->states, &builder->states_capacity,
						  builder->n_states + n, sizeof *builder->states, &builder->error))
	{
		builder->failed = true;
		return;
	}
	for (size_t i = 0; i < n && lm_builder_go_on(builder, i); i++)
	{
		LmNfaState state = builder->states[(size_t) fragment.first + i];

		state.out += state.out < 0 ? 0 : offset;
		state.other += state.other < 0 ? 0 : offset;
		builder->states[builder->n_states++] = state;
	}
}

void
lm_build_copy(LmBuilder *builder)
{
	LmFragment *top = lm_builder_at(builder, 0), copy;
	int32_t offset;

	if (!top)
		return;
	copy = *top;
	offset = (int32_t) builder->n_states - copy.first;
	copy_states(builder, copy, (int32_t) builder->n_states);
	lm_builder_push(builder,
					(LmFragment){copy.first + offset, copy.in + offset, copy.out + offset});
}

void
lm_build_repeat(LmBuilder *builder, int64_t min, int64_t max)
{
	LmFragment *top = lm_builder_at(builder, 0);
	int64_t copies = max < 0 ? (min > 1 ? min : 1) : max;

	if (!top)
		return;
	if (max == 0)
	{
		builder->n_states = (size_t) top->first;
		builder->n_stack--;
		lm_build_ascii(builder, "");
		return;
	}
	/* Before anything is copied: a copy may be of many states, and so may be each of them. */
	if (copies > LM_MOST_STATES ||
		copies * ((int64_t) builder->n_states - top->first + 1) > LM_MOST_STATES)
	{
		lm_builder_fail(builder, LM_ERR_LIMIT, -1, "the constraint needs more than %d states",
						LM_MOST_STATES);
		return;
	}
	repeat(builder, min, max);
}

/*
 *   -> fork -> copy -> fork -> copy -> ... -> end
 *       |               |                      ^
 *       +---------------+----------------------+   from copy number `min` on
 */
static void
repeat(LmBuilder *builder, int64_t min, int64_t max)
{
	LmFragment one = *lm_builder_at(builder, 0);
	int32_t size = (int32_t) builder->n_states - one.first;
	int64_t copies = max < 0 ? (min > 1 ? min : 1) : max;
	int32_t before = -1, in = -1, end, fork;

	for (int64_t i = 1; i < copies; i++)
		copy_states(builder, one, one.first + size);
	end = lm_builder_fork(builder, -1, -1);
	for (int64_t i = 0; i < copies && !builder->failed; i++)
	{
		int32_t offset = (int32_t) i * size;

		fork = lm_builder_fork(builder, one.in + offset, i >= min ? end : -1);
		if (builder->failed)
			return;
		if (i == 0)
			in = fork;
		else
			builder->states[before].out = fork;
		before = one.out + offset;
	}
	if (builder->failed)
		return;
	if (max < 0)
	{
		fork = lm_builder_fork(builder, one.in + (int32_t) (copies - 1) * size, end);
		if (builder->failed)
			return;
		builder->states[before].out = fork;
	}
	else
		builder->states[before].out = end;
	*lm_builder_at(builder, 0) = (LmFragment){one.first, in, end};
}

/* item separator -> item, after which a separator leads back to it */
static void
loop(LmBuilder *builder)
{
	LmFragment *separator = lm_builder_at(builder, 0), *item = lm_builder_at(builder, 1);
	int32_t end = lm_builder_fork(builder, -1, -1), fork;

	fork = lm_builder_fork(builder, separator->in, end);
	if (builder->failed)
		return;
	builder->states[item->out].out = fork;
	builder->states[separator->out].out = item->in;
	item->out = end;
	builder->n_stack--;
}

void
lm_build_list(LmBuilder *builder, int64_t min, int64_t max)
{
	LmFragment *item = lm_builder_at(builder, 1), copy;

	if (!item)
		return;
	if (max == 0)
	{
		lm_build_join(builder);
		lm_build_repeat(builder, 0, 0);
		return;
	}
	if (max < 0 && min <= 1)
	{
		loop(builder);
		if (min <= 0)
			lm_build_repeat(builder, 0, 1);
		return;
	}
	/* item separator -> item (separator item)*, with a copy of the item behind the separator */
	copy = *item;
	{
		int32_t end = lm_builder_at(builder, 0)->first;
		int32_t offset = (int32_t) builder->n_states - copy.first;

		copy_states(builder, copy, end);
		lm_builder_push(builder,
						(LmFragment){copy.first + offset, copy.in + offset, copy.out + offset});
	}
	lm_build_join(builder);
	lm_build_repeat(builder, min > 1 ? min - 1 : 0, max < 0 ? -1 : max - 1);
	lm_build_join(builder);
	if (min <= 0)
		lm_build_repeat(builder, 0, 1);
}

/* A state that reads a comma, after which one space may stand, before a member. */
static int32_t
comma_before(LmBuilder *builder, int32_t member)
{
	int32_t space = lm_builder_state(builder, (LmNfaState){true, ' ', ' ', member, -1}),
			fork = lm_builder_fork(builder, space, member);

	return lm_builder_state(builder, (LmNfaState){true, ',', ',', fork, -1});
}

/*
 * Two rows of states, before the first member that is written and after it:
 *
 *   none written:    o ---> o ---> o           down: a member, which leads to the lower row
 *                    |      |                  right: a member that is left out
 *   some written:    o ---> o ---> o           down: a comma and the same member
 */
void
lm_build_members(LmBuilder *builder, int n, int n_required)
{
	int32_t none, some, in, out;

	if (n == 0)
		lm_build_ascii(builder, "");
	if (n == 0 || !lm_builder_at(builder, (size_t) n - 1))
		return;
	out = lm_builder_fork(builder, -1, -1);
	none = some = out;
	/* From the last member on, so that what comes after each is there. */
	for (int i = 0; i < n && !builder->failed; i++)
	{
		LmFragment *member = lm_builder_at(builder, (size_t) i);
		bool required = n - 1 - i < n_required;

		in = member->in;
		builder->states[member->out].out = some;
		none = lm_builder_fork(builder, in, required ? -1 : none);
		some = lm_builder_fork(builder, comma_before(builder, in), required ? -1 : some);
	}
	if (builder->failed)
		return;
	builder->n_stack -= (size_t) n - 1;
	*lm_builder_at(builder, 0) = (LmFragment){lm_builder_at(builder, 0)->first, none, out};
}

LmAutomaton *
lm_builder_finish(LmBuilder *builder, LmError *error)
{
	LmFragment *top = lm_builder_at(builder, 0);
	LmAutomaton *automaton = NULL;
	LmHost host = builder->host;

	if (top)
		lm_builder_state(builder, (LmNfaState){true, ' ', ' ', top->in, -1});
	if (top && !builder->failed)
		automaton = lm_array_allocate(&host, 1, sizeof *automaton, error);
	else if (builder->failed)
		*error = builder->error;
	if (automaton)
	{
		LmNfaState *states = builder->states;

		automaton->host = host;
		builder->states = NULL; /* taken over, also in case of an error */
		automaton->dfa = lm_dfa_create(&host, states, (int32_t) builder->n_states, top->in,
									   top->out, &automaton->spaced, error);
		if (!automaton->dfa)
		{
			lm_free(&host, automaton);
			automaton = NULL;
		}
	}
	lm_builder_free(builder);
	return automaton;
}

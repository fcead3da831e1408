/*
 * test/fuzz/target_constraint.h
 *
 * Any bytes as a regular expression, a JSON Schema or a list of choices: an error, or an automaton
 * whose shortest text it accepts, and that follows any other text. The first byte says which, in
 * which alphabet, and how.
 */
#ifndef TEST_TARGET_CONSTRAINT_H
#define TEST_TARGET_CONSTRAINT_H

#include "fuzz.h"
#include "engine/constraint.h"
#include "json_values.h"
#include "text/automaton.h"

#define CONSTRAINT_MOST ((size_t) 512 << 20)

static inline LmAutomaton *
fuzz_choices(const LmHost *host, LmBytes text, LmError *error)
{
	LmBytes choices[64];
	int n = 0;
	const char *from = text.data;

	for (size_t i = 0; i <= text.size && n < 64; i++)
		if (i == text.size || text.data[i] == '\n')
		{
			choices[n++] = (LmBytes){from, (size_t) (text.data + i - from)};
			from = text.data + i + 1;
		}
	return lm_choices_create(host, choices, n, NULL, error);
}

static inline LmAutomaton *
fuzz_build(const LmHost *host, uint8_t how, LmBytes text, LmError *error)
{
	static JsonValues json;
	LmBuilder *builder;

	if (how % 3 == 2)
		return fuzz_choices(host, text, error);
	builder = lm_builder_create(host, NULL, error);
	if (how % 3 == 0)
	{
		lm_builder_quote(builder, how & 16);
		lm_build_regex(builder, text, how & 32);
	}
	else
	{
		json_parse(&json, text.data, text.size);
		lm_build_schema(builder, json.values, json.n, how & 16);
	}
	return lm_builder_finish(builder, error);
}

/* The shortest text, as far as it is no longer than a few kB. */
static inline void
fuzz_shortest(LmAutomaton *automaton)
{
	char text[4096];
	LmPlace place = lm_automaton_start(automaton);
	int32_t n = lm_automaton_distance(automaton, place);
	LmError error;

	FUZZ_CHECK(n >= 0 && n != LM_NO_NEED);
	if (n > (int32_t) sizeof text)
		return;
	for (int32_t i = 0; i < n; i++)
	{
		bool dead;

		FUZZ_CHECK(lm_automaton_distance(automaton, place) == n - i);
		text[i] = (char) lm_automaton_shortest(automaton, place);
		FUZZ_CHECK(lm_automaton_step(automaton, &place, (uint8_t) text[i], &dead, &error));
		FUZZ_CHECK(!dead);
	}
	FUZZ_CHECK(lm_automaton_ends(automaton, place));
	FUZZ_CHECK(lm_automaton_accepts(automaton, (LmBytes){text, (size_t) n}, &error));
	FUZZ_CHECK(lm_utf8_valid(text, (size_t) n, &(size_t){0}));
}

/* Whether the bytes are a constraint. */
static inline bool
target_constraint(const uint8_t *data, size_t size)
{
	FuzzHost state = {.most = CONSTRAINT_MOST};
	LmHost host = {.reallocate = fuzz_reallocate, .context = &state};
	LmError error = {0};
	LmAutomaton *automaton;
	LmBytes text;

	if (size == 0)
		return false;
	text = (LmBytes){(const char *) data + 1, size - 1};
	automaton = fuzz_build(&host, data[0], text, &error);
	FUZZ_CHECK(automaton || error.code != LM_OK);
	if (automaton)
	{
		fuzz_shortest(automaton);
		lm_automaton_accepts(automaton, text, &error);
		lm_automaton_free(automaton);
	}
	FUZZ_CHECK(state.live == 0);
	return automaton != NULL;
}

#endif /* TEST_TARGET_CONSTRAINT_H */

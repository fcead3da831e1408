/*
 * src/engine/serve/utf8_state.h
 *
 * UTF-8 a byte at a time (Unicode 15, table 3-7), to tell which bytes may follow the beginning of a
 * character.
 */
#ifndef LM_UTF8_STATE_H
#define LM_UTF8_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The place of a text inside a character; all zeros at its beginning. */
typedef struct LmUtf8State
{
	uint8_t left; /* bytes that the character still needs; 0: between characters */
	uint8_t lowest; /* of the next byte, where left > 0 */
	uint8_t highest;
} LmUtf8State;

/* Takes one byte; false when it cannot stand here, and the state is then as before. */
static inline bool
lm_utf8_step(LmUtf8State *state, uint8_t byte)
{
	if (state->left > 0)
	{
		if (byte < state->lowest || byte > state->highest)
			return false;
		*state = (LmUtf8State){(uint8_t) (state->left - 1), 0x80, 0xBF};
		return true;
	}
	if (byte < 0x80)
		return true;
	if (byte < 0xC2 || byte > 0xF4)
		return false;
	*state = (LmUtf8State){byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3, 0x80, 0xBF};
	/* No overlong forms, no surrogates, nothing beyond U+10FFFF. */
	if (byte == 0xE0)
		state->lowest = 0xA0;
	else if (byte == 0xED)
		state->highest = 0x9F;
	else if (byte == 0xF0)
		state->lowest = 0x90;
	else if (byte == 0xF4)
		state->highest = 0x8F;
	return true;
}

/* Takes all bytes, or false. */
static inline bool
lm_utf8_steps(LmUtf8State *state, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!lm_utf8_step(state, (uint8_t) data[i]))
			return false;
	return true;
}

#endif /* LM_UTF8_STATE_H */

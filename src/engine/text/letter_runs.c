/*
 * src/engine/text/letter_runs.c
 *
 * Cuts a text into runs of letters.
 */
#include <unicode/uchar.h>

#include "text/letter_runs.h"

/* Letters that no character is: before the first one of a piece, and after the last. */
#define BEGIN UINT32_C(0x110001)
#define END UINT32_C(0x110002)

enum
{
	OUTSIDE,
	LETTERS,
	SIGNS
};

/* Goes on with a hash (the multiplier of Steele and Vigna 2021, "Computationally easy ..."). */
static inline uint64_t
mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0xF1357AEA2E62A9C5);
	return hash ^ hash >> 32;
}

/* Passes on the runs that end here. */
static void
add_letter(LmLetterRuns *runs, uint32_t letter)
{
	uint64_t hash = mix(1, letter);

	for (int i = 0; i < runs->n_letters; i++)
	{
		hash = mix(hash, runs->letters[i]);
		runs->take(runs->into, hash);
	}
	if (runs->n_letters < LM_RUN_MOST - 1)
		runs->n_letters++;
	for (int i = runs->n_letters - 1; i > 0; i--)
		runs->letters[i] = runs->letters[i - 1];
	runs->letters[0] = letter;
}

static void
end_piece(LmLetterRuns *runs)
{
	if (runs->kind != OUTSIDE)
		add_letter(runs, END);
	runs->kind = OUTSIDE;
	runs->n_letters = 0;
}

static int
kind_of(UChar32 code)
{
	uint32_t mask;

	if (code < 0x80)
	{
		if ((uint32_t) ((code | 0x20) - 'a') < 26 || (uint32_t) (code - '0') < 10)
			return LETTERS;
		return code > ' ' && code < 0x7F ? SIGNS : OUTSIDE;
	}
	mask = U_GET_GC_MASK(code);
	if ((mask & (U_GC_Z_MASK | U_GC_C_MASK)) != 0)
		return OUTSIDE;
	return (mask & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0 ? LETTERS : SIGNS;
}

static void
add_character(LmLetterRuns *runs, UChar32 code)
{
	int kind = kind_of(code);

	if (kind != runs->kind)
		end_piece(runs);
	if (kind == OUTSIDE)
		return;
	if (runs->kind == OUTSIDE)
		add_letter(runs, BEGIN);
	runs->kind = kind;
	add_letter(runs, (uint32_t) u_foldCase(code, U_FOLD_CASE_DEFAULT));
}

/* The bytes of a character that begins with this one; 0: none does. */
static int
length_of(uint8_t byte)
{
	if (byte < 0x80)
		return 1;
	if (byte < 0xC2)
		return 0;
	return byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? 4 : 0;
}

/* Bytes that are no character part words. */
static void
add_byte(LmLetterRuns *runs, uint8_t byte)
{
	UChar32 code;

	if (runs->n_bytes > 0 && (byte & 0xC0) != 0x80)
	{
		end_piece(runs);
		runs->n_bytes = 0;
	}
	if (runs->n_bytes == 0)
		runs->n_wanted = length_of(byte);
	if (runs->n_wanted == 0)
	{
		end_piece(runs);
		return;
	}
	runs->bytes[runs->n_bytes++] = byte;
	if (runs->n_bytes < runs->n_wanted)
		return;
	code = runs->n_wanted == 1 ? runs->bytes[0] : runs->bytes[0] & (0x7F >> runs->n_wanted);
	for (int i = 1; i < runs->n_wanted; i++)
		code = code << 6 | (runs->bytes[i] & 0x3F);
	runs->n_bytes = 0;
	add_character(runs, code);
}

void
lm_letter_runs_add(LmLetterRuns *runs, LmBytes bytes)
{
	for (size_t i = 0; i < bytes.size; i++)
		add_byte(runs, (uint8_t) bytes.data[i]);
}

void
lm_letter_runs_end(LmLetterRuns *runs)
{
	end_piece(runs);
	runs->n_bytes = 0;
}

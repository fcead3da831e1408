/*
 * src/engine/text/token_shape.h
 *
 * Whether two neighbours may become one token where no token cuts a character, and none has letters
 * of two scripts.
 *
 * A token is then whole characters, or a part of one, so that the bytes of a rare character still
 * merge within it. Scripts are resolved as in Unicode Technical Standard 39, "Unicode Security
 * Mechanisms", 5.1: a character of the script Common or Inherited goes with any; Han goes with
 * Hiragana and Katakana, with Hangul and with Bopomofo, but these three not with one another, since
 * no writing system has them together.
 */
#ifndef LM_TEXT_TOKEN_SHAPE_H
#define LM_TEXT_TOKEN_SHAPE_H

#include "engine/tokenizer.h"

/* Where a token's first and last byte stand in a character. */
typedef enum LmTokenPart
{
	LM_PART_WHOLE, /* begins and ends between characters */
	LM_PART_HEAD, /* the beginning of a character */
	LM_PART_REST, /* begins inside of a character */
} LmTokenPart;

/* What decides with which neighbours a token may join. */
typedef struct LmTokenShape
{
	uint8_t part; /* of LmTokenPart */
	uint8_t size; /* HEAD: bytes that the character still lacks; REST: bytes that there are */
	/*
	 * WHOLE: 0 goes with any; writing systems with Han, as bits, negative; else the script's code
	 */
	int16_t script;
} LmTokenShape;

/* The shape of a token of text that is valid UTF-8; its characters' scripts resolve to one. */
LmTokenShape lm_token_shape(LmBytes token);

/* Whether two whole tokens' scripts resolve to one. */
static inline bool
lm_scripts_fit(int16_t left, int16_t right)
{
	if (left == right || left == 0 || right == 0)
		return true;
	return left < 0 && right < 0 && (-left & -right) != 0;
}

/* Whether the two, as neighbours in a text, may become a token. */
static inline bool
lm_token_shapes_fit(LmTokenShape left, LmTokenShape right)
{
	if (left.part == LM_PART_WHOLE && right.part == LM_PART_WHOLE)
		return lm_scripts_fit(left.script, right.script);
	/* Continuation bytes that follow one another in a text belong to one character. */
	return left.part != LM_PART_WHOLE && right.part == LM_PART_REST;
}

#endif /* LM_TEXT_TOKEN_SHAPE_H */

/*
 * src/engine/text/token_shape.c
 *
 * The bytes of a token go in, its shape comes out; scripts are ICU's.
 */
#include <unicode/uscript.h>

#include "text/token_shape.h"
#include "text/utf8.h"

/* The writing systems that Han takes part in; UTS 39, table 1a, has them as Hanb, Jpan, Kore. */
#define WITH_BOPOMOFO 1
#define JAPANESE 2
#define KOREAN 4

static int16_t script_of(int32_t code);
static int16_t resolve(int16_t left, int16_t right);

LmTokenShape
lm_token_shape(LmBytes token)
{
	LmTokenShape shape = {LM_PART_WHOLE, 0, 0};
	unsigned char first = token.size > 0 ? (unsigned char) token.data[0] : 0;
	size_t length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
	int size;

	if (first >= 0x80 && first < 0xC0)
		return (LmTokenShape){LM_PART_REST, (uint8_t) token.size, 0};
	if (length > token.size)
		return (LmTokenShape){LM_PART_HEAD, (uint8_t) (length - token.size), 0};
	for (size_t i = 0; i < token.size; i += (size_t) size)
		shape.script = resolve(shape.script, script_of(lm_utf8_decode(token.data + i, &size)));
	return shape;
}

/* The script of a character as LmTokenShape has it. */
static int16_t
script_of(int32_t code)
{
	UErrorCode status = U_ZERO_ERROR;
	UScriptCode script = uscript_getScript(code, &status);

	switch (script)
	{
		case USCRIPT_COMMON:
		case USCRIPT_INHERITED:
		case USCRIPT_UNKNOWN:
		case USCRIPT_INVALID_CODE:
			return 0;
		case USCRIPT_HAN:
			return -(WITH_BOPOMOFO | JAPANESE | KOREAN);
		case USCRIPT_BOPOMOFO:
			return -WITH_BOPOMOFO;
		case USCRIPT_HIRAGANA:
		case USCRIPT_KATAKANA:
			return -JAPANESE;
		case USCRIPT_HANGUL:
			return -KOREAN;
		default:
			return (int16_t) script;
	}
}

/* The script of characters of both. */
static int16_t
resolve(int16_t left, int16_t right)
{
	if (left == 0 || right == 0)
		return left == 0 ? right : left;
	return left < 0 && right < 0 ? (int16_t) - (-left & -right) : left;
}

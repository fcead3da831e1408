/*
 * src/store/byte_letters.c
 *
 * The characters that stand for bytes in a byte-level tokenizer.json (src/store/byte_letters.h).
 */
#include "postgres.h"

#include "store/byte_letters.h"

int
gpt_byte_to_letter(int byte)
{
	if (byte <= 32)
		return 0x100 + byte;
	if (byte >= 127 && byte <= 160)
		return 0x100 + 33 + byte - 127;
	return byte == 173 ? 0x100 + 33 + 34 : byte;
}

int
gpt_letter_to_byte(int letter)
{
	if (letter >= 0x100 && letter <= 0x120)
		return letter - 0x100;
	if (letter > 0x120 && letter <= 0x142)
		return letter - 0x121 + 127;
	if (letter == 0x143)
		return 173;
	return letter <= 255 && gpt_byte_to_letter(letter) == letter ? letter : -1;
}

/*
 * src/core/visible.c
 *
 * Tells characters that can be shown from those that must become marks.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "core/visible.h"

typedef struct CharacterRange
{
	pg_wchar first;
	pg_wchar last;
} CharacterRange;

/*
 * Besides the controls. Bidirectional marks: Unicode Standard Annex 9, section 2. Two characters
 * that end each plane, and U+FDD0 .. U+FDEF, are no characters; HTML does not allow them.
 */
static const CharacterRange invisible[] = {
	{0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x061C, 0x061C}, {0x115F, 0x1160}, {0x180E, 0x180E},
	{0x200B, 0x200B}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},
	{0xFDD0, 0xFDEF}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0xE0000, 0xE0FFF},
};

/* ISO/IEC 6429; of 0 to 1F. */
static const char *const control_names[] = {"NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL",
											"BS",  "HT",  "LF",	 "VT",	"FF",  "CR",  "SO",	 "SI",
											"DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB",
											"CAN", "EM",  "SUB", "ESC", "FS",  "GS",  "RS",	 "US"};

static bool
is_invisible(pg_wchar character)
{
	if ((character & 0xFFFE) == 0xFFFE)
		return true;
	for (int i = 0; i < lengthof(invisible); i++)
	{
		if (character >= invisible[i].first && character <= invisible[i].last)
			return true;
	}
	return false;
}

int
gpt_visible(char *mark, const char *text, size_t size)
{
	const unsigned char *bytes = (const unsigned char *) text;
	int length = pg_utf_mblen(bytes);
	pg_wchar character;

	mark[0] = '\0';
	if ((size_t) length > size || !pg_utf8_islegal(bytes, length))
	{
		snprintf(mark, GPT_VISIBLE_MARK, "[%02X]", bytes[0]);
		return 1;
	}
	character = utf8_to_unicode(bytes);
	if (character < 0x20 && character != '\n' && character != '\t')
		snprintf(mark, GPT_VISIBLE_MARK, "[%s]", control_names[character]);
	else if (character == 0x7F)
		strcpy(mark, "[DEL]");
	else if ((character >= 0x80 && character < 0xA0) || is_invisible(character))
		snprintf(mark, GPT_VISIBLE_MARK, "[U+%04X]", (unsigned int) character);
	return length;
}

bool
gpt_visible_has_marks(const char *text)
{
	size_t size = strlen(text);
	char mark[GPT_VISIBLE_MARK];

	for (size_t at = 0; at < size;)
	{
		at += gpt_visible(mark, text + at, size - at);
		if (mark[0] != '\0')
			return true;
	}
	return false;
}

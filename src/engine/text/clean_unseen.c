/*
 * src/engine/text/clean_unseen.c
 *
 * Removes characters that nobody sees.
 *
 * Control: those of Unicode's category Cc, and the 66 noncharacters; tab, line feed and carriage
 * return stay, and the other four that end a line (VT, FF, NEL, and the separators U+001C to U+001E
 * of files, groups and records) become line feeds, so that no words are joined.
 *
 * Invisible: spaces without width, soft hyphens, marks of writing direction, signs of invisible
 * operators, tags and fillers. Some of their kind belong to the spelling:
 *
 *   ZWJ and ZWNJ (U+200D, U+200C) stay after letters and marks of scripts whose letters join, or of
 *     India's and its neighbours' (Unicode Standard 15.0, 12.1, 9.2 and 23.2), and ZWJ between two
 *     emoji;
 *   one variation selector (U+FE00 to U+FE0F) stays after an emoji or a character beyond ASCII that
 *     can be seen, one of the supplement (U+E0100 to U+E01EF) after an ideograph;
 *   tags stay after a black flag, as in the flag of Scotland, up to 8 of them.
 *
 * Elsewhere they carry nothing that is read, and can hide text from people that models read.
 */
#include <unicode/uchar.h>

#include "text/clean_steps.h"

#define BLACK_FLAG 0x1F3F4
#define MAX_TAGS 8
#define ZWNJ 0x200C
#define ZWJ 0x200D

/* How the characters that start with a byte are looked at. */
typedef enum Look
{
	NOT, /* nothing to see */
	SECOND, /* the second byte tells more: see_second */
	CLOSER, /* decoded */
} Look;

/* The state of the pass. */
typedef struct Unseen
{
	LmRewrite rewrite;
	LmBytes text;
	bool control;
	bool invisible;
	int32_t before; /* the character that stands before, as far as any stays; 0: none */
	int n_tags; /* after a black flag; -1: there is none */
} Unseen;

static size_t next_suspect(const Unseen *unseen, size_t from);
static bool is_kept(Unseen *unseen, int32_t code, size_t after);
static int32_t character_before(const Unseen *unseen, size_t at);
static void pass_over(Unseen *unseen, int32_t code);

/* Whether a character is one of those that controls make a line end. */
static bool
ends_line(int32_t code)
{
	return code == 0x0B || code == 0x0C || code == 0x85 || (code >= 0x1C && code <= 0x1E);
}

static bool
is_control(int32_t code)
{
	if (code < 0x20)
		return code != '\t' && code != '\n' && code != '\r';
	return (code >= 0x7F && code < 0xA0) || (code >= 0xFDD0 && code <= 0xFDEF) ||
		   (code & 0xFFFE) == 0xFFFE;
}

static bool
is_selector(int32_t code)
{
	return (code >= 0xFE00 && code <= 0xFE0F) || (code >= 0xE0100 && code <= 0xE01EF);
}

static bool
is_invisible(int32_t code)
{
	return code == 0xAD || code == 0x61C || (code >= 0x200B && code <= 0x200F) ||
		   (code >= 0x202A && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) ||
		   code == 0x3164 || code == 0xFEFF || code == 0xFFA0 ||
		   (code >= 0xFFF9 && code <= 0xFFFB) || (code >= 0xE0000 && code <= 0xE007F) ||
		   is_selector(code);
}

bool
lm_clean_unseen(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error)
{
	Unseen unseen = {.text = *text,
					 .control = cleaner->options.control,
					 .invisible = cleaner->options.invisible,
					 .n_tags = -1};
	size_t seen = 0; /* the end of the last suspect */

	lm_rewrite_begin(&unseen.rewrite, cleaner, out, *text, error);
	for (size_t i = next_suspect(&unseen, 0); i < text->size; i = next_suspect(&unseen, i))
	{
		int length;
		int32_t code = lm_utf8_decode(text->data + i, &length);
		bool control = unseen.control && is_control(code);

		if (!lm_rewrite_go_on(&unseen.rewrite, i))
			return false;
		if (i > seen)
		{
			unseen.before = character_before(&unseen, i);
			unseen.n_tags = -1;
		}
		i += (size_t) length;
		seen = i;
		if (control || (unseen.invisible && is_invisible(code) && !is_kept(&unseen, code, i)))
		{
			const char *with = control && ends_line(code) ? "\n" : "";

			if (!lm_rewrite_replace(&unseen.rewrite, i - (size_t) length, i, with, strlen(with)))
				return false;
		}
		else
			pass_over(&unseen, code);
	}
	return lm_rewrite_end(&unseen.rewrite, text);
}

/* The last character before a place. */
static int32_t
character_before(const Unseen *unseen, size_t at)
{
	int length;

	if (at == 0)
		return 0;
	return lm_utf8_decode(unseen->text.data +
							  lm_utf8_boundary(unseen->text.data, unseen->text.size, at - 1),
						  &length);
}

/* Notes a character that stays. */
static void
pass_over(Unseen *unseen, int32_t code)
{
	unseen->before = code;
	if (code == BLACK_FLAG)
		unseen->n_tags = 0;
	else if (code < 0xE0000)
		unseen->n_tags = -1;
}

/* ---- Search ------------------------------------------------------------- */

/* How to look at characters that start with this byte. */
static Look
look_at(unsigned char byte)
{
	if (byte < 0x20)
		return byte == '\t' || byte == '\n' || byte == '\r' ? NOT : CLOSER;
	if (byte < 0xC2)
		return byte == 0x7F ? CLOSER : NOT;
	switch (byte)
	{
		case 0xC2: /* U+0080 to U+00BF */
		case 0xD8: /* U+061C */
		case 0xE2: /* U+2000 to U+2FFF */
		case 0xE3: /* U+3164 */
		case 0xEF: /* U+F000 to U+FFFF */
			return SECOND;
		default:
			return byte >= 0xF0 ? CLOSER : NOT;
	}
}

/* Whether two bytes may begin an unseen character. */
static bool
see_second(unsigned char first, unsigned char second)
{
	switch (first)
	{
		case 0xC2:
			return second <= 0x9F || second == 0xAD;
		case 0xD8:
			return second == 0x9C;
		case 0xE2:
			return second == 0x80 || second == 0x81;
		case 0xE3:
			return second == 0x85;
		default:
			return second >= 0xB7;
	}
}

/*
 * The next character that may be unseen. Runs of printable ASCII are passed in blocks, by a loop
 * that compilers vectorise.
 */
static size_t
next_suspect(const Unseen *unseen, size_t from)
{
	enum
	{
		BLOCK_SIZE = 32
	};
	const unsigned char *bytes = (const unsigned char *) unseen->text.data;
	size_t i = from, size = unseen->text.size;

	while (i < size)
	{
		Look look;

		while (i + BLOCK_SIZE <= size)
		{
			unsigned char any = 0;

			for (int j = 0; j < BLOCK_SIZE; j++)
				any |= (unsigned char) (bytes[i + j] - 0x20) >= 0x5F && bytes[i + j] != '\n';
			if (any)
				break;
			i += BLOCK_SIZE;
		}
		for (size_t end = i + BLOCK_SIZE < size ? i + BLOCK_SIZE : size; i < end; i++)
		{
			if ((unsigned char) (bytes[i] - 0x20) < 0x5F)
				continue;
			look = look_at(bytes[i]);
			if (look == CLOSER || (look == SECOND && see_second(bytes[i], bytes[i + 1])))
				return i;
		}
	}
	return size;
}

/* ---- Invisible characters that mean something ---------------------------- */

/* Marks of all scripts are transparent to joining; only those of Arabic and alike stand in it. */
static bool
joins(int32_t code)
{
	int type = u_getIntPropertyValue(code, UCHAR_JOINING_TYPE);

	return (type == U_JT_TRANSPARENT ? code >= 0x0610 && code < 0x0900
									 : type != U_JT_NON_JOINING) ||
		   u_getIntPropertyValue(code, UCHAR_INDIC_SYLLABIC_CATEGORY) != U_INSC_OTHER;
}

/* Emoji that ZWJ may join: those that are no digits, and what follows them. */
static bool
is_emoji(int32_t code)
{
	return code >= 0xA9 && (u_hasBinaryProperty(code, UCHAR_EXTENDED_PICTOGRAPHIC) ||
							u_hasBinaryProperty(code, UCHAR_EMOJI) || code == 0xFE0F);
}

/* Whether a selector may follow this character. */
static bool
takes_selector(int32_t code, int32_t selector)
{
	if (selector >= 0xE0100)
		return u_hasBinaryProperty(code, UCHAR_UNIFIED_IDEOGRAPH);
	if (code < 0x80)
		return selector >= 0xFE0E && u_hasBinaryProperty(code, UCHAR_EMOJI);
	return !is_invisible(code) && u_isgraph(code);
}

/* Whether an invisible character stays; `after` is the place after it. */
static bool
is_kept(Unseen *unseen, int32_t code, size_t after)
{
	int32_t before = unseen->before;

	if (code >= 0xE0020 && code <= 0xE007F)
		return unseen->n_tags >= 0 && unseen->n_tags++ < MAX_TAGS;
	if (is_selector(code))
		return before != 0 && takes_selector(before, code);
	if (code != ZWJ && code != ZWNJ)
		return false;
	if (before == 0 || before == ZWJ || before == ZWNJ)
		return false;
	if (code == ZWJ && is_emoji(before) && after < unseen->text.size)
	{
		int length;

		return is_emoji(lm_utf8_decode(unseen->text.data + after, &length));
	}
	return u_isgraph(before) && joins(before);
}

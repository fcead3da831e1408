/*
 * src/sql/highlight.c
 *
 * Writes parts of a text with marks around words.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "core/visible.h"
#include "sql/highlight.h"

/* Bytes that a byte of text may become: a word of one letter in colours is the longest. */
#define MOST_GROWTH 28

/*
 * Backgrounds of the 256 colours that terminals have, from pale to strong, each with black letters
 * on it: contrast is at least 7 whatever the terminal's own colours are.
 */
static const int surprise_colours[] = {230, 222, 215, 209};
static const int for_colours[] = {195, 159, 117, 81};
static const int against_colours[] = {224, 217, 211, 210};

static const char *const raised_digits[] = {"\xc2\xb9", "\xc2\xb2", "\xc2\xb3", "\xe2\x81\xb4"};

#define OPENING "\xe2\x80\xb9"
#define CLOSING "\xe2\x80\xba"
#define RAISED_PLUS "\xe2\x81\xba"
#define RAISED_MINUS "\xe2\x81\xbb"

StaticAssertDecl(lengthof(surprise_colours) == GPT_HIGHLIGHT_LEVELS &&
					 lengthof(for_colours) == GPT_HIGHLIGHT_LEVELS &&
					 lengthof(against_colours) == GPT_HIGHLIGHT_LEVELS &&
					 lengthof(raised_digits) == GPT_HIGHLIGHT_LEVELS,
				 "each level has a colour and a digit");

GPT_WORDS(
	gpt_highlight_style_name, [GPT_HIGHLIGHT_BRACKETS] = "brackets", [GPT_HIGHLIGHT_ANSI] = "ansi");

static void put_visible(StringInfo marked, LmBytes part, GptHighlightStyle style);

void
gpt_highlight_check(size_t size)
{
	gpt_bridge_check_memory((uint64) size * MOST_GROWTH);
}

void
gpt_highlight_put(StringInfo marked, LmBytes part, int level, bool is_signed,
				  GptHighlightStyle style)
{
	int step = Min(abs(level), GPT_HIGHLIGHT_LEVELS) - 1;
	const int *colours = level < 0 ? against_colours : is_signed ? for_colours : surprise_colours;
	const char *sign = !is_signed ? "" : level < 0 ? RAISED_MINUS : RAISED_PLUS;

	if (level == 0)
	{
		put_visible(marked, part, style);
		return;
	}
	if (style == GPT_HIGHLIGHT_ANSI)
		appendStringInfo(marked, "\033[38;5;16;48;5;%dm", colours[step]);
	else
		appendStringInfoString(marked, OPENING);
	put_visible(marked, part, style);
	if (style == GPT_HIGHLIGHT_ANSI)
		appendStringInfoString(marked, "\033[0m");
	else
		appendStringInfo(marked, CLOSING "%s%s", sign, raised_digits[step]);
}

/* No text of a row can look like a mark: its own brackets become marks as well. */
static void
put_visible(StringInfo marked, LmBytes part, GptHighlightStyle style)
{
	char mark[GPT_VISIBLE_MARK];

	for (size_t at = 0; at < part.size;)
	{
		const char *character = part.data + at;
		int size = gpt_visible(mark, character, part.size - at);

		if (style == GPT_HIGHLIGHT_BRACKETS && size == strlen(OPENING) &&
			(memcmp(character, OPENING, size) == 0 || memcmp(character, CLOSING, size) == 0))
			snprintf(mark, sizeof(mark), "[U+%s]",
					 memcmp(character, OPENING, size) == 0 ? "2039" : "203A");
		if (mark[0] != '\0')
			appendStringInfoString(marked, mark);
		else
			appendBinaryStringInfo(marked, character, size);
		at += size;
	}
}

/*
 * src/engine/text/clean_space.c
 *
 * White space: blanks and line ends.
 *
 * The mode (LmCleanSpace), the line ends in a run of white space, and whether it stands at the
 * start, at the end or between decide what stands for the run.
 */
#include <string.h>

#include "text/clean_steps.h"

/* A run of white space. */
typedef struct Run
{
	size_t start;
	size_t end;
	size_t last_line; /* after the last line end; start: there is none */
	int n_lines; /* line ends, at most 2 are counted */
} Run;

static size_t next_space(LmBytes text, size_t from);
static bool read_run(Run *run, LmRewrite *rewrite, size_t start);
static bool write_run(LmRewrite *rewrite, const Run *run, LmCleanSpace mode, int flags);
static bool put(LmRewrite *rewrite, size_t from, size_t to, const char *with);
static bool write_blanks(LmRewrite *rewrite, size_t from, size_t to);

bool
lm_clean_space(LmCleaner *cleaner, LmText *out, LmBytes *text, int flags, LmError *error)
{
	LmRewrite rewrite;
	Run run;

	lm_rewrite_begin(&rewrite, cleaner, out, *text, error);
	for (size_t i = next_space(*text, 0); i < text->size; i = next_space(*text, run.end))
	{
		if (!read_run(&run, &rewrite, i) ||
			!write_run(&rewrite, &run, cleaner->options.white_space, flags))
			return false;
	}
	return lm_rewrite_end(&rewrite, text);
}

/* ---- Reading ------------------------------------------------------------ */

/* The length of a white-space character (Unicode's White_Space) at a place; 0: it is none. */
static inline int
space_length(LmBytes text, size_t at)
{
	const unsigned char *bytes = (const unsigned char *) text.data + at;

	if (bytes[0] <= ' ')
		return bytes[0] == ' ' || (bytes[0] >= '\t' && bytes[0] <= '\r');
	switch (bytes[0])
	{
		case 0xC2:
			return bytes[1] == 0x85 || bytes[1] == 0xA0 ? 2 : 0;
		case 0xE1: /* U+1680 */
			return bytes[1] == 0x9A && bytes[2] == 0x80 ? 3 : 0;
		case 0xE2: /* U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F */
			if (bytes[1] == 0x81)
				return bytes[2] == 0x9F ? 3 : 0;
			return bytes[1] == 0x80 && (bytes[2] <= 0x8A || bytes[2] == 0xA8 || bytes[2] == 0xA9 ||
										bytes[2] == 0xAF)
					   ? 3
					   : 0;
		case 0xE3: /* U+3000 */
			return bytes[1] == 0x80 && bytes[2] == 0x80 ? 3 : 0;
		default:
			return 0;
	}
}

/* The next white space, but for single spaces between printable ASCII. */
static size_t
next_space(LmBytes text, size_t from)
{
	const unsigned char *bytes = (const unsigned char *) text.data;
	size_t i = from;

	while (i < text.size)
	{
		unsigned char byte = bytes[i];

		if (byte > ' ' && byte != 0xC2 && byte != 0xE1 && byte != 0xE2 && byte != 0xE3)
			i++;
		else if (byte == ' ' && i > 0 && i + 1 < text.size && bytes[i + 1] > ' ' &&
				 bytes[i + 1] < 0x80)
			i += 2;
		else if (space_length(text, i) > 0)
			return i;
		else
			i++;
	}
	return text.size;
}

/* The line ends that a character is: 2 for U+2029, the end of a paragraph. */
static int
line_ends(LmBytes text, size_t at)
{
	const unsigned char *bytes = (const unsigned char *) text.data + at;

	if (bytes[0] < 0x80)
		return bytes[0] >= '\n' && bytes[0] <= '\r';
	if (bytes[0] == 0xC2)
		return bytes[1] == 0x85;
	if (bytes[0] == 0xE2 && bytes[1] == 0x80)
		return bytes[2] == 0xA8 ? 1 : bytes[2] == 0xA9 ? 2 : 0;
	return 0;
}

static bool
read_run(Run *run, LmRewrite *rewrite, size_t start)
{
	LmBytes text = rewrite->in;
	size_t i = start;
	int length;

	*run = (Run){.start = start, .last_line = start};
	for (; i < text.size && (length = space_length(text, i)) > 0; i += (size_t) length)
	{
		int ends = line_ends(text, i);

		if (!lm_rewrite_go_on(rewrite, i))
			return false;
		if (text.data[i] == '\r' && i + 1 < text.size && text.data[i + 1] == '\n')
			length = 2;
		if (ends > 0)
			run->last_line = i + (size_t) length;
		run->n_lines = run->n_lines + ends > 2 ? 2 : run->n_lines + ends;
	}
	run->end = i;
	return true;
}

/* ---- Writing ------------------------------------------------------------ */

static bool
write_run(LmRewrite *rewrite, const Run *run, LmCleanSpace mode, int flags)
{
	static const char *const breaks[] = {" ", "\n", "\n\n"};
	bool at_start = run->start == 0 && (flags & LM_CLEAN_KEEP_START) == 0;
	bool at_end = run->end == rewrite->in.size && (flags & LM_CLEAN_KEEP_END) == 0;

	/* A text that is white space from end to end has one side that is cut, or none. */
	if (run->start == 0 && run->end == rewrite->in.size && flags != 0)
		at_start = at_end = false;
	if (at_start || at_end)
		return put(rewrite, run->start, run->end, "");
	switch (mode)
	{
		case LM_SPACE_KEEP:
		case LM_SPACE_TRIM:
			return true;
		case LM_SPACE_LINES:
			return (run->n_lines == 0 ||
					put(rewrite, run->start, run->last_line, breaks[run->n_lines])) &&
				   write_blanks(rewrite, run->last_line, run->end);
		case LM_SPACE_PARAGRAPHS:
			return put(rewrite, run->start, run->end, breaks[run->n_lines]);
		case LM_SPACE_ONE_LINE:
			return put(rewrite, run->start, run->end, " ");
	}
	return true;
}

/* Replaces bytes unless they are the same already. */
static bool
put(LmRewrite *rewrite, size_t from, size_t to, const char *with)
{
	size_t size = strlen(with);

	if (to - from == size && memcmp(rewrite->in.data + from, with, size) == 0)
		return true;
	return lm_rewrite_replace(rewrite, from, to, with, size);
}

/* Makes spaces of no-break spaces, wide and narrow. */
static bool
write_blanks(LmRewrite *rewrite, size_t from, size_t to)
{
	const unsigned char *bytes = (const unsigned char *) rewrite->in.data;

	for (size_t i = from, length; i < to; i += length)
	{
		bool no_break = false;

		length = 1;
		if (bytes[i] >= 0xC2)
		{
			length = bytes[i] == 0xC2 ? 2 : 3;
			no_break = bytes[i] == 0xC2 || (bytes[i] == 0xE2 && bytes[i + 2] == 0xAF);
		}
		if (no_break && !put(rewrite, i, i + length, " "))
			return false;
	}
	return true;
}

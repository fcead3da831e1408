/*
 * src/engine/text/clean_html.c
 *
 * Removes the markup of HTML, and decodes character references.
 *
 * Rows are often no HTML, or a piece of it, so '<' is markup only where a whole tag of a known
 * element, a comment, a declaration or a processing instruction follows; all other text stays:
 * "a < b", "<3", "if (x<y)", "vector<int>", "<user@example.org>". Attributes without a value must
 * be ones that HTML has, so that "x <a and b> y" stays. An unclosed tag or comment is text; of an
 * unclosed script or style sheet only the tag goes.
 *
 * Time is linear: no tag is read beyond MAX_NESTED further '<', so that each byte is read at most
 * that often; and if a search for the end of a comment or script finds none from one place, none is
 * made from a later one.
 */
#include <string.h>

#include "text/clean_tags.h"

#define MAX_DECLARATION 1024

/* The ends that a search may miss, and what it looked for. */
typedef enum Ending
{
	END_COMMENT,
	END_INSTRUCTION,
	END_CDATA,
	END_SCRIPT,
	END_STYLE,
	N_ENDINGS
} Ending;

static const char *const endings[N_ENDINGS] = {"-->", "?>", "]]>", "</script", "</style"};

/* The state of the pass. */
typedef struct Html
{
	LmRewrite rewrite;
	LmBytes text;
	bool missing[N_ENDINGS]; /* there is no further one */
	size_t cdata_end; /* of the section that is being read; 0: none */
	bool preformatted;
	bool stopped;
} Html;

static bool close_cdata(Html *html, size_t at);
static size_t next_sign(LmBytes text, size_t from);
static bool write_entity(Html *html, size_t *at);
static bool write_markup(Html *html, size_t *at);
static LmMarkup read_markup(Html *html, size_t at);

bool
lm_clean_html(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error)
{
	Html html = {.text = *text};

	lm_rewrite_begin(&html.rewrite, cleaner, out, *text, error);
	for (size_t i = next_sign(*text, 0); i < text->size; i = next_sign(*text, i))
	{
		if (!lm_rewrite_go_on(&html.rewrite, i) || !close_cdata(&html, i) ||
			!(text->data[i] == '&' ? write_entity(&html, &i) : write_markup(&html, &i)) ||
			html.stopped)
			return false;
	}
	return close_cdata(&html, text->size) && lm_rewrite_end(&html.rewrite, text);
}

/* Removes the end of a CDATA section that lies before this place, unless markup went over it. */
static bool
close_cdata(Html *html, size_t at)
{
	size_t end = html->cdata_end;

	if (end == 0 || at < end)
		return true;
	html->cdata_end = 0;
	return end < html->rewrite.done || lm_rewrite_replace(&html->rewrite, end, end + 3, "", 0);
}

/* The next '<' or '&'; the loop over blocks is one that compilers vectorise. */
static size_t
next_sign(LmBytes text, size_t from)
{
	enum
	{
		BLOCK_SIZE = 64
	};
	size_t i = from;

	for (; i + BLOCK_SIZE <= text.size; i += BLOCK_SIZE)
	{
		unsigned char any = 0;

		for (int j = 0; j < BLOCK_SIZE; j++)
			any |= (unsigned char) (text.data[i + j] == '<') | (text.data[i + j] == '&');
		if (any)
			break;
	}
	while (i < text.size && text.data[i] != '<' && text.data[i] != '&')
		i++;
	return i;
}

static bool
write_entity(Html *html, size_t *at)
{
	char bytes[4];
	int32_t code;
	size_t size = lm_entity(&code, html->text.data + *at, html->text.size - *at);

	if (size == 0)
	{
		(*at)++;
		return true;
	}
	*at += size;
	return lm_rewrite_replace(&html->rewrite, *at - size, *at, bytes,
							  (size_t) lm_utf8_encode(bytes, code));
}

/* ---- Layout ------------------------------------------------------------- */

/* The number of line breaks, at most 2, that the result would end with at this place; 2: nothing
 * stands before. */
static int
breaks_before(const Html *html, size_t at)
{
	const LmRewrite *rewrite = &html->rewrite;
	size_t pending = at - rewrite->done, written = rewrite->out->size;

	for (int n = 0; n < 2; n++)
	{
		char byte;

		if (pending > 0)
			byte = html->text.data[rewrite->done + --pending];
		else if (written > 0)
			byte = rewrite->out->data[--written];
		else
			return 2;
		if (byte != '\n')
			return n;
	}
	return 2;
}

/* Removes markup and writes the white space that its layout asks for. */
static bool
write_markup(Html *html, size_t *at)
{
	static const char *const breaks[] = {"", "\n", "\n\n"};
	size_t start = *at;
	LmMarkup markup = read_markup(html, start);
	int wanted = 0;

	if (markup.end == 0)
	{
		(*at)++;
		return true;
	}
	*at = markup.end;
	if (markup.name != NULL && strcmp(markup.name, "pre") == 0)
		html->preformatted = !markup.closes;
	if (markup.layout == LM_LAYOUT_BREAK)
		wanted = 1;
	else if (markup.layout == LM_LAYOUT_BLOCK || markup.layout == LM_LAYOUT_PARAGRAPH)
		wanted = (markup.layout == LM_LAYOUT_PARAGRAPH ? 2 : 1) - breaks_before(html, start);
	if (markup.layout >= LM_LAYOUT_CELL && markup.layout <= LM_LAYOUT_PARAGRAPH &&
		!html->preformatted)
		*at = lm_skip_html_spaces(html->text, *at); /* the source is indented there */
	if (markup.layout == LM_LAYOUT_CELL)
		return lm_rewrite_replace(&html->rewrite, start, *at, "\t", markup.closes ? 1 : 0);
	wanted = wanted < 0 ? 0 : wanted;
	return lm_rewrite_replace(&html->rewrite, start, *at, breaks[wanted], (size_t) wanted);
}

/* ---- LmMarkup ------------------------------------------------------------- */

static bool
starts_with(LmBytes text, size_t at, const char *lower)
{
	size_t size = strlen(lower);

	if (text.size - at < size)
		return false;
	for (size_t i = 0; i < size; i++)
	{
		char byte = text.data[at + i];

		if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != lower[i])
			return false;
	}
	return true;
}

/* Where the next such end starts; the text's size: nowhere. */
static size_t
find_ending(Html *html, size_t from, Ending ending)
{
	const char *wanted = endings[ending];
	LmBytes text = html->text;

	while (!html->missing[ending] && from < text.size)
	{
		const char *found = memchr(text.data + from, wanted[0], text.size - from);

		if (!found)
			break;
		from = (size_t) (found - text.data);
		if (starts_with(text, from, wanted))
			return from;
		html->stopped = html->stopped || !lm_rewrite_go_on(&html->rewrite, from);
		if (html->stopped)
			return text.size;
		from++;
	}
	html->missing[ending] = true;
	return text.size;
}

/* LmMarkup up to the end of an ending of three or two bytes. */
static LmMarkup
up_to(Html *html, size_t from, Ending ending)
{
	size_t found = find_ending(html, from, ending);

	return (LmMarkup){.end = found < html->text.size ? found + strlen(endings[ending]) : 0};
}

/* A declaration: up to '>', with no '<' in it. */
static LmMarkup
read_declaration(LmBytes text, size_t at)
{
	size_t end = at + 2;

	while (end < text.size && end - at < MAX_DECLARATION && text.data[end] != '<')
	{
		if (text.data[end++] == '>')
			return (LmMarkup){.end = end};
	}
	return (LmMarkup){0};
}

/* An element whose content goes with it. */
static LmMarkup
drop_content(Html *html, LmMarkup markup)
{
	bool script = strcmp(markup.name, "script") == 0;
	size_t found, end;

	if (markup.closes)
		return markup;
	found = find_ending(html, markup.end, script ? END_SCRIPT : END_STYLE);
	end = found < html->text.size ? lm_tag_read(html->text, found).end : 0;
	if (end != 0)
		markup.end = end;
	return markup;
}

/* The markup at a '<'. */
static LmMarkup
read_markup(Html *html, size_t at)
{
	LmBytes text = html->text;
	LmMarkup markup;

	if (starts_with(text, at, "<!--"))
		return up_to(html, at + 4, END_COMMENT);
	if (starts_with(text, at, "<![cdata["))
	{
		size_t end = find_ending(html, at + 9, END_CDATA);

		if (end == text.size)
			return (LmMarkup){0};
		html->cdata_end = end;
		return (LmMarkup){.end = at + 9};
	}
	if (starts_with(text, at, "<!doctype") || starts_with(text, at, "<![if") ||
		starts_with(text, at, "<![endif"))
		return read_declaration(text, at);
	if (starts_with(text, at, "<?xml") || starts_with(text, at, "<?php"))
		return up_to(html, at + 2, END_INSTRUCTION);
	markup = lm_tag_read(text, at);
	return markup.end != 0 && markup.layout == LM_LAYOUT_DROPPED ? drop_content(html, markup)
																 : markup;
}

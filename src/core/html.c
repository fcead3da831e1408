/*
 * src/core/html.c
 *
 * Escapes texts for HTML.
 */
#include "postgres.h"

#include "core/html.h"
#include "core/visible.h"

static const char *
reference_of(char byte)
{
	switch (byte)
	{
		case '&':
			return "&amp;";
		case '<':
			return "&lt;";
		case '>':
			return "&gt;";
		case '"':
			return "&quot;";
		case '\'':
			return "&#39;";
		default:
			return NULL;
	}
}

static void
append(StringInfo html, const char *text, size_t size, const char *before, const char *after)
{
	for (size_t at = 0; at < size;)
	{
		char mark[GPT_VISIBLE_MARK];
		const char *reference = reference_of(text[at]);
		int length = gpt_visible(mark, text + at, size - at);

		if (reference != NULL)
			appendStringInfoString(html, reference);
		else if (mark[0] != '\0')
			appendStringInfo(html, "%s%s%s", before, mark, after);
		else
			appendBinaryStringInfo(html, text + at, length);
		at += length;
	}
}

void
gpt_html_bytes(StringInfo html, const char *text, size_t size)
{
	append(html, text, size, "", "");
}

void
gpt_html_text(StringInfo html, const char *text)
{
	if (text != NULL)
		append(html, text, strlen(text), "", "");
}

void
gpt_html_row(StringInfo html, const char *text, size_t size)
{
	append(html, text, size, "<span class=\"mark\">", "</span>");
}

void
gpt_html_element(StringInfo html, const char *tag, const char *attributes, const char *text)
{
	appendStringInfo(html, "<%s%s%s>", tag, attributes != NULL ? " " : "",
					 attributes != NULL ? attributes : "");
	gpt_html_text(html, text);
	appendStringInfo(html, "</%s>", tag);
}

/*
 * src/engine/text/markup.c
 *
 * A place of a text goes in; whether a tag, a character reference or an address is there comes out.
 * Each look reads a few hundred bytes at most. Names of elements tell HTML from the angle brackets
 * of logs, formulas and program text.
 */
#include <ctype.h>
#include <string.h>

#include "text/markup.h"

#define LONGEST_NAME 10 /* of an element or a reference */
#define LONGEST_TAG 256 /* bytes in which a tag ends */
#define LONGEST_DOMAIN 253

static const char *const elements[] = {
	"a",	  "abbr",  "article", "aside", "b",		"blockquote", "body",	"br",	  "button",
	"center", "dd",	   "div",	  "dl",	   "dt",	"em",		  "font",	"footer", "form",
	"h1",	  "h2",	   "h3",	  "h4",	   "h5",	"h6",		  "head",	"header", "hr",
	"html",	  "i",	   "iframe",  "img",   "input", "label",	  "li",		"link",	  "meta",
	"nav",	  "ol",	   "option",  "p",	   "pre",	"script",	  "select", "small",  "span",
	"strong", "style", "sub",	  "sup",   "table", "tbody",	  "td",		"th",	  "thead",
	"tr",	  "u",	   "ul",
};
static const char *const references[] = {
	"amp",	 "apos",  "bull",  "copy",	 "eacute", "euro",	"gt",	"hellip", "laquo", "ldquo",
	"lsquo", "lt",	  "mdash", "middot", "nbsp",   "ndash", "ouml", "quot",	  "raquo", "rdquo",
	"reg",	 "rsquo", "shy",   "szlig",	 "times",  "trade", "uuml", "auml",	  "deg",   "agrave",
};

static bool
is_word(unsigned char c)
{
	return c < 0x80 && isalnum(c);
}

/* The name that begins at the position, in lower case; its size, 0 where it is too long. */
static size_t
name_at(char *name, LmBytes text, size_t position)
{
	size_t size = 0;

	while (position + size < text.size && is_word((unsigned char) text.data[position + size]))
	{
		if (size == LONGEST_NAME)
			return 0;
		name[size] = (char) tolower((unsigned char) text.data[position + size]);
		size++;
	}
	name[size] = '\0';
	return size;
}

static bool
is_among(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool
begins(LmBytes text, size_t position, const char *word)
{
	size_t size = strlen(word);

	return text.size - position >= size && memcmp(text.data + position, word, size) == 0;
}

bool
lm_is_tag(LmBytes text, size_t position)
{
	char name[LONGEST_NAME + 1];
	size_t size, i = position + 1;

	if (begins(text, position, "<!--") || begins(text, position, "<!DOCTYPE"))
		return true;
	if (i < text.size && text.data[i] == '/')
		i++;
	size = name_at(name, text, i);
	i += size;
	if (size == 0 || i >= text.size || !strchr(" \t\r\n/>", text.data[i]) ||
		!is_among(name, elements, sizeof elements / sizeof *elements))
		return false;
	for (size_t end = i + LONGEST_TAG; i < text.size && i < end; i++)
		if (text.data[i] == '>')
			return true;
	return false;
}

bool
lm_is_reference(LmBytes text, size_t position)
{
	char name[LONGEST_NAME + 1];
	size_t i = position + 1;
	bool is_number = i < text.size && text.data[i] == '#';
	size_t size = name_at(name, text, i + is_number);

	i += is_number + size;
	if (size == 0 || i >= text.size || text.data[i] != ';')
		return false;
	return is_number ? isdigit((unsigned char) name[0]) || name[0] == 'x'
					 : is_among(name, references, sizeof references / sizeof *references);
}

bool
lm_is_url(LmBytes text, size_t position)
{
	static const char *const schemes[] = {"http", "https", "ftp"};

	if (text.data[position] != ':')
		return (begins(text, position, "www.") || begins(text, position, "WWW.")) &&
			   text.size - position > 4 && is_word((unsigned char) text.data[position + 4]);
	if (!begins(text, position, "://"))
		return false;
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
	{
		size_t size = strlen(schemes[i]);

		if (position >= size && begins(text, position - size, schemes[i]) &&
			(position == size || !is_word((unsigned char) text.data[position - size - 1])))
			return true;
	}
	return false;
}

bool
lm_is_email(LmBytes text, size_t position)
{
	size_t label = 0; /* letters since the last dot */
	bool dotted = false;
	unsigned char before = position > 0 ? (unsigned char) text.data[position - 1] : ' ';

	if (!is_word(before) && !strchr("._%+-", before))
		return false;
	for (size_t i = position + 1; i < text.size && i - position <= LONGEST_DOMAIN; i++)
	{
		unsigned char c = (unsigned char) text.data[i];

		if (c == '.' && label == 0)
			return false;
		if (c != '.' && c != '-' && !is_word(c))
			break;
		dotted = dotted || c == '.';
		label = c == '.' ? 0 : label + 1;
		if (dotted && label == 2)
			return true;
	}
	return false;
}

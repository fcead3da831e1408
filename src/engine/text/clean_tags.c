/*
 * src/engine/text/clean_tags.c
 *
 * Reads a tag of HTML: the name of an element, and attributes up to '>'.
 *
 * Attributes without a value must be ones that HTML has, so that "x <a and b> y" is no tag.
 */
#include <stdlib.h>
#include <string.h>

#include "text/clean_tags.h"

#define MAX_NAME 24
#define MAX_NESTED 64 /* '<' in the values of a tag's attributes */
#define MAX_TAG ((size_t) 16 << 20) /* bytes: images stand in attributes */
#define INLINE LM_LAYOUT_INLINE
#define CELL LM_LAYOUT_CELL
#define BLOCK LM_LAYOUT_BLOCK
#define PARAGRAPH LM_LAYOUT_PARAGRAPH

/* An element of HTML, of 5 as of its older versions, and some of SVG; sorted by name. */
typedef struct Element
{
	const char *name;
	LmLayout layout;
} Element;

static const Element elements[] = {{"a", INLINE},
								   {"abbr", INLINE},
								   {"acronym", INLINE},
								   {"address", BLOCK},
								   {"applet", INLINE},
								   {"area", INLINE},
								   {"article", BLOCK},
								   {"aside", BLOCK},
								   {"audio", INLINE},
								   {"b", INLINE},
								   {"base", INLINE},
								   {"basefont", INLINE},
								   {"bdi", INLINE},
								   {"bdo", INLINE},
								   {"big", INLINE},
								   {"blink", INLINE},
								   {"blockquote", PARAGRAPH},
								   {"body", BLOCK},
								   {"br", LM_LAYOUT_BREAK},
								   {"button", INLINE},
								   {"canvas", INLINE},
								   {"caption", BLOCK},
								   {"center", BLOCK},
								   {"circle", INLINE},
								   {"cite", INLINE},
								   {"code", INLINE},
								   {"col", INLINE},
								   {"colgroup", INLINE},
								   {"data", INLINE},
								   {"datalist", INLINE},
								   {"dd", BLOCK},
								   {"defs", INLINE},
								   {"del", INLINE},
								   {"details", BLOCK},
								   {"dfn", INLINE},
								   {"dialog", BLOCK},
								   {"dir", BLOCK},
								   {"div", BLOCK},
								   {"dl", BLOCK},
								   {"dt", BLOCK},
								   {"ellipse", INLINE},
								   {"em", INLINE},
								   {"embed", INLINE},
								   {"fieldset", BLOCK},
								   {"figcaption", BLOCK},
								   {"figure", BLOCK},
								   {"font", INLINE},
								   {"footer", BLOCK},
								   {"form", BLOCK},
								   {"frame", INLINE},
								   {"frameset", BLOCK},
								   {"g", INLINE},
								   {"h1", PARAGRAPH},
								   {"h2", PARAGRAPH},
								   {"h3", PARAGRAPH},
								   {"h4", PARAGRAPH},
								   {"h5", PARAGRAPH},
								   {"h6", PARAGRAPH},
								   {"head", BLOCK},
								   {"header", BLOCK},
								   {"hgroup", BLOCK},
								   {"hr", PARAGRAPH},
								   {"html", BLOCK},
								   {"i", INLINE},
								   {"iframe", INLINE},
								   {"image", INLINE},
								   {"img", INLINE},
								   {"input", INLINE},
								   {"ins", INLINE},
								   {"kbd", INLINE},
								   {"label", INLINE},
								   {"legend", BLOCK},
								   {"li", BLOCK},
								   {"line", INLINE},
								   {"link", INLINE},
								   {"listing", PARAGRAPH},
								   {"main", BLOCK},
								   {"map", INLINE},
								   {"mark", INLINE},
								   {"marquee", INLINE},
								   {"math", INLINE},
								   {"menu", BLOCK},
								   {"menuitem", BLOCK},
								   {"meta", INLINE},
								   {"meter", INLINE},
								   {"nav", BLOCK},
								   {"nobr", INLINE},
								   {"noembed", BLOCK},
								   {"noframes", BLOCK},
								   {"noscript", BLOCK},
								   {"object", INLINE},
								   {"ol", PARAGRAPH},
								   {"optgroup", BLOCK},
								   {"option", BLOCK},
								   {"output", INLINE},
								   {"p", PARAGRAPH},
								   {"param", INLINE},
								   {"path", INLINE},
								   {"picture", INLINE},
								   {"plaintext", PARAGRAPH},
								   {"polygon", INLINE},
								   {"polyline", INLINE},
								   {"pre", PARAGRAPH},
								   {"progress", INLINE},
								   {"q", INLINE},
								   {"rb", INLINE},
								   {"rect", INLINE},
								   {"rp", INLINE},
								   {"rt", INLINE},
								   {"rtc", INLINE},
								   {"ruby", INLINE},
								   {"s", INLINE},
								   {"samp", INLINE},
								   {"script", LM_LAYOUT_DROPPED},
								   {"search", BLOCK},
								   {"section", BLOCK},
								   {"select", INLINE},
								   {"slot", INLINE},
								   {"small", INLINE},
								   {"source", INLINE},
								   {"span", INLINE},
								   {"strike", INLINE},
								   {"strong", INLINE},
								   {"style", LM_LAYOUT_DROPPED},
								   {"sub", INLINE},
								   {"summary", BLOCK},
								   {"sup", INLINE},
								   {"svg", INLINE},
								   {"table", PARAGRAPH},
								   {"tbody", BLOCK},
								   {"td", CELL},
								   {"template", BLOCK},
								   {"textarea", INLINE},
								   {"tfoot", BLOCK},
								   {"th", CELL},
								   {"thead", BLOCK},
								   {"time", INLINE},
								   {"title", PARAGRAPH},
								   {"tr", BLOCK},
								   {"track", INLINE},
								   {"tt", INLINE},
								   {"u", INLINE},
								   {"ul", PARAGRAPH},
								   {"use", INLINE},
								   {"var", INLINE},
								   {"video", INLINE},
								   {"wbr", INLINE},
								   {"xmp", PARAGRAPH}};

/* Attributes that need no value; those with a hyphen need none either. */
static const char *const booleans[] = {
	"allowfullscreen", "async",	  "autofocus",	 "autoplay",  "checked",  "compact",
	"controls",		   "default", "defer",		 "disabled",  "download", "formnovalidate",
	"hidden",		   "inert",	  "ismap",		 "itemscope", "loop",	  "multiple",
	"muted",		   "nohref",  "nomodule",	 "noresize",  "noshade",  "novalidate",
	"nowrap",		   "open",	  "playsinline", "readonly",  "required", "reversed",
	"selected"};

static size_t read_attributes(bool *has_value, LmBytes text, size_t at);

static bool
is_letter(char byte)
{
	return (unsigned char) ((byte | 0x20) - 'a') < 26;
}

static bool
is_name_byte(char byte)
{
	return is_letter(byte) || (byte >= '0' && byte <= '9') || byte == ':' || byte == '-' ||
		   byte == '_';
}

static int
compare_element(const void *name, const void *element)
{
	return strcmp(name, ((const Element *) element)->name);
}

static int
compare_word(const void *name, const void *word)
{
	return strcmp(name, *(const char *const *) word);
}

/* A name with a short prefix, such as o:p of a word processor. */
static bool
has_prefix(const char *name)
{
	const char *colon = strchr(name, ':');

	return colon && colon > name && colon - name <= 4 && is_letter(colon[1]) &&
		   !strchr(colon + 1, ':');
}

/* The lower-case name at a place; returns its length, 0 if it is too long. */
static size_t
read_name(char *name, LmBytes text, size_t at)
{
	size_t length = 0;

	for (; at + length < text.size && is_name_byte(text.data[at + length]); length++)
	{
		char byte = text.data[at + length];

		if (length == MAX_NAME)
			return 0;
		name[length] = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
	}
	name[length] = '\0';
	return length;
}

/*
 * A start or end tag. The name of a custom element has a hyphen; as "<file-name>" is more often a
 * word of a manual, such a tag needs a value, or to be an end tag.
 */
LmMarkup
lm_tag_read(LmBytes text, size_t at)
{
	LmMarkup markup = {.closes = at + 1 < text.size && text.data[at + 1] == '/'};
	size_t start = at + 1 + (markup.closes ? 1 : 0), length;
	char name[MAX_NAME + 1];
	const Element *element;
	bool has_value = false;

	if (start >= text.size || !is_letter(text.data[start]))
		return (LmMarkup){0};
	length = read_name(name, text, start);
	if (length == 0)
		return (LmMarkup){0};
	element = bsearch(name, elements, sizeof elements / sizeof elements[0], sizeof elements[0],
					  compare_element);
	if (!element && !strchr(name, '-') && !has_prefix(name))
		return (LmMarkup){0};
	markup.end = read_attributes(&has_value, text, start + length);
	if (!element && strchr(name, '-') && !has_value && !markup.closes)
		return (LmMarkup){0};
	markup.layout = element ? element->layout : INLINE;
	markup.name = element ? element->name : NULL;
	return markup;
}

/* The end of a value; 0: none, or a '<' too many. */
static size_t
read_value(LmBytes text, size_t at, int *nested)
{
	char quote = at < text.size ? text.data[at] : '\0';
	bool quoted = quote == '"' || quote == '\'';

	for (at += quoted ? 1 : 0; at < text.size; at++)
	{
		char byte = text.data[at];

		if (quoted ? byte == quote : lm_is_html_space(byte) || byte == '>')
			return at + (quoted ? 1 : 0);
		if (byte == '<' && (!quoted || --*nested < 0))
			return 0;
		if (!quoted && (byte == '"' || byte == '\''))
			return 0;
	}
	return 0;
}

/* Whether an attribute may stand without a value. */
static bool
needs_no_value(LmBytes text, size_t at, size_t end)
{
	char name[MAX_NAME + 1];

	if (memchr(text.data + at, '-', end - at))
		return true;
	return end - at <= MAX_NAME && read_name(name, text, at) == end - at &&
		   bsearch(name, booleans, sizeof booleans / sizeof booleans[0], sizeof booleans[0],
				   compare_word);
}

/* The end of the name of an attribute; its first byte is a letter, or a sign of a template. */
static size_t
attribute_end(LmBytes text, size_t at)
{
	if (!is_letter(text.data[at]) && !strchr("_:@#[(*", text.data[at]))
		return at;
	while (at < text.size && !lm_is_html_space(text.data[at]) && !strchr("=>/<\"'", text.data[at]))
		at++;
	return at;
}

/* Reads from the name of a tag to its '>'; returns the place after that, 0 if it is no tag. */
static size_t
read_attributes(bool *has_value, LmBytes text, size_t at)
{
	int nested = MAX_NESTED;

	if (text.size > at && text.size - at > MAX_TAG)
		text.size = at + MAX_TAG;
	if (at < text.size && !lm_is_html_space(text.data[at]) && !strchr("/>", text.data[at]))
		return 0;
	while (at < text.size)
	{
		size_t start, end, equals;

		start = lm_skip_html_spaces(text, at);
		if (start >= text.size)
			return 0;
		if (text.data[start] == '>')
			return start + 1;
		if (text.data[start] == '/' && start + 1 < text.size &&
			(text.data[start + 1] == '>' || lm_is_html_space(text.data[start + 1])))
		{
			at = start + 1;
			continue;
		}
		end = attribute_end(text, start);
		equals = lm_skip_html_spaces(text, end);
		if (end == start || equals >= text.size)
			return 0;
		at = end;
		if (text.data[equals] == '=')
		{
			at = read_value(text, lm_skip_html_spaces(text, equals + 1), &nested);
			*has_value = true;
			if (at == 0)
				return 0;
		}
		else if (!needs_no_value(text, start, end))
			return 0;
	}
	return 0;
}

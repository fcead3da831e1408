/*
 * src/engine/text/clean_tags.h
 *
 * Tags of HTML, one at a time.
 */
#ifndef LM_TEXT_CLEAN_TAGS_H
#define LM_TEXT_CLEAN_TAGS_H

#include "text/clean_steps.h"

/* The layout that an element has. */
typedef enum LmLayout
{
	LM_LAYOUT_INLINE,
	LM_LAYOUT_CELL, /* of a table: a tab */
	LM_LAYOUT_BREAK, /* one line break more */
	LM_LAYOUT_BLOCK, /* on a line of its own */
	LM_LAYOUT_PARAGRAPH, /* between empty lines */
	LM_LAYOUT_DROPPED, /* with its content */
} LmLayout;

/* A piece of markup. */
typedef struct LmMarkup
{
	size_t end; /* 0: it is no markup */
	LmLayout layout;
	bool closes;
	const char *name; /* of its element; NULL: it has none */
} LmMarkup;

/*
 * The start or end tag at a '<'. Reads no further than over MAX_NESTED further '<', and 16 MiB.
 */
LmMarkup lm_tag_read(LmBytes text, size_t at);

static inline bool
lm_is_html_space(char byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The first byte at or after a place that is no white space of HTML. */
static inline size_t
lm_skip_html_spaces(LmBytes text, size_t at)
{
	while (at < text.size && lm_is_html_space(text.data[at]))
		at++;
	return at;
}

#endif /* LM_TEXT_CLEAN_TAGS_H */

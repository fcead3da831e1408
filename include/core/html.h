/*
 * include/core/html.h
 *
 * HTML as it is written: texts are escaped here and nowhere else. Tags and attributes are constant
 * texts of the program; whatever comes from a row, a name or a query goes through these functions.
 */
#ifndef GPT_HTML_H
#define GPT_HTML_H

#include "lib/stringinfo.h"

/*
 * Append a text between tags or, which is the same, between the quotes of an attribute: the
 * characters of markup as references, invisible characters as marks (core/visible.h). NULL: an
 * empty text.
 */
extern void gpt_html_text(StringInfo html, const char *text);
extern void gpt_html_bytes(StringInfo html, const char *text, size_t size);

/*
 * The same between tags, where marks have an element of their own, <span class="mark">, and may be
 * told from a text that looks like one.
 */
extern void gpt_html_row(StringInfo html, const char *text, size_t size);

/* <tag>, escaped text, </tag>; attributes: constant text, such as class="x", or NULL. */
extern void gpt_html_element(StringInfo html, const char *tag, const char *attributes,
							 const char *text);

#endif /* GPT_HTML_H */

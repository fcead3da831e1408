/*
 * include/core/visible.h
 *
 * Characters that a reader would not see, or that would change what stands around them: controls
 * (escape sequences of terminals begin with one), marks of direction, spaces without width, tags.
 * Texts of rows are hostile, so whatever shows them shows these characters as marks.
 */
#ifndef GPT_VISIBLE_H
#define GPT_VISIBLE_H

#define GPT_VISIBLE_MARK 16 /* bytes of a mark, with its end */

/*
 * Looks at the first character of text[0..size), size > 0; returns its length in bytes. mark
 * [GPT_VISIBLE_MARK]: how to write it, empty where it can stand as it is. A control is [ESC] or
 * [BEL], anything else [U+202E]. Line feeds and tabs stand as they are; joiners do, because scripts
 * and emoji need them. Bytes that are no UTF-8 are marks, too.
 */
extern int gpt_visible(char *mark, const char *text, size_t size);

/* Whether the text has a character that becomes a mark. */
extern bool gpt_visible_has_marks(const char *text);

#endif /* GPT_VISIBLE_H */

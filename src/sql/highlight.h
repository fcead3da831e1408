/*
 * src/sql/highlight.h
 *
 * A text with marks at some of its words, for a terminal. The text may be hostile: characters that
 * would steer a terminal, or that nobody would see, become marks of their own (core/visible.h).
 */
#ifndef GPT_HIGHLIGHT_H
#define GPT_HIGHLIGHT_H

#include "lib/stringinfo.h"

#include "core/words.h"
#include "engine/tokenizer.h"

#define GPT_HIGHLIGHT_LEVELS 4

/* How words are marked. */
typedef enum GptHighlightStyle
{
	GPT_HIGHLIGHT_BRACKETS,
	GPT_HIGHLIGHT_ANSI,
} GptHighlightStyle;

extern const char *gpt_highlight_style_name(int style);

/* Raises an error if the marked text could exceed gpt.max_memory. */
extern void gpt_highlight_check(size_t size);

/*
 * Appends a part of the text. level: 0 for none, up to GPT_HIGHLIGHT_LEVELS; below 0 the word
 * speaks against the answer. is_signed: marks show the sign.
 */
extern void gpt_highlight_put(StringInfo marked, LmBytes part, int level, bool is_signed,
							  GptHighlightStyle style);

#endif /* GPT_HIGHLIGHT_H */

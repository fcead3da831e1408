/*
 * src/engine/text/markup.h
 *
 * Looks at one place of a text for what is not plain language there.
 */
#ifndef LM_TEXT_MARKUP_H
#define LM_TEXT_MARKUP_H

#include <stdbool.h>

#include "engine/tokenizer.h"

/* Whether the '<' at that place begins a tag of HTML, a comment or a declaration. */
bool lm_is_tag(LmBytes text, size_t position);

/* Whether the '&' at that place begins a character reference of HTML, such as &amp; or &#39;. */
bool lm_is_reference(LmBytes text, size_t position);

/* Whether the ':' or 'w' at that place belongs to the beginning of a URL. */
bool lm_is_url(LmBytes text, size_t position);

/* Whether the '@' at that place is that of an e-mail address. */
bool lm_is_email(LmBytes text, size_t position);

#endif /* LM_TEXT_MARKUP_H */

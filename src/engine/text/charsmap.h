/*
 * src/engine/text/charsmap.h
 *
 * The table of characters of SentencePiece (precompiled_charsmap): what a text is before it is cut
 * into pieces. Kudo and Richardson 2018, section 3.2.2; the layout of the trie is that of
 * Darts-clone (https://github.com/s-yata/darts-clone).
 *
 *   | bytes of the trie, 4 bytes, little-endian | units of the trie, 4 bytes each | strings, each
 *   with its NUL |
 *
 * A key of the trie is some characters, its value where the string that replaces them starts. The
 * content is not trusted: whatever a table says, nothing outside it is read, and the text stays
 * valid UTF-8.
 */
#ifndef LM_TEXT_CHARSMAP_H
#define LM_TEXT_CHARSMAP_H

#include "text/normalize.h"

/* Whether the sizes in a table agree; LM_ERR_FORMAT, _LIMIT. */
bool lm_charsmap_check(LmBytes table, LmError *error);

/*
 * Replaces what `out` held by valid text with its longest keys replaced, as lm_text_normalize does;
 * an empty table replaces nothing. collapse: spaces at the beginning and the end of the result go,
 * and of several the first stays.
 */
bool lm_charsmap_apply(const LmHost *host, LmText *out, LmBytes text, LmBytes table, bool collapse,
					   LmError *error);

#endif /* LM_TEXT_CHARSMAP_H */

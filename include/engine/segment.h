/*
 * include/engine/segment.h
 *
 * Text in, its segments out: words, sentences, lines or graphemes, as ICU's break iterators find
 * them (Unicode Standard Annexes 14 and 29; dictionaries for Chinese, Japanese, Thai, Lao, Khmer
 * and Burmese, which do not put spaces between words).
 *
 * The text is read in windows, so that memory does not grow with it, and time is linear:
 *
 *   text      ....................................................
 *   window           [ segments ..............  | margin ]
 *                    ^ a boundary                 ^ only the next window decides what is here
 *
 * A window that ends in an end of line has no margin, because every kind of segment ends there.
 */
#ifndef LM_SEGMENT_H
#define LM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/error.h"
#include "engine/host.h"

#define LM_MAX_SEGMENT_SIZE ((size_t) 16 << 20) /* bytes; what is longer is cut */

/* What a text is cut into. */
typedef enum LmSegmentKind
{
	LM_SEGMENT_WORD, /* words, and what is between them */
	LM_SEGMENT_SENTENCE, /* with the white space after it */
	LM_SEGMENT_LINE, /* what may not be broken at the end of a line */
	LM_SEGMENT_GRAPHEME, /* what people call a character */
} LmSegmentKind;

/* What a segment of the kind WORD is; others are LM_SEGMENT_OTHER. */
typedef enum LmSegmentType
{
	LM_SEGMENT_OTHER, /* punctuation, symbols, emoji */
	LM_SEGMENT_SPACE,
	LM_SEGMENT_NUMBER,
	LM_SEGMENT_LETTERS,
	LM_SEGMENT_IDEOGRAPHS, /* Chinese and Japanese, kana too */
} LmSegmentType;

/* "other", "space", "number", "letters", "ideographs"; NULL after the last */
const char *lm_segment_type_name(int type);

/* Bytes start .. end - 1 of the text. */
typedef struct LmSegment
{
	size_t start;
	size_t end;
	LmSegmentType type;
} LmSegment;

typedef struct LmSegmenter LmSegmenter;

/*
 * locale: "root", a language tag ("ja", "zh-Hant", "ja-u-lw-phrase") or a name of ICU ("fr_CA").
 * NULL with LM_ERR_ARGUMENT for a language that ICU does not know, LM_ERR_LIBRARY, LM_ERR_MEMORY.
 * Not for two threads at once.
 */
LmSegmenter *lm_segmenter_create(const LmHost *host, LmSegmentKind kind, const char *locale,
								 LmError *error);
void lm_segmenter_free(LmSegmenter *segmenter);

/* Begins with a text of valid UTF-8, which must stay until the last segment. */
void lm_segmenter_start(LmSegmenter *segmenter, const char *text, size_t size);

/*
 * The next segment; together they are the whole text. At its end segment->end is segment->start.
 * LM_ERR_STOPPED, LM_ERR_LIBRARY, LM_ERR_MEMORY.
 */
bool lm_segmenter_next(LmSegmenter *segmenter, LmSegment *segment, LmError *error);

/* Takes the white space at both ends off; a segment of nothing else becomes empty. */
void lm_segment_trim(LmSegment *segment, const char *text);

#endif /* LM_SEGMENT_H */

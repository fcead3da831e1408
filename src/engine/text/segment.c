/*
 * src/engine/text/segment.c
 *
 * Text in, words, sentences, lines or graphemes out, by ICU's break iterators in a sliding window
 * (engine/segment.h).
 */
#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/uloc.h>
#include <unicode/utext.h>

#include "base/names.h"
#include "engine/segment.h"
#include "engine/tokenizer.h"
#include "text/array.h"
#include "text/utf8.h"

#define WINDOW_SIZE 65536 /* bytes */
#define MARGIN 4096 /* bytes at a window's end in which no boundary is certain */

struct LmSegmenter
{
	LmHost host;
	LmSegmentKind kind;
	UBreakIterator *iterator;
	const char *text;
	size_t size;
	size_t window; /* start of the window, a boundary */
	size_t window_end;
	size_t window_size; /* bytes of the next window */
	size_t certain; /* boundaries up to here are certain */
	size_t position; /* the last boundary; outside of the window at first */
};

static bool find_locale(char *found, const char *locale);
static bool is_language(const char *language);
static bool fill_window(LmSegmenter *segmenter, LmError *error);
static size_t last_line_end(const char *text, size_t first, size_t end);
static size_t next_boundary(LmSegmenter *segmenter);
static LmSegmentType type_of(const LmSegmenter *segmenter, size_t start);
static bool fail_icu(UErrorCode status, LmError *error);

LM_NAMES(lm_segment_type_name, [LM_SEGMENT_OTHER] = "other", [LM_SEGMENT_SPACE] = "space",
		 [LM_SEGMENT_NUMBER] = "number", [LM_SEGMENT_LETTERS] = "letters",
		 [LM_SEGMENT_IDEOGRAPHS] = "ideographs");

LmSegmenter *
lm_segmenter_create(const LmHost *host, LmSegmentKind kind, const char *locale, LmError *error)
{
	static const UBreakIteratorType types[] = {[LM_SEGMENT_WORD] = UBRK_WORD,
											   [LM_SEGMENT_SENTENCE] = UBRK_SENTENCE,
											   [LM_SEGMENT_LINE] = UBRK_LINE,
											   [LM_SEGMENT_GRAPHEME] = UBRK_CHARACTER};
	char found[ULOC_FULLNAME_CAPACITY];
	UErrorCode status = U_ZERO_ERROR;
	LmSegmenter *segmenter;

	if (!find_locale(found, locale))
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "locale \"%.100s\" is not known", locale);
		return NULL;
	}
	segmenter = lm_array_allocate(host, 1, sizeof *segmenter, error);
	if (!segmenter)
		return NULL;
	segmenter->host = *host;
	segmenter->kind = kind;
	segmenter->iterator = ubrk_open(types[kind], found, NULL, 0, &status);
	if (U_SUCCESS(status))
		return segmenter;
	segmenter->iterator = NULL;
	lm_segmenter_free(segmenter);
	fail_icu(status, error);
	return NULL;
}

void
lm_segmenter_free(LmSegmenter *segmenter)
{
	LmHost host;

	if (!segmenter)
		return;
	host = segmenter->host;
	if (segmenter->iterator)
		ubrk_close(segmenter->iterator);
	lm_free(&host, segmenter);
}

/*
 * ICU's name of a locale. ICU itself takes any word for a language and falls back to the rules of
 * all; here it must have a code of ISO 639. The encoding in a name of the C library is passed over.
 */
static bool
find_locale(char *found, const char *locale)
{
	char language[ULOC_LANG_CAPACITY];
	UErrorCode status = U_ZERO_ERROR;
	int32_t parsed = 0;

	if (strlen(locale) >= ULOC_FULLNAME_CAPACITY)
		return false;
	if (strchr(locale, '-') && !strchr(locale, '.'))
	{
		uloc_forLanguageTag(locale, found, ULOC_FULLNAME_CAPACITY, &parsed, &status);
		if (U_FAILURE(status) || (size_t) parsed != strlen(locale))
			return false;
	}
	else
		uloc_canonicalize(locale, found, ULOC_FULLNAME_CAPACITY, &status);
	if (U_FAILURE(status) || status == U_STRING_NOT_TERMINATED_WARNING)
		return false;
	uloc_getLanguage(found, language, ULOC_LANG_CAPACITY, &status);
	return U_SUCCESS(status) && status != U_STRING_NOT_TERMINATED_WARNING && is_language(language);
}

static bool
is_language(const char *language)
{
	if (language[0] == '\0' || strcmp(language, "root") == 0 || strcmp(language, "und") == 0)
		return true;
	for (const char *const *known = uloc_getISOLanguages(); *known; known++)
		if (strcmp(*known, language) == 0)
			return true;
	return false;
}

void
lm_segmenter_start(LmSegmenter *segmenter, const char *text, size_t size)
{
	segmenter->text = text;
	segmenter->size = size;
	segmenter->window = segmenter->window_end = segmenter->certain = segmenter->position = 0;
	segmenter->window_size = WINDOW_SIZE;
}

bool
lm_segmenter_next(LmSegmenter *segmenter, LmSegment *segment, LmError *error)
{
	size_t end = segmenter->position;

	*segment = (LmSegment){end, end, LM_SEGMENT_OTHER};
	while (segment->end == segment->start && segment->start < segmenter->size)
	{
		if (segmenter->position < segmenter->window_end)
			end = next_boundary(segmenter);
		if (end > segment->start && end <= segmenter->certain)
		{
			segment->end = end;
			segment->type = type_of(segmenter, segment->start);
		}
		else if (!fill_window(segmenter, error))
		{
			/* The iterator is past the position: a further call begins a window. */
			segmenter->window_end = segmenter->position;
			return false;
		}
	}
	segmenter->position = segment->end;
	return true;
}

/* The end of the segment that begins at the position, or of the window. */
static size_t
next_boundary(LmSegmenter *segmenter)
{
	int32_t end = ubrk_next(segmenter->iterator);

	return end == UBRK_DONE ? segmenter->window_end : segmenter->window + (size_t) end;
}

/*
 * Begins a window at the position. A window that began there already had no certain boundary: it
 * doubles, up to the size at which a segment is cut.
 */
static bool
fill_window(LmSegmenter *segmenter, LmError *error)
{
	UText text = UTEXT_INITIALIZER;
	UErrorCode status = U_ZERO_ERROR;
	size_t start = segmenter->position, end, line_end;
	bool again = start == segmenter->window && segmenter->window_end > start;

	if (!lm_text_go_on(&segmenter->host, error))
		return false;
	segmenter->window_size = again ? 2 * segmenter->window_size : WINDOW_SIZE;
	end = lm_utf8_boundary(segmenter->text, segmenter->size, start + segmenter->window_size);
	line_end = end < segmenter->size ? last_line_end(segmenter->text, start, end) : end;
	segmenter->window = start;
	segmenter->window_end = line_end > start ? line_end : end;
	segmenter->certain = segmenter->window_end;
	if (line_end <= start && segmenter->window_size < LM_MAX_SEGMENT_SIZE)
		segmenter->certain -= MARGIN;
	utext_openUTF8(&text, segmenter->text + start, (int64_t) (segmenter->window_end - start),
				   &status);
	ubrk_setUText(segmenter->iterator, &text, &status);
	utext_close(&text);
	return U_SUCCESS(status) || fail_icu(status, error);
}

/* Where the last line ends whose end is in the second half of the window, or first. */
static size_t
last_line_end(const char *text, size_t first, size_t end)
{
	for (size_t i = end; i > first + (end - first) / 2; i--)
		if (text[i - 1] == '\n')
			return i;
	return first;
}

/* What the iterator says of the segment that it found last. */
static LmSegmentType
type_of(const LmSegmenter *segmenter, size_t start)
{
	int32_t rule = ubrk_getRuleStatus(segmenter->iterator);
	int length;

	if (segmenter->kind != LM_SEGMENT_WORD)
		return LM_SEGMENT_OTHER;
	if (rule >= UBRK_WORD_KANA)
		return LM_SEGMENT_IDEOGRAPHS;
	if (rule >= UBRK_WORD_LETTER)
		return LM_SEGMENT_LETTERS;
	if (rule >= UBRK_WORD_NUMBER)
		return LM_SEGMENT_NUMBER;
	return u_isUWhiteSpace(lm_utf8_decode(segmenter->text + start, &length)) ? LM_SEGMENT_SPACE
																			 : LM_SEGMENT_OTHER;
}

void
lm_segment_trim(LmSegment *segment, const char *text)
{
	int length;

	while (segment->start < segment->end &&
		   u_isUWhiteSpace(lm_utf8_decode(text + segment->start, &length)))
		segment->start += (size_t) length;
	while (segment->start < segment->end)
	{
		size_t last = lm_utf8_boundary(text, segment->end, segment->end - 1);

		if (!u_isUWhiteSpace(lm_utf8_decode(text + last, &length)))
			break;
		segment->end = last;
	}
}

static bool
fail_icu(UErrorCode status, LmError *error)
{
	if (status == U_MEMORY_ALLOCATION_ERROR)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory in ICU");
	return lm_fail(error, LM_ERR_LIBRARY, -1, "ICU failed: %s", u_errorName(status));
}

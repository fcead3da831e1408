/*
 * test/unit/test_segment.c
 *
 * Segments of texts: words, sentences, lines and graphemes as ICU finds them, without a window's
 * edge being seen, in memory that does not grow with the text.
 */
#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include "counting_host.h"
#include "engine/segment.h"
#include "engine/tokenizer.h"

#define MIXED_SIZE ((size_t) 400 << 10)
#define MOST_MEMORY ((size_t) 1 << 20) /* of the engine's host, for any text */

static TapHost state;
static LmHost host;

/* The segments of a text joined by "|", trimmed where they are sentences; static. */
static const char *
segments(LmSegmentKind kind, const char *locale, const char *text)
{
	static char joined[4096];
	LmSegmenter *segmenter = lm_segmenter_create(&host, kind, locale, NULL);
	LmSegment segment;
	size_t size = 0;

	lm_segmenter_start(segmenter, text, strlen(text));
	while (lm_segmenter_next(segmenter, &segment, NULL) && segment.end > segment.start)
	{
		if (kind == LM_SEGMENT_SENTENCE)
			lm_segment_trim(&segment, text);
		size += (size_t) snprintf(joined + size, sizeof joined - size, "%.*s|",
								  (int) (segment.end - segment.start), text + segment.start);
	}
	lm_segmenter_free(segmenter);
	joined[size] = '\0';
	return joined;
}

static void
test_kind(LmSegmentKind kind, const char *locale, const char *text, const char *wanted)
{
	const char *got = segments(kind, locale, text);

	if (!ok(strcmp(got, wanted) == 0, "segments of kind %d: %s", (int) kind, wanted))
		printf("# got %s, wanted %s\n", got, wanted);
}

static void
test_kinds(void)
{
	test_kind(LM_SEGMENT_WORD, "root", "Don't stop, it's 3.14!", "Don't| |stop|,| |it's| |3.14|!|");
	test_kind(LM_SEGMENT_WORD, "zh", "我喜欢吃苹果。", "我|喜欢|吃|苹果|。|");
	test_kind(LM_SEGMENT_WORD, "ja", "東京は日本の首都です", "東京|は|日本|の|首都|です|");
	test_kind(LM_SEGMENT_WORD, "th", "สวัสดีชาวโลก", "สวัสดี|ชาว|โลก|");
	test_kind(LM_SEGMENT_WORD, "root", "", "");
	test_kind(LM_SEGMENT_SENTENCE, "root", "One.  Two? \n Three", "One.|Two?|Three|");
	test_kind(LM_SEGMENT_SENTENCE, "root", "这是第一句。这是第二句！",
			  "这是第一句。|这是第二句！|");
	test_kind(LM_SEGMENT_GRAPHEME, "root", "e\xCC\x81👨‍👩‍👧🇩🇪🇫🇷",
			  "e\xCC\x81|👨‍👩‍👧|🇩🇪|🇫🇷|");
	test_kind(LM_SEGMENT_LINE, "root", "a b-c", "a |b-|c|");
}

static void
test_types(void)
{
	static const char text[] = "a 1 カ 世.";
	static const LmSegmentType wanted[] = {
		LM_SEGMENT_LETTERS,	   LM_SEGMENT_SPACE, LM_SEGMENT_NUMBER,		LM_SEGMENT_SPACE,
		LM_SEGMENT_IDEOGRAPHS, LM_SEGMENT_SPACE, LM_SEGMENT_IDEOGRAPHS, LM_SEGMENT_OTHER};
	LmSegmenter *segmenter = lm_segmenter_create(&host, LM_SEGMENT_WORD, "root", NULL);
	LmSegment segment;
	int n = 0, right = 0;

	lm_segmenter_start(segmenter, text, strlen(text));
	for (; lm_segmenter_next(segmenter, &segment, NULL) && segment.end > segment.start; n++)
		right += n < 8 && segment.type == wanted[n];
	ok(n == 8 && right == 8, "each segment has its type");
	lm_segmenter_free(segmenter);
}

static void
test_locales(void)
{
	static const char *const good[] = {
		"root", "", "und", "de", "de-AT", "en_US.UTF-8", "zh-Hant", "ja-u-lw-phrase", "tlh"};
	static const char *const bad[] = {"german", "xx", "de-", "-de", "en--us", "1", "C"};
	char name[300];
	LmError error = {0};

	for (size_t i = 0; i < 9; i++)
	{
		LmSegmenter *segmenter = lm_segmenter_create(&host, LM_SEGMENT_WORD, good[i], &error);

		ok(segmenter != NULL, "locale \"%s\" is known", good[i]);
		lm_segmenter_free(segmenter);
	}
	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++)
	{
		const char *locale = i < sizeof bad / sizeof *bad ? bad[i] : name;

		ok(lm_segmenter_create(&host, LM_SEGMENT_WORD, locale, &error) == NULL &&
			   error.code == LM_ERR_ARGUMENT,
		   "locale \"%.20s\" is not known", locale);
	}
}

/* Pieces of all kinds without dictionaries, in an order that a fixed seed draws. */
static char *
mixed_text(size_t size, bool lines)
{
	static const char *const pieces[] = {"word", " ",		  "a.b",	". ",		   "3,5",
										 "Ä",	 "e\xCC\x81", "🇩🇪🇫🇷🇮🇹", "👩‍🔬", "\"No!\" ",
										 "\r\n", "\xC2\xA0",  "?",		"_x_"};
	const size_t n = sizeof pieces / sizeof *pieces;
	char *text = malloc(size + 32);
	size_t used = 0;
	uint32_t seed = 1;

	while (used < size)
	{
		const char *piece;

		seed = seed * 1103515245 + 12345;
		piece = pieces[(seed >> 16) % n];
		if (!lines && piece[0] == '\r')
			continue;
		memcpy(text + used, piece, strlen(piece));
		used += strlen(piece);
	}
	text[used] = '\0';
	return text;
}

/* One iterator over the whole text finds the same boundaries. */
static void
test_windows(LmSegmentKind kind, UBreakIteratorType type, bool lines)
{
	char *text = mixed_text(MIXED_SIZE, lines);
	size_t size = strlen(text), n = 0;
	UErrorCode status = U_ZERO_ERROR;
	UText whole = UTEXT_INITIALIZER;
	UBreakIterator *iterator = ubrk_open(type, "", NULL, 0, &status);
	LmSegmenter *segmenter = lm_segmenter_create(&host, kind, "root", NULL);
	LmSegment segment;
	bool same = true;

	utext_openUTF8(&whole, text, (int64_t) size, &status);
	ubrk_setUText(iterator, &whole, &status);
	lm_segmenter_start(segmenter, text, size);
	while (lm_segmenter_next(segmenter, &segment, NULL) && segment.end > segment.start)
	{
		same = same && (int64_t) segment.end == ubrk_next(iterator);
		n++;
	}
	ok(same && segment.end == size && n > 1000,
	   "%zu segments of kind %d are those of one iterator%s", n, (int) kind,
	   lines ? "" : ", without ends of lines");
	utext_close(&whole);
	ubrk_close(iterator);
	lm_segmenter_free(segmenter);
	free(text);
}

/* One segment that is longer than a window, and one that is longer than a segment may be. */
static void
test_long(const char *letter, size_t size, LmSegmentKind kind, size_t wanted)
{
	size_t length = strlen(letter), n = 0, whole = 0;
	char *text = malloc(size + 1);
	LmSegmenter *segmenter = lm_segmenter_create(&host, kind, "root", NULL);
	LmSegment segment;
	LmError error = {0};

	size -= size % length;
	for (size_t i = 0; i < size; i += length)
		memcpy(text + i, letter, length);
	lm_segmenter_start(segmenter, text, size);
	while (lm_segmenter_next(segmenter, &segment, &error) && segment.end > segment.start)
	{
		n++;
		whole += segment.end - segment.start;
		if (((unsigned char) text[segment.start] & 0xC0) == 0x80)
			break;
	}
	ok(n == wanted && whole == size, "%zu bytes of U+%04X are %zu segments of kind %d", size,
	   (unsigned char) letter[0], wanted, (int) kind);
	lm_segmenter_free(segmenter);
	free(text);
}

static void
test_stop(void)
{
	CountingHost counting;
	LmHost counted = counting_host(&counting);
	char *text = mixed_text(MIXED_SIZE, true);
	LmSegmenter *segmenter = lm_segmenter_create(&counted, LM_SEGMENT_WORD, "root", NULL);
	LmSegment segment;
	LmError error = {0};
	bool done;

	counting.questions = 2;
	lm_segmenter_start(segmenter, text, strlen(text));
	do
		done = lm_segmenter_next(segmenter, &segment, &error);
	while (done && segment.end > segment.start);
	ok(!done && error.code == LM_ERR_STOPPED, "it stops when it is told to");
	ok(counting.peak < MOST_MEMORY, "the engine's own memory is %zu bytes", counting.peak);
	lm_segmenter_free(segmenter);
	ok(counting.live == 0, "and is given back");
	free(text);
	state.fail_after = 0;
	ok(lm_segmenter_create(&host, LM_SEGMENT_WORD, "root", &error) == NULL &&
		   error.code == LM_ERR_MEMORY,
	   "no memory is an error");
	state.fail_after = -1;
}

int
main(void)
{
	host = tap_host(&state);
	test_kinds();
	test_types();
	test_locales();
	test_windows(LM_SEGMENT_WORD, UBRK_WORD, true);
	test_windows(LM_SEGMENT_WORD, UBRK_WORD, false);
	test_windows(LM_SEGMENT_SENTENCE, UBRK_SENTENCE, true);
	test_windows(LM_SEGMENT_SENTENCE, UBRK_SENTENCE, false);
	test_windows(LM_SEGMENT_LINE, UBRK_LINE, false);
	test_windows(LM_SEGMENT_GRAPHEME, UBRK_CHARACTER, false);
	test_long("a", (size_t) 1 << 20, LM_SEGMENT_WORD, 1);
	test_long("\xCC\x81", (size_t) 1 << 20, LM_SEGMENT_GRAPHEME, 1);
	test_long("\xC3\xA4", LM_MAX_SEGMENT_SIZE + 200000, LM_SEGMENT_WORD, 2);
	test_stop();
	ok(state.live == 0, "no memory is left");
	return done_testing();
}

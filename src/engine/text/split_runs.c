/*
 * src/engine/text/split_runs.c
 *
 * Splits at runs of one kind of characters, of which DeepSeek's vocabularies have several one after
 * the other: [\r\n], \s?\p{L}+, \s?\p{P}+, and ranges of Han, Hangul and Kana. What lies between
 * two runs is a piece too. Equal to ICU's matches of these patterns on every text.
 */
#include "text/split_class.h"

/* Whether a character belongs to a run. */
typedef bool (*InRun)(int32_t code);

/* A text and the kind of its runs. */
typedef struct Runs
{
	const LmHost *host;
	const char *text;
	size_t size;
	InRun in_run;
	bool spaced; /* a run takes one white space in front of it */
} Runs;

static size_t piece_end(Runs runs, size_t position);
static size_t run_start(const Runs *runs, size_t position);
static size_t scan(const Runs *runs, size_t position, bool in_run);

static bool
is_letter(int32_t code)
{
	return U_MASK(u_charType(code)) & U_GC_L_MASK;
}

static bool
is_punctuation(int32_t code)
{
	return U_MASK(u_charType(code)) & U_GC_P_MASK;
}

static bool
is_han_or_hangul(int32_t code)
{
	return (code >= 0x0800 && code <= 0x9FA5) || (code >= 0xAC00 && code <= 0xD7FF);
}

static bool
is_han_or_kana(int32_t code)
{
	return (code >= 0x4E00 && code <= 0x9FA5) || (code >= 0x3040 && code <= 0x30FF);
}

static size_t
letters_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return piece_end((Runs){host, text, size, is_letter, true}, position);
}

static size_t
punctuation_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return piece_end((Runs){host, text, size, is_punctuation, true}, position);
}

static size_t
han_and_hangul_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return piece_end((Runs){host, text, size, is_han_or_hangul, false}, position);
}

static size_t
han_and_kana_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return piece_end((Runs){host, text, size, is_han_or_kana, false}, position);
}

/* One end of a line, or all up to the next. */
static size_t
newline_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t poll = position + LM_POLL_SIZE;

	if (text[position] == '\r' || text[position] == '\n')
		return position + 1;
	while (position < size && text[position] != '\r' && text[position] != '\n')
	{
		position++;
		if (position < poll)
			continue;
		if (!lm_text_go_on(host, NULL))
			return 0;
		poll = position + LM_POLL_SIZE;
	}
	return position;
}

const LmKnownSplit lm_split_runs[] = {
	{"[\r\n]", newline_end, false},
	{"\\s?\\p{L}+", letters_end, false},
	{"\\s?\\p{P}+", punctuation_end, false},
	{"[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+",
	 han_and_hangul_end, false},
	{"[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
	 han_and_kana_end, false},
	{NULL, NULL, false},
};

/* ------------------------------------------------------------ runs */

/* The end of the run that starts at position, or else of the text between two runs. */
static size_t
piece_end(Runs runs, size_t position)
{
	size_t start = run_start(&runs, position);

	return start < runs.size ? scan(&runs, start, true) : scan(&runs, position, false);
}

/* Where the characters of the run at position start, after its white space; else the size. */
static size_t
run_start(const Runs *runs, size_t position)
{
	int length;
	int32_t code = lm_utf8_decode(runs->text + position, &length);

	if (runs->in_run(code))
		return position;
	position += (size_t) length;
	if (runs->spaced && position < runs->size && u_isUWhiteSpace(code) &&
		runs->in_run(lm_utf8_decode(runs->text + position, &length)))
		return position;
	return runs->size;
}

/* The end of the characters of a run, or of those where none starts; 0 when stopped. */
static size_t
scan(const Runs *runs, size_t position, bool in_run)
{
	size_t poll = position + LM_POLL_SIZE;

	while (position < runs->size)
	{
		int length;
		int32_t code = lm_utf8_decode(runs->text + position, &length);

		if (in_run ? !runs->in_run(code) : run_start(runs, position) < runs->size)
			break;
		position += (size_t) length;
		if (position < poll)
			continue;
		if (!lm_text_go_on(runs->host, NULL))
			return 0;
		poll = position + LM_POLL_SIZE;
	}
	return position;
}

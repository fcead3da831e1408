/*
 * src/engine/text/survey.c
 *
 * A text goes in; what a look at each of its characters shows is added to a survey.
 */
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "engine/marked_text.h"
#include "engine/survey.h"
#include "text/function_words.h"
#include "text/markup.h"
#include "text/utf8.h"

#define MOST_WORDS 200 /* that are looked up: enough to tell a language */
#define KANA_SHARE 0.05 /* of the letters of Japanese, at least: the others are Han */
#define MOST_AFTER_END 16 /* characters that are looked at for the end of a sentence */
#define ZERO_WIDTH_SPACE 0x200B
#define WORD_JOINER 0x2060
#define BYTE_ORDER_MARK 0xFEFF

/* The text and the place that is looked at. */
typedef struct Look
{
	LmSurvey *survey;
	const LmFunctionWords *words;
	LmBytes text;
	bool marked;
	bool is_template; /* the part of a marked text that is being read is no content */
	bool has_letters;
	size_t word_size; /* of the word that has begun; 0: none */
	bool word_is_long;
	char word[LM_LONGEST_WORD];
} Look;

static size_t look_at(Look *look, size_t position);
static void look_at_ascii(Look *look, size_t position);
static void look_at_code(Look *look, int32_t code);
static void add_to_word(Look *look, int32_t code);
static void end_word(Look *look);
static bool ends_sentence(LmBytes text);

bool
lm_survey_add(LmSurvey *survey, const LmFunctionWords *words, const LmHost *host, LmBytes text,
			  bool marked, LmError *error)
{
	Look look = {
		.survey = survey, .words = words, .text = text, .marked = marked, .is_template = marked};
	size_t position = 0;

	while (position < text.size)
	{
		size_t end = text.size - position < LM_POLL_SIZE ? text.size : position + LM_POLL_SIZE;

		if (!lm_text_go_on(host, error))
			return false;
		while (position < end)
			position = look_at(&look, position);
	}
	end_word(&look);
	survey->ends = !look.has_letters || marked || ends_sentence(text);
	return true;
}

static void
note(Look *look, LmTrait trait)
{
	look->survey->traits |= (uint32_t) 1 << trait;
}

static bool
is_noted(const Look *look, LmTrait trait)
{
	return look->survey->traits >> trait & 1;
}

/* Looks at the character there; returns where the next one is. */
static size_t
look_at(Look *look, size_t position)
{
	unsigned char first = (unsigned char) look->text.data[position];
	int size;

	if (first == 0 && look->marked)
	{
		char mark = position + 1 < look->text.size ? look->text.data[position + 1] : '\0';

		end_word(look);
		if (mark == LM_MARK_TEMPLATE || mark == LM_MARK_CONTENT)
			look->is_template = mark == LM_MARK_TEMPLATE;
		return position + 2;
	}
	if (look->is_template)
		return position + 1;
	if (first >= 0x80)
	{
		look_at_code(look, lm_utf8_decode(look->text.data + position, &size));
		return position + (size_t) size;
	}
	look_at_ascii(look, position);
	return position + 1;
}

static bool
is_ascii_letter(unsigned char c)
{
	return (unsigned char) ((c | 0x20) - 'a') < 26;
}

static inline void
count_letter(Look *look, int script)
{
	look->survey->letters[script]++;
	if (look->survey->n_scripts <= script)
		look->survey->n_scripts = script + 1;
	look->has_letters = true;
}

static void
look_at_ascii(Look *look, size_t position)
{
	unsigned char c = (unsigned char) look->text.data[position];
	LmBytes text = look->text;

	if (is_ascii_letter(c))
	{
		if ((c | 0x20) == 'w' && look->word_size == 0 && !is_noted(look, LM_TRAIT_URL) &&
			lm_is_url(text, position))
			note(look, LM_TRAIT_URL);
		count_letter(look, USCRIPT_LATIN);
		add_to_word(look, c | 0x20);
		return;
	}
	end_word(look);
	if (c < 0x20 || c == 0x7F)
	{
		if (c != '\t' && c != '\n' && c != '\r')
			note(look, LM_TRAIT_CONTROL);
	}
	else if (c == '<' && !is_noted(look, LM_TRAIT_HTML) && lm_is_tag(text, position))
		note(look, LM_TRAIT_HTML);
	else if (c == '&' && !is_noted(look, LM_TRAIT_HTML) && lm_is_reference(text, position))
		note(look, LM_TRAIT_HTML);
	else if (c == ':' && !is_noted(look, LM_TRAIT_URL) && lm_is_url(text, position))
		note(look, LM_TRAIT_URL);
	else if (c == '@' && !is_noted(look, LM_TRAIT_EMAIL) && lm_is_email(text, position))
		note(look, LM_TRAIT_EMAIL);
}

static void
look_at_code(Look *look, int32_t code)
{
	UErrorCode status = U_ZERO_ERROR;
	UScriptCode script = uscript_getScript(code, &status);

	if (code < 0xA0 || code == ZERO_WIDTH_SPACE || code == WORD_JOINER || code == BYTE_ORDER_MARK)
		note(look, LM_TRAIT_CONTROL);
	if (script == USCRIPT_INHERITED && look->word_size > 0)
	{
		add_to_word(look, code);
		return;
	}
	if (script <= USCRIPT_INHERITED || script == USCRIPT_UNKNOWN || script >= LM_SCRIPTS)
	{
		end_word(look);
		return;
	}
	count_letter(look, script);
	add_to_word(look, look->words ? u_tolower(code) : code);
}

/* ---- Words -------------------------------------------------------------- */

static void
add_to_word(Look *look, int32_t code)
{
	if (!look->words || look->survey->n_words == MOST_WORDS)
	{
		look->word_size = 1;
		return;
	}
	if (look->word_size + 4 > LM_LONGEST_WORD)
	{
		look->word_is_long = true;
		return;
	}
	look->word_size += (size_t) lm_utf8_encode(look->word + look->word_size, code);
}

/* A word of several languages says less about each. */
static void
end_word(Look *look)
{
	LmSurvey *survey = look->survey;
	LmBytes word = {look->word, look->word_size};
	uint32_t languages;

	if (word.size == 0)
		return;
	look->word_size = 0;
	if (!look->words || survey->n_words == MOST_WORDS)
		return;
	survey->n_words++;
	languages = look->word_is_long ? 0 : lm_function_words_find(look->words, word);
	look->word_is_long = false;
	for (int language = 0; languages != 0 && language < LM_LANGUAGES; language++)
		if (languages >> language & 1)
			survey->function_words[language] += 1 / (float) __builtin_popcount(languages);
}

/* Quotation marks, brackets and emphasis may follow the end of a sentence. */
static bool
may_follow(int32_t code)
{
	int8_t type = u_charType(code);

	return code < 0x80
			   ? strchr(" \t\r\n\"')]}>*_", code) != NULL
			   : u_isspace(code) || type == U_FINAL_PUNCTUATION || type == U_END_PUNCTUATION;
}

static bool
ends_sentence(LmBytes text)
{
	size_t end = text.size;
	int size;

	for (int i = 0; i < MOST_AFTER_END && end > 0; i++)
	{
		size_t begin = lm_utf8_boundary(text.data, text.size, end - 1);
		int32_t code = lm_utf8_decode(text.data + begin, &size);

		if (!may_follow(code))
			return u_hasBinaryProperty(code, UCHAR_S_TERM);
		end = begin;
	}
	return true;
}

/* ---- Scripts ------------------------------------------------------------ */

const char *
lm_script_name(int script)
{
	return uscript_getName((UScriptCode) script);
}

int
lm_survey_script(const LmSurvey *survey)
{
	int best = 0;

	for (int i = 1; i < survey->n_scripts; i++)
		if (survey->letters[i] > survey->letters[best])
			best = i;
	return best;
}

/* Most of a Japanese text may be Han, which is Chinese where there are no kana. */
static bool
is_japanese(const LmSurvey *survey, int script)
{
	double kana = (double) survey->letters[USCRIPT_HIRAGANA] + survey->letters[USCRIPT_KATAKANA];
	double both = kana + survey->letters[USCRIPT_HAN];

	return kana > 0 && kana >= KANA_SHARE * both && both >= survey->letters[script];
}

const char *
lm_survey_language(const LmSurvey *survey)
{
	static const struct
	{
		UScriptCode script;
		const char *language;
	} languages[] = {
		{USCRIPT_ARMENIAN, "armenian"}, {USCRIPT_GEORGIAN, "georgian"},
		{USCRIPT_GREEK, "greek"},		{USCRIPT_GUJARATI, "gujarati"},
		{USCRIPT_GURMUKHI, "punjabi"},	{USCRIPT_HAN, "chinese"},
		{USCRIPT_HANGUL, "korean"},		{USCRIPT_HEBREW, "hebrew"},
		{USCRIPT_KANNADA, "kannada"},	{USCRIPT_KHMER, "khmer"},
		{USCRIPT_LAO, "lao"},			{USCRIPT_MALAYALAM, "malayalam"},
		{USCRIPT_MYANMAR, "burmese"},	{USCRIPT_SINHALA, "sinhala"},
		{USCRIPT_TAMIL, "tamil"},		{USCRIPT_TELUGU, "telugu"},
		{USCRIPT_THAI, "thai"},			{USCRIPT_TIBETAN, "tibetan"},
	};

	int script = lm_survey_script(survey);

	if (is_japanese(survey, script))
		return "japanese";
	for (size_t i = 0; survey->letters[script] > 0 && i < sizeof languages / sizeof *languages; i++)
		if ((int) languages[i].script == script)
			return languages[i].language;
	return NULL;
}

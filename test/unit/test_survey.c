/*
 * test/unit/test_survey.c
 *
 * What a look at texts finds: letters by script, HTML, addresses, control characters, function
 * words, ends of sentences; also in marked texts, long texts, and where it is stopped.
 */
#include <stdio.h>

#include "engine/survey.h"
#include "tap.h"

#define LONG_SIZE ((size_t) 4 << 20)

static TapHost state;
static LmHost host;

static LmSurvey
survey_of(const char *text, const LmFunctionWords *words)
{
	LmSurvey survey = {0};
	LmError error;

	if (!lm_survey_add(&survey, words, &host, (LmBytes){text, strlen(text)}, false, &error))
		printf("# %s\n", error.message);
	return survey;
}

static int
script_named(const char *name)
{
	for (int i = 0; i < LM_SCRIPTS; i++)
		if (lm_script_name(i) && strcmp(lm_script_name(i), name) == 0)
			return i;
	return 0;
}

static void
test_trait(LmTrait trait, const char *noun, const char *const *with, const char *const *without)
{
	for (int i = 0; with[i]; i++)
		ok(survey_of(with[i], NULL).traits == (uint32_t) 1 << trait, "text %d has %s", i, noun);
	for (int i = 0; without[i]; i++)
		ok((survey_of(without[i], NULL).traits >> trait & 1) == 0, "text %d has no %s", i, noun);
}

static void
test_traits(void)
{
	test_trait(LM_TRAIT_HTML, "HTML",
			   (const char *[]){"<p>x", "x<BR/>", "</div >", "<a href='x'>", "<!-- x", "a &amp; b",
								"&#39;", "&#x2014;", "&nbsp;", NULL},
			   (const char *[]){"a < b > c", "vector<int> x", "<user> logged in", "<p", "<pq>",
								"R&D; x", "f(&buf);", "& amp;", "&;", "&#;", "<", "&", "", NULL});
	test_trait(LM_TRAIT_URL, "a URL",
			   (const char *[]){"https://a.b/c", "see http://x", "(ftp://h)", "www.example.org",
								"x www.1", NULL},
			   (const char *[]){"://", "xhttp://", "wwww", "www. ", "awww.x", "http:/x", NULL});
	test_trait(
		LM_TRAIT_EMAIL, "an e-mail address",
		(const char *[]){"a@b.co", "<x.y+z@sub.example.org>", NULL},
		(const char *[]){"@b.co", "a@", "a@b", "a@b.", "a@b.c", "a@.co", "a @b.co", "@", NULL});
	test_trait(LM_TRAIT_CONTROL, "a control character",
			   (const char *[]){"\x01", "a\x7F", "a\xC2\x85", "a\xE2\x80\x8B",
								"\xEF\xBB\xBF"
								"a",
								NULL},
			   (const char *[]){"a\tb\r\nc",
								"a\xC2\xA0"
								"b",
								"\xE2\x80\x8D", NULL});
}

static void
test_scripts(void)
{
	LmSurvey survey = survey_of("a\xC3\x9F, \xD0\xB6 \xE5\xAD\x97\xE5\xAD\x97 1e\xCC\x81", NULL);

	ok(survey.letters[script_named("Latin")] == 3, "letters of Latin, without their accents");
	ok(survey.letters[script_named("Cyrillic")] == 1, "of Cyrillic");
	ok(survey.letters[script_named("Han")] == 2, "of Han");
}

static void
test_language(const char *text, const char *language)
{
	LmSurvey survey = survey_of(text, NULL);
	const char *found = lm_survey_language(&survey);

	ok(language ? found && strcmp(found, language) == 0 : !found, "'%s': %s", text,
	   language ? language : "not told by its script");
}

static void
test_languages(void)
{
	test_language("\xE0\xB8\x81", "thai");
	test_language("\xE5\xAD\x97\xE5\xAD\x97 abc", NULL);
	test_language("\xE5\xAD\x97\xE5\xAD\x97\xE5\xAD\x97 a", "chinese");
	test_language("\xE5\xAD\x97\xE3\x81\xAE\xE5\xAD\x97\xE3\x82\xA2", "japanese");
	test_language("word", NULL);
	test_language("12", NULL);
}

static void
test_words(void)
{
	static const char *const lists[] = {"the",
										"and",
										"was",
										"der",
										"und",
										"was",
										"\xC3\xBC"
										"ber"};
	LmError error;
	LmFunctionWords *words = lm_function_words_create(&host, &error);
	char long_word[200];
	char many[4000] = "";
	bool added = true;
	LmSurvey survey;

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		added = added && lm_function_words_add(words, (LmBytes){lists[i], strlen(lists[i])},
											   i < 3 ? 0 : 31, &error);
	for (int i = 0; i < 3000; i++)
	{
		char word[16];
		int size = snprintf(word, sizeof word, "word%d", i);

		added = added && lm_function_words_add(words, (LmBytes){word, (size_t) size}, 7, &error);
	}
	ok(added, "function words of three languages are added");

	survey = survey_of("The cat AND the dog's tail: was", words);
	ok(survey.n_words == 8, "words end at what is no letter");
	ok(survey.function_words[0] == 3.5f && survey.function_words[31] == 0.5f,
	   "a word of two languages is half a word of each");
	survey = survey_of("\xC3\x9C"
					   "BER",
					   words);
	ok(survey.function_words[31] == 1, "words are found in any case");

	memset(long_word, 'x', sizeof long_word - 1);
	memcpy(long_word + sizeof long_word - 5, " the", 5);
	survey = survey_of(long_word, words);
	ok(survey.n_words == 2 && survey.function_words[0] == 1, "a long word is no function word");
	for (int i = 0; i < 900; i++)
		strcat(many, "the ");
	survey = survey_of(many, words);
	ok(survey.n_words == 200 && survey.function_words[0] == 200, "the first 200 words count");
	lm_function_words_free(words);
}

static void
test_ends(void)
{
	static const char *const ended[] = {
		"It is so.", "Is it?\")\n", "", "12", "\xE3\x80\x82 \xE5\xAD\x97\xE3\x80\x82", "*So!*"};
	static const char *const open[] = {"It is", "Well,", "a) b", "\xE5\xAD\x97"};

	for (size_t i = 0; i < sizeof ended / sizeof *ended; i++)
		ok(survey_of(ended[i], NULL).ends, "text %zu ends like a sentence, or has no letter", i);
	for (size_t i = 0; i < sizeof open / sizeof *open; i++)
		ok(!survey_of(open[i], NULL).ends, "text %zu does not", i);
}

static void
test_marked(void)
{
	static const char text[] = "\0Tuser \0Chi <p> \0Eyou";
	LmSurvey survey = {0};
	LmError error;

	ok(lm_survey_add(&survey, NULL, &host, (LmBytes){text, sizeof text - 1}, true, &error) &&
		   survey.traits == 1 << LM_TRAIT_HTML && survey.letters[script_named("Latin")] == 6,
	   "of a conversation the contents count, without marks and template");
}

/* Texts that are hostile to a look ahead are as fast as others. */
static void
test_long(void)
{
	static const char *const units[] = {"<p ", "@a.", "a@b", "&amp", "www", "://", "a", "\xCC\x81"};
	char *text = malloc(LONG_SIZE);
	LmError error;

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
	{
		size_t size = strlen(units[i]), filled = LONG_SIZE / size * size;
		LmSurvey survey = {0};

		for (size_t at = 0; at < filled; at += size)
			memcpy(text + at, units[i], size);
		ok(lm_survey_add(&survey, NULL, &host, (LmBytes){text, filled}, false, &error),
		   "4 MB of '%s'", units[i]);
	}
	state.stop = true;
	ok(!lm_survey_add(&(LmSurvey){0}, NULL, &host, (LmBytes){text, LONG_SIZE / 2 * 2}, false,
					  &error) &&
		   error.code == LM_ERR_STOPPED,
	   "it stops when it is asked to");
	free(text);
}

int
main(void)
{
	host = tap_host(&state);
	test_traits();
	test_scripts();
	test_languages();
	test_words();
	test_ends();
	test_marked();
	test_long();
	return done_testing();
}

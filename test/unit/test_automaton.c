/*
 * test/unit/test_automaton.c
 *
 * Automata against naive twins: random regular expressions against ICU's, decimal numbers against
 * all numbers of a range, lists against a loop; what is refused, and in which time.
 */
#include <time.h>
#include <unicode/uregex.h>
#include <unicode/ustring.h>

#include "counting_host.h"
#include "engine/constraint.h"

static CountingHost memory;
static LmHost host;

static uint32_t
any(uint64_t *state)
{
	*state = *state * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t) (*state >> 33);
}

static LmBuilder *
builder(void)
{
	LmError error;

	return lm_builder_create(&host, NULL, &error);
}

static LmAutomaton *
of_pattern(const char *pattern, bool search, LmError *error)
{
	LmBuilder *b = builder();

	lm_build_regex(b, (LmBytes){pattern, strlen(pattern)}, search);
	return lm_builder_finish(b, error);
}

static bool
accepts(LmAutomaton *automaton, const char *text)
{
	LmError error;

	return lm_automaton_accepts(automaton, (LmBytes){text, strlen(text)}, &error);
}

/* Whether a pattern accepts a text; the pattern must be good. */
static bool
matches(const char *pattern, const char *text)
{
	LmError error;
	LmAutomaton *automaton = of_pattern(pattern, false, &error);
	bool good = automaton && accepts(automaton, text);

	lm_automaton_free(automaton);
	return good;
}

/* ---- Regular expressions ------------------------------------------------ */

/* Appends a random expression; no group is deeper than `depth`. */
static void
random_pattern(char *pattern, int depth, uint64_t *state)
{
	static const char *const atoms[] = {"a",	  "b",	 "é",	   "漢",  ".",		"[ab]",
										"[^a]",	  "\\d", "[a-cé]", "\\.", "[^b-z]", "\\x61",
										"[\\dx]", "\\s", "[\\-a]", "😀",	  "[^\\d]", "\\u6f22"};
	static const char *const signs[] = {"", "", "", "?", "*", "+", "{2}", "{1,2}", "{0,2}", "{2,}"};
	int n = (int) (any(state) % 4);

	for (int i = 0; i < n; i++)
	{
		if (i > 0 && any(state) % 4 == 0)
			strcat(pattern, "|");
		if (depth > 0 && any(state) % 3 == 0)
		{
			strcat(pattern, any(state) % 2 ? "(" : "(?:");
			random_pattern(pattern, depth - 1, state);
			strcat(pattern, ")");
		}
		else
			strcat(pattern, atoms[any(state) % (sizeof atoms / sizeof *atoms)]);
		strcat(pattern, signs[any(state) % (sizeof signs / sizeof *signs)]);
	}
}

static void
random_text(char *text, uint64_t *state)
{
	static const char *const letters[] = {"a", "b", "é", "漢", "c", "1", ".", " ", "\n", "😀", "x"};
	int n = (int) (any(state) % 7);

	*text = 0;
	for (int i = 0; i < n; i++)
		strcat(text, letters[any(state) % (sizeof letters / sizeof *letters)]);
}

static bool
icu_matches(URegularExpression *regex, const char *text)
{
	UChar units[256];
	UErrorCode status = U_ZERO_ERROR;
	int32_t n;
	bool good;

	u_strFromUTF8(units, 256, &n, text, -1, &status);
	uregex_setText(regex, units, n, &status);
	good = uregex_matches(regex, 0, &status);
	return U_SUCCESS(status) && good;
}

static void
test_against_icu(void)
{
	uint64_t state = 7;
	int n_patterns = 0, n_same = 0, n_texts = 0, n_accepted = 0;

	for (int i = 0; i < tap_repeat(800); i++)
	{
		char pattern[1024] = "", text[128];
		UErrorCode status = U_ZERO_ERROR;
		UParseError where;
		URegularExpression *regex;
		UChar units[1024];
		LmAutomaton *automaton;
		LmError error;
		int32_t n;

		while (!*pattern)
			random_pattern(pattern, 3, &state);
		u_strFromUTF8(units, 1024, &n, pattern, -1, &status);
		regex = uregex_open(units, n, 0, &where, &status);
		automaton = of_pattern(pattern, false, &error);
		if (!regex || !automaton)
		{
			printf("# %s: %s\n", pattern, automaton ? "ICU refuses" : error.message);
			lm_automaton_free(automaton);
			continue;
		}
		n_patterns++;
		for (int j = 0; j < 30; j++)
		{
			/* A space in front is not part of a text. */
			random_text(text, &state);
			if (text[0] == ' ')
				continue;
			n_texts++;
			n_accepted += accepts(automaton, text);
			if (accepts(automaton, text) == icu_matches(regex, text))
				n_same++;
			else
				printf("# %s differs for \"%s\"\n", pattern, text);
		}
		lm_automaton_free(automaton);
		uregex_close(regex);
	}
	ok(n_patterns > tap_repeat(800) * 9 / 10 && n_same == n_texts && n_accepted > n_texts / 20,
	   "%d random patterns decide %d texts as ICU does, %d of them are accepted", n_patterns,
	   n_texts, n_accepted);
}

static void
test_syntax(void)
{
	static const char *const good[][2] = {
		{"\\w+@\\w+\\.(com|org)", "a_1@b.org"},
		{"^a$|^b$", "b"},
		{"[[:alpha:]_][[:alnum:]]*", "_9"},
		{"a*?b+?", "aab"},
		{"\\x{1F600}\\t\\\\", "😀\t\\"},
		{"]}", "]}"},
		{"a{0}b", "b"},
		{"", ""},
		{"\\D\\W\\S", "a é"},
	};
	static const char *const bad[] = {
		"a**", "(a",	 "a)",		"[",	 "[]",	  "[b-a]", "a{2,1}",  "a{",		 "\\1",
		"\\b", "\\p{L}", "(?=a)",	"(?i)a", "a++",	  "a^",	   "a$b",	  "(a$)",	 "[[:no:]]",
		"\\",  "\\xZ",	 "\\u0000", "*a",	 "[[a]]", "a|*",   "(?<n>a)", "\\ud800", "a{1}{2}",
	};
	int n = 0;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!matches(good[i][0], good[i][1]))
			printf("# %s does not accept %s\n", good[i][0], good[i][1]);
		else
			n++;
	ok(n == (int) (sizeof good / sizeof *good), "the documented syntax is read");
	n = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
	{
		LmError error = {0};
		LmAutomaton *automaton = of_pattern(bad[i], false, &error);

		if (!automaton && error.code == LM_ERR_FORMAT && error.position >= 0 &&
			strstr(error.message, "of the pattern"))
			n++;
		else
			printf("# %s: %s\n", bad[i], automaton ? "accepted" : error.message);
		lm_automaton_free(automaton);
	}
	ok(n == (int) (sizeof bad / sizeof *bad), "what is not in the syntax is named, with its place");
	ok(!matches("a|b", "ab") && !matches("^a", "ab") && !matches("a", "ba"),
	   "a text matches as a whole");
}

static void
test_search(void)
{
	LmError error;
	LmAutomaton *middle = of_pattern("b+", true, &error), *begin = of_pattern("^b", true, &error),
				*both = of_pattern("^a|b$", true, &error);

	ok(accepts(middle, "a\nbc") && !accepts(middle, "ac"), "a search looks everywhere");
	ok(accepts(begin, "bc") && !accepts(begin, "ab"), "a search obeys an anchor");
	ok(accepts(both, "ac") && accepts(both, "cb") && !accepts(both, "ba"),
	   "each alternative has its own anchors");
	lm_automaton_free(middle);
	lm_automaton_free(begin);
	lm_automaton_free(both);
}

/* ---- What languages are made of ----------------------------------------- */

/* Whether a number in decimal digits is within bounds that are given times 100. */
static bool
decimals_agree(int min, int max, int fraction)
{
	char low[16], high[16], text[64];
	LmBuilder *b = builder();
	LmAutomaton *automaton;
	bool same = true;
	LmError error;

	snprintf(low, sizeof low, "%s%d.%02d", min < 0 ? "-" : "", abs(min) / 100, abs(min) % 100);
	snprintf(high, sizeof high, "%s%d.%02d", max < 0 ? "-" : "", abs(max) / 100, abs(max) % 100);
	lm_build_decimals(
		b, &(LmDecimals){{low, strlen(low)}, {high, strlen(high)}, false, false, fraction, 3});
	automaton = lm_builder_finish(b, &error);
	for (int digits = 0, scale = 1; digits <= 2; digits++, scale *= 10)
		for (int n = -1300 * scale / 100; n <= 1300 * scale / 100; n++)
		{
			int value = n * (100 / scale);
			bool within = value >= min && value <= max && digits <= fraction;

			/* -0.00 is not written */
			snprintf(text, sizeof text, "%s%d", n < 0 ? "-" : "", abs(n) / scale);
			if (digits > 0)
				snprintf(text + strlen(text), 32, ".%0*d", digits, abs(n) % scale);
			if ((automaton && accepts(automaton, text)) == within)
				continue;
			if (same)
				printf("# %s of %s .. %s, %d\n", text, low, high, fraction);
			same = false;
		}
	lm_automaton_free(automaton);
	return same;
}

static void
test_decimals(void)
{
	static const int bounds[][2] = {{0, 0},		  {0, 999},		{-1234, 1200}, {-250, -125},
									{199, 1001},  {-999, 1},	{90, 110},	   {-110, -90},
									{1000, 1199}, {1234, 1234}, {-1, 1},	   {99, 101}};
	bool same = true;
	LmAutomaton *automaton;
	LmBuilder *b;
	LmError error;

	for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i += tap_is_sanitized() ? 4 : 1)
		for (int fraction = 0; fraction <= 2; fraction++)
			same &= decimals_agree(bounds[i][0], bounds[i][1], fraction);
	ok(same, "decimal numbers are those between the bounds, with up to so many digits");
	b = builder();
	lm_build_decimals(
		b, &(LmDecimals){.min = {"-9223372036854775808", 20}, .max = {"9223372036854775807", 19}});
	automaton = lm_builder_finish(b, &error);
	ok(accepts(automaton, "9223372036854775807") && !accepts(automaton, "9223372036854775808") &&
		   accepts(automaton, "-9223372036854775808") && accepts(automaton, "0") &&
		   !accepts(automaton, "-9223372036854775809") && !accepts(automaton, "01") &&
		   !accepts(automaton, "-0") && accepts(automaton, "1000"),
	   "the bounds of bigint are exact");
	lm_automaton_free(automaton);
	b = builder();
	lm_build_decimals(b, &(LmDecimals){.fraction = 2});
	automaton = lm_builder_finish(b, &error);
	ok(accepts(automaton, "0.25") && accepts(automaton, "-0.99") && !accepts(automaton, "1") &&
		   accepts(automaton, "0"),
	   "numbers without digits in front of the point are below one");
	lm_automaton_free(automaton);
	b = builder();
	lm_build_decimals(b, &(LmDecimals){.min = {"1e9", 3}});
	ok(!lm_builder_finish(b, &error) && error.code == LM_ERR_FORMAT, "a bound is in digits");
}

static void
test_both(void)
{
	LmBuilder *b = builder();
	LmAutomaton *automaton;
	LmError error;

	lm_build_regex(b, (LmBytes){"[a-m]*é?(x|yy)+", 16}, false);
	lm_build_regex(b, (LmBytes){".{3,4}", 6}, false);
	lm_build_both(b);
	lm_build_regex(b, (LmBytes){"y", 1}, true);
	lm_build_both(b);
	automaton = lm_builder_finish(b, &error);
	ok(automaton && accepts(automaton, "ayy") && accepts(automaton, "éyyx") &&
		   !accepts(automaton, "aax") && !accepts(automaton, "aaayy") && !accepts(automaton, "yy"),
	   "both of two languages, and of three");
	lm_automaton_free(automaton);
	b = builder();
	lm_build_text(b, (LmBytes){"a", 1});
	lm_build_text(b, (LmBytes){"b", 1});
	lm_build_both(b);
	ok(!lm_builder_finish(b, &error) && error.code == LM_ERR_ARGUMENT,
	   "nothing that two languages have in common is an error");
}

static void
test_lists(void)
{
	static const int bounds[][2] = {{0, -1}, {1, -1}, {0, 2}, {2, 3}, {1, 1}, {3, -1}, {0, 0}};
	bool same = true;

	for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
	{
		char text[32] = "";
		LmBuilder *b = builder();
		LmAutomaton *automaton;
		LmError error;

		lm_build_text(b, (LmBytes){"ab", 2});
		lm_build_text(b, (LmBytes){",", 1});
		lm_build_list(b, bounds[i][0], bounds[i][1]);
		automaton = lm_builder_finish(b, &error);
		for (int n = 0; n < 6; n++)
		{
			same &= accepts(automaton, text) ==
					(n >= bounds[i][0] && (bounds[i][1] < 0 || n <= bounds[i][1]));
			strcat(text, n > 0 ? ",ab" : "ab");
		}
		lm_automaton_free(automaton);
	}
	ok(same, "lists have as many items as they may have");
}

static void
test_quoted(void)
{
	LmBuilder *b = builder();
	LmAutomaton *automaton;
	LmError error;

	lm_builder_quote(b, true);
	lm_build_regex(b, (LmBytes){"[^a]\"\\\\.\\n\\x01?", 15}, false);
	automaton = lm_builder_finish(b, &error);
	ok(automaton && accepts(automaton, "b\\\"\\\\é\\n") &&
		   accepts(automaton, "\\t\\\"\\\\c\\n\\u0001") && !accepts(automaton, "b\"\\\\é\\n") &&
		   !accepts(automaton, "a\\\"\\\\é\\n"),
	   "characters of a JSON string are escaped");
	lm_automaton_free(automaton);
}

/* ---- Choices ------------------------------------------------------------ */

static void
test_choices(void)
{
	static const char *const names[] = {"Paris", "Par", "", "London", "Paris", "Pärnu", "L"};
	LmBytes texts[7];
	LmAutomaton *automaton;
	bool same = true;
	LmError error;

	for (int i = 0; i < 7; i++)
		texts[i] = (LmBytes){names[i], strlen(names[i])};
	automaton = lm_choices_create(&host, texts, 7, NULL, &error);
	for (int i = 0; i < 7; i++)
		same &= accepts(automaton, names[i]);
	ok(same && !accepts(automaton, "Pari") && !accepts(automaton, "Pariss") &&
		   !accepts(automaton, "P\xc3") && accepts(automaton, " Paris"),
	   "choices are accepted as they are, or after a space");
	lm_automaton_free(automaton);
	ok(!lm_choices_create(&host, texts, 0, NULL, &error) && error.code == LM_ERR_ARGUMENT,
	   "no choices are an error");
	texts[0] = (LmBytes){"\xff", 1};
	ok(!lm_choices_create(&host, texts, 7, NULL, &error) && error.code == LM_ERR_ENCODING,
	   "a choice is valid UTF-8");
}

static void
test_many_choices(void)
{
	int n = 100000;
	LmBytes *texts = malloc((size_t) n * sizeof *texts);
	char *bytes = malloc((size_t) n * 16);
	LmAutomaton *automaton;
	int n_accepted = 0;
	LmError error;

	for (int i = 0; i < n; i++)
	{
		snprintf(bytes + i * 16, 16, "name %d", (int) ((unsigned) i * 7919U % 1000003U));
		texts[i] = (LmBytes){bytes + i * 16, strlen(bytes + i * 16)};
	}
	automaton = lm_choices_create(&host, texts, n, NULL, &error);
	for (int i = 0; automaton && i < n; i += 97)
		n_accepted += accepts(automaton, bytes + i * 16);
	ok(n_accepted == (n + 96) / 97 && !accepts(automaton, "name "), "100,000 choices");
	lm_automaton_free(automaton);
	free(texts);
	free(bytes);
}

/* ---- Limits ------------------------------------------------------------- */

static void
test_limits(void)
{
	static const char *const hostile[] = {"(a{1000}){1000}", "((((a{99}){99}){99}){99}){99}",
										  "(.{1000}){500}", "a{1000001}", "(x*){999999}{2}" + 0};
	char deep[500];
	double seconds;
	int n = 0;
	clock_t begin = clock();
	LmAutomaton *automaton;
	LmError error;

	for (size_t i = 0; i < 4; i++)
	{
		automaton = of_pattern(hostile[i], false, &error);
		n += !automaton && error.code == LM_ERR_LIMIT;
		lm_automaton_free(automaton);
	}
	seconds = (double) (clock() - begin) / CLOCKS_PER_SEC;
	ok(n == 4 && (tap_is_sanitized() || seconds < 1), "repetitions of repetitions are refused");
	memset(deep, '(', sizeof deep);
	deep[sizeof deep - 1] = 0;
	ok(!of_pattern(deep, false, &error) && error.code == LM_ERR_LIMIT,
	   "so are groups that are deep");
	/* Each of 2^20 sets of states is a state of its own; a text finds only those on its way. */
	automaton = of_pattern("(a|b)*a(a|b){20}", false, &error);
	ok(automaton && accepts(automaton, "abbababababababababababbbbbab") == false &&
		   accepts(automaton, "bbbbabbbbbbbbbbbbbbbbbbbb"),
	   "an ambiguous pattern is followed where it is needed");
	lm_automaton_free(automaton);
	memory.questions = 1;
	ok(!of_pattern("(abc){1000}", false, &error) && error.code == LM_ERR_STOPPED,
	   "building can stop");
	memory.questions = -1;
}

int
main(void)
{
	host = counting_host(&memory);
	test_against_icu();
	test_syntax();
	test_search();
	test_decimals();
	test_both();
	test_lists();
	test_quoted();
	test_choices();
	test_many_choices();
	test_limits();
	ok(memory.live == 0, "no memory is left");
	return done_testing();
}

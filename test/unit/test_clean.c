/*
 * test/unit/test_clean.c
 *
 * Cleaning of texts: each step on texts that it changes and on those that it must leave, with other
 * steps off; hostile text in linear time; failures of the host.
 */
#include <time.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "engine/clean.h"
#include "tap.h"
#include "text/utf8.h"

/* A text and the text that it becomes. */
typedef struct Case
{
	const char *text;
	const char *clean;
} Case;

static LmCleanOptions
options_of(const char *step)
{
	static const char *const words[] = {"<url>", "<email>", "<phone>", "<number>"};
	LmCleanOptions options = {.digits = 8};

	options.html = strcmp(step, "html") == 0;
	options.control = strcmp(step, "control") == 0;
	options.invisible = strcmp(step, "invisible") == 0;
	options.letter_case = strcmp(step, "lower") == 0  ? LM_CASE_LOWER
						  : strcmp(step, "fold") == 0 ? LM_CASE_FOLD
													  : LM_CASE_KEEP;
	options.form = strcmp(step, "NFC") == 0	   ? LM_FORM_NFC
				   : strcmp(step, "NFKC") == 0 ? LM_FORM_NFKC
											   : LM_FORM_KEEP;
	for (int i = 0; lm_clean_space_name(i); i++)
	{
		if (strcmp(step, lm_clean_space_name(i)) == 0)
			options.white_space = (LmCleanSpace) i;
	}
	for (int i = 0; i < LM_N_MASKS; i++)
	{
		options.masked[i] = strcmp(step, lm_mask_name(i)) == 0 || strcmp(step, "masks") == 0;
		options.placeholders[i] = (LmBytes){words[i], strlen(words[i])};
	}
	return options;
}

static LmCleaner *
create(const LmHost *host, const LmCleanOptions *options)
{
	LmError error;
	LmCleaner *cleaner = lm_cleaner_create(host, options, &error);

	if (!cleaner)
		printf("# %s\n", error.message);
	return cleaner;
}

/* Whether a text becomes another; NULL: stays. */
static bool
becomes(LmCleaner *cleaner, const char *text, const char *wanted, int flags)
{
	LmCleaned cleaned;
	LmError error;
	bool changes = wanted && strcmp(text, wanted) != 0, same;

	wanted = wanted ? wanted : text;
	if (!lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, strlen(text)}, flags, &error))
	{
		printf("# %s\n", error.message);
		return false;
	}
	same = cleaned.text.size == strlen(wanted) &&
		   memcmp(cleaned.text.data, wanted, cleaned.text.size) == 0 &&
		   cleaned.changed == changes && (changes || cleaned.text.data == text);
	if (!same)
		printf("# \"%s\": got \"%.*s\", wanted \"%s\"\n", text, (int) cleaned.text.size,
			   cleaned.text.data, wanted);
	return same;
}

static void
test_cases(const LmHost *host, const char *step, const Case *cases)
{
	LmCleanOptions options = options_of(step);
	LmCleaner *cleaner = create(host, &options);
	bool all = true;

	for (int i = 0; cases[i].text; i++)
		all = becomes(cleaner, cases[i].text, cases[i].clean, 0) && all;
	ok(all, "%s", step);
	lm_cleaner_free(cleaner);
}

static void
test_html(const LmHost *host)
{
	static const Case cases[] = {
		{"a < b and c > d", NULL},
		{"I <3 you", NULL},
		{"if (x<y) and (z>3) end", NULL},
		{"std::vector<int> v; map<string, T> m; vector<std::string>", NULL},
		{"From <user@example.org> and <https://a.b/c>", NULL},
		{"x<-3; y<=4; a<<2; cp <source-file> <dest>", NULL},
		{"x <a and b> y; i<b || c>d; x<i && y>2", NULL},
		{"<bob> hello", NULL},
		{"AT&T &foo; &copy=1&amp", NULL},
		{"cut <a href=\"x", NULL},
		{"cut <!-- comment", NULL},
		{"<b>bo</b>ld <I>x</I >", "bold x"},
		{"a<br>b<br/>c<BR />d", "a\nb\nc\nd"},
		{"<p>one</p><p>two</p>", "one\n\ntwo\n\n"},
		{"<div>one</div>\n   <div>two</div>", "one\ntwo\n"},
		{"<ul><li>a</li><li>b</li></ul>", "a\nb\n\n"},
		{"<table>\n <tr>\n  <td>1</td>\n  <td>2</td>\n </tr></table>", "1\t2\t\n\n"},
		{"<pre>  a\n  b</pre>", "  a\n  b\n\n"},
		{"x<script>if (a<b) alert('</p>')</script>y<STYLE>p{}</style >z", "xyz"},
		{"x<script>y", "xy"},
		{"<!DOCTYPE html><!-- a > b --><html lang=en>x", "x"},
		{"<?xml version='1.0'?><a>x<![CDATA[1 <b>2</b> 3]]>y</a>", "x1 2 3y"},
		{"<![CDATA[a<!-- ]]>b-->c", "ac"},
		{"<a href='x>y' title=\"a<b\" disabled data-x>t</a>", "t"},
		{"<a href=x/y>t</a><img src=\"a\"alt='b'>", "t"},
		{"<o:p></o:p><v:shape id=1>x</v:shape>", "x"},
		{"<my-tag a=1>x</my-tag>", "x"},
		{"&lt;b&gt; &amp;lt; &quot;&apos;&nbsp;&eacute;&Eacute;&hellip;",
		 "<b> &lt; \"'\u00A0é\u00C9…"},
		{"&#65;&#x42;&#X43;&#8364;&#150;&#x1F600;", "ABC€–😀"},
		{"&#0;&#xD800;&#x110000;&#99999999999;&#;&#x;", "���&#99999999999;&#;&#x;"},
		{"&thetasym;&AElig;&zwnj;&yuml;", "ϑÆ\u200Cÿ"},
		{"你好<b>世界</b>&mdash;完", "你好世界—完"},
		{NULL, NULL}};

	test_cases(host, "html", cases);
}

static void
test_unseen(const LmHost *host)
{
	static const Case control[] = {{"a\tb\nc\r\nd", NULL},
								   {"a\x01"
									"b\x7F"
									"c\xC2\x9F"
									"d\uFFFE\uFDD0\U0001FFFFe",
									"abcde"},
								   {"a\vb\fc\xC2\x85"
									"d\x1D"
									"e",
									"a\nb\nc\nd\ne"},
								   {"a\u200Bb\u00ADc", NULL},
								   {NULL, NULL}};
	static const Case invisible[] = {
		{"a\u200Bb\u00ADc\uFEFFd\u2060e\u202Ef\u2066g\u061Ch\u3164i", "abcdefghi"},
		{"\uFEFFtext", "text"},
		{"a\u200Db\u200Cc e\u0301\u200Df", "abc e\u0301f"},
		{"می\u200Cخواهم", NULL}, /* Persian */
		{"می\u200C\u200Cخواهم", "می\u200Cخواهم"},
		{"क्\u200Dष ක්\u200Dය", NULL}, /* Devanagari, Sinhala */
		{"👨\u200D👩\u200D👧 🏳\uFE0F\u200D🌈 👍🏽", NULL},
		{"👨\u200D x", "👨 x"},
		{"❤\uFE0F 1\uFE0F\u20E3 葛\U000E0100", NULL},
		{"a\uFE0Fb\U000E0101 ❤\uFE0F\uFE0F", "ab ❤\uFE0F"},
		{"🏴\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", NULL}, /* Scotland */
		{"hi\U000E0041\U000E0042 🏴x\U000E0041", "hi 🏴x"},
		{"สวัสดี\u200Bครับ", "สวัสดีครับ"},
		{"– ’ “ ㅏ ー 中文 ｆｕｌｌ", NULL},
		{"a\x01", NULL},
		{NULL, NULL}};

	test_cases(host, "control", control);
	test_cases(host, "invisible", invisible);
}

static void
test_letters(const LmHost *host)
{
	static const Case lower[] = {{"abc 中文 123", NULL},
								 {"ABC Ünï ΣΑΣ İ", "abc ünï σας i\u0307"},
								 {"STRASSE Straße", "strasse straße"},
								 {"ｆＵＬＬ 𐐀", "ｆｕｌｌ 𐐨"},
								 {NULL, NULL}};
	static const Case fold[] = {{"Straße ΣΑΣ", "strasse σασ"}, {"ok", NULL}, {NULL, NULL}};
	static const Case nfc[] = {{"e\u0301 \u212B \u1112\u1161\u11AB", "é Å 한"},
							   {"ﬁ ① ｱ 中文 한국어 Привет", NULL},
							   {"は\u3099", "ば"},
							   {NULL, NULL}};
	static const Case nfkc[] = {{"ﬁ ① ｱ １２３\u3000x", "fi 1 ア 123 x"},
								{"中文 한국어 Привет ひらがな", NULL},
								{NULL, NULL}};

	test_cases(host, "lower", lower);
	test_cases(host, "fold", fold);
	test_cases(host, "NFC", nfc);
	test_cases(host, "NFKC", nfkc);
}

/* Each character alone and after a letter is what ICU makes of it. */
static void
test_forms(const LmHost *host)
{
	UErrorCode status = U_ZERO_ERROR;

	for (int kind = 0; kind < 2; kind++)
	{
		const UNormalizer2 *form =
			kind == 0 ? unorm2_getNFCInstance(&status) : unorm2_getNFKCInstance(&status);
		LmCleanOptions options = options_of(kind == 0 ? "NFC" : "NFKC");
		LmCleaner *cleaner = create(host, &options);
		int wrong = 0;

		for (int32_t code = 1; code < 0x110000; code++)
		{
			/* A letter before, one of Korean's, and a mark behind. */
			UChar units[8], normal[64];
			char text[32], wanted[200];
			int32_t n_units = 0, n_normal, n_bytes;
			size_t size = 0;
			LmCleaned cleaned;
			LmError error;

			if (code >= 0xD800 && code < 0xE000)
				continue;
			text[size++] = 'o';
			size += (size_t) lm_utf8_encode(text + size, code);
			size += (size_t) lm_utf8_encode(text + size, 0x0308);
			u_strFromUTF8(units, 8, &n_units, text, (int32_t) size, &status);
			n_normal = unorm2_normalize(form, units, n_units, normal, 64, &status);
			u_strToUTF8(wanted, 200, &n_bytes, normal, n_normal, &status);
			/* Without the mark, the quick check has to know the character. */
			for (int marks = 0; marks < 2; marks++)
			{
				if (marks == 0)
				{
					n_normal = unorm2_normalize(form, units, n_units - 1, normal, 64, &status);
					u_strToUTF8(wanted, 200, &n_bytes, normal, n_normal, &status);
				}
				else
				{
					n_normal = unorm2_normalize(form, units, n_units, normal, 64, &status);
					u_strToUTF8(wanted, 200, &n_bytes, normal, n_normal, &status);
				}
				if (!lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, marks ? size : size - 2}, 0,
									&error) ||
					cleaned.text.size != (size_t) n_bytes ||
					memcmp(cleaned.text.data, wanted, (size_t) n_bytes) != 0)
				{
					if (wrong++ < 5)
						printf("# U+%04X\n", (unsigned) code);
				}
			}
		}
		is_int(wrong, 0, kind == 0 ? "NFC of all characters" : "NFKC of all characters");
		lm_cleaner_free(cleaner);
	}
}

static void
test_masks(const LmHost *host)
{
	static const Case urls[] = {
		{"see http://a.cn/b?c=d#e, and (https://en.wikipedia.org/wiki/A_(b)).",
		 "see <url>, and (<url>)."},
		{"www.example.org. WWW.X.ORG/y FTP://h/x", "<url>. <url> <url>"},
		{"https://ru.wikipedia.org/wiki/Россия!", "<url>!"},
		{"请看http://a.cn/b谢谢，http://例え.jp/x。", "请看<url>谢谢，<url>。"},
		{"http://[::1]:80/ \"http://x.y\" <http://x.y>", "<url> \"<url>\" <<url>>"},
		{"std::x a://, http:// www. www.\xE2\x80\xA6 awww.x.y c:/x", NULL},
		{"javahttps://x.y", "<url>"},
		{NULL, NULL}};
	static const Case emails[] = {
		{"john.doe+tag@mail.example.co.uk, <a@b.de>", "<email>, <<email>>"},
		{"mailto:a_b@c.org?x", "<email>?x"},
		{"邮箱test@qq.com。 иван@пример.рф", "邮箱<email>。 <email>"},
		{"'a@b.org' -x@y.org.", "'<email>' -<email>."},
		{"@user a@b user@localhost a@b.c x@1.2 a@@b.org a @b.org", NULL},
		{NULL, NULL}};
	static const Case phones[] = {
		{"+49 30 1234567, +1 (555) 123-4567", "<phone>, <phone>"},
		{"(030) 1234567 / 0171-1234567 / 01 23 45 67 89", "<phone> / <phone> / <phone>"},
		{"555-123-4567 1-800-555-0199 call 555-123-4567 2 times",
		 "<phone> <phone> call <phone> 2 times"},
		{"电话13812345678，138 1234 5678 或 010-12345678", "电话<phone>，<phone> 或 <phone>"},
		{"090-1234-5678 98765 43210", "<phone> <phone>"},
		{"2024-01-15 15.01.2024 01/02/2024 1914-1918 10:30", NULL},
		{"192.168.100.200 1.000.000 1 000 000 3.14159265358979 0.123456789", NULL},
		{"1234 12345678 4111 1111 1111 1111 978-3-16-148410-0", NULL},
		{"v01234567890x a0301234567", NULL},
		{"٠٣٠ ١٢٣٤٥٦٧", "<phone>"},
		{NULL, NULL}};
	static const Case numbers[] = {
		{"id 123456789 and ORD20240001x", "id <number> and ORD<number>x"},
		{"4111 1111 1111 1111, 4111-1111-1111-1111, 3782 822463 10005",
		 "<number>, <number>, <number>"},
		{"DE89 3704 0044 0532 0130 00 078-05-1120", "DE<number> <number>"},
		{"١٢٣٤٥٦٧٨ १२३४५६७८ １２３４５６７８", "<number> <number> <number>"},
		{"1234567 3.14159265358979 2024-01-15 1,000,000", NULL},
		{NULL, NULL}};

	test_cases(host, "urls", urls);
	test_cases(host, "emails", emails);
	test_cases(host, "phones", phones);
	test_cases(host, "numbers", numbers);
}

static void
test_counts(const LmHost *host)
{
	static const char text[] = "a@b.org http://x.y +49 30 1234567 123456789012345678 x@y.org";
	LmCleanOptions options = options_of("masks");
	LmCleaned cleaned;
	LmError error;
	LmCleaner *cleaner;

	options.placeholders[LM_MASK_EMAIL] = (LmBytes){"", 0};
	options.min_length = 37;
	cleaner = create(host, &options);
	ok(lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, sizeof text - 1}, 0, &error) &&
		   cleaned.masks[LM_MASK_EMAIL] == 2 && cleaned.masks[LM_MASK_URL] == 1 &&
		   cleaned.masks[LM_MASK_PHONE] == 1 && cleaned.masks[LM_MASK_NUMBER] == 1,
	   "masks are counted by kind");
	ok(cleaned.text.size == 24 && memcmp(cleaned.text.data, " <url> <phone> <number> ", 24) == 0,
	   "an empty placeholder removes");
	ok(cleaned.too_short, "the result is too short");
	lm_cleaner_free(cleaner);
	options.min_length = 2;
	cleaner = create(host, &options);
	ok(lm_cleaner_run(cleaner, &cleaned, (LmBytes){"中文", 6}, 0, &error) && !cleaned.too_short &&
		   lm_cleaner_run(cleaner, &cleaned, (LmBytes){"中", 3}, 0, &error) && cleaned.too_short,
	   "length is counted in characters");
	lm_cleaner_free(cleaner);
}

static void
test_space(const LmHost *host)
{
	static const Case trim[] = {
		{"  a  b\n\nc \t\u3000", "a  b\n\nc"}, {" \n ", ""}, {"a", NULL}, {NULL, NULL}};
	static const Case lines[] = {
		{"a  b\n    c\n\nd", NULL},
		{"\n a \r\nb\rc\u2028d\u2029e\t\n\n\n\n  f \n", "a\nb\nc\nd\n\ne\n\n  f"},
		{"10\u00A0km\n\u00A0x 10\u202Fkm 中\u3000文", "10 km\n x 10 km 中\u3000文"},
		{NULL, NULL}};
	static const Case paragraphs[] = {
		{"a \t b\n  c\n \n d\u3000e\n", "a b\nc\n\nd e"}, {"a b\n\nc", NULL}, {NULL, NULL}};
	static const Case line[] = {{" a\n\n b\t\tc ", "a b c"}, {"a b c", NULL}, {NULL, NULL}};
	LmCleanOptions options = options_of("lines");
	LmCleaner *cleaner = create(host, &options);

	test_cases(host, "trim", trim);
	test_cases(host, "lines", lines);
	test_cases(host, "paragraphs", paragraphs);
	test_cases(host, "one_line", line);
	ok(becomes(cleaner, " a  \n", "a\n", LM_CLEAN_KEEP_END) &&
		   becomes(cleaner, " a  ", "a  ", LM_CLEAN_KEEP_END) &&
		   becomes(cleaner, " a  ", " a", LM_CLEAN_KEEP_START) &&
		   becomes(cleaner, " ", NULL, LM_CLEAN_KEEP_END),
	   "white space stays at the side where text goes on");
	lm_cleaner_free(cleaner);
}

static void
test_stop_words(const LmHost *host)
{
	static const LmBytes words[] = {{"The", 3}, {"and", 3}, {"don", 3}, {"t", 1}, {"größe", 7}};
	LmCleanOptions options = {.stop_words = words, .n_stop_words = 5};
	LmCleaner *cleaner = create(host, &options);

	ok(becomes(cleaner, "The cat, and the dog. Then", "cat, dog. Then", 0) &&
		   becomes(cleaner, "I don't and don\u2019t, cat's", "I , cat's", 0) &&
		   becomes(cleaner, "GRÖSSE GRÖßE x", "x", 0) &&
		   becomes(cleaner, "theand and_the 'the'", "theand and_the ''", 0),
	   "stop words go, whatever their case");
	lm_cleaner_free(cleaner);
}

/* ---- Hostile text -------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static LmCleaner *
create_all(const LmHost *host)
{
	static const LmBytes words[] = {{"a", 1}, {"the", 3}};
	LmCleanOptions options = options_of("masks");

	options.html = options.control = options.invisible = true;
	options.letter_case = LM_CASE_FOLD;
	options.form = LM_FORM_NFKC;
	options.white_space = LM_SPACE_PARAGRAPHS;
	options.stop_words = words;
	options.n_stop_words = 2;
	return create(host, &options);
}

static void
test_hostile(const LmHost *host)
{
	static const char *const pieces[] = {
		"a",	  "A",			"@",		"a@",		 "a.",
		"1",	  "1 ",			"1-",		"(1",		 "+1",
		"<",	  "<a ",		"<a b=\"",	"<a b='\"<", "<a b=\"<a c='\" d='\" ",
		"<!--",	  "<!-",		"<script>", "<![CDATA[", "<?xml",
		"&",	  "&a",			"&#",		"&amp;",	 "://",
		"a://",	  "www.",		"www.a",	"http://a(", "http://a)",
		"'",	  "a'",			" ",		"\n",		 "\r",
		"\t\n",	  "\u0301",		"\u0E34",	"\u200D",	 "👨\u200D",
		"\uFE0F", "\U000E0041", "é",		"中",		 "ﷺ",
		"\u2029", "<p>",		"</p>",		"<td>",		 "a<br>",
		"the ",	  "𝟘",			"٠",		"-"};
	const size_t size = 1 << (size_t) (tap_repeat(8) == 8 ? 20 : 17);
	LmCleaner *cleaner = create_all(host);
	char *text = malloc(size + 64);
	double worst = 0;
	const char *slowest = "";
	bool all = true;

	for (int i = 0; i < (int) (sizeof pieces / sizeof pieces[0]); i++)
	{
		size_t length = strlen(pieces[i]), n = 0;
		double start = seconds(), spent;
		LmCleaned cleaned;
		LmError error;

		for (; n < size; n += length)
			memcpy(text + n, pieces[i], length);
		all = lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, n}, 0, &error) && all;
		spent = seconds() - start;
		if (spent > worst)
		{
			worst = spent;
			slowest = pieces[i];
		}
	}
	printf("# slowest: \"%s\", %.0f ms\n", slowest, 1e3 * worst);
	ok(all && worst < 2, "a megabyte of anything takes less than two seconds");
	free(text);
	lm_cleaner_free(cleaner);
}

/* Random pieces, all steps: the result is valid, and cleaning it again fails nowhere. */
static void
test_random(const LmHost *host)
{
	static const char *const pieces[] = {
		"<p>",	"</p>",		  "<b a='", "'",		"\"",		 ">",	  "<",		"<!--",
		"-->",	"<![CDATA[",  "]]>",	"<script>", "</script>", "&amp;", "&#",		"65;",
		"&",	"http://",	  "www.",	"a.b",		"@",		 "x",	  "12",		"345678",
		" ",	"-",		  "(",		")",		"+",		 "\n",	  "\r\n",	"\u00A0",
		"the ", "'t",		  "é",		"e\u0301",	"中",		 "👨",	  "\u200D", "\uFE0F",
		"🏴", "\U000E0041", "\u0301", "\u061C",	"ﷺ",		 "İ",	  "\x01",	"\u2029"};
	const int n_pieces = (int) (sizeof pieces / sizeof pieces[0]);
	LmCleaner *cleaner = create_all(host);
	uint64_t state = 7;
	bool all = true;

	for (int round = 0; round < tap_repeat(20000); round++)
	{
		char *text = malloc(400), *exact;
		size_t size = 0;
		LmCleaned cleaned;
		LmError error;

		for (int n = round % 40; n > 0; n--)
		{
			const char *piece;

			state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			piece = pieces[(state >> 33) % (uint64_t) n_pieces];
			memcpy(text + size, piece, strlen(piece));
			size += strlen(piece);
		}
		/* No byte behind the text: a sanitizer sees each one that is read there. */
		exact = malloc(size ? size : 1);
		memcpy(exact, text, size);
		all = lm_cleaner_run(cleaner, &cleaned, (LmBytes){exact, size}, round % 4, &error) &&
			  lm_text_check(host, cleaned.text.data, cleaned.text.size, &error) && all;
		free(exact);
		free(text);
	}
	ok(all, "random pieces give valid text");
	lm_cleaner_free(cleaner);
}

static void
test_failures(void)
{
	static const char text[] = "<p>Ünï &amp; a@b.org  the x\u200By</p>";
	TapHost state;
	LmHost host = tap_host(&state);
	LmCleaner *cleaner;
	LmCleaned cleaned;
	LmError error;
	bool fails = true;
	int n = 0;

	for (; n < 100; n++)
	{
		state.fail_after = n;
		cleaner = create_all(&host);
		if (cleaner &&
			lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, sizeof text - 1}, 0, &error))
			break;
		fails = fails && (!cleaner || error.code == LM_ERR_MEMORY);
		lm_cleaner_free(cleaner);
	}
	ok(fails && n > 4 && n < 100, "each failed allocation is an error of memory");
	state.fail_after = -1;
	state.stop = true;
	ok(!lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, sizeof text - 1}, 0, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "the host can stop a run");
	state.stop = false;
	ok(lm_cleaner_run(cleaner, &cleaned, (LmBytes){text, sizeof text - 1}, 0, &error),
	   "and the cleaner runs again");
	lm_cleaner_free(cleaner);
	is_int(state.live, 0, "all memory is freed");
}

static void
test_arguments(const LmHost *host)
{
	static const LmBytes empty[] = {{"", 0}};
	char word[LM_MAX_STOP_WORD + 1];
	const LmBytes words[] = {{word, sizeof word}};
	LmError error;

	memset(word, 'a', sizeof word);
	ok(!lm_cleaner_create(host, &(LmCleanOptions){.stop_words = empty, .n_stop_words = 1},
						  &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "an empty stop word is refused");
	ok(!lm_cleaner_create(host, &(LmCleanOptions){.stop_words = words, .n_stop_words = 1},
						  &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "and one that is too long");
	ok(!lm_cleaner_create(host, &(LmCleanOptions){.masked = {[LM_MASK_NUMBER] = true}, .digits = 3},
						  &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "and numbers of three digits");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_html(&host);
	test_unseen(&host);
	test_letters(&host);
	test_forms(&host);
	test_masks(&host);
	test_counts(&host);
	test_space(&host);
	test_stop_words(&host);
	test_hostile(&host);
	test_random(&host);
	test_failures();
	test_arguments(&host);
	is_int(state.live, 0, "nothing is left");
	return done_testing();
}

/*
 * test/unit/test_charsmap.c
 *
 * SentencePiece's table of characters: what a small one makes of texts, and that tables of any
 * bytes neither read outside themselves nor make text that is not UTF-8.
 */
#include "split_support.h"
#include "text/charsmap.h"

#define N_UNITS 256
#define STRINGS "\0 \0\xC3\xA9\0 \xCC\x88\0fi\0a"
#define TABLE_SIZE (4 + 4 * N_UNITS + sizeof STRINGS)

/*
 * A trie as Darts-clone builds it: U+0001 is nothing, a tab a space, U+FF41 an a, U+00A8 a space
 * and U+0308, e with U+0301 is U+00E9, U+FB01 is fi. Other units have a label that no byte has.
 */
static const struct
{
	int place;
	uint32_t unit;
} units[] = {{0, 0x800},   {3, 0x501},		  {10, 0x80000001}, {11, 0x509},
			 {42, 0x581},  {43, 0x80000003},  {64, 0x8AC},		{81, 0x4BD},
			 {103, 0x465}, {104, 0x80000006}, {105, 0x5A8},		{170, 0x4CC},
			 {192, 0x4C2}, {194, 0x8000000A}, {195, 0x581},		{208, 0x8000000D},
			 {209, 0x581}, {237, 0x4EF}};

static TapHost state;
static LmHost host;

static void
put_word(char *place, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		place[i] = (char) (word >> 8 * i);
}

static LmBytes
make_table(char *bytes)
{
	put_word(bytes, 4 * N_UNITS);
	for (int i = 0; i < N_UNITS; i++)
		put_word(bytes + 4 + 4 * i, UINT32_C(0x80000000));
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		put_word(bytes + 4 + 4 * units[i].place, units[i].unit);
	memcpy(bytes + 4 + 4 * N_UNITS, STRINGS, sizeof STRINGS);
	return (LmBytes){bytes, TABLE_SIZE};
}

static void
becomes(LmBytes table, bool collapse, const char *text, const char *wanted, const char *name)
{
	LmText out = {NULL};
	LmError error = {0};
	bool same =
		lm_charsmap_apply(&host, &out, (LmBytes){text, strlen(text)}, table, collapse, &error) &&
		out.size == strlen(wanted) && (out.size == 0 || memcmp(out.data, wanted, out.size) == 0);

	if (!ok(same, "%s", name))
		printf("# %s%.*s\n", error.message, (int) out.size, out.data ? out.data : "");
	if (out.data)
		host.reallocate(host.context, out.data, 0);
}

static void
test_texts(void)
{
	char bytes[TABLE_SIZE];
	LmBytes table = make_table(bytes), none = {NULL, 0};
	LmError error;

	ok(lm_charsmap_check(table, &error), "the table is one");
	becomes(table, false, "\xEF\xBD\x81x\xEF\xAC\x81n", "axfin", "characters become others");
	becomes(table, false, "e\xCC\x81 e\xCC\x80 e", "\xC3\xA9 e\xCC\x80 e",
			"the longest key counts");
	becomes(table, false, " \t a\x01 ", "   a ", "spaces stay");
	becomes(table, true, " \t a\x01 \t b\t", "a b", "or one of several does, and none at the ends");
	becomes(table, true, "a \xC2\xA8", "a \xCC\x88",
			"also where a character becomes a space and more");
	becomes(table, true, "a \xE2\x96\x81", "a", "U+2581 is a space at the end");
	becomes(table, true, "\t \x01\xE2\x96\x81", "", "nothing can be left");
	becomes(none, true, "  \xEF\xBD\x81  b ", "\xEF\xBD\x81 b", "spaces go without a table too");
	becomes(table, false, "", "", "an empty text stays");
}

static void
test_stop(void)
{
	char bytes[TABLE_SIZE];
	LmText out = {NULL};
	LmError error = {0};

	state.stop = true;
	ok(!lm_charsmap_apply(&host, &out, (LmBytes){"a", 1}, make_table(bytes), false, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "it stops when told to");
	state.stop = false;
}

static void
test_sizes(void)
{
	char bytes[TABLE_SIZE];
	LmBytes table = make_table(bytes);
	bool refused = true;
	LmError error;

	for (size_t size = 1; size <= 4 + 4 * N_UNITS; size++)
		refused = refused && !lm_charsmap_check((LmBytes){table.data, size}, &error) &&
				  error.code == LM_ERR_FORMAT;
	ok(refused, "a table that is cut is refused");
	bytes[TABLE_SIZE - 1] = 'a';
	ok(!lm_charsmap_check(table, &error), "one whose last string has no end too");
	ok(lm_charsmap_check((LmBytes){NULL, 0}, &error), "none is one");
}

/* Tables on blocks of their own size, so that a sanitizer sees what is read. */
static void
test_hostile(void)
{
	bool valid = true;
	int n = 0;

	for (int round = 0; valid && round < 3000; round++)
	{
		char *bytes = malloc(TABLE_SIZE);
		LmBytes table = make_table(bytes);
		LmText out = {NULL};
		char text[512];
		size_t size, position;
		LmError error;

		for (int i = 0; i < 30; i++)
			bytes[random_below(TABLE_SIZE - 1)] = (char) random_below(256);
		if (round % 3)
			put_word(bytes, 4 * N_UNITS);
		size = random_text(text, 60);
		memcpy(text + size, "\xEF\xBD\x81 e\xCC\x81\t", 8);
		if (lm_charsmap_check(table, &error))
		{
			n++;
			valid = lm_charsmap_apply(&host, &out, (LmBytes){text, size + 8}, table, round % 2,
									  &error) &&
					lm_utf8_valid(out.data, out.size, &position);
		}
		if (out.data)
			host.reallocate(host.context, out.data, 0);
		free(bytes);
	}
	ok(valid && n > 1000, "a table of any bytes gives text (%d of 3,000 tables were read)", n);
}

int
main(void)
{
	host = tap_host(&state);
	test_texts();
	test_stop();
	test_sizes();
	test_hostile();
	is_int(state.live, 0, "nothing is left behind");
	return done_testing();
}

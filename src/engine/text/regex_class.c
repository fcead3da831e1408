/*
 * src/engine/text/regex_class.c
 *
 * Atoms of a regular expression: characters, escapes and classes, as ranges of code points.
 */
#include "text/regex.h"
#include "text/utf8.h"

#define MOST_RANGES 1024 /* of a class */
#define NAMED "0123456789abcdef"

/* A class with a name: \d, or [:digit:]. Ranges end with 0. */
typedef struct Named
{
	char letter; /* of \d, or 0 */
	const char *name;
	const char *ranges; /* pairs of characters */
} Named;

static const Named all_named[] = {
	{'d', "digit", "09"},	 {'w', "word", "09AZ__az"}, {'s', "space", "\t\r  "},
	{0, "alpha", "AZaz"},	 {0, "alnum", "09AZaz"},	{0, "lower", "az"},
	{0, "upper", "AZ"},		 {0, "blank", "\t\t  "},	{0, "punct", "!/:@[`{~"},
	{0, "xdigit", "09AFaf"},
};

/* Ranges that are being collected; they may overlap. */
typedef struct Ranges
{
	LmBuilder *builder;
	const char *data;
	size_t size;
	size_t at;
	int n;
	LmCodeRange all[MOST_RANGES];
} Ranges;

static void read_class(Ranges *ranges);
static bool read_escape(Ranges *ranges, int32_t *code);
static bool read_number(Ranges *ranges, char letter, int32_t *code);
static void add(Ranges *ranges, int32_t low, int32_t high);
static void add_named(Ranges *ranges, const Named *named);
static void tidy(Ranges *ranges);
static void negate(Ranges *ranges);

void
lm_regex_atom(LmBuilder *builder, const char *data, size_t size, size_t *at)
{
	Ranges ranges;
	int32_t code;
	int n;

	ranges.builder = builder;
	ranges.data = data;
	ranges.size = size;
	ranges.at = *at;
	ranges.n = 0;
	if (data[*at] == '[')
		read_class(&ranges);
	else if (data[*at] == '.')
	{
		add(&ranges, '\n', '\n');
		add(&ranges, '\r', '\r');
		negate(&ranges);
		ranges.at++;
	}
	else if (data[*at] == '\\')
	{
		if (read_escape(&ranges, &code))
			add(&ranges, code, code);
	}
	else
	{
		code = lm_utf8_decode(data + *at, &n);
		add(&ranges, code, code);
		ranges.at += (size_t) n;
	}
	tidy(&ranges);
	lm_build_class(builder, ranges.all, ranges.n);
	*at = ranges.at;
}

static void
add(Ranges *ranges, int32_t low, int32_t high)
{
	if (ranges->n == MOST_RANGES)
		lm_builder_fail(ranges->builder, LM_ERR_LIMIT, (int64_t) ranges->at,
						"a class of the pattern has more than %d parts", MOST_RANGES);
	else
		ranges->all[ranges->n++] = (LmCodeRange){low, high};
}

static void
add_named(Ranges *ranges, const Named *named)
{
	for (const char *c = named->ranges; *c; c += 2)
		add(ranges, c[0], c[1]);
}

/* Sorted, apart from each other. */
static void
tidy(Ranges *ranges)
{
	int n = 0;

	for (int i = 1; i < ranges->n; i++)
	{
		LmCodeRange moved = ranges->all[i];
		int j = i;

		for (; j > 0 && ranges->all[j - 1].low > moved.low; j--)
			ranges->all[j] = ranges->all[j - 1];
		ranges->all[j] = moved;
	}
	for (int i = 0; i < ranges->n; i++)
		if (n > 0 && ranges->all[i].low <= ranges->all[n - 1].high + 1)
		{
			if (ranges->all[i].high > ranges->all[n - 1].high)
				ranges->all[n - 1].high = ranges->all[i].high;
		}
		else
			ranges->all[n++] = ranges->all[i];
	ranges->n = n;
}

static void
negate(Ranges *ranges)
{
	int32_t low = 1;
	int n = 0;

	tidy(ranges);
	for (int i = 0; i < ranges->n; i++)
	{
		LmCodeRange range = ranges->all[i];

		if (low < range.low)
			ranges->all[n++] = (LmCodeRange){low, range.low - 1};
		low = range.high + 1;
	}
	ranges->n = n;
	if (low <= 0x10FFFF)
		add(ranges, low, 0x10FFFF);
}

/*
 * After '\': *code is a character and the result true; or a class has been added, or an error
 * noted.
 */
static bool
read_escape(Ranges *ranges, int32_t *code)
{
	static const char letters[] = "n\nt\tr\rf\fv\ve\x1b";
	size_t at = ranges->at++;
	char c = ranges->at < ranges->size ? ranges->data[ranges->at] : 0;

	if (c == 0)
	{
		lm_regex_fail(ranges->builder, at, "\\ without a character stands");
		return false;
	}
	ranges->at++;
	for (const char *l = letters; *l; l += 2)
		if (*l == c)
		{
			*code = l[1];
			return true;
		}
	if (c == 'x' || c == 'u')
		return read_number(ranges, c, code);
	for (int i = 0; all_named[i].letter; i++)
		if ((all_named[i].letter | 32) == (c | 32) && (c | 32) != c)
		{
			Ranges other = {.builder = ranges->builder};

			add_named(&other, &all_named[i]);
			negate(&other);
			for (int j = 0; j < other.n; j++)
				add(ranges, other.all[j].low, other.all[j].high);
			return false;
		}
		else if (all_named[i].letter == c)
		{
			add_named(ranges, &all_named[i]);
			return false;
		}
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
	{
		lm_builder_fail(ranges->builder, LM_ERR_FORMAT, (int64_t) at,
						"\\%c, which is not supported, stands at byte %zu of the pattern", c,
						at + 1);
		return false;
	}
	{
		int n;

		*code = lm_utf8_decode(ranges->data + at + 1, &n);
		ranges->at = at + 1 + (size_t) n;
	}
	return true;
}

static int
digit_of(char c)
{
	const char *at = strchr(NAMED, c >= 'A' && c <= 'F' ? c + 32 : c);

	return c && at ? (int) (at - NAMED) : -1;
}

/* \xHH, \x{H...} or \uHHHH. */
static bool
read_number(Ranges *ranges, char letter, int32_t *code)
{
	size_t at = ranges->at - 2;
	bool braces = letter == 'x' && ranges->at < ranges->size && ranges->data[ranges->at] == '{';
	int most = braces ? 6 : letter == 'x' ? 2 : 4, n = 0;

	ranges->at += braces;
	*code = 0;
	for (; n < most && ranges->at < ranges->size && digit_of(ranges->data[ranges->at]) >= 0; n++)
		*code = *code * 16 + digit_of(ranges->data[ranges->at++]);
	if ((braces ? n == 0 || ranges->at >= ranges->size || ranges->data[ranges->at] != '}'
				: n < most) ||
		*code < 1 || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
	{
		lm_regex_fail(ranges->builder, at, "a number that is not of a character stands");
		return false;
	}
	ranges->at += braces;
	return true;
}

/* [:name:] at the present place. */
static void
read_posix(Ranges *ranges)
{
	size_t at = ranges->at, left = ranges->size - at - 2;
	const char *name = ranges->data + at + 2;

	for (size_t i = 0; i < sizeof all_named / sizeof *all_named; i++)
	{
		size_t n = strlen(all_named[i].name);

		if (left >= n + 2 && memcmp(name, all_named[i].name, n) == 0 && name[n] == ':' &&
			name[n + 1] == ']')
		{
			add_named(ranges, &all_named[i]);
			ranges->at += n + 4;
			return;
		}
	}
	lm_regex_fail(ranges->builder, at, "a class [:...:] that is not known stands");
}

/* One character of a class; false where a whole class has been added instead, or an error noted. */
static bool
read_member(Ranges *ranges, int32_t *code)
{
	int n;

	if (ranges->data[ranges->at] == '\\')
		return read_escape(ranges, code);
	if (ranges->data[ranges->at] == '[')
	{
		if (ranges->at + 1 < ranges->size && ranges->data[ranges->at + 1] == ':')
			read_posix(ranges);
		else
			lm_regex_fail(ranges->builder, ranges->at, "[ without \\ stands in a class");
		return false;
	}
	*code = lm_utf8_decode(ranges->data + ranges->at, &n);
	ranges->at += (size_t) n;
	return true;
}

static void
read_class(Ranges *ranges)
{
	size_t begin = ranges->at++, first;
	bool negated = ranges->at < ranges->size && ranges->data[ranges->at] == '^';

	ranges->at += negated;
	first = ranges->at;
	while (!ranges->builder->failed && ranges->at < ranges->size && ranges->data[ranges->at] != ']')
	{
		size_t at = ranges->at;
		int32_t low, high;

		if (!read_member(ranges, &low))
			continue;
		high = low;
		if (ranges->at + 1 < ranges->size && ranges->data[ranges->at] == '-' &&
			ranges->data[ranges->at + 1] != ']')
		{
			ranges->at++;
			if (!read_member(ranges, &high) || high < low)
			{
				lm_regex_fail(ranges->builder, at,
							  "a range that has no end after its beginning stands");
				return;
			}
		}
		add(ranges, low, high);
	}
	if (ranges->at >= ranges->size)
		lm_regex_fail(ranges->builder, begin, "a class that is not closed by ] stands");
	else if (ranges->at == first)
		lm_regex_fail(ranges->builder, begin, "an empty class stands");
	ranges->at++;
	if (negated && !ranges->builder->failed)
		negate(ranges);
}

/*
 * src/engine/text/clean_numbers.c
 *
 * Tells telephone numbers and long numbers from other digits.
 *
 * There is no grammar that telephone numbers of all countries follow and that dates, prices and
 * versions do not. Taken are, with single blanks, hyphens, dots or slashes between groups:
 *
 *   '+' and 7 to 15 digits (ITU-T E.164, 6)
 *   an area code in parentheses, 7 to 15 digits in all
 *   9 to 13 digits that start with 0, where trunk calls do
 *   groups of 3-3-4 digits, and of 1-3-3-4 that start with 1 (North America)
 *   11 digits that start with 13 to 19, alone or 3-4-4 (China); 5-5 that start with 6 to 9 (India)
 *
 * but no date. A long number has enough digits in one run, or groups as payment cards (4-4-4-4 and
 * longer, 4-6-5), bank accounts (IBAN) and American insurance numbers (3-2-4) have them. The digits
 * after a decimal point are none.
 */
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "text/clean_steps.h"

#define MAX_PHONE_DIGITS 15
#define MAX_GROUPS 8
#define MAX_ACCOUNT_GROUPS 9

/* Groups of digits with what stands between them. */
typedef struct Groups
{
	int n;
	int sizes[MAX_GROUPS];
	/* before each group, and before what follows the last; '\0': no digits follow */
	char separators[MAX_GROUPS + 1];
	size_t ends[MAX_GROUPS];
	int first[2]; /* the first two digits */
	bool plus;
	bool area; /* the first group stands in parentheses */
} Groups;

static bool read_groups(Groups *groups, LmBytes text, size_t start);
static bool is_phone(const Groups *groups, int n);

bool
lm_is_unspaced(int32_t code)
{
	UErrorCode status = U_ZERO_ERROR;

	switch (uscript_getScript(code, &status))
	{
		case USCRIPT_HAN:
		case USCRIPT_HIRAGANA:
		case USCRIPT_KATAKANA:
		case USCRIPT_BOPOMOFO:
		case USCRIPT_HANGUL:
		case USCRIPT_YI:
		case USCRIPT_THAI:
		case USCRIPT_LAO:
		case USCRIPT_KHMER:
		case USCRIPT_MYANMAR:
			return true;
		default:
			return false;
	}
}

static bool
is_ascii_digit(char byte)
{
	return (unsigned char) (byte - '0') < 10;
}

int
lm_digit_length(LmBytes text, size_t at)
{
	unsigned char byte = (unsigned char) text.data[at];
	int length;

	if (byte < 0x80)
		return is_ascii_digit((char) byte);
	if (byte != 0xD9 && byte != 0xDB && byte != 0xDF && byte != 0xE0 && byte != 0xE1 &&
		byte != 0xEF)
		return 0;
	return u_charType(lm_utf8_decode(text.data + at, &length)) == U_DECIMAL_DIGIT_NUMBER ? length
																						 : 0;
}

/* The character before a place; 0: there is none. */
static int32_t
character_before(LmBytes text, size_t at)
{
	int length;

	if (at == 0)
		return 0;
	return lm_utf8_decode(text.data + lm_utf8_boundary(text.data, text.size, at - 1), &length);
}

/* Whether a number may start here: after no digit, and no letter that belongs to it. */
static bool
starts_number(LmBytes text, size_t at, bool after_letters)
{
	int32_t before = character_before(text, at);

	if (before == 0)
		return true;
	if (before < 0x80)
	{
		if (is_ascii_digit((char) before))
			return false;
		if ((before | 0x20) - 'a' >= 0 && (before | 0x20) - 'a' < 26)
			return after_letters;
		if (before == '_')
			return after_letters;
		/* The rest of a longer thing, such as a fraction. */
		return !(strchr(after_letters ? ".," : ".,-/:+", before) && at >= 2 &&
				 is_ascii_digit(text.data[at - 2]));
	}
	if (u_charType(before) == U_DECIMAL_DIGIT_NUMBER)
		return false;
	return after_letters || lm_is_unspaced(before) || !u_isalpha(before);
}

/* ---- Telephone numbers -------------------------------------------------- */

size_t
lm_phone_end(LmBytes text, size_t start)
{
	Groups groups;

	if (!starts_number(text, start, false) || !read_groups(&groups, text, start))
		return start;
	for (int n = groups.n; n > 0; n--)
	{
		if ((groups.separators[n] == '\0' || groups.separators[n] == ' ') && is_phone(&groups, n))
			return groups.ends[n - 1];
	}
	return start;
}

/* The length of a separator between groups; 0: there is none. Hyphens are '-', blanks ' '. */
static size_t
read_separator(char *separator, LmBytes text, size_t at)
{
	const char *bytes = text.data + at;
	size_t size = text.size - at;

	*separator = size > 0 ? bytes[0] : '\0';
	if (size > 0 &&
		(*separator == ' ' || *separator == '-' || *separator == '.' || *separator == '/'))
		return 1;
	if (size > 1 && memcmp(bytes, "\xC2\xA0", 2) == 0)
	{
		*separator = ' ';
		return 2;
	}
	/* U+2010 to U+2013 */
	if (size > 2 && memcmp(bytes, "\xE2\x80", 2) == 0 && (unsigned char) (bytes[2] - 0x90) < 4)
	{
		*separator = '-';
		return 3;
	}
	return 0;
}

/*
 * Reads one group; returns its end, `at` if there is none, or if the number would have too many
 * digits with it.
 */
static size_t
read_group(Groups *groups, LmBytes text, size_t at, int *total)
{
	size_t start = at;
	int n = 0, length;

	while (at < text.size && (length = lm_digit_length(text, at)) > 0)
	{
		int size;

		if (*total + n == MAX_PHONE_DIGITS)
			return start;
		if (*total + n < 2)
			groups->first[*total + n] = u_charDigitValue(lm_utf8_decode(text.data + at, &size));
		n++;
		at += (size_t) length;
	}
	if (n > 0)
	{
		*total += n;
		groups->sizes[groups->n] = n;
		groups->ends[groups->n++] = at;
	}
	return at;
}

static bool
is_word_byte(char byte)
{
	return (unsigned char) ((byte | 0x20) - 'a') < 26 || (unsigned char) (byte - '0') < 10 ||
		   byte == '_';
}

/*
 * Reads groups as far as they go; false: there is none. A word that follows without a separator is
 * noted as one, so that the last group is not the end of a number.
 */
static bool
read_groups(Groups *groups, LmBytes text, size_t start)
{
	size_t at = start, end;
	char separator = '\0';
	int total = 0;

	*groups = (Groups){.first = {-1, -1}};
	groups->plus = text.data[at] == '+';
	at += groups->plus ? 1 : 0;
	groups->area = at < text.size && text.data[at] == '(';
	at += groups->area ? 1 : 0;
	for (;;)
	{
		bool open = groups->n > 0 && at < text.size && text.data[at] == '(';
		size_t digits = at + (open ? 1 : 0);
		bool in_area;

		groups->separators[groups->n] = separator;
		end = groups->n < MAX_GROUPS ? read_group(groups, text, digits, &total) : digits;
		if (end == digits)
		{
			if (digits >= text.size || !is_word_byte(text.data[digits]))
				groups->separators[groups->n] = '\0';
			break;
		}
		in_area = open || (groups->area && groups->n == 1);
		if (in_area && (end >= text.size || text.data[end] != ')'))
			return false;
		at = end + (in_area ? 1 : 0);
		end = at + read_separator(&separator, text, at);
		if (end == at && !in_area)
			separator = 'x';
		at = end;
	}
	return groups->n > 0;
}

static bool
are_sizes(const Groups *groups, int n, const char *sizes)
{
	if ((int) strlen(sizes) != n)
		return false;
	for (int i = 0; i < n; i++)
	{
		if (groups->sizes[i] != sizes[i] - '0')
			return false;
	}
	return true;
}

/* Day, month and year, or the other way round, with one kind of separator. */
static bool
is_date(const Groups *groups, int n)
{
	const int *sizes = groups->sizes;

	return n >= 3 && groups->separators[1] == groups->separators[2] &&
		   ((sizes[0] <= 2 && sizes[1] <= 2 && sizes[2] == 4) ||
			(sizes[0] == 4 && sizes[1] <= 2 && sizes[2] <= 2));
}

/* Whether the first n groups are a telephone number. */
static bool
is_phone(const Groups *groups, int n)
{
	const int *first = groups->first;
	int total = 0;

	for (int i = 0; i < n; i++)
		total += groups->sizes[i];
	if (groups->plus)
		return total >= 7;
	if (groups->area)
		return n >= 2 && total >= 7 && groups->sizes[0] >= 2 && groups->sizes[0] <= 5 &&
			   !(groups->sizes[0] == 4 && (first[0] == 1 || first[0] == 2));
	if (is_date(groups, n))
		return false;
	if (first[0] == 0 && total >= (n == 1 ? 10 : 9) && total <= 13 && groups->sizes[0] >= 2)
		return true;
	if (first[0] == 1 && first[1] >= 3 && (are_sizes(groups, n, "344") || (n == 1 && total == 11)))
		return true;
	return are_sizes(groups, n, "334") || (first[0] == 1 && are_sizes(groups, n, "1334")) ||
		   (first[0] >= 6 && are_sizes(groups, n, "55"));
}

/* ---- Long numbers ------------------------------------------------------- */

/* The sizes of groups of digits with single blanks or hyphens between them; returns how many. */
static int
read_account(int *sizes, size_t *ends, LmBytes text, size_t at)
{
	int n = 0;

	while (n < MAX_ACCOUNT_GROUPS)
	{
		int size = 0;

		while (at < text.size && size < 8 && is_ascii_digit(text.data[at]))
			at++, size++;
		if (size == 0 || size == 8)
			break;
		sizes[n] = size;
		ends[n++] = at;
		if (at >= text.size || (text.data[at] != ' ' && text.data[at] != '-'))
			break;
		at++;
	}
	return n;
}

/* The end of a card, an account or an insurance number; the start: there is none. */
static size_t
account_end(LmBytes text, size_t start)
{
	int sizes[MAX_ACCOUNT_GROUPS], fours = 0, first, n;
	size_t ends[MAX_ACCOUNT_GROUPS];

	n = read_account(sizes, ends, text, start);
	if (n >= 3 && sizes[0] == 3 && sizes[1] == 2 && sizes[2] == 4 && text.data[ends[0]] == '-')
		return ends[2];
	if (n >= 3 && sizes[0] == 4 && sizes[1] == 6 && (sizes[2] == 5 || sizes[2] == 4))
		return ends[2];
	first = n > 0 && sizes[0] == 2 ? 1 : 0;
	while (first + fours < n && sizes[first + fours] == 4)
		fours++;
	if (fours < (first == 1 ? 3 : 4))
		return start;
	/* A last, shorter group belongs to it after a 2-4-4-4, as in an IBAN, or 16 digits. */
	n = first + fours < n && sizes[first + fours] < 4 ? first + fours + 1 : first + fours;
	return ends[n - 1];
}

size_t
lm_number_end(LmRewrite *rewrite, size_t start, int n_digits)
{
	LmBytes text = rewrite->in;
	size_t at = start;
	int64_t n = 0;
	int length;

	if (lm_digit_length(text, start) == 0 || !starts_number(text, start, true))
		return start;
	for (; at < text.size && (length = lm_digit_length(text, at)) > 0; n++)
	{
		at += (size_t) length;
		if (!lm_rewrite_go_on(rewrite, at))
			return SIZE_MAX;
	}
	return n >= n_digits ? at : account_end(text, start);
}

/*
 * src/engine/text/builder_decimal.c
 *
 * Decimal numbers between two bounds, exactly: for each number of digits after the point, integers
 * between the scaled bounds, and for each length of these the digits that may stand at each place.
 *
 *   250 .. 1730    as 250 .. 999 and 1000 .. 1730
 *   250 .. 999     as 2 (5 [0-9] | [6-9] [0-9]) | [3-9] [0-9] [0-9]
 */
#include "text/builder.h"

#define MOST_DIGITS 80 /* of a scaled bound */
#define MOST_FRACTION 20

/* The size of a number without its sign, times a power of ten: digits, none of them a zero in
 * front but for 0 itself. */
typedef struct Size
{
	char digits[MOST_DIGITS + 2];
	int n;
} Size;

/* A bound. */
typedef struct Bound
{
	bool negative;
	bool given;
	bool open;
	Size whole; /* digits in front of the point */
	char fraction[MOST_DIGITS + 2];
	int n_fraction;
} Bound;

static bool read_bound(LmBuilder *builder, Bound *bound, LmBytes text, int digits, bool is_min,
					   bool *nothing);
static void add_scaled(LmBuilder *builder, const Bound *min, const Bound *max, int fraction,
					   int digits);
static void add_sizes(LmBuilder *builder, const Size *from, const Size *to, int fraction,
					  bool negative);

void
lm_build_decimals(LmBuilder *builder, const LmDecimals *decimals)
{
	bool nothing = false;
	Bound min, max;
	int digits = decimals->digits;

	lm_build_nothing(builder);
	if (decimals->fraction > MOST_FRACTION || digits < 0 ||
		digits + decimals->fraction > MOST_DIGITS)
	{
		lm_builder_fail(builder, LM_ERR_LIMIT, -1,
						"numbers of %d digits and %d after the point are too long", digits,
						decimals->fraction);
		return;
	}
	if (!read_bound(builder, &min, decimals->min, digits, true, &nothing) ||
		!read_bound(builder, &max, decimals->max, digits, false, &nothing) || nothing)
		return;
	min.open = decimals->open_min;
	max.open = decimals->open_max;
	for (int fraction = 0; fraction <= decimals->fraction; fraction++)
		add_scaled(builder, &min, &max, fraction, digits);
}

/* A bound that all numbers of so many digits are within is none. */
static bool
read_bound(LmBuilder *builder, Bound *bound, LmBytes text, int digits, bool is_min, bool *nothing)
{
	size_t i = text.size > 0 && text.data[0] == '-' ? 1 : 0, first;
	size_t point;

	*bound = (Bound){.negative = i == 1, .given = text.size > 0};
	if (text.size == 0)
		return true;
	while (i + 1 < text.size && text.data[i] == '0' && text.data[i + 1] != '.')
		i++;
	for (first = i; i < text.size && text.data[i] >= '0' && text.data[i] <= '9';)
		i++;
	point = i;
	if (i < text.size && text.data[i] == '.')
		i++;
	while (i < text.size && text.data[i] >= '0' && text.data[i] <= '9')
		i++;
	if (point == first || i < text.size)
		return lm_builder_fail(builder, LM_ERR_FORMAT, (int64_t) i,
							   "\"%.*s\" is not a decimal number",
							   text.size > 40 ? 40 : (int) text.size, text.data);
	if (point - first > (size_t) digits && point - first > 40)
	{
		*nothing |= is_min != bound->negative;
		bound->given = false;
		return true;
	}
	bound->whole.n = (int) (point - first);
	memcpy(bound->whole.digits, text.data + first, point - first);
	for (i = point + 1; i < text.size; i++)
		if (bound->n_fraction <= MOST_FRACTION)
			bound->fraction[bound->n_fraction++] = text.data[i];
		else if (text.data[i] != '0')
			bound->fraction[MOST_FRACTION] = '1'; /* all that matters so far behind the point */
	return true;
}

/* Without zeros in front. */
static void
trim(Size *size)
{
	int zeros = 0;

	while (zeros + 1 < size->n && size->digits[zeros] == '0')
		zeros++;
	size->n -= zeros;
	memmove(size->digits, size->digits + zeros, (size_t) size->n);
}

static void
add_one(Size *size)
{
	int i = size->n - 1;

	while (i >= 0 && size->digits[i] == '9')
		size->digits[i--] = '0';
	if (i >= 0)
	{
		size->digits[i]++;
		return;
	}
	memmove(size->digits + 1, size->digits, (size_t) size->n++);
	size->digits[0] = '1';
}

/* Of 0 nothing is left: a size without digits. */
static void
subtract_one(Size *size)
{
	int i = size->n - 1;

	if (size->n == 1 && size->digits[0] == '0')
		size->n = 0;
	if (size->n == 0)
		return;
	while (size->digits[i] == '0')
		size->digits[i--] = '9';
	size->digits[i]--;
	trim(size);
}

/*
 * The size of a bound times a power of ten. Sizes on the bound's side are larger (up) or smaller:
 * what is cut off makes it larger by one, or not; and one that is exact does not count if the bound
 * is open.
 */
static Size
scale(const Bound *bound, int fraction, bool up)
{
	Size size = bound->whole;
	bool rest = false;

	for (int i = 0; i < fraction && size.n < MOST_DIGITS; i++)
		size.digits[size.n++] = i < bound->n_fraction ? bound->fraction[i] : '0';
	for (int i = fraction; i < bound->n_fraction; i++)
		rest |= bound->fraction[i] != '0';
	trim(&size);
	if (up ? rest || bound->open : !rest && bound->open)
		(up ? add_one : subtract_one)(&size);
	return size;
}

static Size
all_of(char digit, int n)
{
	Size size = {.n = n < MOST_DIGITS ? n : MOST_DIGITS};

	memset(size.digits, digit, (size_t) size.n);
	return size;
}

static bool
is_zero(const Size *size)
{
	return size->n == 1 && size->digits[0] == '0';
}

/* Numbers with so many digits after the point: those from 0 on, and those below. */
static void
add_scaled(LmBuilder *builder, const Bound *min, const Bound *max, int fraction, int digits)
{
	Size zero = all_of('0', 1), one = all_of('1', 1), most, from, to;
	int longest = digits;

	if (min->given && min->whole.n + 1 > longest)
		longest = min->whole.n + 1;
	if (max->given && max->whole.n + 1 > longest)
		longest = max->whole.n + 1;
	most = longest + fraction > 0 ? all_of('9', longest + fraction) : zero;
	to = max->given ? scale(max, fraction, max->negative) : most;
	if (!max->given || !max->negative || (is_zero(&to) && !max->open))
	{
		from = min->given && !min->negative ? scale(min, fraction, true) : zero;
		add_sizes(builder, &from, &to, fraction, false);
	}
	to = min->given ? scale(min, fraction, !min->negative) : most;
	if (!min->given || min->negative)
	{
		from = max->given && max->negative ? scale(max, fraction, true) : one;
		add_sizes(builder, is_zero(&from) ? &one : &from, &to, fraction, true);
	}
}

static int
compare(const Size *a, const Size *b)
{
	return a->n != b->n ? a->n - b->n : memcmp(a->digits, b->digits, (size_t) a->n);
}

static void
digit(LmBuilder *builder, char low, char high)
{
	lm_build_bytes(builder, (uint8_t) low, (uint8_t) high);
}

/* n digits on the stack, any of them, with the point before the last `fraction` of the number. */
static void
any_digits(LmBuilder *builder, int n, int fraction)
{
	bool has_point = fraction > 0 && n >= fraction;

	digit(builder, '0', '9');
	lm_build_repeat(builder, has_point ? n - fraction : n, has_point ? n - fraction : n);
	if (!has_point)
		return;
	lm_build_ascii(builder, ".");
	lm_build_join(builder);
	digit(builder, '0', '9');
	lm_build_repeat(builder, fraction, fraction);
	lm_build_join(builder);
}

/* Joins digits low .. high in front of what is on top, with `after` more digits behind them. */
static void
in_front(LmBuilder *builder, char low, char high, int after, int fraction)
{
	/* The point stands after the digit that has as many behind it as it should. */
	if (fraction > 0 && after == fraction)
	{
		lm_build_ascii(builder, ".");
		lm_build_join_behind(builder);
	}
	digit(builder, low, high);
	lm_build_join_behind(builder);
}

/* Digits low .. high and then any, as one more alternative of what is on top. */
static void
or_between(LmBuilder *builder, char low, char high, int after, int fraction)
{
	if (low > high)
		return;
	digit(builder, low, high);
	if (fraction > 0 && after == fraction)
	{
		lm_build_ascii(builder, ".");
		lm_build_join(builder);
		any_digits(builder, after, 0);
	}
	else
		any_digits(builder, after, after > fraction ? fraction : 0);
	lm_build_join(builder);
	lm_build_either(builder);
}

/* Numbers of one length, from the digits that have the least behind them to the first ones. */
static void
add_length(LmBuilder *builder, const char *from, const char *to, int n, int fraction)
{
	int same = 0;

	while (same < n && from[same] == to[same])
		same++;
	/* what follows after digits of the lower bound, and after those of the upper one */
	lm_build_ascii(builder, "");
	for (int i = n - 1; i > same; i--)
	{
		in_front(builder, from[i], from[i], n - 1 - i, fraction);
		or_between(builder, (char) (from[i] + 1), '9', n - 1 - i, fraction);
	}
	if (same < n)
	{
		in_front(builder, from[same], from[same], n - 1 - same, fraction);
		lm_build_ascii(builder, "");
		for (int i = n - 1; i > same; i--)
		{
			in_front(builder, to[i], to[i], n - 1 - i, fraction);
			or_between(builder, '0', (char) (to[i] - 1), n - 1 - i, fraction);
		}
		in_front(builder, to[same], to[same], n - 1 - same, fraction);
		lm_build_either(builder);
		or_between(builder, (char) (from[same] + 1), (char) (to[same] - 1), n - 1 - same, fraction);
	}
	for (int i = same - 1; i >= 0; i--)
		in_front(builder, from[i], from[i], n - 1 - i, fraction);
}

static bool
is_all(const char *digits, int n, char digit)
{
	for (int i = 0; i < n; i++)
		if (digits[i] != digit)
			return false;
	return true;
}

/* Numbers of first .. last digits, whatever these are: [1-9][0-9]* */
static void
add_lengths(LmBuilder *builder, int first, int last, int fraction)
{
	digit(builder, '1', '9');
	digit(builder, '0', '9');
	lm_build_repeat(builder, first - 1 - fraction, last - 1 - fraction);
	lm_build_join(builder);
	if (fraction == 0)
		return;
	lm_build_ascii(builder, ".");
	lm_build_join(builder);
	digit(builder, '0', '9');
	lm_build_repeat(builder, fraction, fraction);
	lm_build_join(builder);
}

/* Puts a sign in front of what is on top, which is one more alternative. */
static void
finish(LmBuilder *builder, bool negative)
{
	if (negative)
	{
		lm_build_ascii(builder, "-");
		lm_build_join_behind(builder);
	}
	lm_build_either(builder);
}

static void
add_sizes(LmBuilder *builder, const Size *from, const Size *to, int fraction, bool negative)
{
	int least = fraction + 1, full = 0;

	if (to->n == 0 || compare(from, to) > 0)
		return;
	for (int n = least > from->n ? least : from->n; n <= to->n || n == least; n++)
	{
		Size low = all_of('0', n), high = all_of('9', n);

		if (n > least)
			low.digits[0] = '1';
		if (n >= from->n && (n == from->n || n == least))
		{
			memset(low.digits, '0', (size_t) n);
			memcpy(low.digits + n - from->n, from->digits, (size_t) from->n);
		}
		if (n >= to->n)
		{
			memset(high.digits, '0', (size_t) n);
			memcpy(high.digits + n - to->n, to->digits, (size_t) to->n);
		}
		/* Lengths without a bound go together. */
		if (n > least && low.digits[0] == '1' && is_all(low.digits + 1, n - 1, '0') &&
			is_all(high.digits, n, '9'))
		{
			full = full > 0 ? full : n;
			if (n < to->n)
				continue;
			add_lengths(builder, full, n, fraction);
			finish(builder, negative);
			return;
		}
		if (full > 0)
		{
			add_lengths(builder, full, n - 1, fraction);
			finish(builder, negative);
			full = 0;
		}
		add_length(builder, low.digits, high.digits, n, fraction);
		finish(builder, negative);
	}
}

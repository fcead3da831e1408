/*
 * src/engine/text/builder_class.c
 *
 * One character of a class, as bytes of UTF-8. A run of code points becomes sequences of ranges of
 * bytes (Cox 2010, "Regular Expression Matching in the Wild", section "UTF-8"); all sequences
 * share the states of their last bytes where these may be any.
 */
#include "text/builder.h"
#include "text/utf8.h"

#define MOST_RANGES 4096 /* of a class, after splitting at what the vocabulary cannot write */
#define TAILS 3

/* A class under construction: from `in` to `out`, with shared ends of one to three bytes. */
typedef struct Class
{
	LmBuilder *builder;
	int32_t in; /* the last of a chain of forks; -1: none yet */
	int32_t out;
	int32_t tails[TAILS + 1]; /* [n]: any n continuation bytes, then out; -1: not needed so far */
} Class;

static void add_writable(Class *class, LmCodeRange range);
static void add_quoted(Class *class, LmCodeRange range);
static void add_range(Class *class, int32_t low, int32_t high);
static void add_escape(Class *class, int32_t code);

void
lm_build_class(LmBuilder *builder, const LmCodeRange *ranges, int n)
{
	int32_t first = (int32_t) builder->n_states, out = lm_builder_fork(builder, -1, -1);
	Class class = {builder, -1, out, {out, -1, -1, -1}};

	for (int i = 0; i < n && !builder->failed; i++)
	{
		LmCodeRange range = ranges[i];

		range.low = range.low < 1 ? 1 : range.low;
		if (range.low <= range.high)
			(builder->quoted ? add_quoted : add_writable)(&class, range);
	}
	if (class.in < 0)
		class.in = lm_builder_fork(builder, -1, -1);
	lm_builder_push(builder, (LmFragment){first, class.in, out});
}

/* Adds one more way from in to out. */
static void
add_way(Class *class, int32_t in)
{
	class->in = class->in < 0 ? in : lm_builder_fork(class->builder, in, class->in);
}

/* Characters that must be escaped in a JSON string become escapes. */
static void
add_quoted(Class *class, LmCodeRange range)
{
	static const int32_t escaped[] = {'"', '\\'};

	for (int32_t code = range.low; code <= range.high && code < 0x20; code++)
		add_escape(class, code);
	range.low = range.low < 0x20 ? 0x20 : range.low;
	for (int i = 0; i < 2; i++)
		if (range.low <= escaped[i] && escaped[i] <= range.high)
		{
			add_escape(class, escaped[i]);
			if (range.low < escaped[i])
				add_writable(class, (LmCodeRange){range.low, escaped[i] - 1});
			range.low = escaped[i] + 1;
		}
	if (range.low <= range.high)
		add_writable(class, range);
}

/* '\' and a letter, or \u00XX. */
static void
add_escape(Class *class, int32_t code)
{
	static const char letters[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	static const char digits[] = "0123456789abcdef";
	LmBuilder *builder = class->builder;
	char bytes[7] = {'\\', 'u', '0', '0', digits[code >> 4 & 15], digits[code & 15]};
	int n = 6;
	int32_t next = class->out;

	for (int i = 0; letters[i]; i += 2)
		if (letters[i] == code)
		{
			bytes[1] = letters[i + 1];
			n = 2;
		}
	while (--n >= 0)
		next = lm_builder_state(
			builder, (LmNfaState){true, (uint8_t) bytes[n], (uint8_t) bytes[n], next, -1});
	add_way(class, next);
}

/* Leaves out what the vocabulary cannot write. */
static void
add_writable(Class *class, LmCodeRange range)
{
	const LmVocabulary *vocabulary = class->builder->vocabulary;
	int32_t low = range.low;

	if (!vocabulary || vocabulary->complete)
	{
		add_range(class, range.low, range.high);
		return;
	}
	for (int32_t code = range.low; code <= range.high + 1; code++)
	{
		bool writes = code <= range.high && lm_vocabulary_writes(vocabulary, code);

		if (!lm_builder_go_on(class->builder, (size_t) code))
			return;
		if (writes)
			continue;
		if (low < code)
			add_range(class, low, code - 1);
		low = code + 1;
	}
}

/* The state before any n continuation bytes. */
static int32_t
tail(Class *class, int n)
{
	for (int i = 1; i <= n; i++)
		if (class->tails[i] < 0)
			class->tails[i] = lm_builder_state(
				class->builder, (LmNfaState){true, 0x80, 0xBF, class->tails[i - 1], -1});
	return class->tails[n];
}

/* Code points whose sequences differ in their last `any` bytes, which may be any, and one more. */
static void
add_sequence(Class *class, int32_t low, int32_t high, int any)
{
	char from[4], to[4];
	int size = lm_utf8_encode(from, low), last = size - 1 - any;
	int32_t next = tail(class, any);

	lm_utf8_encode(to, high);
	for (int i = last; i >= 0; i--)
		next = lm_builder_state(class->builder,
								(LmNfaState){true, (uint8_t) from[i], (uint8_t) to[i], next, -1});
	add_way(class, next);
}

/*
 * Cuts a run at the ends of lengths and at surrogates, and then so that all bytes but one are
 * either fixed or any.
 */
static void
add_range(Class *class, int32_t low, int32_t high)
{
	static const int32_t ends[] = {0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, 0x10FFFF};

	for (int i = 0; i < 6 && low <= high; i++)
	{
		int32_t last = high < ends[i] ? high : ends[i];

		while (low <= last && ends[i] != 0xDFFF)
		{
			int any = 0;
			int32_t end = low;

			/* The longest run from low on that ends with any continuation bytes. */
			while (any < 3 && low % (1 << 6 * (any + 1)) == 0 &&
				   low + (1 << 6 * (any + 1)) - 1 <= last && low >= 0x80)
				any++;
			/* Blocks of that size, up to the end of the byte before them. */
			{
				int32_t block = 1 << 6 * any;
				int32_t whole = low < 0x80 ? 0x80 : (low | (block * 64 - 1)) + 1;

				end = last + 1 < whole ? low + (last + 1 - low) / block * block : whole;
			}
			add_sequence(class, low, end - 1, any);
			low = end;
		}
		low = low <= last ? last + 1 : low;
	}
}

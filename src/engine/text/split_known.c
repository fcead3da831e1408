/*
 * src/engine/text/split_known.c
 *
 * The splits of well-known vocabularies without the regular expression engine: one pass over the
 * bytes each, equal to ICU's matches of their patterns on every text. split_gpt2.c has GPT-2's.
 *
 * cl100k_base (OpenAI's tiktoken), Llama 3; Qwen 2 and 3 have \p{N} for \p{N}{1,3}:
 *
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3} |
 *    ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
 *
 * o200k_base has, in place of the first two, with U for [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], W for
 * [\p{Ll}\p{Lm}\p{Lo}\p{M}] and S for the first one:
 *
 *   [^\r\n\p{L}\p{N}]?U*W+S? | [^\r\n\p{L}\p{N}]?U+W*S?
 */
#include "text/split_class.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST_OF_SPACE "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CL100K(numbers)                                    \
	CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers \
				 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" REST_OF_SPACE
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K                                                                                  \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER \
	"+" LOWER "*" CONTRACTIONS "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" REST_OF_SPACE

/* split_deepseek.c; its tokenizer.json has the ends of lines themselves in the pattern */
#define DEEPSEEK(newline)                                                               \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^" newline                  \
	"\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[" newline "]*|\\s*[" newline \
	"]+|\\s+(?!\\S)|\\s+"

#define UPPER_MASK (U_GC_LU_MASK | U_GC_LT_MASK | U_GC_LM_MASK | U_GC_LO_MASK | U_GC_M_MASK)
#define LOWER_MASK (U_GC_LL_MASK | U_GC_LM_MASK | U_GC_LO_MASK | U_GC_M_MASK)

const char *const lm_cl100k_pattern = CL100K("\\p{N}{1,3}");
const char *const lm_qwen2_pattern = CL100K("\\p{N}");
const char *const lm_o200k_pattern = O200K;
const char *const lm_digit_pattern = "\\p{N}";

/* A text and the host that is asked whether to stop. */
typedef struct Text
{
	const LmHost *host;
	const char *text;
	size_t size;
} Text;

static size_t cl100k_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t qwen2_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t o200k_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t digit_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t digits_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t threes_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t whole_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t gap_end(Text text, size_t position, int n_digits);
static size_t words_end(Text text, size_t position, int n_digits);
static size_t rest_end(Text text, size_t position, int n_digits, bool slashes);
static size_t cased_end(Text text, size_t start);
static size_t upper_run(Text text, size_t start, size_t *lower);
static size_t lower_run(Text text, size_t start);
static size_t numbers_end(Text text, size_t position, int n_digits);
static size_t symbols_end(Text text, size_t position, bool slashes);
static size_t contraction_end(Text text, size_t position);
static bool is_newline(char byte);
static uint32_t mask_at(Text text, size_t position, int *length);

static const LmKnownSplit splits[] = {
	{CL100K("\\p{N}{1,3}"), cl100k_end, true},
	{CL100K("\\p{N}"), qwen2_end, true},
	{O200K, o200k_end, true},
	{"\\p{N}", digit_end, false},
	{"\\p{N}+", digits_end, false},
	{"\\p{N}{1,3}", threes_end, false},
	{"(?s:.+)", whole_end, true},
	{DEEPSEEK("\\r\\n"), lm_deepseek_piece_end, false},
	{DEEPSEEK("\r\n"), lm_deepseek_piece_end, false},
};

const LmKnownSplit *
lm_split_known(const char *pattern)
{
	for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
		if (strcmp(splits[i].pattern, pattern) == 0)
			return &splits[i];
	for (const LmKnownSplit *split = lm_split_runs; split->pattern; split++)
		if (strcmp(split->pattern, pattern) == 0)
			return split;
	return NULL;
}

/* ------------------------------------------------------------ whole patterns */

static size_t
cl100k_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return words_end((Text){host, text, size}, position, 3);
}

static size_t
qwen2_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return words_end((Text){host, text, size}, position, 1);
}

/* A contraction, a word with a character in front of it, or something else. */
static size_t
words_end(Text text, size_t position, int n_digits)
{
	size_t start = position, last, contraction = contraction_end(text, position);
	LmTextClass first;
	int length;

	if (contraction > 0)
		return contraction;
	first = lm_class_at(text.text + position, &length);
	if (first == LM_CLASS_OTHER || (first == LM_CLASS_SPACE && !is_newline(text.text[position])))
		start += (size_t) length;
	if (start < text.size && lm_class_at(text.text + start, &length) == LM_CLASS_LETTER)
		return lm_run_end(text.host, text.text, text.size, start, LM_CLASS_LETTER, &last);
	return rest_end(text, position, n_digits, false);
}

/* A word of one case, with a character in front of it and a contraction, or something else. */
static size_t
o200k_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	Text whole = {host, text, size};
	int length;
	LmTextClass first = lm_class_at(text + position, &length);
	bool in_front =
		first == LM_CLASS_OTHER || (first == LM_CLASS_SPACE && !is_newline(text[position]));
	size_t starts[2] = {in_front ? position + (size_t) length : position, position};
	size_t lower, upper, end = 0;

	/* The alternatives in their order: capitals and others, then capitals alone. */
	for (int i = 0; i < (in_front ? 2 : 1) && end == 0; i++)
		end = cased_end(whole, starts[i]);
	for (int i = 0; i < (in_front ? 2 : 1) && end == 0; i++)
	{
		upper = upper_run(whole, starts[i], &lower);
		if (upper == SIZE_MAX)
			return 0;
		end = upper > starts[i] ? upper : 0;
	}
	if (end == SIZE_MAX)
		return 0;
	if (end > 0)
	{
		size_t contraction = end < size ? contraction_end(whole, end) : 0;

		return contraction > 0 ? contraction : end;
	}
	return rest_end(whole, position, 3, true);
}

/*
 * U*W+ from start: the end, 0 where it does not match, SIZE_MAX when stopped. U* takes the whole
 * run; where no W follows, it gives back up to the last of its characters that is a W too.
 */
static size_t
cased_end(Text text, size_t start)
{
	size_t lower = 0, upper = upper_run(text, start, &lower), end;

	if (upper == SIZE_MAX)
		return SIZE_MAX;
	end = lower_run(text, upper);
	if (end == SIZE_MAX || end > upper)
		return end;
	return lower;
}

/* The end of the U* from start; *lower is set to the end of the last character that is a W too. */
static size_t
upper_run(Text text, size_t start, size_t *lower)
{
	size_t poll = start + LM_POLL_SIZE;

	while (start < text.size)
	{
		int length;
		uint32_t mask = mask_at(text, start, &length);

		if (!(mask & UPPER_MASK))
			break;
		start += (size_t) length;
		if (mask & LOWER_MASK)
			*lower = start;
		if (start >= poll)
		{
			if (!lm_text_go_on(text.host, NULL))
				return SIZE_MAX;
			poll = start + LM_POLL_SIZE;
		}
	}
	return start;
}

static size_t
lower_run(Text text, size_t start)
{
	size_t poll = start + LM_POLL_SIZE;

	while (start < text.size)
	{
		int length;

		if (!(mask_at(text, start, &length) & LOWER_MASK))
			break;
		start += (size_t) length;
		if (start >= poll)
		{
			if (!lm_text_go_on(text.host, NULL))
				return SIZE_MAX;
			poll = start + LM_POLL_SIZE;
		}
	}
	return start;
}

static uint32_t
mask_at(Text text, size_t position, int *length)
{
	unsigned char byte = (unsigned char) text.text[position];

	if (byte >= 0x80)
		return U_MASK(u_charType(lm_utf8_decode(text.text + position, length)));
	*length = 1;
	if (byte >= 'a' && byte <= 'z')
		return U_GC_LL_MASK;
	return byte >= 'A' && byte <= 'Z' ? U_GC_LU_MASK : 0;
}

/* ------------------------------------------------------------ what is no word */

/* Numbers, symbols with a blank in front, or white space, at a place where no word starts. */
static size_t
rest_end(Text text, size_t position, int n_digits, bool slashes)
{
	size_t start = position;
	int length;
	LmTextClass first = lm_class_at(text.text + position, &length);

	if (first == LM_CLASS_NUMBER)
		return numbers_end(text, position, n_digits);
	if (text.text[position] == ' ')
		start++;
	if (start < text.size && lm_class_at(text.text + start, &length) == LM_CLASS_OTHER)
		return symbols_end(text, start, slashes);
	return lm_spaces_end(text.host, text.text, text.size, position);
}

static size_t
numbers_end(Text text, size_t position, int n_digits)
{
	int length;

	for (int i = 0; i < n_digits && position < text.size &&
					lm_class_at(text.text + position, &length) == LM_CLASS_NUMBER;
		 i++)
		position += (size_t) length;
	return position;
}

/* Symbols and the ends of lines after them, which may have slashes between them. */
static size_t
symbols_end(Text text, size_t position, bool slashes)
{
	size_t last, end = lm_run_end(text.host, text.text, text.size, position, LM_CLASS_OTHER, &last);
	size_t poll = end + LM_POLL_SIZE;

	while (end > 0 && end < text.size &&
		   (is_newline(text.text[end]) || (slashes && text.text[end] == '/')))
	{
		end++;
		if (end < poll)
			continue;
		if (!lm_text_go_on(text.host, NULL))
			return 0;
		poll = end + LM_POLL_SIZE;
	}
	return end;
}

size_t
lm_spaces_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t last = position, end = lm_run_end(host, text, size, position, LM_CLASS_SPACE, &last);

	for (size_t i = end; i > position; i--)
		if (is_newline(text[i - 1]))
			return i;
	return end < size && end > 0 && last > position ? last : end;
}

static bool
is_newline(char byte)
{
	return byte == '\r' || byte == '\n';
}

/* The end of a contraction of any case at position, or 0. U+017F is an s of another case. */
static size_t
contraction_end(Text text, size_t position)
{
	const char *s = text.text + position;
	size_t size = text.size - position;
	char first, second;

	if (s[0] != '\'' || size < 2)
		return 0;
	if (size >= 3 && s[1] == '\xC5' && s[2] == '\xBF')
		return position + 3;
	first = s[1] | 0x20;
	second = size >= 3 ? s[2] | 0x20 : 0;
	if (first == 's' || first == 't' || first == 'm' || first == 'd')
		return position + 2;
	if (((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l'))
		return position + 3;
	return 0;
}

/* ------------------------------------------------------------ patterns with gaps */

/* A gap up to the next number, or the number. */
static size_t
gap_end(Text text, size_t position, int n_digits)
{
	size_t last, poll = position + LM_POLL_SIZE, start = position;
	int length;

	if (lm_class_at(text.text + position, &length) == LM_CLASS_NUMBER)
		return n_digits > 0
				   ? numbers_end(text, position, n_digits)
				   : lm_run_end(text.host, text.text, text.size, position, LM_CLASS_NUMBER, &last);
	while (start < text.size && lm_class_at(text.text + start, &length) != LM_CLASS_NUMBER)
	{
		start += (size_t) length;
		if (start < poll)
			continue;
		if (!lm_text_go_on(text.host, NULL))
			return 0;
		poll = start + LM_POLL_SIZE;
	}
	return start;
}

static size_t
digit_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return gap_end((Text){host, text, size}, position, 1);
}

static size_t
threes_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return gap_end((Text){host, text, size}, position, 3);
}

static size_t
digits_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	return gap_end((Text){host, text, size}, position, 0);
}

static size_t
whole_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	(void) host;
	(void) text;
	(void) position;
	return size;
}

/*
 * src/engine/text/clean_masks.c
 *
 * Finds URLs, e-mail addresses, telephone numbers and long numbers, and writes placeholders for
 * them.
 *
 * One pass stops at the bytes that such a thing cannot be without (':' or "www", '@', digits), and
 * looks a bounded number of bytes back, never over what it wrote. A regular expression of the same
 * meaning would be slower by an order, and on hostile text without bounds.
 *
 * URL: a scheme of up to 16 letters and "://", or "www."; then the characters of RFC 3986, and
 * letters of scripts that put spaces between words ("https://ru.wikipedia.org/wiki/Россия", but
 * "http://a.cn你好" ends before the ideographs). Signs that end a sentence stay, and brackets that
 * were opened before. E-mail: up to 64 bytes, '@', and a domain of two labels or more (RFC 5321,
 * 4.5.3.1), without the forms in quotes and brackets, which nobody writes.
 */
#include <unicode/uchar.h>

#include "text/clean_steps.h"

#define MAX_SCHEME 16
#define MAX_URL ((size_t) 65536)
#define MAX_LOCAL 64
#define MAX_DOMAIN 255

/* What a pass does at a byte. */
typedef enum Trigger
{
	NOTHING,
	COLON,
	WWW,
	AT_SIGN,
	DIGIT,
} Trigger;

/* The state of the pass. */
typedef struct Masks
{
	LmRewrite rewrite;
	LmBytes text;
	const LmCleanOptions *options;
	unsigned char triggers[256]; /* Trigger */
	int64_t *counts;
} Masks;

/* A place in the text, from start to end; equal: there is nothing. */
typedef struct Place
{
	size_t start;
	size_t end;
} Place;

static void set_triggers(Masks *masks);
static bool find_at(Masks *masks, size_t *at, Trigger trigger);
static bool find_digits(Masks *masks, size_t *at);
static Place url_with_scheme(const Masks *masks, size_t colon);
static Place url_of_www(const Masks *masks, size_t at);
static Place email_around(const Masks *masks, size_t at);

bool
lm_clean_masks(LmCleaner *cleaner, LmText *out, LmBytes *text, int64_t *counts, LmError *error)
{
	Masks masks = {.text = *text, .options = &cleaner->options, .counts = counts};

	set_triggers(&masks);
	lm_rewrite_begin(&masks.rewrite, cleaner, out, *text, error);
	for (size_t i = 0; i < text->size;)
	{
		Trigger trigger;

		while (i < text->size && masks.triggers[(unsigned char) text->data[i]] == NOTHING &&
			   i < masks.rewrite.next_poll)
			i++;
		if (!lm_rewrite_go_on(&masks.rewrite, i))
			return false;
		if (i == text->size)
			break;
		trigger = masks.triggers[(unsigned char) text->data[i]];
		if (!(trigger == DIGIT ? find_digits(&masks, &i) : find_at(&masks, &i, trigger)))
			return false;
	}
	return lm_rewrite_end(&masks.rewrite, text);
}

/* The first bytes of digits: ASCII, Arabic, N'Ko; and of the blocks that have others. */
static void
set_triggers(Masks *masks)
{
	const bool *masked = masks->options->masked;

	if (masked[LM_MASK_URL])
		masks->triggers[':'] = COLON, masks->triggers['w'] = masks->triggers['W'] = WWW;
	if (masked[LM_MASK_EMAIL])
		masks->triggers['@'] = AT_SIGN;
	if (!masked[LM_MASK_PHONE] && !masked[LM_MASK_NUMBER])
		return;
	for (int byte = '0'; byte <= '9'; byte++)
		masks->triggers[byte] = DIGIT;
	masks->triggers[0xD9] = masks->triggers[0xDB] = masks->triggers[0xDF] = DIGIT;
	masks->triggers[0xE0] = masks->triggers[0xE1] = masks->triggers[0xEF] = DIGIT;
	if (masked[LM_MASK_PHONE])
		masks->triggers['+'] = masks->triggers['('] = DIGIT;
}

/* Writes the placeholder of a kind, and goes on after the place. */
static bool
mask(Masks *masks, size_t *at, Place place, LmMask kind)
{
	LmBytes placeholder = masks->options->placeholders[kind];

	*at = place.end;
	masks->counts[kind]++;
	return lm_rewrite_replace(&masks->rewrite, place.start, place.end, placeholder.data,
							  placeholder.size);
}

static bool
find_at(Masks *masks, size_t *at, Trigger trigger)
{
	bool email = trigger == AT_SIGN;
	Place place = email				 ? email_around(masks, *at)
				  : trigger == COLON ? url_with_scheme(masks, *at)
									 : url_of_www(masks, *at);

	if (place.end > place.start)
		return mask(masks, at, place, email ? LM_MASK_EMAIL : LM_MASK_URL);
	(*at)++;
	return true;
}

static bool
find_digits(Masks *masks, size_t *at)
{
	size_t start = *at, end = start;
	LmMask kind = LM_MASK_PHONE;

	if (masks->options->masked[LM_MASK_PHONE])
		end = lm_phone_end(masks->text, start);
	if (end == start && masks->options->masked[LM_MASK_NUMBER])
	{
		kind = LM_MASK_NUMBER;
		end = lm_number_end(&masks->rewrite, start, masks->options->digits);
		if (end == SIZE_MAX)
			return false;
	}
	if (end > start)
		return mask(masks, at, (Place){start, end}, kind);
	(*at)++;
	return true;
}

/* ---- Characters --------------------------------------------------------- */

static bool
is_alphanumeric(char byte)
{
	return (unsigned char) ((byte | 0x20) - 'a') < 26 || (unsigned char) (byte - '0') < 10;
}

/* The length of a letter, mark or digit beyond ASCII that may stand in an address; 0: none. */
static int
foreign_length(LmBytes text, size_t at, bool unspaced_too)
{
	int length;
	int32_t code = lm_utf8_decode(text.data + at, &length);

	if ((U_GET_GC_MASK(code) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK)) == 0)
		return 0;
	return unspaced_too || !lm_is_unspaced(code) ? length : 0;
}

/* ---- URLs --------------------------------------------------------------- */

static bool
is_url_byte(char byte)
{
	return is_alphanumeric(byte) || (byte > ' ' && strchr("-._~:/?#[]@!$&'()*+,;=%", byte));
}

/* The end of what may belong to a URL after its "://" or "www.". */
static size_t
url_reach(LmBytes text, size_t start)
{
	size_t i = start, limit = text.size - start < MAX_URL ? text.size : start + MAX_URL;
	bool in_host = (unsigned char) text.data[start] >= 0x80;

	while (i < limit)
	{
		int length = 1;

		if ((unsigned char) text.data[i] >= 0x80)
			length = foreign_length(text, i, in_host);
		else if (!is_url_byte(text.data[i]))
			break;
		else
			in_host = in_host && text.data[i] != '/';
		if (length == 0)
			break;
		i += (size_t) length;
	}
	return i;
}

/* Without the signs at its end that belong to the sentence. */
static size_t
trim_url(LmBytes text, size_t start, size_t end)
{
	int64_t round = 0, square = 0;

	for (size_t i = start; i < end; i++)
	{
		round += text.data[i] == '(' ? 1 : text.data[i] == ')' ? -1 : 0;
		square += text.data[i] == '[' ? 1 : text.data[i] == ']' ? -1 : 0;
	}
	for (; end > start; end--)
	{
		char last = text.data[end - 1];

		if (last == ')' && round < 0)
			round++;
		else if (last == ']' && square < 0)
			square++;
		else if (!strchr(".,;:!?'*_~", last))
			break;
	}
	return end;
}

/* The end of a URL whose host starts here; 0: none does. */
static size_t
url_end(LmBytes text, size_t host)
{
	if (host >= text.size ||
		(!is_alphanumeric(text.data[host]) && text.data[host] != '[' &&
		 ((unsigned char) text.data[host] < 0x80 || foreign_length(text, host, true) == 0)))
		return 0;
	return trim_url(text, host, url_reach(text, host));
}

static Place
url_with_scheme(const Masks *masks, size_t colon)
{
	LmBytes text = masks->text;
	size_t start = colon, end;

	if (text.size - colon < 4 || text.data[colon + 1] != '/' || text.data[colon + 2] != '/')
		return (Place){0};
	while (start > masks->rewrite.done && colon - start <= MAX_SCHEME &&
		   (is_alphanumeric(text.data[start - 1]) || strchr("+-.", text.data[start - 1])))
		start--;
	while (start < colon && (unsigned char) ((text.data[start] | 0x20) - 'a') >= 26)
		start++;
	if (start == colon || colon - start > MAX_SCHEME)
		return (Place){0};
	end = url_end(text, colon + 3);
	return end > colon + 3 ? (Place){start, end} : (Place){0};
}

static Place
url_of_www(const Masks *masks, size_t at)
{
	LmBytes text = masks->text;
	size_t end;

	if (text.size - at < 5 || (text.data[at + 1] | 0x20) != 'w' ||
		(text.data[at + 2] | 0x20) != 'w' || text.data[at + 3] != '.')
		return (Place){0};
	if (at > 0 && (is_alphanumeric(text.data[at - 1]) || strchr("@._-/", text.data[at - 1])))
		return (Place){0};
	end = url_end(text, at + 4);
	return end > at + 4 ? (Place){at, end} : (Place){0};
}

/* ---- E-mail addresses --------------------------------------------------- */

/* The start of the part before the '@'; the '@' itself: there is none. */
static size_t
local_start(const Masks *masks, size_t at)
{
	LmBytes text = masks->text;
	size_t start = at;

	while (start > masks->rewrite.done && at - start <= MAX_LOCAL)
	{
		size_t before = start - 1;

		if ((unsigned char) text.data[before] >= 0x80)
		{
			before = lm_utf8_boundary(text.data, text.size, before);
			if (before < masks->rewrite.done || foreign_length(text, before, false) == 0)
				break;
		}
		else if (!is_alphanumeric(text.data[before]) && !strchr("._%+-'", text.data[before]))
			break;
		start = before;
	}
	if (at - start > MAX_LOCAL)
		return at;
	while (start < at && strchr(".%+-'", text.data[start]))
		start++;
	return start;
}

/* The end of a domain; its start: there is none. */
static size_t
domain_end(LmBytes text, size_t start)
{
	size_t i = start, dot = 0;

	while (i < text.size && i - start <= MAX_DOMAIN)
	{
		int length = 1;

		if ((unsigned char) text.data[i] >= 0x80)
			length = foreign_length(text, i, false);
		else if (!is_alphanumeric(text.data[i]) && text.data[i] != '-' && text.data[i] != '.')
			break;
		if (length == 0 || (text.data[i] == '.' && (i == start || text.data[i - 1] == '.')))
			break;
		i += (size_t) length;
	}
	if (i - start > MAX_DOMAIN)
		return start;
	while (i > start && (text.data[i - 1] == '.' || text.data[i - 1] == '-'))
		i--;
	for (size_t j = start; j < i; j++)
		dot = text.data[j] == '.' ? j : dot;
	/* The last label has two letters or more, and starts with one. */
	if (dot == 0 || i - dot < 3 || (unsigned char) (text.data[dot + 1] - '0') < 10)
		return start;
	return i;
}

static Place
email_around(const Masks *masks, size_t at)
{
	static const char prefix[] = "mailto:";
	const size_t prefix_size = sizeof prefix - 1;
	size_t start = local_start(masks, at), end;

	if (start == at)
		return (Place){0};
	end = domain_end(masks->text, at + 1);
	if (end == at + 1)
		return (Place){0};
	if (start - masks->rewrite.done >= prefix_size &&
		memcmp(masks->text.data + start - prefix_size, prefix, prefix_size) == 0)
		start -= prefix_size;
	return (Place){start, end};
}

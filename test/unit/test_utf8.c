/*
 * test/unit/test_utf8.c
 *
 * UTF-8: the check against a twin that decodes first and asks afterwards, and NFC against Python's.
 */
#include "tokenizer_fixture.h"
#include "text/array.h"
#include "text/normalize.h"
#include "text/utf8.h"

/* The length of a character by RFC 3629's bit patterns; 0 for what they do not allow. */
static int
naive_length(const unsigned char *s, size_t size)
{
	static const int32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	int length = s[0] < 0x80	   ? 1
				 : s[0] >> 5 == 6  ? 2
				 : s[0] >> 4 == 14 ? 3
				 : s[0] >> 3 == 30 ? 4
								   : 0;
	int32_t code = length > 1 ? s[0] & (0xFF >> (length + 1)) : s[0];

	if (length == 0 || (size_t) length > size)
		return 0;
	for (int i = 1; i < length; i++)
	{
		if (s[i] >> 6 != 2)
			return 0;
		code = code << 6 | (s[i] & 0x3F);
	}
	if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
		return 0;
	return length;
}

static void
test_lengths(void)
{
	static const unsigned char later[] = {0x00, 0x7F, 0x80, 0x8F, 0x90,
										  0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
	bool same = true;

	for (int a = 0; a < 256; a++)
		for (int b = 0; b < 256; b++)
			for (int c = 0; c < 10; c++)
				for (int d = 0; d < 10; d++)
					for (size_t size = 1; size <= 4; size++)
					{
						unsigned char s[4] = {(unsigned char) a, (unsigned char) b, later[c],
											  later[d]};

						same = same && lm_utf8_length((char *) s, size) == naive_length(s, size);
					}
	ok(same,
	   "the length of a character is that of its bit pattern, for every first and second byte");
	is_int(lm_utf8_length("", 0), 0, "empty text has no character");
}

static void
test_codes(void)
{
	bool same = true;

	for (int32_t code = 0; code < 0x110000; code++)
	{
		char text[4];
		int length = lm_utf8_encode(text, code), decoded;
		bool surrogate = code >= 0xD800 && code < 0xE000;

		same = same && lm_utf8_length(text, 4) == (surrogate ? 0 : length);
		same = same && lm_utf8_decode(text, &decoded) == code && decoded == length;
	}
	ok(same, "every code point decodes to itself, and the surrogates alone are not valid");
}

static void
test_valid(void)
{
	char text[64];
	size_t position;
	bool right = true;

	for (size_t place = 0; place < sizeof text; place++)
	{
		memset(text, 'a', sizeof text);
		text[place] = (char) 0xFF;
		position = 99;
		right = right && !lm_utf8_valid(text, sizeof text, &position) && position == place;
	}
	ok(right, "the position of an invalid byte is reported wherever it is");
	ok(lm_utf8_valid("na\xC3\xAFve", 6, &position), "valid text is valid");
	ok(!lm_utf8_valid("na\xC3", 3, &position) && position == 2,
	   "a cut character is found at its start");
}

/* A character over the border of the pieces in which long texts are checked, at every offset. */
static void
test_check(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmError error = {0};
	size_t size = 3 * LM_POLL_SIZE;
	char *text = malloc(size + 8);
	bool right = true;

	for (size_t shift = 0; shift < 8; shift++)
	{
		memset(text, 'a', size + 8);
		memcpy(text + LM_POLL_SIZE - shift, "\xF0\x9F\x99\x82", 4);
		right = right && lm_text_check(&host, text, size, &error);
		text[LM_POLL_SIZE - shift + 3] = 'a';
		right = right && !lm_text_check(&host, text, size, &error) && error.code == LM_ERR_ENCODING;
		right = right && error.position == (int64_t) (LM_POLL_SIZE - shift);
	}
	ok(right, "a long text is checked as a whole, whatever lies on the border of two parts");
	memcpy(text + size - 3, "\xF0\x9F\x99", 3);
	memset(text, 'a', size - 3);
	ok(!lm_text_check(&host, text, size, &error) && error.position == (int64_t) size - 3,
	   "a character cut by the end of the text is invalid");
	ok(!lm_text_check(&host, text, LM_MAX_TEXT_SIZE + 1, &error) && error.code == LM_ERR_LIMIT,
	   "a text beyond 1 GiB is refused before it is read");
	state.stop = true;
	ok(!lm_text_check(&host, text, size, &error) && error.code == LM_ERR_STOPPED,
	   "the check stops when told to");
	free(text);
}

static bool
normalizes_to(const LmHost *host, LmBytes text, LmBytes wanted)
{
	LmText out = {NULL};
	LmError error = {0};
	bool same = lm_text_normalize(host, &out, text.data, text.size, &error) &&
				out.size == wanted.size && out.size > 0 &&
				memcmp(out.data, wanted.data, out.size) == 0;

	lm_array_free(host, out.data);
	return same || (wanted.size == 0 && text.size == 0);
}

static void
test_nfc(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	size_t size;
	char *file = tap_read_file("test/fixtures/tokenizer/strings.json", &size), *cursor = file;
	bool same = true;
	int n = 0;

	while ((cursor = strstr(cursor, "{\"text\": \"")) != NULL)
	{
		LmBytes text, nfc;

		cursor += strlen("{\"text\": \"");
		text = fixture_json_string(&cursor);
		cursor += strlen(", \"nfc\": \"");
		nfc = fixture_json_string(&cursor);
		if (!normalizes_to(&host, text, nfc))
		{
			same = false;
			printf("# wrong NFC of: %.*s\n", (int) text.size, text.data);
		}
		n++;
	}
	ok(same && n > 100, "the NFC form of %d strings is Python's", n);
	free(file);
	is_int(state.live, 0, "normalisation leaves no memory behind");
}

/*
 * e + U+0301 a thousand times, so that the pair lies across every border of chunks for some shift
 */
static void
test_nfc_chunks(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	char *text = malloc(60000), *wanted = malloc(60000);
	bool same = true;

	for (size_t shift = 0; shift < 3; shift++)
	{
		size_t n = shift, m = shift;

		memset(text, 'x', shift);
		memset(wanted, 'x', shift);
		for (int i = 0; i < 10000; i++, n += 3, m += 2)
		{
			memcpy(text + n, "e\xCC\x81", 3);
			memcpy(wanted + m, "\xC3\xA9", 2);
		}
		same = same && normalizes_to(&host, (LmBytes){text, n}, (LmBytes){wanted, m});
	}
	ok(same, "a combining mark joins its letter across the chunks of normalisation");
	free(text);
	free(wanted);
}

/* 400 kB of marks in the order that is worst for sorting them: must not take minutes */
static void
test_nfc_hostile(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	size_t n = 200000;
	char *text = malloc(2 * n);
	LmText out = {NULL};
	LmError error = {0};

	for (size_t i = 0; i < n; i++)
		memcpy(text + 2 * i, i < n / 2 ? "\xCC\x81" : "\xCC\xA3", 2);
	ok(lm_text_normalize(&host, &out, text, 2 * n, &error) && out.size == 2 * n,
	   "two hundred thousand combining marks in a row are normalised");
	state.stop = true;
	ok(!lm_text_normalize(&host, &out, text, 2 * n, &error) && error.code == LM_ERR_STOPPED,
	   "normalisation stops when told to");
	lm_array_free(&host, out.data);
	free(text);
}

int
main(void)
{
	test_lengths();
	test_codes();
	test_valid();
	test_check();
	test_nfc();
	test_nfc_chunks();
	test_nfc_hostile();
	return done_testing();
}

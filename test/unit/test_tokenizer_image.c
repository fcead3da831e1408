/*
 * test/unit/test_tokenizer_image.c
 *
 * A tokenizer opened over its image does what the tokenizer did that the image was made of; images
 * that must be refused.
 */
#include "tokenizer_fixture.h"

#define STRINGS "test/fixtures/tokenizer/strings.json"
#define MERGES "test/fixtures/tokenizer/shakespeare.merges"

typedef struct Checked
{
	LmTokenizer *tokenizer;
	const LmHost *host;
	bool same, decoded;
} Checked;

static void
check_string(void *context, LmBytes text, const LmTokens *wanted)
{
	Checked *checked = context;

	checked->same =
		fixture_encodes_to(checked->tokenizer, checked->host, text, wanted) && checked->same;
	checked->decoded = fixture_decodes_to(checked->tokenizer, wanted, text) && checked->decoded;
}

static void *
image_of(const LmTokenizer *tokenizer, size_t *size)
{
	void *image;

	*size = lm_tokenizer_image_size(tokenizer);
	image = aligned_alloc(64, *size);
	memset(image, 0xA5, *size);
	lm_tokenizer_image_build(image, tokenizer);
	return image;
}

static bool
same_encoding(LmTokenizer *a, LmTokenizer *b, const LmHost *host, const char *text)
{
	LmTokens x = {0}, y = {0};
	LmError error;
	bool same = lm_tokenizer_encode(a, &x, text, strlen(text), &error) &&
				lm_tokenizer_encode(b, &y, text, strlen(text), &error) && x.count == y.count &&
				memcmp(x.ids, y.ids, x.count * sizeof *x.ids) == 0;

	lm_tokens_free(host, &x);
	lm_tokens_free(host, &y);
	return same;
}

static bool
same_description(const LmTokenizer *a, const LmTokenizer *b)
{
	const LmTokenizerSpec *x = lm_tokenizer_spec(a), *y = lm_tokenizer_spec(b);
	bool same = x->kind == y->kind && x->n_tokens == y->n_tokens &&
				x->end_of_text == y->end_of_text && x->beginning == y->beginning &&
				x->unknown == y->unknown && x->normalize_nfc == y->normalize_nfc &&
				!x->pattern == !y->pattern && (!x->pattern || strcmp(x->pattern, y->pattern) == 0);

	for (int32_t id = 0; same && id < x->n_tokens; id++)
	{
		LmBytes token = lm_tokenizer_bytes(a, id), other = lm_tokenizer_bytes(b, id);

		same = x->special[id] == y->special[id] && token.size == other.size &&
			   memcmp(token.data, other.data, token.size) == 0;
	}
	return same;
}

/* Opened, forked, and an image made of what was opened: all the same. */
static void
check_image(const LmHost *host, LmTokenizer *tokenizer, const char *text, const char *name)
{
	LmError error = {0};
	size_t size, again_size;
	void *image = image_of(tokenizer, &size), *again;
	LmTokenizer *opened = lm_tokenizer_open(host, image, size, &error);
	LmTokenizer *fork;

	if (!ok(opened != NULL, "an image of %s opens", name))
		return;
	ok(same_description(tokenizer, opened), "its description is the same");
	ok(same_encoding(tokenizer, opened, host, text), "it encodes as the tokenizer does");
	fork = lm_tokenizer_fork(opened, host, &error);
	ok(fork && same_description(opened, fork) && same_encoding(tokenizer, fork, host, text),
	   "so does a fork of it");
	lm_tokenizer_free(fork);
	again = image_of(opened, &again_size);
	ok(again_size == size && memcmp(image, again, size) == 0, "an image of it is the same bytes");
	lm_tokenizer_free(opened);
	free(again);
	free(image);
}

static void
test_bpe(const LmHost *host)
{
	FixtureSpec fixture;
	Checked checked = {NULL, host, true, true};
	LmError error = {0};
	LmTokenizer *tokenizer;
	size_t size;
	void *image;

	ok(fixture_load_merges(&fixture, MERGES, false), "the project's own vocabulary is there");
	fixture.spec.pattern = "\\w+|\\s+|.";
	tokenizer = lm_tokenizer_create(host, &fixture.spec, &error);
	check_image(host, tokenizer, "two words, and more\n\n of them", "BPE with a pattern");
	lm_tokenizer_free(tokenizer);

	fixture.spec.pattern = NULL;
	tokenizer = lm_tokenizer_create(host, &fixture.spec, &error);
	check_image(host, tokenizer, "two words, and more\n\n of them", "BPE");
	image = image_of(tokenizer, &size);
	lm_tokenizer_free(tokenizer);
	checked.tokenizer = lm_tokenizer_open(host, image, size, &error);
	for (int round = 0; round < 12; round++) /* until the cache is in use */
		fixture_each_string(STRINGS, "own", check_string, &checked);
	ok(checked.same && checked.decoded,
	   "the strings of the fixture have their ids, when the tokenizer is gone");
	lm_tokenizer_free(checked.tokenizer);
	free(image);
	fixture_free(&fixture);
}

static void
test_others(const LmHost *host)
{
	LmError error = {0};
	LmTokenizer *tokenizer = lm_tokenizer_create(host, lm_bytes_spec(), &error);
	LmCharsTrainer *trainer = lm_chars_trainer_create(host, &error);

	check_image(host, tokenizer, "bytes \x01\xff", "a tokenizer of bytes");
	lm_tokenizer_free(tokenizer);
	lm_chars_trainer_add(trainer, "characters \xc3\xa4 \xe2\x82\xac", 17, &error);
	tokenizer = lm_tokenizer_create(host, lm_chars_trainer_finish(trainer, &error), &error);
	check_image(host, tokenizer, "a rather \xe2\x82\xac", "a tokenizer of characters");
	lm_tokenizer_free(tokenizer);
	lm_chars_trainer_free(trainer);
}

static void
test_wrong(const LmHost *host)
{
	LmError error = {0};
	LmTokenizer *tokenizer = lm_tokenizer_create(host, lm_bytes_spec(), &error);
	size_t size;
	char *image = image_of(tokenizer, &size);

	lm_tokenizer_free(tokenizer);
	ok(!lm_tokenizer_open(host, image, 100, &error) && error.code == LM_ERR_FORMAT,
	   "an image without a whole header is refused");
	ok(!lm_tokenizer_open(host, image, size - 1, &error) && error.code == LM_ERR_FORMAT,
	   "so is one that is too short");
	/* The kind stands after the magic and two sizes. */
	image[24] ^= 64;
	ok(!lm_tokenizer_open(host, image, size, &error) &&
		   strcmp(error.message, "the tokenizer's image has another format") == 0,
	   "so is one of an unknown kind");
	image[24] ^= 64;
	image[0] ^= 1;
	ok(!lm_tokenizer_open(host, image, size, &error) && error.code == LM_ERR_FORMAT,
	   "and one of another format");
	free(image);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_bpe(&host);
	test_others(&host);
	test_wrong(&host);
	is_int(state.live, 0, "nothing is left behind");
	return done_testing();
}

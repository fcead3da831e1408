/*
 * test/unit/test_bpe_rules.c
 *
 * What BPE training may learn: whole characters or parts of one, letters of one writing system, and
 * pairs that occur often enough.
 */
#include <unicode/uscript.h>

#include "text/token_shape.h"
#include "text/utf8.h"
#include "tokenizer_fixture.h"

static const LmTokenizerSpec *
train(LmBpeTrainer **trainer, const LmHost *host, const LmBpeOptions *options, const char *text,
	  int n_tokens)
{
	LmError error = {0};
	int n_reached;

	*trainer = lm_bpe_trainer_create(host, options, &error);
	if (!*trainer || !lm_bpe_trainer_add(*trainer, text, strlen(text), &error))
		return NULL;
	return lm_bpe_trainer_finish(*trainer, n_tokens, &n_reached, &error);
}

static bool
has(const LmTokenizerSpec *spec, const char *bytes)
{
	for (int i = 256; spec && i < spec->n_tokens; i++)
		if (spec->tokens[i].size == strlen(bytes) &&
			memcmp(spec->tokens[i].data, bytes, strlen(bytes)) == 0)
			return true;
	return false;
}

/* Whether a token cuts a character that has bytes of two tokens' worth: neither whole nor a part.
 */
static bool
cuts(LmBytes token)
{
	size_t position, inside = 0;

	if (lm_utf8_valid(token.data, token.size, &position))
		return false;
	for (size_t i = 1; i < token.size; i++)
		inside += ((unsigned char) token.data[i] & 0xC0) == 0x80;
	return token.size > 3 || inside + 1 < token.size;
}

/* ------------------------------------------------------------ characters */

static void
test_chinese(const LmHost *host)
{
	const char *folder = tap_data_folder();
	char path[4096];
	int n_cut[2] = {0}, n_longer[2] = {0};

	if (!folder)
	{
		skip("tokens of Chinese do not cut characters", "the test data is not here");
		skip("some have several characters", "the test data is not here");
		return;
	}
	snprintf(path, sizeof path, "%s/corpora/tang_poems_2000.txt", folder);
	for (int whole = 0; whole < 2; whole++)
	{
		size_t size;
		char *text = tap_read_file(path, &size);
		LmBpeTrainer *trainer;
		const LmTokenizerSpec *spec =
			train(&trainer, host, &(LmBpeOptions){.whole_characters = whole}, text, 4000);

		for (int i = 256; spec && i < spec->n_tokens; i++)
		{
			n_cut[whole] += cuts(spec->tokens[i]);
			n_longer[whole] += spec->tokens[i].size >= 6;
		}
		lm_bpe_trainer_free(trainer);
		free(text);
	}
	ok(n_cut[0] > 0 && n_cut[1] == 0, "tokens of Chinese do not cut characters (%d, %d)", n_cut[0],
	   n_cut[1]);
	ok(n_longer[1] > 100, "some have several characters (%d)", n_longer[1]);
}

/* ------------------------------------------------------------ scripts */

static void
test_scripts(const LmHost *host)
{
	/* Latin and Cyrillic; Latin and digits; a combining mark; Greek beside Latin */
	const char *text = "_abбв_ _abбв_ _abбв_ _ab12_ _ab12_ _ab12_ e\u0301x e\u0301x e\u0301x "
					   "xαβ xαβ xαβ";
	LmBpeOptions plain = {.pattern = "[^ ]+"}, whole = {"[^ ]+", .whole_characters = true};
	LmBpeTrainer *trainers[2];
	const LmTokenizerSpec *a = train(&trainers[0], host, &plain, text, 400);
	const LmTokenizerSpec *b = train(&trainers[1], host, &whole, text, 400);

	ok(has(a, "_abбв_") && has(a, "xαβ"), "without the rule, letters of two scripts merge");
	ok(has(b, "бв_") && has(b, "_ab"), "with it, letters of each merge with a common character");
	ok(!has(b, "_abбв_") && !has(b, "abб") && !has(b, "xα") && has(b, "αβ"),
	   "and not with each other");
	ok(has(b, "_ab12_") && has(b, "e\u0301x"), "digits and combining marks go with any letter");
	lm_bpe_trainer_free(trainers[0]);
	lm_bpe_trainer_free(trainers[1]);
}

static void
test_writing_systems(const LmHost *host)
{
	const char *text = "食べる 食べる 食べる テレビで テレビで テレビで 韓國의 韓國의 韓國의 "
					   "漢ㄅ 漢ㄅ 漢ㄅ かㅏ한 かㅏ한 かㅏ한";
	LmBpeOptions whole = {"[^ ]+", .whole_characters = true};
	LmBpeTrainer *trainer;
	const LmTokenizerSpec *spec = train(&trainer, host, &whole, text, 500);

	ok(has(spec, "食べる") && has(spec, "テレビで"), "Han, Hiragana and Katakana go together");
	ok(has(spec, "韓國의") && has(spec, "漢ㄅ"), "Han goes with Hangul and with Bopomofo");
	ok(has(spec, "ㅏ한") && !has(spec, "かㅏ"), "Hiragana and Hangul do not");
	lm_bpe_trainer_free(trainer);
}

/* Each pair of single characters fits or not as the sets of UTS 39 say. */
static void
test_shapes(void)
{
	static const char *const characters[] = {"a", "б", "1", "漢", "か", "カ", "한", "ㄅ", "\u0301"};
	static const char *const fits[] = {"101000001", "011000001", "111111111",
									   "001111111", "001111001", "001111001",
									   "001100101", "001100011", "111111111"};
	const LmBytes lead = {"\xE6\xBC", 2}, rest = {"\xA2", 1};
	bool same = true;

	for (int i = 0; i < 9; i++)
		for (int j = 0; j < 9; j++)
		{
			LmTokenShape left = lm_token_shape((LmBytes){characters[i], strlen(characters[i])});
			LmTokenShape right = lm_token_shape((LmBytes){characters[j], strlen(characters[j])});

			same = same && lm_token_shapes_fit(left, right) == (fits[i][j] == '1');
		}
	ok(same, "scripts fit as Unicode Technical Standard 39 resolves them");
	ok(lm_token_shapes_fit(lm_token_shape(lead), lm_token_shape(rest)) &&
		   !lm_token_shapes_fit(lm_token_shape(rest), lm_token_shape((LmBytes){"a", 1})) &&
		   !lm_token_shapes_fit(lm_token_shape((LmBytes){"a", 1}), lm_token_shape(lead)),
	   "parts of a character fit with each other, not with others");
}

/* ------------------------------------------------------------ counts */

static void
test_min_count(const LmHost *host)
{
	const char *text = "cd cd cd cd ef ef";
	LmBpeOptions two = {.min_count = 2}, three = {.min_count = 3};
	LmBpeTrainer *trainers[2];
	const LmTokenizerSpec *a = train(&trainers[0], host, &two, text, 1000);
	const LmTokenizerSpec *b = train(&trainers[1], host, &three, text, 1000);

	ok(has(a, " ef") && has(a, " cd"), "a pair that occurs twice is learnt by default");
	ok(has(b, " cd") && !has(b, "ef") && !has(b, " ef"),
	   "a pair that occurs less often than min_count is not");
	lm_bpe_trainer_free(trainers[0]);
	lm_bpe_trainer_free(trainers[1]);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_shapes();
	test_scripts(&host);
	test_writing_systems(&host);
	test_chinese(&host);
	test_min_count(&host);
	is_int(state.live, 0, "training leaves no memory behind");
	return done_testing();
}

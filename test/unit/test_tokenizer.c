/*
 * test/unit/test_tokenizer.c
 *
 * Text to ids and back for the three kinds of tokenizers; descriptions that must be refused;
 * failures.
 */
#include <time.h>

#include "tokenizer_fixture.h"
#include "text/bpe.h"
#include "text/split.h"

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

	if (!fixture_encodes_to(checked->tokenizer, checked->host, text, wanted))
		checked->same = false;
	if (!fixture_decodes_to(checked->tokenizer, wanted, text))
		checked->decoded = false;
}

/* ------------------------------------------------------------ BPE */

static void
test_own_vocabulary(const LmHost *host)
{
	FixtureSpec fixture;
	Checked checked = {NULL, host, true, true};
	LmError error = {0};
	int n;

	ok(fixture_load_merges(&fixture, MERGES, false), "the project's own vocabulary is there");
	checked.tokenizer = lm_tokenizer_create(host, &fixture.spec, &error);
	n = fixture_each_string(STRINGS, "own", check_string, &checked);
	ok(checked.same && n > 100, "%d strings have the ids of the naive implementation", n);
	ok(checked.decoded, "and decode to themselves");
	for (int round = 0; round < 12; round++) /* until the cache is in use */
		fixture_each_string(STRINGS, "own", check_string, &checked);
	ok(checked.same, "and still do when the cache of pieces has come into use");
	lm_tokenizer_free(checked.tokenizer);

	fixture.spec.normalize_nfc = true;
	checked.tokenizer = lm_tokenizer_create(host, &fixture.spec, &error);
	fixture_each_string(STRINGS, "own_nfc", check_string, &checked);
	ok(checked.same, "with NFC they have the ids of their normal form");
	lm_tokenizer_free(checked.tokenizer);
	fixture_free(&fixture);
}

static void
test_gpt2_strings(const LmHost *host, const char *folder)
{
	FixtureSpec fixture;
	Checked checked = {NULL, host, true, true};
	char path[4096];
	int n;

	snprintf(path, sizeof path, "%s/tokenizers/gpt2.vocab.bpe", folder);
	if (!fixture_load_merges(&fixture, path, true))
	{
		skip("GPT-2's ids", "its vocabulary is not here");
		return;
	}
	checked.tokenizer = lm_tokenizer_create(host, &fixture.spec, NULL);
	n = fixture_each_string(STRINGS, "gpt2", check_string, &checked);
	ok(checked.same && checked.decoded && n > 100, "%d strings have GPT-2's ids", n);
	snprintf(path, sizeof path, "%s/golden/tokens.json", folder);
	n = fixture_each_string(path, "gpt2", check_string, &checked);
	ok(checked.same && checked.decoded && n > 100, "%d strings have the ids that tiktoken gives",
	   n);
	lm_tokenizer_free(checked.tokenizer);

	fixture.spec.pattern =
		"(?:'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+)";
	checked.tokenizer = lm_tokenizer_create(host, &fixture.spec, NULL);
	fixture_each_string(path, "gpt2", check_string, &checked);
	ok(checked.same, "and by ICU's matcher the same");
	lm_tokenizer_free(checked.tokenizer);
	fixture_free(&fixture);
}

/* sha256 by the system's program, as no part of the text room has one. */
static void
sha256_hex(char *hex, const void *data, size_t size)
{
	char path[] = "/tmp/gpt_test_XXXXXX", command[64];
	int descriptor = mkstemp(path);
	FILE *file = fdopen(descriptor, "wb");

	fwrite(data, 1, size, file);
	fclose(file);
	snprintf(command, sizeof command, "sha256sum %s", path);
	file = popen(command, "r");
	if (!file || fscanf(file, "%64s", hex) != 1)
		hex[0] = 0;
	if (file)
		pclose(file);
	remove(path);
}

static void
test_big_file(LmTokenizer *tokenizer, const LmHost *host, const char *folder, const char *name,
			  size_t n_tokens, const char *wanted_hex)
{
	static const char *const places[] = {"corpora", "logs"};
	char path[4096], hex[65];
	char *text = NULL;
	size_t size = 0;
	LmTokens tokens = {NULL};

	for (int i = 0; i < 2 && !text; i++)
	{
		snprintf(path, sizeof path, "%s/%s/%s", folder, places[i],
				 strcmp(name, "tang.txt") == 0 ? "tang_poems_2000.txt" : name);
		text = tap_read_file(path, &size);
	}
	lm_tokenizer_encode(tokenizer, &tokens, text, size, NULL);
	sha256_hex(hex, tokens.ids, tokens.count * sizeof *tokens.ids);
	ok(tokens.count == n_tokens && strcmp(hex, wanted_hex) == 0, "%s has GPT-2's %zu ids", name,
	   n_tokens);
	lm_tokens_free(host, &tokens);
	free(text);
}

static void
test_big_files(const LmHost *host, const char *folder)
{
	char path[4096];
	size_t size;
	FixtureSpec fixture;
	LmTokenizer *tokenizer;
	char *table, *line, *next;

	snprintf(path, sizeof path, "%s/tokenizers/gpt2.vocab.bpe", folder);
	if (!fixture_load_merges(&fixture, path, true))
		return;
	tokenizer = lm_tokenizer_create(host, &fixture.spec, NULL);
	snprintf(path, sizeof path, "%s/golden/big_files.tsv", folder);
	table = tap_read_file(path, &size);
	for (line = table; line && *line; line = next)
	{
		char name[64], encoding[32], hex[65];
		size_t n_tokens;

		next = strchr(line, '\n') + 1;
		if (sscanf(line, "%63s %*s %*s %31s %zu %64s", name, encoding, &n_tokens, hex) == 4 &&
			strcmp(encoding, "gpt2") == 0)
			test_big_file(tokenizer, host, folder, name, n_tokens, hex);
	}
	free(table);
	lm_tokenizer_free(tokenizer);
	fixture_free(&fixture);
}

/* The heap of long pieces gives what the scan of short ones gives. */
static void
test_long_pieces(const LmHost *host)
{
	FixtureSpec fixture;
	LmBpe bpe;
	char piece[64];
	bool same = true;
	uint32_t random = 3;
	size_t size = 1 << 20;
	char *text = malloc(size + 1);
	LmTokenizer *tokenizer;
	LmTokens tokens = {NULL};
	LmError error = {0};
	clock_t start;

	fixture_load_merges(&fixture, MERGES, false);
	lm_bpe_create(&bpe, host, &fixture.spec, NULL);
	for (int i = 0; i < 20000; i++)
	{
		LmTokens brief = {NULL}, lengthy = {NULL};
		LmBytes bytes = {piece, 0};

		random = random * 1664525 + 1013904223;
		for (uint32_t n = 2 + (random >> 8) % 60; bytes.size < n; bytes.size++)
		{
			random = random * 1664525 + 1013904223;
			piece[bytes.size] = "etaoinshr "[(random >> 16) % 10];
		}
		lm_bpe_encode(&bpe, &brief, &bytes, 1, NULL);
		lm_bpe_encode_long(&bpe, &lengthy, bytes, NULL);
		same = same && brief.count == lengthy.count &&
			   memcmp(brief.ids, lengthy.ids, brief.count * sizeof *brief.ids) == 0;
		lm_tokens_free(host, &brief);
		lm_tokens_free(host, &lengthy);
	}
	ok(same, "long pieces are merged as short ones are");
	lm_bpe_free(&bpe);

	tokenizer = lm_tokenizer_create(host, &fixture.spec, &error);
	for (int letter = 0; letter < 3; letter++)
	{
		memset(text, "e-\n"[letter], size);
		start = clock();
		lm_tokens_free(host, &tokens);
		ok(lm_tokenizer_encode(tokenizer, &tokens, text, size, &error) &&
			   fixture_decodes_to(tokenizer, &tokens, (LmBytes){text, size}) &&
			   clock() - start < 10 * CLOCKS_PER_SEC,
		   "a mebibyte of one character (0x%02x) is encoded in little time", "e-\n"[letter]);
	}
	free(text);
	text = malloc(LM_MAX_PIECE_SIZE + 1);
	memset(text, 'e', LM_MAX_PIECE_SIZE + 1);
	ok(!lm_tokenizer_encode(tokenizer, &tokens, text, LM_MAX_PIECE_SIZE + 1, &error) &&
		   error.code == LM_ERR_LIMIT,
	   "a word beyond 16 MiB is refused");
	free(text);
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	fixture_free(&fixture);
}

static void
test_special(const LmHost *host)
{
	FixtureSpec fixture;
	LmTokenizer *tokenizer;
	LmTokens tokens = {NULL};
	LmBytes bytes;
	bool special = false;

	fixture_load_merges(&fixture, MERGES, false);
	tokenizer = lm_tokenizer_create(host, &fixture.spec, NULL);
	lm_tokenizer_encode(tokenizer, &tokens, LM_END_OF_TEXT, strlen(LM_END_OF_TEXT), NULL);
	for (size_t i = 0; i < tokens.count; i++)
		special = special || fixture.spec.special[tokens.ids[i]];
	ok(tokens.count > 1 && !special, "text that spells a special token is text");
	bytes = lm_tokenizer_bytes(tokenizer, fixture.spec.end_of_text);
	ok(bytes.size == 0, "a special token has no bytes in decoded text");
	ok(lm_tokenizer_bytes(tokenizer, -1).size == 0 &&
		   lm_tokenizer_bytes(tokenizer, fixture.spec.n_tokens).size == 0,
	   "nor has an id out of range");
	ok(lm_tokenizer_spec(tokenizer)->n_merges == fixture.spec.n_merges &&
		   lm_tokenizer_spec(tokenizer)->merges != fixture.spec.merges,
	   "the tokenizer keeps a copy of its description");
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	fixture_free(&fixture);
}

/* ------------------------------------------------------------ bytes and characters */

static void
test_bytes(const LmHost *host)
{
	LmTokenizer *tokenizer = lm_tokenizer_create(host, lm_bytes_spec(), NULL);
	LmTokens tokens = {NULL};
	char text[256];
	bool same = true;

	for (int i = 0; i < 256; i++)
		text[i] = (char) i;
	lm_tokenizer_encode(tokenizer, &tokens, text, sizeof text, NULL);
	for (int i = 0; i < 256; i++)
		same = same && tokens.ids[i] == i;
	ok(same && tokens.count == 256 && fixture_decodes_to(tokenizer, &tokens, (LmBytes){text, 256}),
	   "a byte's id is its value");
	is_int(lm_tokenizer_spec(tokenizer)->end_of_text, 256, "and the end of text is 256");
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
}

static void
test_chars(TapHost *state, const LmHost *host)
{
	const char *text = "h\xC3\xA9llo \xF0\x9F\x99\x82 w\xC3\xB6rld";
	LmError error = {0};
	LmCharsTrainer *trainer = lm_chars_trainer_create(host, &error);
	const LmTokenizerSpec *spec;
	LmTokenizerSpec strict;
	LmTokenizer *tokenizer;
	LmTokens tokens = {NULL};

	ok(!lm_chars_trainer_add(trainer, "\xC0\x80", 2, &error) && error.code == LM_ERR_ENCODING,
	   "characters are learnt from valid text alone");
	ok(lm_chars_trainer_add(trainer, text + 7, strlen(text) - 7, &error) &&
		   lm_chars_trainer_add(trainer, text, 7, &error),
	   "characters are learnt");
	spec = lm_chars_trainer_finish(trainer, &error);
	ok(spec && spec->n_tokens == 12 && spec->tokens[0].data[0] == ' ' &&
		   spec->tokens[1].data[0] == 'd' && spec->unknown == 10 && spec->end_of_text == 11,
	   "they come in the order of code points, then the unknown and the end");
	tokenizer = lm_tokenizer_create(host, spec, &error);
	ok(lm_tokenizer_encode(tokenizer, &tokens, text, strlen(text), &error) && tokens.count == 13 &&
		   fixture_decodes_to(tokenizer, &tokens, (LmBytes){text, strlen(text)}),
	   "a text of known characters has one id each and decodes to itself");
	tokens.count = 0;
	ok(lm_tokenizer_encode(tokenizer, &tokens, "xl\xE4\xB8\x80", 5, &error) && tokens.count == 3 &&
		   tokens.ids[0] == 10 && tokens.ids[2] == 10,
	   "an unknown character is the unknown token");
	ok(!lm_tokenizer_encode(tokenizer, &tokens, "l\x80", 2, &error) &&
		   error.code == LM_ERR_ENCODING && error.position == 1 && tokens.count == 3,
	   "text that is not UTF-8 is refused, and the ids stay as they were");
	lm_tokenizer_free(tokenizer);

	strict = *spec;
	strict.unknown = -1;
	tokenizer = lm_tokenizer_create(host, &strict, &error);
	ok(!lm_tokenizer_encode(tokenizer, &tokens, "lx", 2, &error) && error.code == LM_ERR_ENCODING &&
		   error.position == 1,
	   "without an unknown token an unknown character is an error");
	state->stop = true;
	ok(!lm_tokenizer_encode(tokenizer, &tokens, "l", 1, &error) && error.code == LM_ERR_STOPPED,
	   "encoding stops when told to");
	state->stop = false;
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	lm_chars_trainer_free(trainer);
}

/* ------------------------------------------------------------ descriptions that are wrong */

static void
refuse(const LmHost *host, const LmTokenizerSpec *spec, LmErrorCode code, const char *message)
{
	LmError error = {0};
	LmTokenizer *tokenizer = lm_tokenizer_create(host, spec, &error);

	if (!ok(!tokenizer && error.code == code && strstr(error.message, message), "refused: %s",
			message))
		printf("# code %d, message: %s\n", error.code, error.message);
	lm_tokenizer_free(tokenizer);
}

static void
test_wrong_counts(const LmHost *host)
{
	LmTokenizerSpec spec = *lm_bytes_spec();

	spec.n_tokens = 0;
	refuse(host, &spec, LM_ERR_FORMAT, "tokenizer has no tokens");
	spec.n_tokens = -5;
	refuse(host, &spec, LM_ERR_FORMAT, "tokenizer has no tokens");
	spec.n_tokens = LM_MAX_VOCABULARY + 1;
	refuse(host, &spec, LM_ERR_LIMIT, "tokenizer has 1048577 tokens, the limit is 1048576");
	spec = *lm_bytes_spec();
	spec.n_merges = -1;
	refuse(host, &spec, LM_ERR_FORMAT, "tokenizer has -1 merges");
	spec.n_merges = INT32_MAX;
	spec.merges = &(LmMerge){0, 0, 0};
	refuse(host, &spec, LM_ERR_LIMIT, "merges, the limit is");
	spec.n_merges = 1;
	refuse(host, &spec, LM_ERR_FORMAT, "only a BPE tokenizer has merges");
	spec = *lm_bytes_spec();
	spec.kind = (LmTokenizerKind) 7;
	refuse(host, &spec, LM_ERR_FORMAT, "unknown kind 7");
	spec = *lm_bytes_spec();
	spec.normalize_nfc = true;
	refuse(host, &spec, LM_ERR_FORMAT, "a tokenizer of bytes cannot normalize");
	spec.further[0] = ".";
	refuse(host, &spec, LM_ERR_FORMAT, "tokenizer has a second pattern but no first one");
	spec.further[0] = NULL;
	spec = *lm_bytes_spec();
	spec.end_of_text = 257;
	refuse(host, &spec, LM_ERR_FORMAT,
		   "id of the end of text token is 257, the tokenizer has 257 tokens");
	spec.end_of_text = -2;
	refuse(host, &spec, LM_ERR_FORMAT, "id of the end of text token is -2");
	spec.end_of_text = -1;
	spec.beginning = 65;
	refuse(host, &spec, LM_ERR_FORMAT, "beginning token 65 is not a special token");
	spec.beginning = -1;
	spec.unknown = 256;
	refuse(host, &spec, LM_ERR_FORMAT, "a tokenizer of bytes has no token for unknown characters");
	spec = *lm_bytes_spec();
	spec.n_tokens = 200;
	spec.end_of_text = -1;
	refuse(host, &spec, LM_ERR_FORMAT, "at least 256 tokens, not 200");
}

/* Each case changes one thing of a good BPE description. */
static void
test_wrong_bpe(const LmHost *host)
{
	FixtureSpec fixture;
	LmTokenizerSpec *spec = &fixture.spec;
	LmBytes token;
	LmMerge merge;
	char *large = calloc(1, LM_MAX_TOKEN_SIZE + 1);

	fixture_load_merges(&fixture, MERGES, false);
	token = spec->tokens[300];
	spec->tokens[300] = (LmBytes){large, LM_MAX_TOKEN_SIZE + 1};
	refuse(host, spec, LM_ERR_LIMIT, "token 300 has 1025 bytes, the limit is 1024");
	spec->tokens[300] = (LmBytes){large, 0};
	refuse(host, spec, LM_ERR_FORMAT, "token 300 is empty");
	spec->tokens[300] = (LmBytes){NULL, 3};
	refuse(host, spec, LM_ERR_FORMAT, "token 300 is empty");
	spec->tokens[300] = spec->tokens[299];
	refuse(host, spec, LM_ERR_FORMAT, "tokens 299 and 300 are the same");
	spec->tokens[300] = token;

	token = spec->tokens[65];
	spec->tokens[65] = (LmBytes){"AA", 2};
	refuse(host, spec, LM_ERR_FORMAT, "tokenizer has no token for byte 0x41");
	spec->tokens[65] = token;
	spec->special[65] = true;
	refuse(host, spec, LM_ERR_FORMAT, "tokenizer has no token for byte 0x41");
	spec->special[65] = false;

	merge = spec->merges[10];
	spec->merges[10].left = spec->n_tokens;
	refuse(host, spec, LM_ERR_FORMAT, "merge 10 has token 657, the tokenizer has 657 tokens");
	spec->merges[10].left = -1;
	refuse(host, spec, LM_ERR_FORMAT, "merge 10 has token -1");
	spec->merges[10] = (LmMerge){merge.left, merge.right, spec->end_of_text};
	refuse(host, spec, LM_ERR_FORMAT, "merge 10 has the special token 656");
	spec->merges[10] = (LmMerge){merge.left, merge.right, merge.left};
	refuse(host, spec, LM_ERR_FORMAT, "do not join to token");
	spec->merges[10] = spec->merges[3];
	refuse(host, spec, LM_ERR_FORMAT, "merges 3 and 10 are both of tokens");
	spec->merges[10] = merge;

	spec->pattern = "(";
	refuse(host, spec, LM_ERR_FORMAT,
		   "split pattern is not a regular expression that ICU accepts: U_REGEX_MISMATCHED_PAREN");
	spec->pattern = NULL;
	spec->kind = LM_TOKENIZER_CHARS;
	spec->n_merges = 0;
	refuse(host, spec, LM_ERR_FORMAT,
		   "token 128 of a tokenizer of characters is not one character");
	spec->kind = LM_TOKENIZER_BYTES;
	refuse(host, spec, LM_ERR_FORMAT, "token 256 of a tokenizer of bytes is not special");
	free(large);
	fixture_free(&fixture);
}

/* ------------------------------------------------------------ failures */

static void
test_failures(TapHost *state, const LmHost *host)
{
	FixtureSpec fixture;
	LmTokenizer *tokenizer;
	LmTokens tokens = {NULL};
	LmError error = {0};

	fixture_load_merges(&fixture, MERGES, false);
	tokenizer = lm_tokenizer_create(host, &fixture.spec, &error);
	lm_tokens_append(host, &tokens, 42, &error);
	ok(!lm_tokenizer_encode(tokenizer, &tokens, "some text\xFF", 10, &error) &&
		   error.code == LM_ERR_ENCODING && error.position == 9 && tokens.count == 1 &&
		   tokens.ids[0] == 42,
	   "text that is not UTF-8 is refused, and the ids stay as they were");
	ok(!lm_tokenizer_encode(tokenizer, &tokens, "", ((size_t) 1 << 30) + 1, &error) &&
		   error.code == LM_ERR_LIMIT,
	   "a text beyond 1 GiB is refused");
	ok(lm_tokenizer_encode(tokenizer, &tokens, NULL, 0, &error) && tokens.count == 1,
	   "empty text has no ids");
	state->stop = true;
	ok(!lm_tokenizer_encode(tokenizer, &tokens, "text", 4, &error) && error.code == LM_ERR_STOPPED,
	   "encoding stops when told to");
	state->stop = false;
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	lm_tokenizer_free(NULL);
	fixture_free(&fixture);
}

/* Creates and encodes with the k-th allocation failing; true when all succeeded. */
static bool
run_with_failure(TapHost *state, const LmHost *host, const LmTokenizerSpec *spec, const char *text,
				 size_t size, bool *clean)
{
	LmError error = {0};
	LmTokens tokens = {NULL};
	LmTokenizer *tokenizer = lm_tokenizer_create(host, spec, &error);
	bool done = tokenizer && lm_tokenizer_encode(tokenizer, &tokens, text, size, &error);

	state->fail_after = -1;
	*clean = *clean && (done || error.code == LM_ERR_MEMORY);
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	*clean = *clean && state->live == 0;
	return done;
}

static void
test_memory(TapHost *state, const LmHost *host)
{
	FixtureSpec fixture;
	size_t size;
	char *text = tap_read_file("test/fixtures/tokenizer/shakespeare.txt", &size);
	bool clean = true, done = false;
	long k;

	memset(text + 20000, 'x', 500); /* a long piece among the others */
	fixture_load_merges(&fixture, MERGES, false);
	for (k = 0; !done && k < 1000; k++)
	{
		state->fail_after = k;
		fixture.spec.normalize_nfc = k % 2;
		fixture.spec.pattern = k % 3 ? NULL : " ?\\w+|.";
		done = run_with_failure(state, host, &fixture.spec, text, size, &clean);
	}
	ok(clean && done && k > 10, "each of %ld allocations of BPE may fail, and nothing leaks",
	   k - 1);
	for (k = 0, done = false; !done && k < 1000; k++)
	{
		state->fail_after = k;
		done = run_with_failure(state, host, lm_bytes_spec(), text, size, &clean);
	}
	ok(clean && done, "each of %ld allocations of a tokenizer of bytes may fail, and nothing leaks",
	   k - 1);
	fixture_free(&fixture);
	free(text);
}

/* Training, creation and encoding with the k-th allocation failing. */
static void
test_chars_memory(TapHost *state, const LmHost *host)
{
	const char *text = "some text, caf\xC3\xA9, \xF0\x9F\x99\x82";
	bool clean = true, done = false;
	long k;

	for (k = 0; !done && k < 1000; k++)
	{
		LmError error = {0};
		LmTokens tokens = {NULL};
		LmTokenizer *tokenizer = NULL;
		LmCharsTrainer *trainer;
		const LmTokenizerSpec *spec = NULL;

		state->fail_after = k;
		trainer = lm_chars_trainer_create(host, &error);
		if (trainer && lm_chars_trainer_add(trainer, text, strlen(text), &error))
			spec = lm_chars_trainer_finish(trainer, &error);
		if (spec)
			tokenizer = lm_tokenizer_create(host, spec, &error);
		done = tokenizer && lm_tokenizer_encode(tokenizer, &tokens, text, strlen(text), &error);
		state->fail_after = -1;
		lm_tokens_free(host, &tokens);
		lm_tokenizer_free(tokenizer);
		lm_chars_trainer_free(trainer);
		clean = clean && state->live == 0 && (done || error.code == LM_ERR_MEMORY);
	}
	ok(clean && done && k > 5,
	   "each of %ld allocations of a tokenizer of characters may fail, and nothing leaks", k - 1);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	const char *folder = tap_data_folder();

	test_own_vocabulary(&host);
	if (folder)
	{
		test_gpt2_strings(&host, folder);
		test_big_files(&host, folder);
	}
	else
		skip("GPT-2's ids", "the test data is not here");
	test_long_pieces(&host);
	test_special(&host);
	test_bytes(&host);
	test_chars(&state, &host);
	test_wrong_counts(&host);
	test_wrong_bpe(&host);
	test_failures(&state, &host);
	test_memory(&state, &host);
	test_chars_memory(&state, &host);
	is_int(state.live, 0, "the tokenizers leave no memory behind");
	return done_testing();
}

/*
 * test/unit/test_round_trip.c
 *
 * Texts of all scripts come back from their ids, under every kind of tokenizer: the text itself, or
 * its normal form, or with spaces for U+2581, as the tokenizer has it. Arguments are the number of
 * texts (2,000), of which each tokenizer reads all, and a seed.
 */
#include "split_support.h"
#include "text/normalize.h"

#define MAX_CHARACTERS 60
#define MAX_SIZE (8 * MAX_CHARACTERS)
#define TRAINING_TEXTS 8000
#define VOCABULARY 2500

static TapHost state;
static LmHost host;

/* Ranges of code points, script after script; unassigned ones are among them. */
static const int32_t ranges[][2] = {
	{0x20, 0x7E},		{0x20, 0x7E},		{0x61, 0x7A},		{0x01, 0x20},
	{0x7F, 0xFF},		{0x100, 0x24F},		{0x250, 0x2FF},		{0x300, 0x36F},
	{0x370, 0x3FF},		{0x400, 0x52F},		{0x530, 0x5FF},		{0x600, 0x6FF},
	{0x700, 0x8FF},		{0x900, 0x97F},		{0x980, 0xDFF},		{0xE00, 0xEFF},
	{0xF00, 0x109F},	{0x10A0, 0x10FF},	{0x1100, 0x11FF},	{0x1200, 0x17FF},
	{0x1800, 0x1CFF},	{0x1D00, 0x1FFF},	{0x2000, 0x206F},	{0x2070, 0x218F},
	{0x2190, 0x2BFF},	{0x2580, 0x2582},	{0x2C00, 0x2FFF},	{0x3000, 0x30FF},
	{0x3100, 0x33FF},	{0x3400, 0x4DBF},	{0x4E00, 0x9FFF},	{0x4E00, 0x4EFF},
	{0xA000, 0xABFF},	{0xAC00, 0xD7A3},	{0xD7A4, 0xD7FF},	{0xE000, 0xE0FF},
	{0xF900, 0xFDFF},	{0xFE00, 0xFEFF},	{0xFF00, 0xFFFF},	{0x10000, 0x10FFF},
	{0x11000, 0x11FFF}, {0x12000, 0x1342F}, {0x16800, 0x16FFF}, {0x1B000, 0x1BCFF},
	{0x1D000, 0x1D7FF}, {0x1E000, 0x1EFFF}, {0x1F000, 0x1FAFF}, {0x1F1E6, 0x1F1FF},
	{0x20000, 0x200FF}, {0x2F800, 0x2FA1F}, {0xE0000, 0xE01EF}, {0x10FF00, 0x10FFFF}};
#define N_RANGES ((uint32_t) (sizeof ranges / sizeof *ranges))

/* A tokenizer, and what a text is when it comes back. */
typedef struct Subject
{
	const char *name;
	LmTokenizer *tokenizer;
	bool (*normalize)(const LmHost *host, LmText *out, const char *text, size_t size,
					  LmError *error);
	long wrong;
} Subject;

static Subject subjects[24];
static int n_subjects;

static int32_t
code_of(uint32_t range)
{
	return ranges[range][0] +
		   (int32_t) random_below((uint32_t) (ranges[range][1] - ranges[range][0] + 1));
}

/* A text of one script, of two, of any, or with runs and blanks. */
static size_t
fuzzed_text(char *text)
{
	uint32_t n = random_below(MAX_CHARACTERS + 1), kind = random_below(4);
	uint32_t one = random_below(N_RANGES), other = random_below(N_RANGES);
	size_t size = 0;

	while (n > 0)
	{
		uint32_t run = kind == 3 && random_below(6) == 0 ? 1 + random_below(n) : 1;
		int32_t code = random_below(kind == 0 ? 9 : 6) == 0 ? ' '
					   : kind == 0							? code_of(one)
					   : kind == 1							? code_of(random_below(2) ? one : other)
															: code_of(random_below(N_RANGES));

		for (uint32_t i = 0; i < run; i++)
			size += (size_t) lm_utf8_encode(text + size, code);
		n -= run;
	}
	return size;
}

static void
add_subject(const char *name, const LmTokenizerSpec *spec)
{
	LmError error = {0};
	Subject *subject = &subjects[n_subjects++];

	*subject = (Subject){.name = name, .tokenizer = lm_tokenizer_create(&host, spec, &error)};
	subject->normalize = spec->normalize_nfkc  ? lm_text_normalize_kc
						 : spec->normalize_nfc ? lm_text_normalize
											   : NULL;
	if (!subject->tokenizer)
		printf("# %s: %s\n", name, error.message);
}

/* What a text is when it comes back: in scratch, or the text itself. */
static LmBytes
expected(const Subject *subject, LmText *normal, LmText *spaced, LmBytes text)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(subject->tokenizer);
	bool prefixed = spec->prefix == LM_PREFIX_ALWAYS && text.size > 0;

	if (subject->normalize)
	{
		subject->normalize(&host, normal, text.data, text.size, NULL);
		text = (LmBytes){normal->data, normal->size};
	}
	lm_text_set_spaces(&host, spaced, text, prefixed && !spec->strip_space, spec->space_sign, NULL);
	return (LmBytes){spaced->data, spaced->size};
}

static bool
comes_back(Subject *subject, LmTokens *tokens, LmText *scratch, LmBytes text)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(subject->tokenizer);
	LmBytes wanted = expected(subject, &scratch[0], &scratch[1], text);
	char decoded[20 * MAX_SIZE];
	size_t size = 0;
	LmError error = {0};

	tokens->count = 0;
	if (!lm_tokenizer_encode(subject->tokenizer, tokens, text.data, text.size, &error))
		return false;
	for (size_t i = 0; i < tokens->count; i++)
	{
		LmBytes bytes = lm_tokenizer_bytes(subject->tokenizer, tokens->ids[i]);

		if (bytes.size == 0 || size + bytes.size > sizeof decoded)
			return false;
		memcpy(decoded + size, bytes.data, bytes.size);
		size += bytes.size;
	}
	if (spec->strip_space && size > 0 && decoded[0] == ' ')
		return size - 1 == wanted.size && memcmp(decoded + 1, wanted.data, wanted.size) == 0;
	return size == wanted.size && (size == 0 || memcmp(decoded, wanted.data, size) == 0);
}

/* ------------------------------------------------------------ tokenizers */

static LmBpeTrainer *
train(const char *pattern, bool whole_characters, bool nfc, bool nfkc)
{
	LmBpeOptions options = {.pattern = pattern,
							.normalize_nfc = nfc,
							.normalize_nfkc = nfkc,
							.min_count = 3,
							.whole_characters = whole_characters};
	LmBpeTrainer *trainer = lm_bpe_trainer_create(&host, &options, NULL);
	size_t size;
	char *prose = tap_read_file("test/fixtures/tokenizer/shakespeare.txt", &size);
	char text[MAX_SIZE];

	if (prose)
		lm_bpe_trainer_add(trainer, prose, size, NULL);
	free(prose);
	for (int i = 0; i < TRAINING_TEXTS; i++)
		lm_bpe_trainer_add(trainer, text, fuzzed_text(text), NULL);
	return trainer;
}

static void
add_trained(const char *name, const char *pattern, bool whole_characters, bool nfc, bool nfkc)
{
	LmBpeTrainer *trainer = train(pattern, whole_characters, nfc, nfkc);
	int n_reached;

	add_subject(name, lm_bpe_trainer_finish(trainer, VOCABULARY, &n_reached, NULL));
	lm_bpe_trainer_free(trainer);
}

static bool
is_text(LmBytes token)
{
	size_t position;

	return token.data[0] != '\0' && lm_utf8_valid(token.data, token.size, &position);
}

/*
 * The tokens of a trained vocabulary that are whole characters as one of SentencePiece: <unk>, the
 * bytes that stand in for other characters, then they, with the merges between them or with scores.
 */
static void
add_letters(void)
{
	static LmBytes tokens[257 + VOCABULARY];
	static bool special[257 + VOCABULARY];
	static uint8_t flags[257 + VOCABULARY];
	static double scores[257 + VOCABULARY];
	static char bytes[256];
	static LmMerge merges[VOCABULARY];
	int32_t ids[VOCABULARY];
	int n_reached;
	LmBpeTrainer *trainer = train(NULL, true, false, false);
	const LmTokenizerSpec *trained = lm_bpe_trainer_finish(trainer, VOCABULARY, &n_reached, NULL);
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_SENTENCEPIECE,
							.tokens = tokens,
							.special = special,
							.flags = flags,
							.merges = merges,
							.end_of_text = -1,
							.beginning = -1,
							.space_sign = true,
							.fuse_unknown = true};

	tokens[spec.n_tokens] = (LmBytes){"<unk>", 5};
	special[spec.n_tokens++] = true;
	for (int byte = 0; byte < 256; byte++)
	{
		bytes[byte] = (char) byte;
		tokens[spec.n_tokens] = (LmBytes){&bytes[byte], 1};
		flags[spec.n_tokens++] = LM_TOKEN_BYTE;
	}
	for (int32_t id = 0; id < trained->n_tokens; id++)
	{
		ids[id] = -1;
		if (trained->special[id] || !is_text(trained->tokens[id]))
			continue;
		tokens[spec.n_tokens] = trained->tokens[id];
		scores[spec.n_tokens] = -3.0 - 0.004 * id;
		ids[id] = spec.n_tokens++;
	}
	for (int i = 0; i < trained->n_merges; i++)
	{
		LmMerge merge = trained->merges[i];

		if (ids[merge.left] >= 0 && ids[merge.right] >= 0)
			merges[spec.n_merges++] =
				(LmMerge){ids[merge.left], ids[merge.right], ids[merge.result]};
	}
	ok(spec.n_merges > 500, "SentencePiece's tokens have %d merges", spec.n_merges);
	add_subject("sentencepiece without a prefix", &spec);
	spec.prefix = LM_PREFIX_ALWAYS;
	spec.strip_space = true;
	add_subject("sentencepiece", &spec);
	spec.split_spaces = true;
	spec.normalize_nfkc = true;
	add_subject("sentencepiece, words, NFKC", &spec);
	spec.kind = LM_TOKENIZER_UNIGRAM;
	spec.merges = NULL;
	spec.n_merges = 0;
	spec.scores = scores;
	add_subject("unigram, words, NFKC", &spec);
	spec.split_spaces = spec.normalize_nfkc = false;
	add_subject("unigram", &spec);
	lm_bpe_trainer_free(trainer);
}

static void
add_chars(void)
{
	LmCharsTrainer *trainer = lm_chars_trainer_create(&host, NULL);

	for (uint32_t i = 0; i < N_RANGES; i++)
		for (int32_t code = ranges[i][0]; code <= ranges[i][1]; code++)
		{
			char text[4];

			lm_chars_trainer_add(trainer, text, (size_t) lm_utf8_encode(text, code), NULL);
		}
	add_subject("chars", lm_chars_trainer_finish(trainer, NULL));
	lm_chars_trainer_free(trainer);
}

static void
add_gpt2(void)
{
	const char *folder = tap_data_folder();
	FixtureSpec fixture;
	char path[4096];

	snprintf(path, sizeof path, "%s/tokenizers/gpt2.vocab.bpe", folder ? folder : "");
	if (!folder || !fixture_load_merges(&fixture, path, true))
	{
		skip("texts come back: GPT-2", "the test data is not here");
		return;
	}
	add_subject("GPT-2", &fixture.spec);
	fixture.spec.pattern = lm_o200k_pattern;
	fixture.spec.ignore_merges = true;
	add_subject("GPT-2's tokens with o200k's split, merges ignored", &fixture.spec);
	fixture_free(&fixture);
}

static void
add_all(void)
{
	add_subject("bytes", lm_bytes_spec());
	add_chars();
	add_gpt2();
	add_trained("trained", NULL, false, false, false);
	add_trained("trained, whole characters", lm_cl100k_pattern, true, false, false);
	add_trained("trained, whole characters, o200k, NFC", lm_o200k_pattern, true, true, false);
	add_trained("trained, Qwen 2, NFKC", lm_qwen2_pattern, false, false, true);
	add_trained("trained, an ICU pattern with gaps", "[a-z]+|\\p{Han}{1,2}", true, false, false);
	add_letters();
}

static void
check_texts(long n_texts)
{
	LmTokens tokens = {NULL};
	LmText scratch[2] = {{NULL}};

	for (long i = 0; i < n_texts; i++)
	{
		char text[MAX_SIZE];
		LmBytes bytes = {text, fuzzed_text(text)};

		for (int k = 0; k < n_subjects; k++)
			if (!comes_back(&subjects[k], &tokens, scratch, bytes) && subjects[k].wrong++ == 0)
			{
				printf("# %s, text %ld:", subjects[k].name, i);
				for (size_t j = 0; j < bytes.size; j++)
					printf(" %02X", (unsigned char) text[j]);
				printf("\n");
			}
	}
	for (int k = 0; k < 2; k++)
		if (scratch[k].data)
			state.live--, free(scratch[k].data);
	lm_tokens_free(&host, &tokens);
}

int
main(int argc, char **argv)
{
	long n_texts = argc > 1 ? atol(argv[1]) : 2000;

	host = tap_host(&state);
	add_all();
	for (int k = 0; k < n_subjects; k++)
		if (!subjects[k].tokenizer)
			return 1;
	random_state = argc > 2 ? (uint32_t) atol(argv[2]) : random_state;
	check_texts(n_texts);
	for (int k = 0; k < n_subjects; k++)
	{
		ok(subjects[k].wrong == 0, "%ld texts come back: %s", n_texts, subjects[k].name);
		lm_tokenizer_free(subjects[k].tokenizer);
	}
	is_int(state.live, 0, "nothing is left behind");
	return done_testing();
}

/*
 * test/unit/test_bpe_train.c
 *
 * Training of byte-level BPE: the merges and their counts against test/reference/bpe.py and, where
 * the test data is at hand, against other implementations; order of texts, ties, failures.
 */
#include "tokenizer_fixture.h"
#include "text/split.h"
#include "text/words.h"

typedef struct Training
{
	LmBpeTrainer *trainer;
	const LmTokenizerSpec *spec;
	int n_reached;
	LmError error;
} Training;

static Training
train(const LmHost *host, const char *pattern, const char *text, size_t size, int n_tokens)
{
	Training training = {NULL};

	training.trainer =
		lm_bpe_trainer_create(host, &(LmBpeOptions){.pattern = pattern}, &training.error);
	if (training.trainer && lm_bpe_trainer_add(training.trainer, text, size, &training.error))
		training.spec =
			lm_bpe_trainer_finish(training.trainer, n_tokens, &training.n_reached, &training.error);
	return training;
}

static bool
same_merges(const LmTokenizerSpec *a, const LmTokenizerSpec *b)
{
	return a && b && a->n_tokens == b->n_tokens && a->n_merges == b->n_merges &&
		   memcmp(a->merges, b->merges, (size_t) a->n_merges * sizeof *a->merges) == 0;
}

/* ------------------------------------------------------------ merges and counts of others */

/* The distinct words of a text, their symbols one after the other, for the naive count. */
typedef struct Naive
{
	LmWords words;
	int32_t *symbols, *lengths;
	int64_t *counts;
	size_t *offsets;
} Naive;

static void
naive_start(Naive *naive, const LmHost *host, const char *text, size_t size)
{
	static LmPieces pieces;
	LmSplit split;
	LmWordCursor cursor = {0, 0};
	LmBytes word;
	size_t n = 0, offset = 0;

	memset(naive, 0, sizeof *naive);
	naive->words.host = *host;
	lm_split_create(&split, host, NULL, NULL);
	lm_split_start(&split, text, size);
	while (lm_split_next(&split, &pieces, NULL) && pieces.count > 0)
		for (int i = 0; i < pieces.count; i++)
			lm_words_add(&naive->words, pieces.pieces[i], 1, NULL);
	lm_split_free(&split);
	naive->symbols = malloc(naive->words.size * sizeof *naive->symbols);
	naive->lengths = malloc(naive->words.count * sizeof *naive->lengths);
	naive->counts = malloc(naive->words.count * sizeof *naive->counts);
	naive->offsets = malloc(naive->words.count * sizeof *naive->offsets);
	for (; lm_words_next(&naive->words, &cursor, &word, &naive->counts[n]); n++)
	{
		naive->lengths[n] = (int32_t) word.size;
		naive->offsets[n] = offset;
		for (size_t i = 0; i < word.size; i++)
			naive->symbols[offset++] = (unsigned char) word.data[i];
	}
}

/* Applies a merge to every word; returns how often its pair occurred before. */
static int64_t
naive_merge(Naive *naive, const LmMerge *merge)
{
	int64_t count = 0;

	for (size_t w = 0; w < naive->words.count; w++)
	{
		int32_t *symbols = naive->symbols + naive->offsets[w], n = 0;

		for (int32_t i = 0; i + 1 < naive->lengths[w]; i++)
			if (symbols[i] == merge->left && symbols[i + 1] == merge->right)
				count += naive->counts[w];
		for (int32_t i = 0; i < naive->lengths[w]; n++)
		{
			bool here = i + 1 < naive->lengths[w] && symbols[i] == merge->left &&
						symbols[i + 1] == merge->right;

			symbols[n] = here ? merge->result : symbols[i];
			i += here ? 2 : 1;
		}
		naive->lengths[w] = n;
	}
	return count;
}

static void
naive_end(Naive *naive)
{
	free(naive->symbols);
	free(naive->lengths);
	free(naive->counts);
	free(naive->offsets);
	lm_words_free(&naive->words);
}

/*
 * Lines "left right [count]" against the merges; counts come from there or, one a line, from
 * counts_file.
 */
static void
check_merges(const LmHost *host, const char *text_path, const char *merges_path,
			 const char *counts_path)
{
	const char *name = strrchr(merges_path, '/') + 1;
	size_t size = 0, merges_size, counts_size;
	char *text = tap_read_file(text_path, &size),
		 *merges = tap_read_file(merges_path, &merges_size);
	char *counts = counts_path ? tap_read_file(counts_path, &counts_size) : NULL,
		 *count_cursor = counts, *line, *next;
	int n_lines = 0, rank = 0;
	bool same_pairs = true, same_counts = true;
	Training training;
	Naive naive;

	for (char *c = merges; *c; c++)
		n_lines += *c == '\n';
	training = train(host, NULL, text, size, 257 + n_lines);
	naive_start(&naive, host, text, size);
	for (line = merges; *line && training.spec && rank < training.spec->n_merges;
		 line = next, rank++)
	{
		const LmMerge *merge = &training.spec->merges[rank];
		LmBytes left = training.spec->tokens[merge->left],
				right = training.spec->tokens[merge->right];
		char *space = strchr(line, ' '), *end = space + 1 + strcspn(space + 1, " \n");
		int64_t count = naive_merge(&naive, merge), wanted;

		wanted = counts ? strtoll(count_cursor, &count_cursor, 10) : strtoll(end, NULL, 10);
		next = strchr(line, '\n') + 1;
		same_pairs = same_pairs && fixture_unalphabet(line, (size_t) (space - line)) == left.size &&
					 memcmp(line, left.data, left.size) == 0 &&
					 fixture_unalphabet(space + 1, (size_t) (end - space - 1)) == right.size &&
					 memcmp(space + 1, right.data, right.size) == 0;
		same_counts = same_counts && count == wanted;
	}
	ok(same_pairs && rank == n_lines, "the merges are those of %s", name);
	ok(same_counts && rank == n_lines, "each pair occurs as often as in %s", name);
	naive_end(&naive);
	lm_bpe_trainer_free(training.trainer);
	free(text);
	free(merges);
	free(counts);
}

static void
test_references(const LmHost *host)
{
	static const char *const sets[3][2] = {
		{"corpora/tinyshakespeare.txt", "bpe-train/tinyshakespeare_1000"},
		{"corpora/tang_poems_2000.txt", "bpe-train/tang_1500"},
		{"corpora/corpus.en", "bpe-train/corpus_en_500"}};
	const char *folder = tap_data_folder();

	check_merges(host, "test/fixtures/tokenizer/shakespeare.txt",
				 "test/fixtures/tokenizer/shakespeare.merges", NULL);
	for (int i = 0; i < 3; i++)
	{
		char text[4096], merges[4096], counts[4096];

		if (!folder)
		{
			skip("the merges are those of another implementation", "the test data is not here");
			continue;
		}
		snprintf(text, sizeof text, "%s/%s", folder, sets[i][0]);
		snprintf(merges, sizeof merges, "%s/%s.merges.txt", folder, sets[i][1]);
		snprintf(counts, sizeof counts, "%s/%s.counts.txt", folder, sets[i][1]);
		check_merges(host, text, merges, counts);
	}
}

/* ------------------------------------------------------------ what the result depends on */

static void
test_order(const LmHost *host)
{
	size_t size;
	char *text = tap_read_file("test/fixtures/tokenizer/shakespeare.txt", &size), *lines[4000],
		 *line;
	int n_lines = 0, n_reached;
	Training whole;
	LmBpeTrainer *forward = lm_bpe_trainer_create(host, NULL, NULL);
	LmBpeTrainer *backward = lm_bpe_trainer_create(host, NULL, NULL);
	const LmTokenizerSpec *a, *b;

	for (line = strtok(text, "\n"); line && n_lines < 4000; line = strtok(NULL, "\n"))
		lines[n_lines++] = line;
	for (int i = 0; i < n_lines; i++)
	{
		lm_bpe_trainer_add(forward, lines[i], strlen(lines[i]), NULL);
		lm_bpe_trainer_add(backward, lines[n_lines - 1 - i], strlen(lines[n_lines - 1 - i]), NULL);
	}
	a = lm_bpe_trainer_finish(forward, 700, &n_reached, NULL);
	b = lm_bpe_trainer_finish(backward, 700, &n_reached, NULL);
	ok(same_merges(a, b), "the order of the texts does not change the merges");
	whole = train(host, NULL, lines[0], strlen(lines[0]), 300);
	lm_bpe_trainer_finish(forward, 300, &n_reached, NULL);
	a = lm_bpe_trainer_finish(forward, 700, &n_reached, NULL);
	ok(same_merges(a, b), "a trainer can finish again, with another size");
	lm_bpe_trainer_free(whole.trainer);
	lm_bpe_trainer_free(forward);
	lm_bpe_trainer_free(backward);
	free(text);
}

static bool
token_is(const LmTokenizerSpec *spec, int32_t id, const char *bytes)
{
	return spec && id < spec->n_tokens && spec->tokens[id].size == strlen(bytes) &&
		   memcmp(spec->tokens[id].data, bytes, strlen(bytes)) == 0;
}

static void
test_rules(const LmHost *host)
{
	Training ties = train(host, NULL, "ab cd ab cd", 11, 260);
	Training few = train(host, NULL, "abab", 4, 1000);
	Training none = train(host, NULL, "", 0, 1000);
	Training end = train(host, "[^ ]+", "<|endoftext|> <|endoftext|> <|endoftext|>", 41, 1000);

	ok(token_is(ties.spec, 256, " cd") || token_is(ties.spec, 256, "cd"),
	   "of pairs of equal count the greater is merged first");
	ok(few.spec && few.n_reached == 258 && token_is(few.spec, 256, "ab") &&
		   few.spec->end_of_text == 257,
	   "merging ends when no pair occurs twice");
	ok(none.spec && none.n_reached == 257 && none.spec->end_of_text == 256,
	   "no text at all gives the bytes and the end");
	ok(token_is(few.spec, 257, LM_END_OF_TEXT) && few.spec->special[257],
	   "the end of text is the last token and special");
	ok(end.spec && end.n_reached > 257, "a text that spells the special token trains");
	for (int id = 0; end.spec && id < end.spec->n_tokens - 1; id++)
		if (token_is(end.spec, id, LM_END_OF_TEXT))
			ok(false, "no merge makes the special token");
	lm_bpe_trainer_free(ties.trainer);
	lm_bpe_trainer_free(few.trainer);
	lm_bpe_trainer_free(none.trainer);
	lm_bpe_trainer_free(end.trainer);
}

/*
 * Words over two letters have the most overlaps. The tokenizer checks that no token is there twice.
 */
static void
test_two_letters(const LmHost *host)
{
	char text[40000];
	uint32_t random = 7;
	Training training;
	LmTokenizer *tokenizer;
	LmError error = {0};
	LmTokens tokens = {NULL};

	for (size_t i = 0; i < sizeof text; i++)
	{
		random = random * 1664525 + 1013904223;
		text[i] = (random >> 16) % 40 == 0 ? ' ' : "ab"[(random >> 16) % 2];
	}
	training = train(host, NULL, text, sizeof text, 2000);
	tokenizer = training.spec ? lm_tokenizer_create(host, training.spec, &error) : NULL;
	ok(tokenizer != NULL, "a text over two letters trains: %s", error.message);
	ok(tokenizer && lm_tokenizer_encode(tokenizer, &tokens, text, sizeof text, &error) &&
		   fixture_decodes_to(tokenizer, &tokens, (LmBytes){text, sizeof text}),
	   "and the text that it was trained on comes back");
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	lm_bpe_trainer_free(training.trainer);
}

static void
test_long_words(const LmHost *host)
{
	size_t size = 2 << 20;
	char *text = malloc(size);
	Training training;
	int longest = 0;

	memset(text, 'a', size);
	training = train(host, NULL, text, size, 300);
	for (int id = 0; training.spec && id < training.spec->n_tokens - 1; id++)
		if (training.spec->tokens[id].size > (size_t) longest)
			longest = (int) training.spec->tokens[id].size;
	ok(training.spec && longest <= LM_MAX_TOKEN_SIZE,
	   "two mebibytes of one letter train, and no token is too long (%d)", longest);
	lm_bpe_trainer_free(training.trainer);
	free(text);
}

/* ------------------------------------------------------------ failures */

static void
test_failures(TapHost *state, const LmHost *host)
{
	LmError error = {0};
	int n_reached;
	LmBpeTrainer *trainer = lm_bpe_trainer_create(host, NULL, &error);
	size_t before = lm_bpe_trainer_memory(trainer);

	ok(!lm_bpe_trainer_add(trainer, "a\xFFz", 3, &error) && error.code == LM_ERR_ENCODING &&
		   error.position == 1,
	   "text that is not UTF-8 is refused");
	ok(!lm_bpe_trainer_finish(trainer, 256, &n_reached, &error) && error.code == LM_ERR_ARGUMENT,
	   "a vocabulary smaller than the bytes and the end is refused");
	ok(!lm_bpe_trainer_finish(trainer, LM_MAX_VOCABULARY + 1, &n_reached, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a vocabulary beyond the limit is refused");
	lm_bpe_trainer_add(trainer, "some text to count", 18, &error);
	ok(lm_bpe_trainer_memory(trainer) > before, "the memory of a trainer grows with its words");
	state->stop = true;
	ok(!lm_bpe_trainer_add(trainer, "more", 4, &error) && error.code == LM_ERR_STOPPED,
	   "adding stops when told to");
	ok(!lm_bpe_trainer_finish(trainer, 300, &n_reached, &error) && error.code == LM_ERR_STOPPED,
	   "merging stops when told to");
	state->stop = false;
	lm_bpe_trainer_free(trainer);
	ok(!lm_bpe_trainer_create(host, &(LmBpeOptions){.pattern = "("}, &error) &&
		   error.code == LM_ERR_FORMAT,
	   "a trainer refuses a pattern that is none");
}

static void
test_memory(TapHost *state, const LmHost *host)
{
	const char *text = "the cat sat on the mat; the dog sat on the cat. caf\xC3\xA9 caf\xC3\xA9";
	bool clean = true, done = false;
	long k;

	for (k = 0; !done && k < 1000; k++)
	{
		LmBpeOptions options = {
			.pattern = k % 2 ? "\\S+" : NULL, .normalize_nfc = true, .whole_characters = k % 4 > 1};
		Training training = {NULL};

		state->fail_after = k;
		training.trainer = lm_bpe_trainer_create(host, &options, &training.error);
		if (training.trainer &&
			lm_bpe_trainer_add(training.trainer, text, strlen(text), &training.error))
			training.spec =
				lm_bpe_trainer_finish(training.trainer, 300, &training.n_reached, &training.error);
		state->fail_after = -1;
		done = training.spec != NULL;
		clean = clean && (done || training.error.code == LM_ERR_MEMORY);
		lm_bpe_trainer_free(training.trainer);
		clean = clean && state->live == 0;
	}
	ok(clean && done && k > 10, "each of %ld allocations of training may fail, and nothing leaks",
	   k - 1);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_references(&host);
	test_order(&host);
	test_rules(&host);
	test_two_letters(&host);
	test_long_words(&host);
	test_failures(&state, &host);
	is_int(state.live, 0, "training leaves no memory behind");
	test_memory(&state, &host);
	return done_testing();
}

/*
 * test/unit/test_bpe_scale.c
 *
 * BPE training against a naive twin, which counts all pairs anew for each merge, on small texts of
 * few letters; and with threads, with little memory, with words that are spilled, and stopped: all
 * give the same merges.
 */
#include "counting_host.h"
#include "text/bpe_merge.h"
#include "text/words.h"
#include "text/utf8.h"
#include "tokenizer_fixture.h"

#define MAX_WORDS 4096
#define MAX_LENGTH 64
#define MAX_TOKENS 2000

/* ------------------------------------------------------------ the twin */

typedef struct Twin
{
	int32_t words[MAX_WORDS][MAX_LENGTH];
	int lengths[MAX_WORDS];
	int64_t counts[MAX_WORDS];
	int n_words;
	char tokens[MAX_TOKENS][LM_MAX_TOKEN_SIZE];
	size_t sizes[MAX_TOKENS];
	int n_tokens;
	LmMerge merges[2 * MAX_TOKENS];
	int n_merges;
} Twin;

static Twin twin;

static void
twin_add(const char *word, size_t size)
{
	int i = 0;

	for (; i < twin.n_words; i++)
	{
		bool same = twin.lengths[i] == (int) size;

		for (size_t k = 0; same && k < size; k++)
			same = twin.words[i][k] == (unsigned char) word[k];
		if (same)
			break;
	}
	if (i == twin.n_words)
	{
		for (size_t k = 0; k < size; k++)
			twin.words[i][k] = (unsigned char) word[k];
		twin.lengths[i] = (int) size;
		twin.counts[i] = 0;
		twin.n_words++;
	}
	twin.counts[i]++;
}

static LmBytes
twin_token(int32_t id)
{
	return (LmBytes){twin.tokens[id], twin.sizes[id]};
}

static int
compare(LmBytes a, LmBytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The best pair; its count, or 0. */
static int64_t
twin_best(LmMerge *best, bool whole)
{
	static int64_t counts[MAX_TOKENS][MAX_TOKENS];
	int64_t most = 0;

	for (int i = 0; i < twin.n_tokens; i++)
		memset(counts[i], 0, (size_t) twin.n_tokens * sizeof counts[i][0]);
	for (int w = 0; w < twin.n_words; w++)
		for (int k = 0; k + 1 < twin.lengths[w]; k++)
			counts[twin.words[w][k]][twin.words[w][k + 1]] += twin.counts[w];
	for (int32_t a = 0; a < twin.n_tokens; a++)
		for (int32_t b = 0; b < twin.n_tokens; b++)
		{
			int order;

			if (counts[a][b] == 0 || counts[a][b] < most ||
				(whole && !lm_token_shapes_fit(lm_token_shape(twin_token(a)),
											   lm_token_shape(twin_token(b)))))
				continue;
			order = compare(twin_token(a), twin_token(best->left));
			if (order == 0)
				order = compare(twin_token(b), twin_token(best->right));
			if (counts[a][b] > most || order > 0)
			{
				most = counts[a][b];
				*best = (LmMerge){a, b, -1};
			}
		}
	return most;
}

static void
twin_merge(LmMerge *merge)
{
	size_t left = twin.sizes[merge->left], right = twin.sizes[merge->right];
	char joined[LM_MAX_TOKEN_SIZE];
	int32_t id = 0;

	memcpy(joined, twin.tokens[merge->left], left);
	memcpy(joined + left, twin.tokens[merge->right], right);
	while (id < twin.n_tokens && compare(twin_token(id), (LmBytes){joined, left + right}) != 0)
		id++;
	if (id == twin.n_tokens)
	{
		memcpy(twin.tokens[id], joined, left + right);
		twin.sizes[id] = left + right;
		twin.n_tokens++;
	}
	merge->result = id;
	twin.merges[twin.n_merges++] = *merge;
	for (int w = 0; w < twin.n_words; w++)
	{
		int n = 0;

		for (int k = 0; k < twin.lengths[w]; n++)
		{
			bool here = k + 1 < twin.lengths[w] && twin.words[w][k] == merge->left &&
						twin.words[w][k + 1] == merge->right;

			twin.words[w][n] = here ? id : twin.words[w][k];
			k += here ? 2 : 1;
		}
		twin.lengths[w] = n;
	}
}

/* Words are runs between spaces. */
static void
twin_train(const char *text, size_t size, int n_tokens, int64_t min_count, bool whole)
{
	LmMerge best = {0, 0, 0};

	twin.n_words = twin.n_merges = 0;
	twin.n_tokens = 256;
	for (int i = 0; i < 256; i++)
	{
		twin.tokens[i][0] = (char) i;
		twin.sizes[i] = 1;
	}
	for (size_t i = 0; i < size;)
	{
		size_t n = strcspn(text + i, " ");

		if (n > 0)
			twin_add(text + i, n);
		i += n + 1;
	}
	while (twin.n_tokens < n_tokens - 1 && twin_best(&best, whole) >= min_count)
		twin_merge(&best);
}

static bool
is_twin(const LmTokenizerSpec *spec)
{
	return spec && spec->n_merges == twin.n_merges && spec->n_tokens == twin.n_tokens + 1 &&
		   memcmp(spec->merges, twin.merges, (size_t) twin.n_merges * sizeof(LmMerge)) == 0;
}

/* ------------------------------------------------------------ small texts */

static uint32_t
draw(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) (*state >> 33);
}

/* Words of up to 12 letters of an alphabet, most of them repeated. */
static size_t
make_text(char *text, size_t capacity, const char *const *letters, int n_letters, uint64_t *state)
{
	size_t size = 0, word = 0;

	while (size < capacity - 64)
	{
		int n = 1 + (int) (draw(state) % 12);

		if (size > 200 && draw(state) % 3 > 0)
		{
			/* a word from before */
			word = draw(state) % (size - 100);
			while (text[word] != ' ')
				word++;
			do
				text[size++] = text[word++];
			while (text[word] != ' ');
			continue;
		}
		text[size++] = ' ';
		for (int i = 0; i < n; i++)
		{
			const char *letter = letters[draw(state) % (uint32_t) n_letters];

			memcpy(text + size, letter, strlen(letter));
			size += strlen(letter);
		}
	}
	text[size++] = ' ';
	text[size] = '\0';
	return size;
}

static const LmTokenizerSpec *
train(LmBpeTrainer **trainer, const LmHost *host, const LmBpeOptions *options, const char *text,
	  size_t size, int n_tokens)
{
	LmError error = {0};
	int n_reached;

	*trainer = lm_bpe_trainer_create(host, options, &error);
	if (!*trainer || !lm_bpe_trainer_add(*trainer, text, size, &error))
		return NULL;
	return lm_bpe_trainer_finish(*trainer, n_tokens, &n_reached, &error);
}

static void
test_twin(const LmHost *host)
{
	static const char *const alphabets[4][6] = {
		{"a", "b"},
		{"a", "b", "c", "1"},
		{"a", "б", "1", "é", "漢", "字"},
		{"漢", "字", "か", "\U0001F600", "\U0001F601", "한"}};
	static const int sizes[4] = {2, 4, 6, 6};
	char text[4096];
	uint64_t state = 5;

	for (int a = 0; a < 4; a++)
		for (int whole = 0; whole < 2; whole++)
		{
			bool same = true;

			for (int round = 0; round < 12; round++)
			{
				LmBpeOptions options = {
					.pattern = "[^ ]+", .min_count = 2 + round % 2, .whole_characters = whole};
				size_t size =
					make_text(text, round % 3 == 0 ? 400 : 3000, alphabets[a], sizes[a], &state);
				int n_tokens = round % 4 == 0 ? 300 : 1000;
				LmBpeTrainer *trainer;
				const LmTokenizerSpec *spec = train(&trainer, host, &options, text, size, n_tokens);

				twin_train(text, size, n_tokens, options.min_count, whole);
				same = same && is_twin(spec) && spec->n_merges > 10;
				lm_bpe_trainer_free(trainer);
			}
			ok(same, "merges over alphabet %d, %s, are those of the naive twin", a,
			   whole ? "of whole characters" : "of bytes");
		}
}

/* Merges with so little room for lists that most pairs have none when they come up. */
static void
test_short_lists(const LmHost *host)
{
	static const char *const letters[4] = {"a", "b", "c", "é"};
	char text[4096];
	uint64_t state = 3;
	bool same = true;
	size_t n_relists = 0;

	for (int round = 0; round < 12; round++)
	{
		size_t size = make_text(text, 3000, letters, 2 + round % 3, &state), i = 0;
		LmMerging merging;
		LmWords words = {.host = *host};
		LmBytes word;
		LmWordCursor cursors[2] = {{0, 0}, {0, 0}};
		int64_t count;
		bool done = false, whole = round % 2;

		twin_train(text, size, 1000, 2, whole);
		for (; i < size; i += word.size + 1)
		{
			word = (LmBytes){text + i, strcspn(text + i, " ")};
			if (word.size > 0)
				lm_words_add(&words, word, 1, NULL);
		}
		lm_merging_create(&merging, host, 2, whole, 0, NULL);
		while (lm_words_next(&words, &cursors[0], &word, &count))
			lm_units_survey(&merging.units, word, count, NULL);
		lm_units_lay_out(&merging.units, &merging.symbols, 2, NULL);
		while (lm_words_next(&words, &cursors[1], &word, &count))
			lm_units_place(&merging.units, word, count);
		lm_units_finish(&merging.units);
		same = same && lm_merging_step(&merging, 999, 1, &done, NULL);
		merging.pairs.capacity = 300 + 200 * (size_t) (round % 5);
		merging.listed = false;
		while (same && !done)
			same = lm_merging_step(&merging, 999, 100, &done, NULL);
		same = same && (int) merging.n_merges == twin.n_merges &&
			   memcmp(merging.merges, twin.merges, merging.n_merges * sizeof(LmMerge)) == 0;
		n_relists += merging.n_relists;
		lm_merging_free(&merging);
		lm_words_free(&words);
	}
	ok(same && n_relists > 50, "merges with lists of few pairs, made %zu times, are the same",
	   n_relists);
}

/* ------------------------------------------------------------ threads, memory, spills */

static bool
same_merges(const LmTokenizerSpec *a, const LmTokenizerSpec *b)
{
	return a && b && a->n_tokens == b->n_tokens && a->n_merges == b->n_merges &&
		   memcmp(a->merges, b->merges, (size_t) a->n_merges * sizeof *a->merges) == 0;
}

/* A text of several segments: numbered words, letters of three scripts, long runs. */
static char *
large_text(size_t *size)
{
	static const char *const letters[6] = {"a", "e", "t", "д", "漢", "\n"};
	size_t capacity = 700000;
	char *text = malloc(capacity + 100);
	uint64_t state = 11;

	*size = 0;
	while (*size < capacity)
	{
		uint32_t n = draw(&state);

		if (n % 4 > 0)
			*size += (size_t) sprintf(text + *size, " word%u", n % 9973);
		else
			for (uint32_t i = 0; i < n % 60; i += 4)
				*size += (size_t) sprintf(text + *size, "%s", letters[draw(&state) % 6]);
	}
	return text;
}

typedef struct Blocks
{
	char *data[LM_BPE_PARTS][4096];
	size_t sizes[LM_BPE_PARTS][4096];
	int n[LM_BPE_PARTS];
	int n_spills;
} Blocks;

static void
spill(Blocks *blocks, LmBpeTrainer *trainer)
{
	LmBytes block;
	int part;

	while ((block = lm_bpe_trainer_spill(trainer, &part, NULL)).size > 0)
	{
		int i = blocks->n[part]++;

		blocks->sizes[part][i] = block.size;
		blocks->data[part][i] = malloc(block.size);
		memcpy(blocks->data[part][i], block.data, block.size);
	}
	blocks->n_spills++;
}

static bool
restore(Blocks *blocks, LmBpeTrainer *trainer)
{
	int part;

	spill(blocks, trainer);
	while ((part = lm_bpe_trainer_wanted(trainer)) >= 0)
	{
		for (int i = 0; i < blocks->n[part]; i++)
			if (!lm_bpe_trainer_restore(
					trainer, (LmBytes){blocks->data[part][i], blocks->sizes[part][i]}, NULL))
				return false;
		if (!lm_bpe_trainer_restored(trainer, NULL))
			return false;
	}
	return true;
}

static void
free_blocks(Blocks *blocks)
{
	for (int part = 0; part < LM_BPE_PARTS; part++)
		for (int i = 0; i < blocks->n[part]; i++)
			free(blocks->data[part][i]);
	memset(blocks, 0, sizeof *blocks);
}

static void
test_threads(const LmHost *host, const char *text, size_t size, const LmTokenizerSpec *wanted)
{
	static const int threads[3] = {1, 2, 4};
	static Blocks blocks;

	for (int i = 0; i < 3; i++)
	{
		LmEngineOptions engine_options = {threads[i], ""};
		LmEngine *engine = lm_engine_start(host, &engine_options, NULL);
		LmBpeOptions options = {.min_count = 3, .whole_characters = true, .engine = engine};
		LmBpeTrainer *trainer;

		ok(same_merges(train(&trainer, host, &options, text, size, 2000), wanted),
		   "%d threads learn the same merges", threads[i]);
		lm_bpe_trainer_free(trainer);
		options.memory = (size_t) 9 << 20;
		trainer = lm_bpe_trainer_create(host, &options, NULL);
		while (!lm_bpe_trainer_add(trainer, text, size, NULL) && lm_bpe_trainer_full(trainer))
			spill(&blocks, trainer);
		if (blocks.n_spills == 0)
			spill(&blocks, trainer);
		ok(restore(&blocks, trainer) &&
			   same_merges(lm_bpe_trainer_finish(trainer, 2000, &(int){0}, NULL), wanted),
		   "and with %d, words that were spilled, too", threads[i]);
		free_blocks(&blocks);
		lm_bpe_trainer_free(trainer);
		lm_engine_stop(engine);
	}
}

/* Many texts are counted as the one that they are parts of, where they are cut before a blank. */
static void
test_many(const LmHost *host, const char *text, size_t size, const LmTokenizerSpec *wanted)
{
	static LmBytes texts[200000];
	LmEngineOptions engine_options = {2, ""};
	LmEngine *engine = lm_engine_start(host, &engine_options, NULL);
	LmBpeOptions options = {.min_count = 3, .whole_characters = true, .engine = engine};
	LmBpeTrainer *trainer = lm_bpe_trainer_create(host, &options, NULL);
	LmError error = {0};
	int n = 0, failed = -1;

	for (size_t begin = 0, end = 1; begin < size; end++)
		if (end == size || (text[end] == ' ' && text[end - 1] > ' '))
		{
			texts[n++] = (LmBytes){text + begin, end - begin};
			begin = end;
		}
	ok(lm_bpe_trainer_add_many(trainer, texts, n, &failed, &error) &&
		   same_merges(lm_bpe_trainer_finish(trainer, 2000, &(int){0}, NULL), wanted),
	   "%d texts at once learn the same merges", n);
	lm_bpe_trainer_free(trainer);
	trainer = lm_bpe_trainer_create(host, &options, NULL);
	texts[n / 2] = (LmBytes){" bad\xFF", 5};
	ok(!lm_bpe_trainer_add_many(trainer, texts, n, &failed, &error) && failed == n / 2 &&
		   error.code == LM_ERR_ENCODING && error.position == 4,
	   "the text that is not UTF-8 is named");
	lm_bpe_trainer_free(trainer);
	lm_engine_stop(engine);
}

static void
test_little_memory(const char *text, size_t size, const LmTokenizerSpec *wanted)
{
	CountingHost counting;
	LmHost host = counting_host(&counting);
	LmError error = {0};
	bool same = true, refused = false, within = true;
	size_t part = tap_is_sanitized() ? 2 : 6;

	for (size_t memory = (size_t) 40 << 20; memory >= (size_t) 1 << 20; memory -= memory / part)
	{
		LmBpeOptions options = {.min_count = 3, .whole_characters = true, .memory = memory};
		LmBpeTrainer *trainer = lm_bpe_trainer_create(&host, &options, &error);
		static Blocks blocks;
		const LmTokenizerSpec *spec = NULL;
		bool good = true;

		while (good && !lm_bpe_trainer_add(trainer, text, size, &error))
		{
			good = lm_bpe_trainer_full(trainer);
			spill(&blocks, trainer);
		}
		good = good && (!lm_bpe_trainer_spilled(trainer) || restore(&blocks, trainer));
		free_blocks(&blocks);
		if (good)
			spec = lm_bpe_trainer_finish(trainer, 2000, &(int){0}, &error);
		same = same && (same_merges(spec, wanted) || (!spec && error.code == LM_ERR_LIMIT));
		refused = refused || !spec;
		within = within && counting.peak < memory + ((size_t) 16 << 20);
		lm_bpe_trainer_free(trainer);
		counting.peak = counting.live;
	}
	ok(same, "with less memory the merges are the same, or there is an error");
	ok(within, "the memory is kept to, but for tables of characters");
	is_int(counting.live, 0, "and none is left");
}

static void
test_stop(const char *text, size_t size, const LmTokenizerSpec *wanted)
{
	CountingHost counting;
	LmHost host = counting_host(&counting);
	LmBpeOptions options = {.min_count = 3, .whole_characters = true};
	LmBpeTrainer *trainer = lm_bpe_trainer_create(&host, &options, NULL);
	const LmTokenizerSpec *spec = NULL;
	LmError error = {0};
	bool clean = true;
	int n_stops = 0, n_reached;

	counting.questions = 7;
	while (clean && !lm_bpe_trainer_add(trainer, text, size, &error))
	{
		clean = error.code == LM_ERR_STOPPED;
		counting.questions = 7 + n_stops++;
	}
	while (clean && !(spec = lm_bpe_trainer_finish(trainer, 2000, &n_reached, &error)))
	{
		clean = error.code == LM_ERR_STOPPED;
		counting.questions = 7 + n_stops++;
	}
	ok(clean && n_stops > 5 && same_merges(spec, wanted),
	   "a training that was stopped %d times goes on to the same merges", n_stops);
	lm_bpe_trainer_free(trainer);
}

static void
test_steps(const LmHost *host, const char *text, size_t size, const LmTokenizerSpec *wanted)
{
	LmBpeOptions options = {.min_count = 3, .whole_characters = true};
	LmBpeTrainer *trainer = lm_bpe_trainer_create(host, &options, NULL);
	LmError error = {0};
	bool done = false, grows = true, shorter;
	int n_reached, before = 257;
	const LmTokenizerSpec *spec;

	lm_bpe_trainer_add(trainer, text, size, NULL);
	ok(lm_bpe_trainer_words(trainer) > 1000, "distinct words are counted");
	while (!done && lm_bpe_trainer_merge(trainer, 2000, 100, &done, &error))
	{
		grows = grows && lm_bpe_trainer_tokens(trainer) > before;
		before = lm_bpe_trainer_tokens(trainer);
	}
	ok(done && grows && before == 2000, "merges go in steps, and the number of tokens grows");
	ok(!lm_bpe_trainer_add(trainer, "x", 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a trainer that merges counts no more");
	spec = lm_bpe_trainer_finish(trainer, 500, &n_reached, &error);
	shorter = spec && spec->n_tokens == 500 &&
			  memcmp(spec->merges, wanted->merges, (size_t) spec->n_merges * sizeof(LmMerge)) == 0;
	ok(shorter && same_merges(lm_bpe_trainer_finish(trainer, 2000, &n_reached, &error), wanted),
	   "a smaller vocabulary is the beginning of a larger one");
	lm_bpe_trainer_free(trainer);
}

static void
test_damage(const LmHost *host)
{
	LmBpeTrainer *trainer = lm_bpe_trainer_create(host, NULL, NULL);
	LmError error = {0};
	char block[64] = {0};
	int part;

	lm_bpe_trainer_add(trainer, "some words", 10, NULL);
	lm_bpe_trainer_spill(trainer, &part, NULL);
	ok(!lm_bpe_trainer_finish(trainer, 300, &part, &error) && error.code == LM_ERR_ARGUMENT,
	   "words that are out do not merge");
	ok(!lm_bpe_trainer_restore(trainer, (LmBytes){block, sizeof block}, &error) &&
		   error.code == LM_ERR_FORMAT,
	   "a damaged block is refused");
	lm_bpe_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmBpeOptions options = {.min_count = 3, .whole_characters = true};
	LmBpeTrainer *trainer;
	const LmTokenizerSpec *wanted;
	size_t size;
	char *text = large_text(&size);

	test_twin(&host);
	test_short_lists(&host);
	wanted = train(&trainer, &host, &options, text, size, 2000);
	ok(wanted && wanted->n_tokens == 2000, "a text of %zu bytes trains", size);
	test_threads(&host, text, size, wanted);
	test_many(&host, text, size, wanted);
	test_little_memory(text, size, wanted);
	test_stop(text, size, wanted);
	test_steps(&host, text, size, wanted);
	test_damage(&host);
	lm_bpe_trainer_free(trainer);
	is_int(state.live, 0, "training leaves no memory behind");
	free(text);
	return done_testing();
}

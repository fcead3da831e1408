/*
 * test/unit/test_unigram_train.c
 *
 * Training of unigram tokenizers: frequent substrings and expected counts against naive twins, and
 * what a trained tokenizer promises.
 */
#include "engine/unigram_trainer.h"
#include "text/lattice.h"
#include "text/substrings.h"
#include "tokenizer_fixture.h"

static const char *const rhyme[] = {
	"the cat sat on the mat and the rat sat on the cat",
	"das Haus und die Maus und das Haus und die Maus",
	"der Name des Mannes; der Name der Frau",
	"\xE6\x98\xA5\xE7\x9C\xA0\xE4\xB8\x8D\xE8\xA6\x9A\xE6\x9B\x89 "
	"\xE6\x98\xA5\xE7\x9C\xA0\xE4\xB8\x8D\xE8\xA6\x9A",
	"one cat, two cats, three cats; one rat, two rats, three rats",
};
#define N_RHYME ((int) (sizeof rhyme / sizeof *rhyme))

/* A trainer that has counted the texts `times` times, from the last to the first if asked. */
static LmUnigramTrainer *
count_texts(const LmHost *host, const LmUnigramOptions *options, const char *const *texts, int n,
			int times, bool backward)
{
	LmError error = {0};
	LmUnigramTrainer *trainer = lm_unigram_trainer_create(host, options, &error);

	for (int i = 0; trainer && i < n * times; i++)
	{
		const char *text = texts[backward ? n - 1 - i % n : i % n];
		LmBytes bytes = {text, strlen(text)};
		int failed;

		if (!lm_unigram_trainer_add_many(trainer, &bytes, 1, &failed, &error))
			return NULL;
	}
	return trainer;
}

static bool
same_specs(const LmTokenizerSpec *a, const LmTokenizerSpec *b)
{
	if (!a || !b || a->n_tokens != b->n_tokens)
		return false;
	for (int i = 0; i < a->n_tokens; i++)
		if (!lm_bytes_equal(a->tokens[i], b->tokens[i]) || a->scores[i] != b->scores[i])
			return false;
	return true;
}

/* ------------------------------------------------------------ substrings */

static int64_t
count_naively(const char *const *words, const int *counts, int n, LmBytes bytes)
{
	int64_t count = 0;

	for (int w = 0; w < n; w++)
		for (size_t i = 0; i + bytes.size <= strlen(words[w]); i++)
			if (memcmp(words[w] + i, bytes.data, bytes.size) == 0)
				count += counts[w];
	return count;
}

static void
test_substrings(const LmHost *host)
{
	static const char *const words[] = {
		"banana", "bananas", "ananas", "nab", "\xC3\xA9t\xC3\xA9", "\xC3\xA9\xC3\xA9", "x", "aaaa"};
	static const int counts[] = {3, 2, 1, 4, 2, 1, 5, 1};
	LmWords table = {.host = *host};
	LmRanked items[1000];
	LmSubstringOptions options = {3, 1000, 0};
	LmError error = {0};
	size_t n = 0, n_wanted = 0;
	bool right = true, found;

	for (int w = 0; w < 8; w++)
		lm_words_add(&table, (LmBytes){words[w], strlen(words[w])}, counts[w], &error);
	found = lm_substrings_find(host, items, &n, &table, &options, &error);
	for (size_t i = 0; found && i < n; i++)
		right = right && items[i].number == count_naively(words, counts, 8, items[i].bytes) &&
				items[i].number >= 3 && (i == 0 || items[i - 1].value >= items[i].value);
	ok(found && right, "frequent substrings have the counts of the naive twin");
	/* All distinct substrings of whole characters, naively. */
	for (int w = 0; w < 8; w++)
		for (size_t i = 0; i < strlen(words[w]); i++)
			for (size_t size = 1; i + size <= strlen(words[w]); size++)
			{
				LmBytes bytes = {words[w] + i, size};
				size_t position;
				bool is_new = lm_utf8_valid(bytes.data, size, &position) &&
							  count_naively(words, counts, 8, bytes) >= 3;

				for (int v = 0; is_new && v <= w; v++)
					for (size_t j = 0; is_new && j + size <= strlen(words[v]); j++)
						is_new = (v == w && j >= i) || memcmp(words[v] + j, bytes.data, size) != 0;
				n_wanted += is_new;
			}
	is_int((long long) n, (long long) n_wanted, "all frequent substrings are found");
	options.most = 4;
	found = lm_substrings_find(host, items, &n, &table, &options, &error);
	ok(found && n == 4 && items[0].bytes.size > 1, "the first four are those with the most text");
	options.memory = 1000;
	ok(!lm_substrings_find(host, items, &n, &table, &options, &error) && error.code == LM_ERR_LIMIT,
	   "a search beyond its memory is an error");
	lm_words_free(&table);
}

/* ------------------------------------------------------------ the lattice */

/* The sum of the probabilities of all ways from `at`, and of those in which a token is used. */
static double
enumerate(const LmUnigramToken *tokens, int n, LmBytes word, size_t at, int used, double *with)
{
	double sum = 0, of_token = 0;

	if (at == word.size)
	{
		*with = 0;
		return 1;
	}
	for (int i = 0; i < n; i++)
	{
		LmBytes bytes = tokens[i].bytes;
		double rest, rest_with, p = exp(tokens[i].score);

		if (at + bytes.size > word.size || memcmp(word.data + at, bytes.data, bytes.size) != 0)
			continue;
		rest = enumerate(tokens, n, word, at + bytes.size, used, &rest_with);
		sum += p * rest;
		of_token += p * rest_with + (i == used ? p * rest : 0);
	}
	*with = of_token;
	return sum;
}

static void
test_lattice(const LmHost *host)
{
	static const char *const names[] = {"a", "b", "n", "an", "ana", "ban", "nan", "na"};
	LmUnigramToken tokens[8] = {0};
	LmLattice *lattice = calloc(1, sizeof *lattice);
	LmBytes word = {"banana", 6};
	double worst = 0;
	LmError error = {0};
	int32_t ids[LM_WORD_MOST];
	int n;

	lattice->host = *host;
	for (int i = 0; i < 8; i++)
		tokens[i] = (LmUnigramToken){{names[i], strlen(names[i])}, log(0.05 + 0.02 * i), 0, false};
	ok(lm_lattice_build(lattice, tokens, 8, &error) &&
		   lm_lattice_expect(lattice, word, 1000, &error),
	   "a lattice is built");
	for (int i = 0; i < 8; i++)
	{
		double with, sum = enumerate(tokens, 8, word, 0, i, &with);
		double wanted = 1000 * with / sum, got = (double) tokens[i].mass / LM_MASS;

		worst = fabs(got - wanted) > worst ? fabs(got - wanted) : worst;
	}
	is_near(worst, 0, 0.001, "expected counts are those of all ways, enumerated");
	ok(lm_lattice_best(lattice, ids, &n, word, -1, &error) && n == 2 && ids[0] == 5 && ids[1] == 4,
	   "the best way of \"banana\" is \"ban\", \"ana\"");
	ok(lm_lattice_best(lattice, ids, &n, (LmBytes){"ana", 3}, 4, &error) && n == 2,
	   "without a token, the best way uses others");
	ok(lm_lattice_best(lattice, ids, &n, (LmBytes){"axa", 3}, -1, &error) && n == 3 && ids[1] == -1,
	   "a character without a token is a step of its own");
	lm_lattice_free(lattice);
	free(lattice);
}

/* ------------------------------------------------------------ training */

static void
test_promises(const LmHost *host)
{
	LmError error = {0};
	LmUnigramOptions options = {.min_count = 2};
	LmUnigramTrainer *trainer = count_texts(host, &options, rhyme, N_RHYME, 3, false);
	LmUnigramTrainer *other = count_texts(host, &options, rhyme, N_RHYME, 3, true);
	int n, n_other;
	const LmTokenizerSpec *spec = lm_unigram_trainer_finish(trainer, 320, &n, &error);
	const LmTokenizerSpec *same = lm_unigram_trainer_finish(other, 320, &n_other, &error);
	LmTokenizer *tokenizer = spec ? lm_tokenizer_create(host, spec, &error) : NULL;
	LmTokens tokens = {0};
	char decoded[400];
	size_t size = 0;
	double sum = 0;
	bool sorted = true, kept = true;

	ok(spec && n == spec->n_tokens && n <= 320 && n > 300, "a vocabulary of 320 is reached (%d)",
	   n);
	ok(same_specs(spec, same), "the order of the texts changes nothing");
	for (int i = 256; spec && i < n - 1; i++)
	{
		sum += exp(spec->scores[i]);
		sorted = sorted && (i == 256 || spec->scores[i] <= spec->scores[i - 1]);
	}
	is_near(sum, 1, 1e-9, "the probabilities of the tokens sum to 1");
	ok(sorted, "the most probable token comes first");
	ok(tokenizer != NULL, "the engine accepts the trained tokenizer: %s", error.message);
	for (int i = 0; tokenizer && i <= N_RHYME; i++)
	{
		const char *text = i < N_RHYME ? rhyme[i] : "new words: \xF0\x9F\x98\x80 zebra  \n\tq";

		tokens.count = size = 0;
		kept = kept && lm_tokenizer_encode(tokenizer, &tokens, text, strlen(text), &error);
		for (size_t j = 0; j < tokens.count; j++)
		{
			LmBytes bytes = lm_tokenizer_bytes(tokenizer, tokens.ids[j]);

			memcpy(decoded + size, bytes.data, bytes.size);
			size += bytes.size;
		}
		kept = kept && size == strlen(text) && memcmp(decoded, text, size) == 0;
		kept = kept && (i == N_RHYME || tokens.count < size * 2 / 3);
	}
	ok(tokenizer && kept, "texts are encoded in fewer tokens than bytes, and decoded again");
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	lm_unigram_trainer_free(trainer);
	lm_unigram_trainer_free(other);
}

static int calls_left; /* of should_stop, until it says yes once */

static bool
stop_once(void *context)
{
	(void) context;
	return calls_left-- == 0;
}

/* An interruption at any moment, after which the caller goes on, changes nothing. */
static void
test_interruptions(const LmHost *host)
{
	LmError error = {0};
	LmHost stopping = *host;
	LmUnigramOptions options = {.min_count = 2};
	int n, n_stopped = 0, n_different = 0;
	LmUnigramTrainer *undisturbed = count_texts(host, &options, rhyme, N_RHYME, 2, false);
	const LmTokenizerSpec *wanted = lm_unigram_trainer_finish(undisturbed, 305, &n, &error);

	stopping.should_stop = stop_once;
	for (int at = 0, stopped = 1; stopped && at < 1000; at++)
	{
		LmUnigramTrainer *trainer;
		const LmTokenizerSpec *spec;

		calls_left = 1 << 30;
		trainer = count_texts(&stopping, &options, rhyme, N_RHYME, 2, false);
		calls_left = at;
		stopped = 0;
		while (!(spec = lm_unigram_trainer_finish(trainer, 305, &n, &error)) &&
			   error.code == LM_ERR_STOPPED)
			stopped++;
		n_stopped += stopped;
		n_different += !same_specs(spec, wanted);
		lm_unigram_trainer_free(trainer);
	}
	ok(n_stopped > 20 && n_different == 0,
	   "an interruption at any of %d moments changes nothing (%d differ)", n_stopped, n_different);
	lm_unigram_trainer_free(undisturbed);
}

static void
test_errors(TapHost *state, const LmHost *host)
{
	LmError error = {0};
	bool done, refused;
	LmUnigramOptions options = {.min_count = 2};
	LmUnigramTrainer *trainer;
	int n;

	trainer = count_texts(host, &options, rhyme, N_RHYME, 2, false);
	ok(!lm_unigram_trainer_round(trainer, 299, &done, &error) && error.code == LM_ERR_ARGUMENT,
	   "a vocabulary below 300 is an error: %s", error.message);
	state->stop = true;
	refused = !lm_unigram_trainer_finish(trainer, 310, &n, &error) && error.code == LM_ERR_STOPPED;
	state->stop = false;
	ok(refused && lm_unigram_trainer_finish(trainer, 310, &n, &error),
	   "a training that was stopped goes on");
	lm_unigram_trainer_free(trainer);
	trainer = lm_unigram_trainer_create(host, &(LmUnigramOptions){.pattern = "("}, &error);
	ok(!trainer && error.code == LM_ERR_FORMAT, "a pattern that ICU refuses is an error");
}

/* Tokens a byte of a real text, beside BPE of the same size. */
static void
test_text(const LmHost *host)
{
	const char *folder = tap_data_folder();
	char path[4096];
	size_t size = 0;
	char *text;
	LmError error = {0};
	LmUnigramTrainer *unigram;
	LmBpeTrainer *bpe;
	const LmTokenizerSpec *specs[2];
	size_t counts[2] = {0};
	LmBytes bytes;
	int n, failed;

	if (!folder)
	{
		skip("unigram needs about as many tokens as BPE", "the test data is not here");
		return;
	}
	snprintf(path, sizeof path, "%s/corpora/tinyshakespeare.txt", folder);
	text = tap_read_file(path, &size);
	bytes = (LmBytes){text, size};
	unigram = lm_unigram_trainer_create(host, &(LmUnigramOptions){.min_count = 3}, &error);
	bpe = lm_bpe_trainer_create(host, NULL, &error);
	lm_unigram_trainer_add_many(unigram, &bytes, 1, &failed, &error);
	lm_bpe_trainer_add(bpe, text, size, &error);
	specs[0] = lm_bpe_trainer_finish(bpe, 2000, &n, &error);
	specs[1] = lm_unigram_trainer_finish(unigram, 2000, &n, &error);
	for (int i = 0; i < 2 && specs[i]; i++)
	{
		LmTokenizer *tokenizer = lm_tokenizer_create(host, specs[i], &error);
		LmTokens tokens = {0};

		if (tokenizer && lm_tokenizer_encode(tokenizer, &tokens, text, size, &error))
			counts[i] = tokens.count;
		lm_tokens_free(host, &tokens);
		lm_tokenizer_free(tokenizer);
	}
	ok(n == 2000 && counts[1] > 0 && (double) counts[1] < 1.05 * (double) counts[0],
	   "unigram needs about as many tokens as BPE (%zu, %zu)", counts[1], counts[0]);
	lm_unigram_trainer_free(unigram);
	lm_bpe_trainer_free(bpe);
	free(text);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);

	test_substrings(&host);
	test_lattice(&host);
	test_promises(&host);
	test_interruptions(&host);
	test_errors(&state, &host);
	test_text(&host);
	is_int(state.live, 0, "training leaves no memory behind");
	return done_testing();
}

/*
 * src/engine/text/bpe_train.c
 *
 * Texts in, a tokenizer out: word_counter.c counts the words, bpe_merge.c merges them. In between
 * the words move from the hash tables of counting to the array of merging. They pass twice, because
 * the array has them in the order of their counts.
 */
#include "text/array.h"
#include "text/bpe_merge.h"
#include "text/utf8.h"
#include "text/word_counter.h"

#define POLL_WORDS 65536
#define MERGES_AT_ONCE 1024

_Static_assert(LM_BPE_PARTS == LM_SPILL_PARTS, "the parts of a counter are those of a trainer");

/* What a trainer does with words. */
typedef enum State
{
	COUNTING,
	SURVEYING, /* words that were spilled come back, for the first time ... */
	PLACING, /* ... and the second */
	MERGING,
	FAILED
} State;

struct LmBpeTrainer
{
	LmHost host;
	LmBpeOptions options; /* without the pattern */
	char *pattern;
	LmWordCounter *counter;
	State state;
	bool spilled;
	int part; /* the next one to come back */
	LmMerging merging;
	LmTokenizerSpec spec; /* of the last _finish */
};

static bool start_merging(LmBpeTrainer *trainer, LmError *error);
static bool move_words(LmBpeTrainer *trainer, const LmWords *words, State state, LmError *error);
static bool lay_out(LmBpeTrainer *trainer, LmError *error);
static bool make_spec(LmBpeTrainer *trainer, int n_tokens, LmError *error);
static void free_spec(LmBpeTrainer *trainer);

/* ------------------------------------------------------------ counting */

LmBpeTrainer *
lm_bpe_trainer_create(const LmHost *host, const LmBpeOptions *options, LmError *error)
{
	LmBpeTrainer *trainer = lm_array_allocate(host, 1, sizeof *trainer, error);
	LmCounterOptions counting;

	if (!trainer)
		return NULL;
	trainer->host = *host;
	if (options)
		trainer->options = *options;
	if (trainer->options.min_count < 2)
		trainer->options.min_count = 2;
	counting = (LmCounterOptions){.pattern = trainer->options.pattern,
								  .normalize_nfc = trainer->options.normalize_nfc,
								  .normalize_nfkc = trainer->options.normalize_nfkc,
								  .engine = trainer->options.engine,
								  .memory = trainer->options.memory / 2};
	trainer->counter = lm_counter_create(&trainer->host, &counting, error);
	if (trainer->counter && counting.pattern)
	{
		trainer->pattern = lm_array_allocate(host, strlen(counting.pattern) + 1, 1, error);
		if (trainer->pattern)
			memcpy(trainer->pattern, counting.pattern, strlen(counting.pattern));
	}
	trainer->options.pattern = NULL;
	if (trainer->counter && (trainer->pattern || !counting.pattern))
		return trainer;
	lm_bpe_trainer_free(trainer);
	return NULL;
}

void
lm_bpe_trainer_free(LmBpeTrainer *trainer)
{
	LmHost host;

	if (!trainer)
		return;
	host = trainer->host;
	free_spec(trainer);
	lm_merging_free(&trainer->merging);
	lm_counter_free(trainer->counter);
	lm_free(&host, trainer->pattern);
	lm_free(&host, trainer);
}

bool
lm_bpe_trainer_add(LmBpeTrainer *trainer, const char *text, size_t size, LmError *error)
{
	LmBytes bytes = {text, size};

	return lm_bpe_trainer_add_many(trainer, &bytes, 1, NULL, error);
}

bool
lm_bpe_trainer_add_many(LmBpeTrainer *trainer, const LmBytes *texts, int n, int *failed,
						LmError *error)
{
	if (trainer->state != COUNTING)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a tokenizer that merges counts no more texts");
	return lm_counter_add(trainer->counter, texts, n, failed, error);
}

bool
lm_bpe_trainer_put(LmBpeTrainer *trainer, LmBytes word, int64_t count, LmError *error)
{
	if (trainer->state != COUNTING || word.size < 1 || word.size > LM_WORD_MOST || count < 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "word of %zu bytes cannot be counted",
					   word.size);
	return lm_counter_put(trainer->counter, word, count, error);
}

size_t
lm_bpe_trainer_memory(const LmBpeTrainer *trainer)
{
	return sizeof *trainer + lm_counter_memory(trainer->counter) +
		   lm_merging_memory(&trainer->merging) +
		   (size_t) trainer->spec.n_tokens * (sizeof(LmBytes) + sizeof(bool));
}

size_t
lm_bpe_trainer_words(const LmBpeTrainer *trainer)
{
	return lm_counter_count(trainer->counter);
}

/* ------------------------------------------------------------ words that go out and come back */

bool
lm_bpe_trainer_full(const LmBpeTrainer *trainer)
{
	return lm_counter_full(trainer->counter);
}

bool
lm_bpe_trainer_spilled(const LmBpeTrainer *trainer)
{
	return trainer->spilled;
}

LmBytes
lm_bpe_trainer_spill(LmBpeTrainer *trainer, int *part, LmError *error)
{
	trainer->spilled = true;
	return lm_counter_spill(trainer->counter, part, error);
}

int
lm_bpe_trainer_wanted(const LmBpeTrainer *trainer)
{
	return trainer->spilled && trainer->state < MERGING ? trainer->part : -1;
}

bool
lm_bpe_trainer_restore(LmBpeTrainer *trainer, LmBytes block, LmError *error)
{
	return lm_counter_restore(trainer->counter, block, error);
}

bool
lm_bpe_trainer_restored(LmBpeTrainer *trainer, LmError *error)
{
	LmMerging *merging = &trainer->merging;
	State state = trainer->state;
	const LmWords *words = lm_counter_words(trainer->counter, error);

	trainer->state = FAILED;
	if (!words)
		return false;
	if (state == COUNTING)
	{
		if (!lm_merging_create(merging, &trainer->host, trainer->options.min_count,
							   trainer->options.whole_characters, trainer->options.memory, error))
			return false;
		state = SURVEYING;
	}
	if (!move_words(trainer, words, state, error))
		return false;
	lm_counter_clear(trainer->counter);
	if (++trainer->part == LM_BPE_PARTS)
	{
		trainer->part = 0;
		if (state == SURVEYING && !lay_out(trainer, error))
			return false;
		if (state == PLACING)
		{
			lm_counter_release(trainer->counter);
			lm_units_finish(&merging->units);
		}
		state++;
	}
	trainer->state = state;
	return true;
}

/* Gives all words to the array of merging. */
static bool
move_words(LmBpeTrainer *trainer, const LmWords *words, State state, LmError *error)
{
	LmUnits *units = &trainer->merging.units;
	LmWordCursor cursor = {0, 0};
	LmBytes word;
	int64_t count;

	for (size_t i = 0; lm_words_next(words, &cursor, &word, &count); i++)
	{
		if (i % POLL_WORDS == 0 && !trainer->spilled && !lm_text_go_on(&trainer->host, error))
			return false;
		if (state == PLACING)
			lm_units_place(units, word, count);
		else if (!lm_units_survey(units, word, count, error))
			return false;
	}
	return true;
}

static bool
lay_out(LmBpeTrainer *trainer, LmError *error)
{
	LmMerging *merging = &trainer->merging;
	size_t size = 2 * lm_units_surveyed(&merging->units);

	if (trainer->options.memory > 0 && size > trainer->options.memory / 2)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "distinct words of %zu MB need more memory than %zu MB", size >> 21,
					   trainer->options.memory >> 20);
	return lm_units_lay_out(&merging->units, &merging->symbols, trainer->options.min_count, error);
}

/* ------------------------------------------------------------ merging */

bool
lm_bpe_trainer_merge(LmBpeTrainer *trainer, int n_tokens, int n_merges, bool *done, LmError *error)
{
	if (n_tokens < 257 || n_tokens > LM_MAX_VOCABULARY)
		return lm_fail(error, LM_ERR_ARGUMENT, n_tokens,
					   "vocabulary of %d tokens is outside the range 257 .. %d", n_tokens,
					   LM_MAX_VOCABULARY);
	if (trainer->state == COUNTING && !trainer->spilled && !start_merging(trainer, error))
		return false;
	if (trainer->state != MERGING)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "words that were spilled have not come back");
	return lm_merging_step(&trainer->merging, n_tokens - 1, n_merges, done, error);
}

/* On failure the words are still there, and it can be called again. */
static bool
start_merging(LmBpeTrainer *trainer, LmError *error)
{
	LmMerging *merging = &trainer->merging;
	const LmWords *words = lm_counter_words(trainer->counter, error);

	lm_merging_free(merging);
	if (!words ||
		!lm_merging_create(merging, &trainer->host, trainer->options.min_count,
						   trainer->options.whole_characters, trainer->options.memory, error) ||
		!move_words(trainer, words, SURVEYING, error) || !lay_out(trainer, error) ||
		!move_words(trainer, words, PLACING, error))
		return false;
	lm_units_finish(&merging->units);
	lm_counter_release(trainer->counter);
	trainer->state = MERGING;
	return true;
}

int
lm_bpe_trainer_tokens(const LmBpeTrainer *trainer)
{
	return trainer->state == MERGING ? trainer->merging.symbols.n_tokens + 1 : 257;
}

const LmTokenizerSpec *
lm_bpe_trainer_finish(LmBpeTrainer *trainer, int n_tokens, int *n_reached, LmError *error)
{
	bool done;

	free_spec(trainer);
	do
		if (!lm_bpe_trainer_merge(trainer, n_tokens, MERGES_AT_ONCE, &done, error))
			return NULL;
	while (!done);
	if (n_tokens > trainer->merging.symbols.n_tokens + 1)
		n_tokens = trainer->merging.symbols.n_tokens + 1;
	if (!make_spec(trainer, n_tokens, error))
	{
		free_spec(trainer);
		return NULL;
	}
	*n_reached = n_tokens;
	return &trainer->spec;
}

/* The first n_tokens - 1 tokens, the merges up to the one that made the last of them, the end. */
static bool
make_spec(LmBpeTrainer *trainer, int n_tokens, LmError *error)
{
	LmTokenizerSpec *spec = &trainer->spec;
	const LmMerging *merging = &trainer->merging;

	spec->kind = LM_TOKENIZER_BPE;
	spec->normalize_nfc = trainer->options.normalize_nfc;
	spec->normalize_nfkc = trainer->options.normalize_nfkc;
	spec->pattern = trainer->pattern;
	spec->beginning = spec->unknown = -1;
	spec->tokens =
		lm_array_allocate(&trainer->host, (size_t) n_tokens, sizeof *spec->tokens, error);
	if (spec->tokens)
		spec->special =
			lm_array_allocate(&trainer->host, (size_t) n_tokens, sizeof *spec->special, error);
	if (!spec->special)
		return false;
	for (int i = 0; i < n_tokens - 1; i++)
		spec->tokens[i] = merging->symbols.bytes[merging->symbols.of_tokens[i]];
	spec->merges = merging->merges;
	/* As if it had ended there. Where all merges were done, some may follow the last new token. */
	spec->n_merges = (int) merging->n_merges;
	for (int i = 0; i < spec->n_merges && n_tokens <= merging->symbols.n_tokens; i++)
		if (merging->merges[i].result == n_tokens - 2)
			spec->n_merges = i + 1;
	if (n_tokens == 257)
		spec->n_merges = 0;
	spec->n_tokens = n_tokens;
	spec->end_of_text = n_tokens - 1;
	spec->tokens[spec->end_of_text] = (LmBytes){LM_END_OF_TEXT, sizeof LM_END_OF_TEXT - 1};
	spec->special[spec->end_of_text] = true;
	return true;
}

static void
free_spec(LmBpeTrainer *trainer)
{
	lm_free(&trainer->host, trainer->spec.tokens);
	lm_free(&trainer->host, trainer->spec.special);
	memset(&trainer->spec, 0, sizeof trainer->spec);
}

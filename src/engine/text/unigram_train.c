/*
 * src/engine/text/unigram_train.c
 *
 * Counted words in, tokens and their probabilities out (Kudo 2018, 3.2):
 *
 *   1. candidates: all frequent characters, and the frequent substrings with the most text in them;
 *   2. rounds: probabilities by expectation and maximisation; then the loss of each token, which is
 *      how much less likely the texts become when its occurrences are cut into the next best
 *      tokens; the tokens that cost least are given up, a quarter at a time;
 *   3. at last the most probable tokens, as many as wanted. Characters stay.
 */
#include <math.h>

#include "engine/unigram_trainer.h"
#include "text/lattice.h"
#include "text/substrings.h"
#include "text/utf8.h"
#include "text/word_counter.h"

#define BYTES 256
#define FIXED (BYTES + 1) /* ids that are no tokens of the model: bytes and the end */
#define CANDIDATES 16 /* candidates for a token of the vocabulary */
#define LEAST_CANDIDATES 65536
#define KEPT_SHARE 0.75 /* of the tokens, a round; SentencePiece's shrinking_factor */
#define SPARE_SHARE 1.1 /* of the wanted tokens, which the last rounds choose among */
#define PASSES 2 /* of expectation and maximisation, a round */
#define LEAST_MASS 0.5 /* expected occurrences, below which a token is given up */
#define CHARACTER_SHARE 2 /* the most frequent characters take at most 1 / this of the tokens */
#define POLLED 256 /* words between two looks at whether to stop */

/* The result: one array each. */
typedef struct TrainedUnigram
{
	LmTokenizerSpec spec;
	char bytes[BYTES];
} TrainedUnigram;

struct LmUnigramTrainer
{
	LmHost host;
	int64_t min_count;
	size_t memory;
	LmWordCounter *counter;
	const LmWords *words; /* the counter's, from the first round on */
	LmUnigramToken *tokens;
	size_t n_tokens;
	LmRanked *ranked; /* [n_tokens at first] scratch */
	/* How far the work is, so that a call after LM_ERR_STOPPED repeats nothing that changes it. */
	int passes; /* of the estimate that is being made */
	bool few; /* rounds are done */
	bool chosen; /* the tokens of the result are */
	LmLattice *lattice;
	TrainedUnigram result;
};

static bool begin(LmUnigramTrainer *trainer, int n_tokens, LmError *error);
static bool find_candidates(LmUnigramTrainer *trainer, size_t wanted, size_t room, LmError *error);
static bool estimate(LmUnigramTrainer *trainer, LmError *error);
static bool expect(LmUnigramTrainer *trainer, LmError *error);
static void maximise(LmUnigramTrainer *trainer);
static bool give_up(LmUnigramTrainer *trainer, size_t kept, LmError *error);
static bool find_loss(LmUnigramTrainer *trainer, double *loss, int32_t id, double total,
					  LmError *error);
static bool choose_first(LmUnigramTrainer *trainer, size_t kept, LmError *error);
static bool make_spec(LmUnigramTrainer *trainer, LmError *error);

LmUnigramTrainer *
lm_unigram_trainer_create(const LmHost *host, const LmUnigramOptions *options, LmError *error)
{
	LmUnigramTrainer *trainer = lm_array_allocate(host, 1, sizeof *trainer, error);
	LmCounterOptions counter = {.pattern = options->pattern,
								.normalize_nfc = options->normalize_nfc,
								.normalize_nfkc = options->normalize_nfkc,
								.engine = options->engine,
								.memory = options->memory / 2};

	if (!trainer)
		return NULL;
	trainer->host = *host;
	trainer->min_count = options->min_count < 2 ? 2 : options->min_count;
	trainer->memory = options->memory;
	trainer->result.spec.normalize_nfc = options->normalize_nfc;
	trainer->result.spec.normalize_nfkc = options->normalize_nfkc;
	trainer->counter = lm_counter_create(host, &counter, error);
	trainer->lattice =
		trainer->counter ? lm_array_allocate(host, 1, sizeof *trainer->lattice, error) : NULL;
	if (!trainer->lattice)
	{
		lm_unigram_trainer_free(trainer);
		return NULL;
	}
	trainer->lattice->host = *host;
	return trainer;
}

void
lm_unigram_trainer_free(LmUnigramTrainer *trainer)
{
	LmHost host;

	if (!trainer)
		return;
	host = trainer->host;
	if (trainer->lattice)
		lm_lattice_free(trainer->lattice);
	lm_free(&host, trainer->lattice);
	if (trainer->counter)
		lm_counter_free(trainer->counter);
	lm_free(&host, trainer->tokens);
	lm_free(&host, trainer->ranked);
	lm_free(&host, trainer->result.spec.tokens);
	lm_free(&host, trainer->result.spec.special);
	lm_free(&host, trainer->result.spec.flags);
	lm_free(&host, trainer->result.spec.scores);
	lm_free(&host, trainer);
}

bool
lm_unigram_trainer_add_many(LmUnigramTrainer *trainer, const LmBytes *texts, int n, int *failed,
							LmError *error)
{
	return lm_counter_add(trainer->counter, texts, n, failed, error);
}

bool
lm_unigram_trainer_put(LmUnigramTrainer *trainer, LmBytes word, int64_t count, LmError *error)
{
	if (trainer->words || word.size < 1 || word.size > LM_WORD_MOST || count < 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "word of %zu bytes cannot be counted",
					   word.size);
	return lm_counter_put(trainer->counter, word, count, error);
}

bool
lm_unigram_trainer_full(const LmUnigramTrainer *trainer)
{
	return lm_counter_full(trainer->counter);
}

size_t
lm_unigram_trainer_memory(const LmUnigramTrainer *trainer)
{
	return sizeof *trainer + lm_counter_memory(trainer->counter) +
		   trainer->n_tokens * (sizeof *trainer->tokens + sizeof *trainer->ranked) +
		   lm_lattice_memory(trainer->lattice);
}

int
lm_unigram_trainer_tokens(const LmUnigramTrainer *trainer)
{
	return (int) trainer->n_tokens + FIXED;
}

bool
lm_unigram_trainer_round(LmUnigramTrainer *trainer, int n_tokens, bool *done, LmError *error)
{
	size_t most, kept;

	*done = false;
	if (n_tokens < LM_UNIGRAM_SMALLEST || n_tokens > LM_MAX_VOCABULARY)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "a unigram vocabulary has %d to %d tokens, not %d", LM_UNIGRAM_SMALLEST,
					   LM_MAX_VOCABULARY, n_tokens);
	if (!trainer->tokens)
		return begin(trainer, n_tokens, error);
	*done = trainer->few;
	if (*done)
		return true;
	most = (size_t) ((double) (n_tokens - FIXED) * SPARE_SHARE);
	if (!estimate(trainer, error))
		return false;
	*done = trainer->few = trainer->n_tokens <= most;
	if (*done)
	{
		trainer->passes = 0;
		return true;
	}
	kept = (size_t) ((double) trainer->n_tokens * KEPT_SHARE);
	return give_up(trainer, kept > most ? kept : most, error);
}

const LmTokenizerSpec *
lm_unigram_trainer_finish(LmUnigramTrainer *trainer, int n_tokens, int *n_reached, LmError *error)
{
	for (bool done = false; !done;)
		if (!lm_unigram_trainer_round(trainer, n_tokens, &done, error))
			return NULL;
	if (!trainer->chosen && !choose_first(trainer, (size_t) (n_tokens - FIXED), error))
		return NULL;
	trainer->chosen = true;
	if (!estimate(trainer, error) || !make_spec(trainer, error))
		return NULL;
	*n_reached = trainer->result.spec.n_tokens;
	return &trainer->result.spec;
}

/* ------------------------------------------------------------ candidates */

static bool
begin(LmUnigramTrainer *trainer, int n_tokens, LmError *error)
{
	size_t wanted = (size_t) (n_tokens - FIXED);
	size_t room = wanted * CANDIDATES > LEAST_CANDIDATES ? wanted * CANDIDATES : LEAST_CANDIDATES;

	if (!trainer->words && !(trainer->words = lm_counter_words(trainer->counter, error)))
		return false;
	if (!trainer->ranked && !(trainer->ranked = lm_array_allocate(&trainer->host, room,
																  sizeof *trainer->ranked, error)))
		return false;
	return find_candidates(trainer, wanted, room, error);
}

static bool
is_character(LmBytes bytes)
{
	return bytes.size > 0 && (size_t) lm_utf8_length(bytes.data, bytes.size) == bytes.size;
}

/* The frequent substrings become the tokens; the most frequent characters are needed. */
static bool
find_candidates(LmUnigramTrainer *trainer, size_t wanted, size_t room, LmError *error)
{
	LmSubstringOptions options = {trainer->min_count, room, trainer->memory / 4};
	LmRanked *ranked = trainer->ranked;
	size_t n, n_needed = 0;
	double total = 0;

	if (!lm_substrings_find(&trainer->host, ranked, &n, trainer->words, &options, error))
		return false;
	trainer->tokens = lm_array_allocate(&trainer->host, n + 1, sizeof *trainer->tokens, error);
	if (!trainer->tokens)
		return false;
	for (size_t i = 0; i < n; i++)
		total += (double) ranked[i].number;
	for (size_t i = 0; i < n; i++)
	{
		bool needed = is_character(ranked[i].bytes) && n_needed < wanted / CHARACTER_SHARE;

		n_needed += needed;
		trainer->tokens[i] = (LmUnigramToken){.bytes = ranked[i].bytes,
											  .score = log((double) ranked[i].number / total),
											  .needed = needed};
	}
	trainer->n_tokens = n;
	return true;
}

/* ------------------------------------------------------------ expectation, maximisation */

static bool
estimate(LmUnigramTrainer *trainer, LmError *error)
{
	for (; trainer->passes < PASSES; trainer->passes++)
	{
		if (!expect(trainer, error))
			return false;
		maximise(trainer);
	}
	/* Tokens of which maximise() gave some up have new numbers. */
	return lm_lattice_build(trainer->lattice, trainer->tokens, trainer->n_tokens, error);
}

/* How often each token is expected in the words. */
static bool
expect(LmUnigramTrainer *trainer, LmError *error)
{
	LmWordCursor cursor = {0};
	size_t position, n = 0;
	int64_t count;
	LmBytes word;

	if (!lm_lattice_build(trainer->lattice, trainer->tokens, trainer->n_tokens, error))
		return false;
	for (size_t i = 0; i < trainer->n_tokens; i++)
		trainer->tokens[i].mass = 0;
	while (lm_words_next(trainer->words, &cursor, &word, &count))
	{
		if (n++ % POLLED == 0 && !lm_text_go_on(&trainer->host, error))
			return false;
		if (lm_utf8_valid(word.data, word.size, &position) &&
			!lm_lattice_expect(trainer->lattice, word, count, error))
			return false;
	}
	return true;
}

/* Probabilities by the expected counts; tokens that are hardly expected are given up. */
static void
maximise(LmUnigramTrainer *trainer)
{
	LmUnigramToken *tokens = trainer->tokens;
	uint64_t least = (uint64_t) (LEAST_MASS * LM_MASS), total = 0;
	size_t n = 0;

	for (size_t i = 0; i < trainer->n_tokens; i++)
	{
		if (tokens[i].mass < least && !tokens[i].needed)
			continue;
		tokens[n] = tokens[i];
		if (tokens[n].mass < least)
			tokens[n].mass = least;
		total += tokens[n++].mass;
	}
	trainer->n_tokens = n;
	for (size_t i = 0; i < n; i++)
		tokens[i].score = log((double) tokens[i].mass / (double) total);
}

/* ------------------------------------------------------------ giving up */

/* Keeps the tokens that are needed, and of the others those whose loss costs most. */
static bool
give_up(LmUnigramTrainer *trainer, size_t kept, LmError *error)
{
	LmUnigramToken *tokens = trainer->tokens;
	LmRanked *ranked = trainer->ranked;
	double total = 0;
	size_t n = 0;

	for (size_t i = 0; i < trainer->n_tokens; i++)
		total += (double) tokens[i].mass;
	for (size_t i = 0; i < trainer->n_tokens; i++)
	{
		double loss;

		if (i % POLLED == 0 && !lm_text_go_on(&trainer->host, error))
			return false;
		if (!find_loss(trainer, &loss, (int32_t) i, total, error))
			return false;
		ranked[i] = (LmRanked){tokens[i].bytes, loss, (int64_t) i};
	}
	if (!lm_ranked_sort(&trainer->host, ranked, trainer->n_tokens, error))
		return false;
	for (size_t i = kept; i < trainer->n_tokens; i++)
		if (!tokens[ranked[i].number].needed)
			tokens[ranked[i].number].bytes.size = 0;
	for (size_t i = 0; i < trainer->n_tokens; i++)
		if (tokens[i].bytes.size > 0)
			tokens[n++] = tokens[i];
	trainer->n_tokens = n;
	trainer->passes = 0;
	return true;
}

/*
 * The loss of token id in nats, if each of its expected occurrences becomes the best tokens without
 * it, whose counts rise (as SentencePiece approximates it). Infinite where there are none.
 */
static bool
find_loss(LmUnigramTrainer *trainer, double *loss, int32_t id, double total, LmError *error)
{
	const LmUnigramToken *tokens = trainer->tokens;
	double mass = (double) tokens[id].mass, other = 0, other_total;
	int32_t ids[LM_WORD_MOST];
	int n;

	*loss = INFINITY;
	if (tokens[id].needed)
		return true;
	if (!lm_lattice_best(trainer->lattice, ids, &n, tokens[id].bytes, id, error))
		return false;
	other_total = total + mass * (n - 1);
	for (int i = 0; i < n; i++)
		other += ids[i] < 0 ? trainer->lattice->unknown_score
							: log(((double) tokens[ids[i]].mass + mass) / other_total);
	*loss = mass * (log(mass / total) - other) / LM_MASS;
	return true;
}

/* ------------------------------------------------------------ the result */

/* Keeps the needed tokens and the most probable others, and puts the most probable first. */
static bool
choose_first(LmUnigramTrainer *trainer, size_t kept, LmError *error)
{
	LmUnigramToken *tokens = trainer->tokens;
	LmRanked *ranked = trainer->ranked;
	size_t n = trainer->n_tokens, n_kept = 0;

	for (size_t i = 0; i < n; i++)
		ranked[i] = (LmRanked){tokens[i].bytes, tokens[i].needed ? INFINITY : tokens[i].score, 0};
	for (size_t i = 0; i < n; i++)
		ranked[i].number = (int64_t) i;
	if (!lm_ranked_sort(&trainer->host, ranked, n, error))
		return false;
	for (size_t i = kept; i < n; i++)
		tokens[ranked[i].number].bytes.size = 0;
	for (size_t i = 0; i < n; i++)
		if (tokens[i].bytes.size > 0)
			tokens[n_kept++] = tokens[i];
	trainer->n_tokens = n_kept;
	return true;
}

static bool
make_spec(LmUnigramTrainer *trainer, LmError *error)
{
	LmTokenizerSpec *spec = &trainer->result.spec;
	int n = (int) trainer->n_tokens;
	size_t n_ids = (size_t) n + FIXED;

	for (int i = 0; i < n; i++)
		trainer->ranked[i] =
			(LmRanked){trainer->tokens[i].bytes, trainer->tokens[i].score, (int64_t) i};
	if (!lm_ranked_sort(&trainer->host, trainer->ranked, (size_t) n, error))
		return false;
	spec->kind = LM_TOKENIZER_UNIGRAM;
	if (!(spec->tokens = lm_array_allocate(&trainer->host, n_ids, sizeof(LmBytes), error)) ||
		!(spec->special = lm_array_allocate(&trainer->host, n_ids, sizeof(bool), error)) ||
		!(spec->flags = lm_array_allocate(&trainer->host, n_ids, sizeof(uint8_t), error)) ||
		!(spec->scores = lm_array_allocate(&trainer->host, n_ids, sizeof(double), error)))
		return false;
	for (int byte = 0; byte < BYTES; byte++)
	{
		trainer->result.bytes[byte] = (char) byte;
		spec->tokens[byte] = (LmBytes){&trainer->result.bytes[byte], 1};
		spec->flags[byte] = LM_TOKEN_BYTE;
	}
	for (int i = 0; i < n; i++)
	{
		spec->tokens[BYTES + i] = trainer->ranked[i].bytes;
		spec->scores[BYTES + i] = trainer->ranked[i].value;
	}
	spec->tokens[BYTES + n] = (LmBytes){LM_END_OF_TEXT, sizeof LM_END_OF_TEXT - 1};
	spec->special[BYTES + n] = true;
	spec->n_tokens = (int) n_ids;
	spec->end_of_text = BYTES + n;
	spec->beginning = spec->unknown = -1;
	return true;
}

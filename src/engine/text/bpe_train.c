/*
 * src/engine/text/bpe_train.c
 *
 * Counted words in, merges out (Sennrich et al. 2016, algorithm 1, over bytes): merge the most
 * frequent pair of neighbours everywhere, again and again. Only the words that have the pair are
 * visited, and only the counts of the pairs beside it change, so that training is far from linear
 * in merges times words.
 *
 * Where two merges spell the same bytes ("a" "bc" and "ab" "c"), the second yields the token of the
 * first: the tokens of a vocabulary are distinct.
 */
#include "text/array.h"
#include "text/normalize.h"
#include "text/pairs.h"
#include "text/split.h"
#include "text/utf8.h"
#include "text/words.h"

#define POLL_WORDS 4096
/* bytes that merging takes for a byte of distinct words, at most as measured */
#define MERGING_SIZE 64

/* The result of lm_bpe_trainer_finish: one array each, the tokens' bytes in an arena of blocks. */
typedef struct TrainedSpec
{
	LmTokenizerSpec spec;
	char *pattern;
	LmTokenShape *shapes; /* of the tokens; NULL where any two may merge */
	LmTokenTable table;
	size_t merges_capacity;
	char **blocks; /* of BLOCK_SIZE bytes */
	size_t n_blocks, blocks_capacity, block_used;
} TrainedSpec;

#define BLOCK_SIZE 65536

/* The words as they stand: word i is symbols[words[i].offset ..][0 .. lengths[i]). */
typedef struct Merging
{
	int32_t *symbols;
	int32_t *lengths;
	LmPairs pairs;
} Merging;

struct LmBpeTrainer
{
	LmHost host;
	LmSplit split;
	LmPieces pieces;
	LmBpeOptions options; /* without the pattern */
	LmText normalized; /* scratch, kept between texts */
	LmWords words;
	TrainedSpec result;
};

static bool add_valid(LmBpeTrainer *trainer, const char *text, size_t size, LmError *error);
static bool add_piece(LmBpeTrainer *trainer, LmBytes piece, LmError *error);
static bool start_result(LmBpeTrainer *trainer, int n_tokens, LmError *error);
static void free_result(LmBpeTrainer *trainer);
static int32_t find_token(const LmBpeTrainer *trainer, LmBytes bytes, uint32_t *slot);
static bool add_token(LmBpeTrainer *trainer, LmBytes left, LmBytes right, int32_t *id,
					  LmError *error);
static char *arena_place(LmBpeTrainer *trainer, size_t size, LmError *error);
static bool start_merging(LmBpeTrainer *trainer, Merging *merging, LmError *error);
static bool merge_until(LmBpeTrainer *trainer, Merging *merging, int n_tokens, LmError *error);
static bool merge_everywhere(LmBpeTrainer *trainer, Merging *merging, const LmMerge *merge,
							 LmError *error);
static bool merge_in_word(const LmWord *word, Merging *merging, int32_t index, const LmMerge *merge,
						  LmError *error);
static bool record_merge(LmBpeTrainer *trainer, LmMerge *merge, LmError *error);

/* ------------------------------------------------------------ counting */

LmBpeTrainer *
lm_bpe_trainer_create(const LmHost *host, const LmBpeOptions *options, LmError *error)
{
	const char *pattern = options ? options->pattern : NULL;
	LmBpeTrainer *trainer = lm_array_allocate(host, 1, sizeof *trainer, error);

	if (!trainer)
		return NULL;
	trainer->host = trainer->words.host = *host;
	if (options)
		trainer->options = *options;
	trainer->options.pattern = NULL;
	if (trainer->options.min_count < 2)
		trainer->options.min_count = 2;
	if (!lm_split_create(&trainer->split, host, pattern, error))
	{
		lm_free(host, trainer);
		return NULL;
	}
	if (pattern)
	{
		trainer->result.pattern = lm_array_allocate(host, strlen(pattern) + 1, 1, error);
		if (!trainer->result.pattern)
		{
			lm_bpe_trainer_free(trainer);
			return NULL;
		}
		memcpy(trainer->result.pattern, pattern, strlen(pattern));
	}
	return trainer;
}

void
lm_bpe_trainer_free(LmBpeTrainer *trainer)
{
	LmHost host;

	if (!trainer)
		return;
	host = trainer->host;
	free_result(trainer);
	lm_free(&host, trainer->result.pattern);
	lm_split_free(&trainer->split);
	lm_array_free(&host, trainer->normalized.data);
	lm_words_free(&trainer->words);
	lm_free(&host, trainer);
}

size_t
lm_bpe_trainer_memory(const LmBpeTrainer *trainer)
{
	const LmSplit *split = &trainer->split;

	return sizeof *trainer + lm_words_memory(&trainer->words) + trainer->normalized.capacity +
		   split->units_capacity * sizeof(UChar) + trainer->result.n_blocks * BLOCK_SIZE +
		   trainer->words.arena_size * MERGING_SIZE;
}

bool
lm_bpe_trainer_add(LmBpeTrainer *trainer, const char *text, size_t size, LmError *error)
{
	if (!lm_text_check(&trainer->host, text, size, error))
		return false;
	if (!trainer->options.normalize_nfc && !trainer->options.normalize_nfkc)
		return add_valid(trainer, text, size, error);
	return (trainer->options.normalize_nfkc ? lm_text_normalize_kc : lm_text_normalize)(
			   &trainer->host, &trainer->normalized, text, size, error) &&
		   add_valid(trainer, trainer->normalized.data, trainer->normalized.size, error);
}

/* Splits a text that is valid UTF-8 into pieces and counts each. */
static bool
add_valid(LmBpeTrainer *trainer, const char *text, size_t size, LmError *error)
{
	LmPieces *pieces = &trainer->pieces;

	lm_split_start(&trainer->split, text, size);
	do
	{
		if (!lm_split_next(&trainer->split, pieces, error))
			return false;
		for (int i = 0; i < pieces->count; i++)
			if (!add_piece(trainer, pieces->pieces[i], error))
				return false;
	} while (pieces->count > 0);
	return true;
}

/*
 * Longer pieces are cut: a token has at most LM_MAX_TOKEN_SIZE bytes, so that little is lost, and
 * the work stays bounded.
 */
static bool
add_piece(LmBpeTrainer *trainer, LmBytes piece, LmError *error)
{
	while (piece.size > 0)
	{
		size_t size = lm_utf8_boundary(piece.data, piece.size, LM_MAX_TOKEN_SIZE);

		if (!lm_words_add(&trainer->words, (LmBytes){piece.data, size}, error))
			return false;
		piece.data += size;
		piece.size -= size;
	}
	return true;
}

/* ------------------------------------------------------------ merging */

const LmTokenizerSpec *
lm_bpe_trainer_finish(LmBpeTrainer *trainer, int n_tokens, int *n_reached, LmError *error)
{
	Merging merging = {NULL};
	LmTokenizerSpec *spec = &trainer->result.spec;
	bool done;

	if (n_tokens < 257 || n_tokens > LM_MAX_VOCABULARY)
	{
		lm_fail(error, LM_ERR_ARGUMENT, n_tokens,
				"vocabulary of %d tokens is outside the range 257 .. %d", n_tokens,
				LM_MAX_VOCABULARY);
		return NULL;
	}
	done = start_result(trainer, n_tokens, error) && start_merging(trainer, &merging, error) &&
		   merge_until(trainer, &merging, n_tokens, error);
	lm_free(&trainer->host, merging.symbols);
	lm_free(&trainer->host, merging.lengths);
	lm_pairs_free(&merging.pairs);
	if (!done)
	{
		free_result(trainer);
		return NULL;
	}
	spec->end_of_text = spec->n_tokens++;
	spec->tokens[spec->end_of_text] = (LmBytes){LM_END_OF_TEXT, sizeof LM_END_OF_TEXT - 1};
	spec->special[spec->end_of_text] = true;
	*n_reached = spec->n_tokens;
	return spec;
}

/* Makes each word a run of byte tokens, and counts all pairs of neighbours. */
static bool
start_merging(LmBpeTrainer *trainer, Merging *merging, LmError *error)
{
	const LmWords *words = &trainer->words;

	merging->symbols =
		lm_array_allocate(&trainer->host, words->arena_size, sizeof *merging->symbols, error);
	if (merging->symbols)
		merging->lengths =
			lm_array_allocate(&trainer->host, words->count, sizeof *merging->lengths, error);
	if (!merging->lengths ||
		!lm_pairs_create(&merging->pairs, &trainer->host, trainer->result.spec.tokens,
						 trainer->options.min_count, trainer->result.shapes, error))
		return false;
	for (size_t i = 0; i < words->arena_size; i++)
		merging->symbols[i] = (unsigned char) words->arena[i];
	for (size_t i = 0; i < words->count; i++)
	{
		const LmWord *word = &words->words[i];
		const int32_t *symbols = merging->symbols + word->offset;

		if (i % POLL_WORDS == 0 && !lm_text_go_on(&trainer->host, error))
			return false;
		merging->lengths[i] = (int32_t) word->size;
		for (uint32_t k = 0; k + 1 < word->size; k++)
			if (!lm_pairs_raise(&merging->pairs, symbols[k], symbols[k + 1], (int32_t) i,
								word->count, error))
				return false;
	}
	return lm_pairs_flush(&merging->pairs, error);
}

/* Merges the most frequent pair, until n_tokens - 1 tokens exist or no pair is left. */
static bool
merge_until(LmBpeTrainer *trainer, Merging *merging, int n_tokens, LmError *error)
{
	LmMerge merge;

	while (trainer->result.spec.n_tokens < n_tokens - 1 &&
		   lm_pairs_take_best(&merging->pairs, &merge.left, &merge.right))
	{
		if (!lm_text_go_on(&trainer->host, error) || !record_merge(trainer, &merge, error))
			return false;
		if (merge.result >= 0 && !merge_everywhere(trainer, merging, &merge, error))
			return false;
	}
	return true;
}

/*
 * The token of the pair, new or known; -1 where the bytes spell the special token, which text must
 * never yield.
 */
static bool
record_merge(LmBpeTrainer *trainer, LmMerge *merge, LmError *error)
{
	LmTokenizerSpec *spec = &trainer->result.spec;

	if (!add_token(trainer, spec->tokens[merge->left], spec->tokens[merge->right], &merge->result,
				   error))
		return false;
	if (merge->result < 0)
		return true;
	if (!lm_array_reserve(&trainer->host, &spec->merges, &trainer->result.merges_capacity,
						  (size_t) spec->n_merges + 1, sizeof *spec->merges, error))
		return false;
	spec->merges[spec->n_merges++] = *merge;
	return true;
}

/* Applies a merge in every word that has its pair; then updates the counts of pairs around it. */
static bool
merge_everywhere(LmBpeTrainer *trainer, Merging *merging, const LmMerge *merge, LmError *error)
{
	int32_t node = lm_pairs_take_words(&merging->pairs, merge->left, merge->right);

	for (size_t round = 1; node >= 0; round++)
	{
		int32_t index = lm_pairs_next_word(&merging->pairs, &node);

		if (round % POLL_WORDS == 0 && !lm_text_go_on(&trainer->host, error))
			return false;
		if (!merge_in_word(&trainer->words.words[index], merging, index, merge, error))
			return false;
	}
	return lm_pairs_flush(&merging->pairs, error);
}

/*
 * Merges from left to right, in place. After each single merge the counts are those of the word as
 * it stands:
 *
 *   ... before left right after ...   ->   ... before result after ...
 */
static bool
merge_in_word(const LmWord *word, Merging *merging, int32_t index, const LmMerge *merge,
			  LmError *error)
{
	int32_t *symbols = merging->symbols + word->offset;
	int32_t length = merging->lengths[index], n = 0;
	LmPairs *pairs = &merging->pairs;

	for (int32_t i = 0; i < length; i++)
	{
		if (i + 1 == length || symbols[i] != merge->left || symbols[i + 1] != merge->right)
		{
			symbols[n++] = symbols[i];
			continue;
		}
		i++;
		lm_pairs_lower(pairs, merge->left, merge->right, word->count);
		if (n > 0)
		{
			lm_pairs_lower(pairs, symbols[n - 1], merge->left, word->count);
			if (!lm_pairs_raise(pairs, symbols[n - 1], merge->result, index, word->count, error))
				return false;
		}
		if (i + 1 < length)
		{
			lm_pairs_lower(pairs, merge->right, symbols[i + 1], word->count);
			if (!lm_pairs_raise(pairs, merge->result, symbols[i + 1], index, word->count, error))
				return false;
		}
		symbols[n++] = merge->result;
	}
	merging->lengths[index] = n;
	return true;
}

/* ------------------------------------------------------------ the result */

/* Begins a tokenizer of the 256 byte tokens, with room for n_tokens and a table by text. */
static bool
start_result(LmBpeTrainer *trainer, int n_tokens, LmError *error)
{
	TrainedSpec *result = &trainer->result;
	LmTokenizerSpec *spec = &result->spec;
	const LmHost *host = &trainer->host;
	size_t n_slots = lm_table_size((size_t) n_tokens);

	free_result(trainer);
	spec->kind = LM_TOKENIZER_BPE;
	spec->normalize_nfc = trainer->options.normalize_nfc;
	spec->normalize_nfkc = trainer->options.normalize_nfkc;
	spec->pattern = result->pattern;
	spec->beginning = spec->unknown = -1;
	spec->tokens = lm_array_allocate(host, (size_t) n_tokens, sizeof *spec->tokens, error);
	if (spec->tokens)
		spec->special = lm_array_allocate(host, (size_t) n_tokens, sizeof *spec->special, error);
	if (spec->special)
		result->table.slots = lm_array_allocate(host, n_slots, sizeof *result->table.slots, error);
	if (result->table.slots && trainer->options.whole_characters)
		result->shapes = lm_array_allocate(host, (size_t) n_tokens, sizeof *result->shapes, error);
	if (!result->table.slots || (trainer->options.whole_characters && !result->shapes))
		return false;
	result->table.mask = (uint32_t) (n_slots - 1);
	for (int byte = 0; byte < 256; byte++)
	{
		LmBytes token = lm_bytes_spec()->tokens[byte];
		uint32_t slot;

		find_token(trainer, token, &slot);
		if (result->shapes)
			result->shapes[byte] = lm_token_shape(token);
		spec->tokens[spec->n_tokens++] = token;
		result->table.slots[slot] = spec->n_tokens;
	}
	return true;
}

/* Frees the trained tokenizer but for the split pattern, which the next one uses too. */
static void
free_result(LmBpeTrainer *trainer)
{
	TrainedSpec *result = &trainer->result;
	char *pattern = result->pattern;

	lm_free(&trainer->host, result->spec.tokens);
	lm_free(&trainer->host, result->spec.special);
	lm_array_free(&trainer->host, result->spec.merges);
	lm_free(&trainer->host, result->table.slots);
	lm_free(&trainer->host, result->shapes);
	for (size_t i = 0; i < result->n_blocks; i++)
		lm_free(&trainer->host, result->blocks[i]);
	lm_array_free(&trainer->host, result->blocks);
	memset(result, 0, sizeof *result);
	result->pattern = pattern;
}

/* The id of the token with these bytes, or -1 with the slot where it belongs. */
static int32_t
find_token(const LmBpeTrainer *trainer, LmBytes bytes, uint32_t *slot)
{
	const TrainedSpec *result = &trainer->result;

	return lm_token_table_find(&result->table, trainer->host.hash_key, result->spec.tokens, bytes,
							   slot);
}

/* *id is the token of the joined text, new or known; -1 where that is the end-of-text token's. */
static bool
add_token(LmBpeTrainer *trainer, LmBytes left, LmBytes right, int32_t *id, LmError *error)
{
	TrainedSpec *result = &trainer->result;
	LmBytes joined = {NULL, left.size + right.size};
	char *place = arena_place(trainer, joined.size, error);
	uint32_t slot;

	if (!place)
		return false;
	memcpy(place, left.data, left.size);
	memcpy(place + left.size, right.data, right.size);
	joined.data = place;
	*id = -1;
	if (lm_bytes_equal(joined, (LmBytes){LM_END_OF_TEXT, sizeof LM_END_OF_TEXT - 1}))
		return true;
	*id = find_token(trainer, joined, &slot);
	if (*id >= 0)
		return true;
	*id = result->spec.n_tokens++;
	result->spec.tokens[*id] = joined;
	if (result->shapes)
		result->shapes[*id] = lm_token_shape(joined);
	result->table.slots[slot] = *id + 1;
	result->block_used += joined.size;
	return true;
}

/*
 * Room for size bytes, at most LM_MAX_TOKEN_SIZE, that never moves. It is taken when block_used is
 * raised.
 */
static char *
arena_place(LmBpeTrainer *trainer, size_t size, LmError *error)
{
	TrainedSpec *result = &trainer->result;

	if (result->n_blocks == 0 || result->block_used + size > BLOCK_SIZE)
	{
		char *block;

		if (!lm_array_reserve(&trainer->host, &result->blocks, &result->blocks_capacity,
							  result->n_blocks + 1, sizeof *result->blocks, error))
			return NULL;
		block = lm_array_allocate(&trainer->host, BLOCK_SIZE, 1, error);
		if (!block)
			return NULL;
		result->blocks[result->n_blocks++] = block;
		result->block_used = 0;
	}
	return result->blocks[result->n_blocks - 1] + result->block_used;
}

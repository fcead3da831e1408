/*
 * src/engine/text/tokenizer.c
 *
 * The tokenizer as its callers see it: a checked copy of its description, and the tables that its
 * kind needs. encode.c has the way from text to ids.
 */
#include "text/spec.h"
#include "text/tokenizer_parts.h"

static bool build(LmTokenizer *tokenizer, LmError *error);
static bool build_letters(LmTokenizer *tokenizer, LmError *error);
static bool fork_splits(LmTokenizer *fork, const LmTokenizer *tokenizer, LmError *error);
static void drop_shared(LmTokenizer *tokenizer);

LmTokenizer *
lm_tokenizer_create(const LmHost *host, const LmTokenizerSpec *spec, LmError *error)
{
	LmTokenizer *tokenizer;

	if (!lm_spec_check(host, spec, error))
		return NULL;
	tokenizer = lm_array_allocate(host, 1, sizeof *tokenizer, error);
	if (!tokenizer)
		return NULL;
	tokenizer->host = tokenizer->bpe.host = *host;
	tokenizer->spec = lm_spec_copy(host, spec, error);
	if (tokenizer->spec && build(tokenizer, error))
		return tokenizer;
	lm_tokenizer_free(tokenizer);
	return NULL;
}

/* Makes the splitters and tables that the tokenizer's kind needs; bytes need none. */
static bool
build(LmTokenizer *tokenizer, LmError *error)
{
	const LmHost *host = &tokenizer->host;
	const LmTokenizerSpec *spec = tokenizer->spec;

	if (!lm_added_create(tokenizer, error))
		return false;
	switch (spec->kind)
	{
		case LM_TOKENIZER_BPE:
			return lm_tokenizer_open_splits(tokenizer, error) &&
				   lm_bpe_create(&tokenizer->bpe, host, spec, error) &&
				   lm_token_index_create(tokenizer, error);
		case LM_TOKENIZER_CHARS:
			tokenizer->chars = lm_chars_create(host, spec, error);
			return tokenizer->chars != NULL;
		case LM_TOKENIZER_BYTES:
			break;
		case LM_TOKENIZER_SENTENCEPIECE:
		case LM_TOKENIZER_UNIGRAM:
			return build_letters(tokenizer, error);
	}
	return true;
}

/* The characters, and their merges or their scores. */
static bool
build_letters(LmTokenizer *tokenizer, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;

	if (!lm_letters_create(&tokenizer->letters, &tokenizer->host, spec, error))
		return false;
	if (spec->kind == LM_TOKENIZER_UNIGRAM)
	{
		if (!lm_tokenizer_sort(tokenizer, error))
			return false;
		lm_bpe_find_bytes(tokenizer->bpe.byte_ids, spec);
		lm_unigram_open(tokenizer);
		return true;
	}
	if (!lm_bpe_create(&tokenizer->bpe, &tokenizer->host, spec, error))
		return false;
	tokenizer->bpe.letters = &tokenizer->letters;
	return true;
}

bool
lm_tokenizer_open_splits(LmTokenizer *tokenizer, LmError *error)
{
	const LmTokenizerSpec *spec = tokenizer->spec;
	const char *pattern = spec->pattern;

	for (int i = 0; i == 0 || pattern; i++)
	{
		if (!lm_split_create(&tokenizer->splits[i], &tokenizer->host, pattern, error))
			return false;
		tokenizer->n_splits++;
		pattern = i < LM_MAX_PATTERNS - 1 ? spec->further[i] : NULL;
	}
	tokenizer->pieces = lm_array_allocate(&tokenizer->host, (size_t) tokenizer->n_splits,
										  sizeof *tokenizer->pieces, error);
	return tokenizer->pieces != NULL;
}

LmTokenizer *
lm_tokenizer_fork(const LmTokenizer *tokenizer, const LmHost *host, LmError *error)
{
	LmTokenizer *fork = lm_array_allocate(host, 1, sizeof *fork, error);

	if (!fork)
		return NULL;
	fork->host = fork->bpe.host = *host;
	fork->forked = true;
	fork->spec = tokenizer->spec;
	fork->offsets = tokenizer->offsets;
	fork->bytes = tokenizer->bytes;
	fork->order = tokenizer->order;
	fork->n_ordered = tokenizer->n_ordered;
	fork->index = tokenizer->index;
	fork->letters = tokenizer->letters;
	fork->added = tokenizer->added;
	fork->unigram = tokenizer->unigram;
	fork->unigram.nodes = NULL;
	fork->unigram.capacity = 0;
	lm_bpe_fork(&fork->bpe, &tokenizer->bpe, host);
	if (tokenizer->bpe.letters)
		fork->bpe.letters = &fork->letters;
	if (tokenizer->n_splits > 0 && !fork_splits(fork, tokenizer, error))
	{
		lm_tokenizer_free(fork);
		return NULL;
	}
	if (tokenizer->chars)
	{
		fork->chars = lm_chars_fork(tokenizer->chars, host, error);
		if (!fork->chars)
		{
			lm_tokenizer_free(fork);
			return NULL;
		}
	}
	return fork;
}

/* Splitters and scratch of their own: ICU's matchers are for one thread. */
static bool
fork_splits(LmTokenizer *fork, const LmTokenizer *tokenizer, LmError *error)
{
	while (fork->n_splits < tokenizer->n_splits)
	{
		int i = fork->n_splits++;

		if (!lm_split_fork(&fork->splits[i], &tokenizer->splits[i], &fork->host, error))
			return false;
	}
	fork->pieces =
		lm_array_allocate(&fork->host, (size_t) fork->n_splits, sizeof *fork->pieces, error);
	return fork->pieces != NULL;
}

void
lm_tokenizer_free(LmTokenizer *tokenizer)
{
	LmHost host;

	if (!tokenizer)
		return;
	host = tokenizer->host;
	drop_shared(tokenizer);
	lm_tokenizer_free_scratch(tokenizer);
	lm_array_free(&host, tokenizer->unigram.nodes);
	lm_free(&host, tokenizer->sorted);
	lm_free(&host, tokenizer->index.slots);
	lm_free(&host, tokenizer->added.own);
	lm_letters_free(&tokenizer->letters, &host);
	lm_chars_free(tokenizer->chars);
	if (tokenizer->bpe.host.reallocate)
		lm_bpe_free(&tokenizer->bpe);
	for (int i = 0; i < tokenizer->n_splits; i++)
		lm_split_free(&tokenizer->splits[i]);
	lm_free(&host, tokenizer->pieces);
	lm_free(&host, tokenizer->spec);
	lm_free(&host, tokenizer);
}

/* Forgets the tables that another tokenizer or an image owns. */
static void
drop_shared(LmTokenizer *tokenizer)
{
	if (tokenizer->forked)
	{
		tokenizer->spec = NULL;
		if (tokenizer->chars)
			tokenizer->chars->ids = NULL;
	}
	if (!tokenizer->forked && !tokenizer->mapped)
		return;
	tokenizer->bpe.merges = NULL;
	tokenizer->bpe.cuts = (LmCuts){NULL};
	tokenizer->index.slots = NULL;
	tokenizer->added.own = NULL;
	tokenizer->letters = (LmLetters){NULL};
}

const LmTokenizerSpec *
lm_tokenizer_spec(const LmTokenizer *tokenizer)
{
	return tokenizer->spec;
}

LmBytes
lm_tokenizer_bytes(const LmTokenizer *tokenizer, int32_t id)
{
	const LmTokenizerSpec *spec = tokenizer->spec;

	if (id >= 0 && id < spec->n_tokens && spec->special[id])
		return (LmBytes){"", 0};
	return lm_tokenizer_name(tokenizer, id);
}

LmBytes
lm_tokenizer_name(const LmTokenizer *tokenizer, int32_t id)
{
	if (id < 0 || id >= tokenizer->spec->n_tokens)
		return (LmBytes){"", 0};
	return lm_tokenizer_token(tokenizer, id);
}

/*
 * include/engine/unigram_trainer.h
 *
 * Texts go in, a UNIGRAM tokenizer comes out: tokens with probabilities under which the texts are
 * most likely, summed over all ways to cut a word into tokens (Kudo 2018, "Subword Regularization:
 * Improving Neural Network Translation Models with Multiple Subword Candidates", 3.2,
 * https://arxiv.org/abs/1804.10959).
 *
 * The result depends on the counts of words alone: not on their order, nor on threads.
 */
#ifndef LM_UNIGRAM_TRAINER_H
#define LM_UNIGRAM_TRAINER_H

#include "engine/tokenizer.h"

#define LM_UNIGRAM_SMALLEST 300 /* ids of a vocabulary: 256 bytes, the end, and some tokens */

/* How a trainer counts and what it learns. All zeros: GPT-2's split, and what repeats. */
typedef struct LmUnigramOptions
{
	/* as in LmTokenizerSpec; no token of the training crosses a piece */
	const char *pattern;
	bool normalize_nfc, normalize_nfkc; /* one at most */
	int64_t min_count; /* occurrences that a token has at least in the texts; below 2: 2 */
	LmEngine *engine; /* its threads count; it outlives the trainer. NULL: the caller's thread */
	size_t memory; /* bytes that the trainer may take; 0: no limit */
} LmUnigramOptions;

typedef struct LmUnigramTrainer LmUnigramTrainer;

/* NULL with LM_ERR_FORMAT, _LIMIT, _MEMORY or _LIBRARY. */
LmUnigramTrainer *lm_unigram_trainer_create(const LmHost *host, const LmUnigramOptions *options,
											LmError *error);
void lm_unigram_trainer_free(LmUnigramTrainer *trainer);

/*
 * Counts the words of n texts. Errors of lm_tokenizer_encode; *failed is the number of the text
 * that one is about. LM_ERR_LIMIT where the words do not fit into the memory, which is then _full:
 * the caller begins again with fewer texts. After LM_ERR_STOPPED the same call goes on where it
 * ended.
 */
bool lm_unigram_trainer_add_many(LmUnigramTrainer *trainer, const LmBytes *texts, int n,
								 int *failed, LmError *error);
/* Adds a word that was counted elsewhere, as lm_bpe_trainer_put does. */
bool lm_unigram_trainer_put(LmUnigramTrainer *trainer, LmBytes word, int64_t count, LmError *error);
bool lm_unigram_trainer_full(const LmUnigramTrainer *trainer);
size_t lm_unigram_trainer_memory(const LmUnigramTrainer *trainer);

/*
 * One round towards n_tokens ids. The first finds the candidates, and from it on no text is
 * counted; each further one estimates probabilities by two passes of expectation and maximisation,
 * and gives up the quarter of the tokens whose loss costs least. *done when few enough are left.
 * lm_unigram_trainer_tokens: the ids that are left now. Errors: LM_ERR_ARGUMENT for n_tokens below
 * LM_UNIGRAM_SMALLEST or beyond LM_MAX_VOCABULARY, LM_ERR_LIMIT, LM_ERR_MEMORY; LM_ERR_STOPPED: the
 * call can be repeated.
 */
bool lm_unigram_trainer_round(LmUnigramTrainer *trainer, int n_tokens, bool *done, LmError *error);
int lm_unigram_trainer_tokens(const LmUnigramTrainer *trainer);

/*
 * Rounds until they are done, and the spec: 256 byte tokens, which stand in for characters without
 * a token, the tokens from the most probable on, LM_END_OF_TEXT as the last id. Fewer than n_tokens
 * where the texts have no more candidates: *n_reached. The spec is owned by the trainer, which
 * trains no more. Errors of lm_unigram_trainer_round.
 */
const LmTokenizerSpec *lm_unigram_trainer_finish(LmUnigramTrainer *trainer, int n_tokens,
												 int *n_reached, LmError *error);

#endif /* LM_UNIGRAM_TRAINER_H */

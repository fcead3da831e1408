/*
 * src/train/train_search.h
 *
 * The statistics for search that a version gets.
 */
#ifndef GPT_TRAIN_SEARCH_H
#define GPT_TRAIN_SEARCH_H

#include "corpus/corpus.h"
#include "engine/search.h"
#include "engine/trainer.h"

/*
 * Statistics (engine/search.h) of the training rows, added to those of the base, palloc'd; NULL for
 * a model with labels or numbers. best: the weights of the version, or NULL: the trainer's.
 */
extern void *gpt_train_search(size_t *size, const GptCorpus *corpus, LmTrainer *trainer,
							  const float *best);

/*
 * Gives a trainer of a contrastive objective the corpus' tokenizer and statistics, which live in
 * the current memory context. Nothing for other objectives.
 */
extern void gpt_train_search_begin(LmTrainer *trainer, const GptCorpus *corpus);

#endif /* GPT_TRAIN_SEARCH_H */

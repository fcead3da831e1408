/*
 * src/corpus/train_unigram.h
 *
 * Training of a unigram tokenizer on the rows of a job.
 */
#ifndef GPT_TRAIN_UNIGRAM_H
#define GPT_TRAIN_UNIGRAM_H

#include "core/options.h"
#include "corpus/choose_tokenizer.h"
#include "corpus/spool.h"
#include "corpus/word_counts.h"
#include "store/progress.h"

/*
 * As gpt_train_bpe (train_bpe.h), but on one thread and without a temporary file: where the words
 * do not fit into half of gpt.max_memory, a smaller sample is taken.
 */
extern LmTokenizer *gpt_train_unigram(const GptTrainOptions *options,
									  const GptTokenizerChoice *choice, GptSpool *spool,
									  GptProgress *progress);

/* The same from the words of several servers. */
extern LmTokenizer *gpt_train_unigram_of(const GptTrainOptions *options,
										 const GptTokenizerChoice *choice, GptWordCounts *counts,
										 GptProgress *progress);

#endif /* GPT_TRAIN_UNIGRAM_H */

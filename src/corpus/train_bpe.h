/*
 * src/corpus/train_bpe.h
 *
 * Training of byte-level BPE on the rows of a job.
 */
#ifndef GPT_TRAIN_BPE_H
#define GPT_TRAIN_BPE_H

#include "core/options.h"
#include "corpus/choose_tokenizer.h"
#include "corpus/spool.h"
#include "corpus/word_counts.h"
#include "store/progress.h"

/*
 * A tokenizer of the choice's size from all training rows, if a tokenizer is what the options make,
 * or else from a sample, in the current memory context. A job counts on its threads. Words that do
 * not fit into half of gpt.max_memory go to a temporary file; where that is not enough either, a
 * smaller sample is taken. Raises an error if the option `vocabulary` wants more than the rows
 * support.
 */
extern LmTokenizer *gpt_train_bpe(const GptTrainOptions *options, const GptTokenizerChoice *choice,
								  GptSpool *spool, GptProgress *progress);

/* The same from the words of several servers. */
extern LmTokenizer *gpt_train_bpe_of(const GptTrainOptions *options,
									 const GptTokenizerChoice *choice, GptWordCounts *counts,
									 GptProgress *progress);

#endif /* GPT_TRAIN_BPE_H */

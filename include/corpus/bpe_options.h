/*
 * include/corpus/bpe_options.h
 *
 * How the trainer of BPE follows the options of a job.
 */
#ifndef GPT_BPE_OPTIONS_H
#define GPT_BPE_OPTIONS_H

#include "core/options.h"
#include "engine/tokenizer.h"

/*
 * The trainer's options; the pattern lives as long as options. Raises an error for a split that is
 * a name of none, or of one that takes several patterns.
 */
extern LmBpeOptions gpt_bpe_options(const GptTrainOptions *options);

/* The same at submission: raises an error also for a regular expression that ICU refuses. */
extern void gpt_bpe_options_check(const GptTrainOptions *options);

#endif /* GPT_BPE_OPTIONS_H */

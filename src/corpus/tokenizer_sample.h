/*
 * src/corpus/tokenizer_sample.h
 *
 * The documents that a tokenizer is trained on: those of the training side, or a share of them.
 */
#ifndef GPT_TOKENIZER_SAMPLE_H
#define GPT_TOKENIZER_SAMPLE_H

#include "core/options.h"
#include "corpus/choose_tokenizer.h"
#include "corpus/replay.h"
#include "corpus/spool.h"
#include "store/progress.h"

/* A walk over the documents. */
typedef struct GptTokenizerSample
{
	GptSpool *spool;
	GptReplay *drawn; /* NULL: all documents */
	bool in_row; /* a prompt has been read, its completion comes next ... */
	bool row_is_drawn; /* ... and this is decided of both */
} GptTokenizerSample;

/* The share of the training texts that a training of a tokenizer begins with; above 1 for all. */
extern double gpt_tokenizer_sample_share(const GptTrainOptions *options, GptSpool *spool);

/*
 * Begins a sample; below a share of 1, a first pass counts the training rows and draws among them.
 * Both raise an error if the process was asked to stop. _next: false after the last document.
 */
extern GptTokenizerSample gpt_tokenizer_sample_begin(GptSpool *spool, double share,
													 GptProgress *progress);
extern bool gpt_tokenizer_sample_next(GptDocument *document, GptTokenizerSample *sample,
									  GptProgress *progress);
extern void gpt_tokenizer_sample_end(GptTokenizerSample *sample);

/* Raises an error where the share is so small that no smaller one is tried. */
extern void gpt_tokenizer_sample_check(double share);

/*
 * Words with counts below `least` were left out and there is still too little memory: doubles it,
 * and raises an error where it is so large that no larger one is tried.
 */
extern void gpt_tokenizer_leave_out(int64 *least);

/* Raises an error if a training reached fewer tokens than the option `vocabulary` wants. */
extern void gpt_tokenizer_sample_check_vocabulary(const GptTrainOptions *options,
												  const GptTokenizerChoice *choice, int reached);

/* Shows a phase of a job that only makes a tokenizer; in others all of that is one phase. */
extern void gpt_tokenizer_sample_phase(const GptTrainOptions *options, GptProgress *progress,
									   const char *phase);

#endif /* GPT_TOKENIZER_SAMPLE_H */

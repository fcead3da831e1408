/*
 * include/corpus/choose_tokenizer.h
 *
 * The tokenizer of a training where the options leave it open.
 */
#ifndef GPT_CHOOSE_TOKENIZER_H
#define GPT_CHOOSE_TOKENIZER_H

#include "core/options.h"
#include "corpus/spool.h"
#include "engine/tokenizer.h"
#include "store/progress.h"

/* A kind of tokenizer that a job can train, or that is built in. */
typedef struct GptTokenizerChoice
{
	LmTokenizerKind kind;
	int vocabulary; /* wanted tokens; 0: the kind and the texts decide */
	char *why; /* one sentence without a period, for a report */
} GptTokenizerChoice;

/*
 * What the options name, or else what suits the texts of the training side; options->tokenizer is
 * not the name of a stored tokenizer. Reads the spool once at most, from its beginning; `why` is
 * allocated in the current memory context.
 */
extern GptTokenizerChoice gpt_choose_tokenizer(const GptTrainOptions *options, GptSpool *spool,
											   GptProgress *progress);

#endif /* GPT_CHOOSE_TOKENIZER_H */

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

#define GPT_MOST_SPECIAL 16

/* A kind of tokenizer that a job can train, or that is built in. */
typedef struct GptTokenizerChoice
{
	LmTokenizerKind kind;
	int vocabulary; /* of BPE: tokens, at most where the options do not ask for so many */
	int64 min_count; /* of BPE: a pair that occurs less often in all texts is no token */
	/* of BPE: so much shorter are the texts, as a share, with twice as many tokens; 0: any */
	double least_gain;
	char *why; /* one sentence without a period, for a report */
	int n_special; /* names of further special tokens: a separator, or those of a chat template */
	const char *special[GPT_MOST_SPECIAL];
} GptTokenizerChoice;

/* What is known of the texts of the training side. */
typedef struct GptTokenizerTexts
{
	const GptTask *task;
	int64 bytes;
	int64 rows; /* this and the next three: 0 where they are not read */
	int64 short_rows;
	int64 characters;
	int64 different_characters;
	/* no tokenizer of characters is chosen: some of them are not known here */
	bool lacks_characters;
} GptTokenizerTexts;

/* The characters of a text in UTF-8. */
extern int64 gpt_tokenizer_characters(const char *text, size_t size);

/* Whether a row with so many bytes of text, prompts included, is a short one. */
extern bool gpt_tokenizer_row_is_short(const GptTask *task, size_t size);

/* The choice of gpt_choose_tokenizer, of texts that have been read. */
extern GptTokenizerChoice gpt_choose_tokenizer_of(const GptTrainOptions *options,
												  const GptTokenizerTexts *texts);

/*
 * What the options name, or else what suits the texts of the training side; options->tokenizer is
 * not the name of a stored tokenizer. The choice does not depend on the order of the rows. Reads
 * the spool once at most, from its beginning; `why` is allocated in the current memory context.
 */
extern GptTokenizerChoice gpt_choose_tokenizer(const GptTrainOptions *options, GptSpool *spool,
											   GptProgress *progress);

/* The same choice for a sample that has such a share of the texts: pairs occur less often there. */
extern GptTokenizerChoice gpt_choice_of_sample(const GptTokenizerChoice *choice, double share);

#endif /* GPT_CHOOSE_TOKENIZER_H */

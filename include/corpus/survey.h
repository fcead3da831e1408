/*
 * include/corpus/survey.h
 *
 * What a server tells of its rows before a model is trained on those of several servers, so that
 * all make the same model: a survey, as bytes. The rows themselves stay.
 *
 *   survey   | "gptsurv" | version | CRC-32C of the rest | facts | lengths | labels | words |
 * characters |
 *
 * Integers and floats are in network order (libpq/pqformat.h). What leaves the server:
 *
 *   - numbers of rows, of bytes and of characters; numbers of texts by their length; of regression
 *     the mean and the variance;
 *   - the names of all labels, with the number of their rows: the model has them as well;
 *   - the bytes in which all prompts end, if there are at least `floor` of them;
 *   - words (pieces of text that the tokenizer splits off), and characters, that occur at least
 *     `floor` times there, in two different rows at least, with their counts.
 *
 * So a name, a number or a password of one row stays where it is; it becomes bytes or shorter
 * tokens when it is encoded. That is a threshold, not differential privacy: a word that somebody
 * writes into two rows, and five times in all, leaves; so do the counts, and who knows all rows but
 * one may tell from them what that one has.
 */
#ifndef GPT_SURVEY_H
#define GPT_SURVEY_H

#include "core/options.h"
#include "corpus/choose_tokenizer.h"
#include "corpus/lengths_by_size.h"
#include "corpus/spool.h"
#include "corpus/word_counts.h"
#include "store/progress.h"

#define GPT_WORD_FLOOR 5 /* unless the options say otherwise */
#define GPT_LARGEST_WORD_FLOOR 1000000
#define GPT_SURVEY_VERSION 1
#define GPT_MOST_SURVEY (96 * 1024 * 1024) /* bytes; of words at most ... */
#define GPT_MOST_WORDS (64 * 1024 * 1024) /* ... these: beyond, the floor is doubled */
#define GPT_MOST_CHARACTERS (8 * 1024 * 1024)
#define GPT_MOST_SURVEYS 64

/* The rows of a label. */
typedef struct GptSurveyLabel
{
	char *name;
	int64 n_rows[GPT_N_SIDES];
} GptSurveyLabel;

/* Words or characters. */
typedef struct GptSurveyWords
{
	int64 floor; /* above the survey's where the table would have been too large */
	int64 n; /* in the table */
	int64 n_rare; /* that stayed, ... */
	int64 rare_occurrences; /* ... and how often they occur */
	LmBytes table;
} GptSurveyWords;

/* A survey. Texts are those of the training side. */
typedef struct GptSurvey
{
	const char *server; /* whose rows they are */
	const GptTask *task;
	bool marked; /* rows are conversations */
	bool sets; /* rows have sets of labels */
	bool has_words; /* a tokenizer is trained */
	GptNormalize normalize; /* of texts before they were split; ... */
	char *split; /* ... the pattern; empty: GPT-2's */
	int64 floor;
	int64 documents;
	int64 skipped;
	int64 held_out;
	int64 side_bytes[GPT_N_SIDES];
	int64 counted_bytes; /* of the texts whose words were counted: all, or a sample; or ... */
	int64 counted_tokens; /* ... that were encoded by the tokenizer that there is */
	GptTokenizerTexts texts; /* without different_characters */
	GptLengthsBySize lengths;
	GptMoments moments;
	LmBytes ending;
	int n_labels;
	GptSurveyLabel *labels; /* [n_labels] in the order of their bytes, after those of a base */
	GptSurveyWords words;
	GptSurveyWords characters;
} GptSurvey;

/*
 * The survey of a spool, which was read with is_part; palloc'd. tokenizer: that of the training;
 * NULL: one is trained, of words that the survey has. Of very long texts, or where words need more
 * than half of gpt.max_memory, words are counted in a sample of the rows. Reads the spool.
 */
extern bytea *gpt_survey_write(const GptTrainOptions *options, GptSpool *spool, int64 floor,
							   LmTokenizer *tokenizer, GptProgress *progress);

/*
 * Reads a survey, which may have come from anybody; it points into the bytes. Raises
 * ERRCODE_DATA_CORRUPTED, with the server's name, for one that was altered or cut, and
 * ERRCODE_FEATURE_NOT_SUPPORTED for one of another version. Words are checked as they are walked.
 */
extern GptSurvey *gpt_survey_read(const char *server, LmBytes bytes);

#endif /* GPT_SURVEY_H */

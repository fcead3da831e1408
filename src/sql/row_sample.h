/*
 * src/sql/row_sample.h
 *
 * A sample of rows as numbers: what gpt_drift compares, and what a version keeps of its training. A
 * row has numbers, such as its length, and counts by category, such as how often it has each token.
 */
#ifndef GPT_ROW_SAMPLE_H
#define GPT_ROW_SAMPLE_H

#include "utils/palloc.h"

/* Numbers of a row; NaN where it has none. */
typedef enum GptRowNumber
{
	GPT_ROW_SURPRISAL, /* bits a byte of its text, after its prompt */
	GPT_ROW_CONFIDENCE, /* the probability of the most probable label */
	GPT_ROW_PREDICTION, /* the number that the model expects */
	GPT_ROW_LABEL, /* the number that it has */
	GPT_ROW_LENGTH, /* bytes of its texts */
	GPT_N_COMPARED_NUMBERS, /* gpt_drift compares these; the planner alone reads the others */
	GPT_ROW_LOGPROB = GPT_N_COMPARED_NUMBERS, /* of its text, in nats */
	GPT_ROW_MEAN_LOGPROB, /* the same for a token */
	GPT_N_ROW_NUMBERS
} GptRowNumber;

/* Counts of a row by category. */
typedef enum GptRowShare
{
	GPT_ROW_PREDICTIONS, /* by number of the label, of which there is one */
	GPT_ROW_LABELS,
	GPT_ROW_TOKENS, /* by id */
	GPT_ROW_SCRIPTS, /* letters, by number of the script */
	GPT_N_ROW_SHARES
} GptRowShare;

/* The words of both, as profiles and gpt_drift have them; NULL after the last. */
extern const char *gpt_row_number_name(int number);
extern const char *gpt_row_share_name(int share);

/*
 * The category of labels that the model does not know, and of rows without any; and the prediction
 * of a row about which the model was not asked.
 */
#define GPT_LABEL_OTHER PG_UINT32_MAX
#define GPT_LABEL_UNASKED (PG_UINT32_MAX - 1)

/* How often a row has a category. */
typedef struct GptRowCount
{
	uint32 category;
	uint8 share; /* of GptRowShare */
	float n;
} GptRowCount;

/*
 * Of more than `most` rows every second is kept, then every fourth, and so on. Lives in the memory
 * context in which it was made. A row begins with _begin; its counts are added before the next one,
 * its numbers and its prediction at any time.
 */
typedef struct GptRowSample
{
	MemoryContext context;
	int most;
	int64 seen; /* rows, with those left out */
	int64 stride; /* one of so many is kept */
	int n;
	double (*numbers)[GPT_N_ROW_NUMBERS]; /* [n] */
	uint32 *predicted; /* [n] labels */
	size_t *starts; /* [n + 1] of the counts of each row */
	GptRowCount *counts;
	size_t counts_capacity;
} GptRowSample;

extern GptRowSample *gpt_row_sample_create(int most);

/*
 * _full: whether the next row that is kept would thin the sample out: rows then change their
 * numbers. _begin counts a row; false: it is left out.
 */
extern bool gpt_row_sample_full(const GptRowSample *sample);
extern bool gpt_row_sample_begin(GptRowSample *sample);

/* A number of row number `row`, to six digits, as JSON has it. */
extern void gpt_row_sample_number(GptRowSample *sample, int row, GptRowNumber number, double value);

/* The label that the model gives to a row. */
extern void gpt_row_sample_predict(GptRowSample *sample, int row, uint32 label);

/* Adds a count of the last row, of any share but the predictions; each category once. */
extern void gpt_row_sample_count(GptRowSample *sample, GptRowShare share, uint32 category, float n);

/* The rows that have such a number, in palloc'd *values, sorted upwards; returns how many. */
extern int gpt_row_sample_numbers(double **values, const GptRowSample *sample, GptRowNumber number);

#endif /* GPT_ROW_SAMPLE_H */

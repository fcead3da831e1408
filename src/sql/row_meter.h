/*
 * src/sql/row_meter.h
 *
 * Measures rows by a model for a sample: tokens go in, numbers and counts come out. Rows of a query
 * and documents of a token file are measured by the same code, so that they can be compared.
 */
#ifndef GPT_ROW_METER_H
#define GPT_ROW_METER_H

#include "corpus/source.h"
#include "serve/cache.h"
#include "sql/row_sample.h"

/* A row by its tokens, as GptTokenDocument has them. */
typedef struct GptMeterRow
{
	const int32 *ids;
	size_t n_ids;
	size_t n_context;
	size_t text_at;
	int64 tag; /* the caller's, for its callback */
	bool counts; /* its length, tokens and letters go to the sample */
	bool asks; /* the model is asked */
} GptMeterRow;

/* What the model says of a row; lives until the callback returns. */
typedef struct GptMeterAnswer
{
	int64 tag;
	LmBytes text; /* of the row, its prompt first */
	size_t text_size; /* bytes of it without the prompt */
	int64 n_tokens; /* scored; of a language model */
	double logprob;
	const float *probabilities; /* of a classifier, or the standardised number; else NULL */
} GptMeterAnswer;

/* Rows that wait to be asked about together. */
typedef struct GptRowMeter GptRowMeter;

/* Numbers and counts go to the sample; answered may be NULL. In the current memory context. */
extern GptRowMeter *
gpt_row_meter_create(const GptServed *served, GptRowSample *sample,
					 void (*answered)(void *context, const GptMeterAnswer *answer), void *context);

/*
 * Begins a row; false: the sample leaves it out. Then _measure does what row says, but nothing for
 * one of more than GPT_DOCUMENT_IDS tokens; a row about which the model is asked waits for others.
 * _finish asks about the rows that wait.
 */
extern bool gpt_row_meter_begin(GptRowMeter *meter);
extern void gpt_row_meter_measure(GptRowMeter *meter, const GptMeterRow *row);
extern void gpt_row_meter_finish(GptRowMeter *meter);

/*
 * The tokens of a row of a query, as a training has them; they live until the next call. False for
 * a row that a training would cut: a prompt that does not fit the context with its completion.
 */
extern bool gpt_row_meter_encode(GptMeterRow *encoded, GptRowMeter *meter, const GptSourceRow *row);

#endif /* GPT_ROW_METER_H */

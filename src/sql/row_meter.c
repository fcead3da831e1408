/*
 * src/sql/row_meter.c
 *
 * Tokens of rows go in; what they spell, and what the model says of them, goes to a sample.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/numbers.h"
#include "corpus/token_documents.h"
#include "engine/survey.h"
#include "sql/call_kinds.h"
#include "sql/row_meter.h"

#define MOST_WAITING LM_MANY_SEQUENCES /* rows; as many go through the model at once */
#define MOST_IDS (256 * 1024) /* of them */
#define PROBABLE 0.5 /* a label of a multi-label model */

typedef struct Waiting
{
	GptCall call;
	int sample_row;
	int64 tag;
	LmBytes text;
	size_t text_size;
} Waiting;

struct GptRowMeter
{
	const GptServed *served;
	GptRowSample *sample;
	void (*answered)(void *context, const GptMeterAnswer *answer);
	void *callback_context;
	MemoryContext context; /* of the rows that wait */
	Waiting waiting[MOST_WAITING];
	int n_waiting;
	size_t n_ids;
	LmTokens tokens; /* of the row that is encoded */
	int32 *sorted;
	size_t sorted_capacity;
};

static LmBytes text_of(size_t *text_size, GptRowMeter *meter, const GptMeterRow *row);
static void count_tokens(GptRowMeter *meter, const GptMeterRow *row);
static void count_letters(GptRowMeter *meter, LmBytes text);
static void ask_later(GptRowMeter *meter, const GptMeterRow *row, LmBytes text, size_t text_size);
static void take_answer(GptRowMeter *meter, const Waiting *waiting, const GptAnswer *answer);
static void take_probabilities(GptRowMeter *meter, int row, const float *probabilities);

GptRowMeter *
gpt_row_meter_create(const GptServed *served, GptRowSample *sample,
					 void (*answered)(void *context, const GptMeterAnswer *answer), void *context)
{
	GptRowMeter *meter = palloc0(sizeof(GptRowMeter));

	meter->served = served;
	meter->sample = sample;
	meter->answered = answered;
	meter->callback_context = context;
	meter->context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt measured rows", ALLOCSET_DEFAULT_SIZES);
	return meter;
}

/* Rows that wait know their place in the sample, which thinning out would change. */
bool
gpt_row_meter_begin(GptRowMeter *meter)
{
	CHECK_FOR_INTERRUPTS();
	if (gpt_row_sample_full(meter->sample))
		gpt_row_meter_finish(meter);
	return gpt_row_sample_begin(meter->sample);
}

void
gpt_row_meter_measure(GptRowMeter *meter, const GptMeterRow *row)
{
	GptRowSample *sample = meter->sample;
	MemoryContext caller;
	size_t text_size;
	LmBytes text;

	if (row->n_ids > GPT_DOCUMENT_IDS)
		return;
	caller = MemoryContextSwitchTo(meter->context);
	text = text_of(&text_size, meter, row);
	if (row->counts)
	{
		gpt_row_sample_number(sample, sample->n - 1, GPT_ROW_LENGTH, (double) text.size);
		count_tokens(meter, row);
		count_letters(meter, text);
	}
	if (row->asks && row->n_ids > row->text_at)
		ask_later(meter, row, text, text_size);
	MemoryContextSwitchTo(caller);
	if (meter->n_waiting == MOST_WAITING || meter->n_ids > MOST_IDS)
		gpt_row_meter_finish(meter);
	else if (meter->n_waiting == 0)
		MemoryContextReset(meter->context);
}

/* What the tokens spell, without the space that a prefix puts in front. */
static LmBytes
text_of(size_t *text_size, GptRowMeter *meter, const GptMeterRow *row)
{
	const LmTokenizer *tokenizer = meter->served->tokenizer;
	bool strip = lm_tokenizer_spec(tokenizer)->strip_space;
	size_t size = 0;
	size_t done = 0;
	size_t context = 0;
	char *text;

	for (size_t i = 0; i < row->n_ids; i++)
		size += lm_tokenizer_bytes(tokenizer, row->ids[i]).size;
	text = MemoryContextAllocHuge(CurrentMemoryContext, size + 1);
	for (size_t i = 0; i < row->n_ids; i++)
	{
		LmBytes token = lm_tokenizer_bytes(tokenizer, row->ids[i]);
		bool space = strip && done == 0 && token.size > 0 && token.data[0] == ' ';

		if (i == row->text_at)
			context = done;
		memcpy(text + done, token.data + space, token.size - space);
		done += token.size - space;
		strip &= token.size == 0;
	}
	*text_size = row->n_ids > row->text_at ? done - context : 0;
	return (LmBytes){text, done};
}

static int
compare_ids(const void *a, const void *b)
{
	int32 x = *(const int32 *) a;
	int32 y = *(const int32 *) b;

	return (x > y) - (x < y);
}

/* Each token once, with its number. */
static void
count_tokens(GptRowMeter *meter, const GptMeterRow *row)
{
	if (row->n_ids > meter->sorted_capacity)
	{
		if (meter->sorted != NULL)
			pfree(meter->sorted);
		meter->sorted_capacity = row->n_ids;
		meter->sorted =
			MemoryContextAllocHuge(GetMemoryChunkContext(meter), row->n_ids * sizeof(int32));
	}
	memcpy(meter->sorted, row->ids, row->n_ids * sizeof(int32));
	qsort(meter->sorted, row->n_ids, sizeof(int32), compare_ids);
	for (size_t i = 0, next; i < row->n_ids; i = next)
	{
		for (next = i + 1; next < row->n_ids && meter->sorted[next] == meter->sorted[i];)
			next++;
		gpt_row_sample_count(meter->sample, GPT_ROW_TOKENS, (uint32) meter->sorted[i],
							 (float) (next - i));
	}
}

/* A text that is no UTF-8, because tokens of characters are missing, has no letters. */
static void
count_letters(GptRowMeter *meter, LmBytes text)
{
	const LmHost *host = gpt_bridge_host(meter->context);
	LmSurvey survey = {0};
	LmError error;

	while (!lm_survey_add(&survey, NULL, host, text, false, &error))
	{
		if (error.code != LM_ERR_STOPPED)
			return;
		gpt_bridge_retry(&error);
		MemSet(&survey, 0, sizeof(survey));
	}
	for (int i = 0; i < survey.n_scripts; i++)
	{
		if (survey.letters[i] > 0)
			gpt_row_sample_count(meter->sample, GPT_ROW_SCRIPTS, (uint32) i,
								 (float) survey.letters[i]);
	}
}

/* ---- The model ---------------------------------------------------------- */

static void
ask_later(GptRowMeter *meter, const GptMeterRow *row, LmBytes text, size_t text_size)
{
	Waiting *waiting = &meter->waiting[meter->n_waiting++];
	LmBytes room = {text.data, row->n_ids};
	LmBytes none = {NULL, 0};
	int32 *ids = MemoryContextAllocHuge(meter->context, row->n_ids * sizeof(int32));

	memcpy(ids, row->ids, row->n_ids * sizeof(int32));
	if (meter->served->config->labels > 0)
		gpt_judge_texts(&waiting->call, none, room);
	else
		gpt_score_of_text(&waiting->call, room);
	waiting->call.cleaning = GPT_CALL_CLEANED;
	waiting->call.request.ids = ids;
	waiting->call.request.n_ids = row->n_ids;
	waiting->call.request.n_context = row->n_context;
	waiting->sample_row = meter->sample->n - 1;
	waiting->tag = row->tag;
	waiting->text = text;
	waiting->text_size = text_size;
	meter->n_ids += row->n_ids;
}

void
gpt_row_meter_finish(GptRowMeter *meter)
{
	bool judges = meter->served->config->labels > 0;
	MemoryContext caller = MemoryContextSwitchTo(meter->context);
	int n = meter->n_waiting;
	GptCall *calls = palloc((n + 1) * sizeof(GptCall));
	GptAnswer *answers = palloc((n + 1) * sizeof(GptAnswer));

	for (int i = 0; i < n; i++)
		calls[i] = meter->waiting[i].call;
	gpt_call_answer(answers, judges ? &gpt_judge_call : &gpt_logprob_call, meter->served, calls, n,
					MemoryContextMemAllocated(meter->context, true), NULL);
	for (int i = 0; i < n; i++)
	{
		if (answers[i].error != NULL)
			gpt_bridge_raise(answers[i].error);
		if (!answers[i].is_null)
			take_answer(meter, &meter->waiting[i], &answers[i]);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(meter->context);
	meter->n_waiting = 0;
	meter->n_ids = 0;
}

static void
take_answer(GptRowMeter *meter, const Waiting *waiting, const GptAnswer *answer)
{
	GptMeterAnswer measured = {.tag = waiting->tag,
							   .text = waiting->text,
							   .text_size = waiting->text_size,
							   .n_tokens = answer->n_tokens};

	if (meter->served->config->labels > 0)
	{
		measured.probabilities = (const float *) DatumGetPointer(answer->value);
		take_probabilities(meter, waiting->sample_row, measured.probabilities);
	}
	else
	{
		measured.logprob = DatumGetFloat8(answer->value);
		gpt_row_sample_number(meter->sample, waiting->sample_row, GPT_ROW_LOGPROB,
							  measured.logprob);
		gpt_row_sample_number(meter->sample, waiting->sample_row, GPT_ROW_MEAN_LOGPROB,
							  measured.logprob / (double) Max(answer->n_tokens, 1));
		if (waiting->text_size > 0)
			gpt_row_sample_number(meter->sample, waiting->sample_row, GPT_ROW_SURPRISAL,
								  -measured.logprob / (M_LN2 * (double) waiting->text_size));
	}
	if (meter->answered != NULL)
		meter->answered(meter->callback_context, &measured);
}

static void
take_probabilities(GptRowMeter *meter, int row, const float *probabilities)
{
	const LmConfig *config = meter->served->config;
	int best = 0;

	if (config->number)
	{
		GptNumbers numbers = gpt_numbers_of(config);

		gpt_row_sample_number(meter->sample, row, GPT_ROW_PREDICTION,
							  gpt_number_restore(&numbers, (double) probabilities[0]));
		return;
	}
	for (int i = 1; i < config->labels; i++)
	{
		if (probabilities[i] > probabilities[best])
			best = i;
	}
	gpt_row_sample_number(meter->sample, row, GPT_ROW_CONFIDENCE, (double) probabilities[best]);
	gpt_row_sample_predict(meter->sample, row,
						   config->multi_label && probabilities[best] < PROBABLE ? GPT_LABEL_OTHER
																				 : (uint32) best);
}

/* ---- Rows of a query ---------------------------------------------------- */

static void
encode_part(GptRowMeter *meter, LmBytes text, int part, const GptSourceRow *row)
{
	LmError error;

	while (!lm_tokenizer_encode_part(meter->served->tokenizer, &meter->tokens, text.data, text.size,
									 part, &error))
		gpt_bridge_retry_row(&error, "query", row->number);
}

bool
gpt_row_meter_encode(GptMeterRow *encoded, GptRowMeter *meter, const GptSourceRow *row)
{
	const GptServed *served = meter->served;
	const LmHost *host = gpt_bridge_host(GetMemoryChunkContext(meter));
	int32 end = lm_tokenizer_spec(served->tokenizer)->end_of_text;
	int context = served->config->context;
	LmBytes text = {row->text, row->size};
	int part = 0;
	LmError error;

	MemSet(encoded, 0, sizeof(GptMeterRow));
	/* The array is the meter's, and not in the context of a tokenizer that stays. */
	if (meter->tokens.ids == NULL && !lm_tokens_append(host, &meter->tokens, 0, &error))
		gpt_bridge_raise(&error);
	meter->tokens.count = 0;
	if (row->prompt != NULL)
	{
		while (!lm_prompt_encode(served->tokenizer, &meter->tokens, &part, &served->prompt,
								 (LmBytes){row->prompt, row->prompt_size}, &error))
			gpt_bridge_retry_row(&error, "query", row->number);
		encoded->n_context = encoded->text_at = meter->tokens.count;
	}
	else if (row->other != NULL)
	{
		encode_part(meter, text, 0, row);
		encoded->n_context = meter->tokens.count;
		if (end >= 0 && !lm_tokens_append(host, &meter->tokens, end, &error))
			gpt_bridge_raise(&error);
		encoded->text_at = meter->tokens.count;
		text = (LmBytes){row->other, row->other_size};
	}
	encode_part(meter, text, part, row);
	encoded->ids = meter->tokens.ids;
	encoded->n_ids = meter->tokens.count;
	if (row->other != NULL)
		encoded->n_ids = Min(encoded->n_ids, (size_t) context);
	encoded->text_at = Min(encoded->text_at, encoded->n_ids);
	encoded->n_context = Min(encoded->n_context, encoded->n_ids);
	return row->prompt == NULL || encoded->n_context <= (size_t) context / 2 ||
		   encoded->n_ids < (size_t) context;
}

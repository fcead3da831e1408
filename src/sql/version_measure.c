/*
 * src/sql/version_measure.c
 *
 * The token file and the weights of a training go in, what the version keeps of both comes out.
 *
 * The texts that were learnt say how long texts are, and what tokens, letters and labels they have.
 * What the model says of texts is measured on held-out ones: those that it has learnt surprise it
 * less than any new ones will.
 */
#include "postgres.h"

#include "corpus/numbers.h"
#include "corpus/token_documents.h"
#include "sql/held_out_results.h"
#include "sql/profile.h"
#include "sql/row_meter.h"
#include "sql/version_measure.h"

#define MOST_LEARNT 4096 /* documents ... */
#define MOST_LEARNT_TOKENS (2 * 1024 * 1024) /* ... of so many tokens, about */
#define MOST_HELD_OUT 2048

typedef struct Measurement
{
	const LmDataset *dataset;
	const GptServed *served;
	GptRowSample *sample;
	GptRowMeter *meter;
	GptResults *results;
	uint32 labels[MOST_HELD_OUT + 1]; /* of held-out documents, by their tags */
} Measurement;

static void measure_learnt(Measurement *measurement);
static void measure_held_out(Measurement *measurement, int64 most_tokens);
static void count_label(Measurement *measurement, uint32 label);
static void take_answer(void *context, const GptMeterAnswer *answer);

void
gpt_version_measure(GptMeasuring *measuring)
{
	const GptCorpus *corpus = measuring->corpus;
	Measurement *measurement = palloc0(sizeof(Measurement));
	GptUnpublished model = {.name = measuring->model,
							.table = measuring->table,
							.block = measuring->block,
							.labels = measuring->labels,
							.tokenizer = corpus->tokenizer,
							.base = measuring->base,
							.held = measuring->held};
	GptJsonWriter evaluation = {NULL};
	const GptProfile *profile;
	MemoryContext caller;

	measurement->dataset = &corpus->dataset;
	if (!gpt_token_documents_exist(measurement->dataset, corpus->tokenizer))
		return;
	for (uint64 i = 0; measurement->dataset->header->pairs == 0 && !model.prompted &&
					   i < measurement->dataset->header->n_train_windows;
		 i++)
		model.prompted = measurement->dataset->windows[i].prompt > 0;
	measurement->served = gpt_cache_unpublished(&model);
	measurement->sample = gpt_row_sample_create(4 * (MOST_LEARNT + MOST_HELD_OUT));
	measurement->meter =
		gpt_row_meter_create(measurement->served, measurement->sample, take_answer, measurement);
	measurement->results = gpt_results_create(measurement->served, MOST_HELD_OUT);
	measure_learnt(measurement);
	measure_held_out(measurement, measuring->most_tokens);
	profile = gpt_profile_create(measurement->sample);

	caller = MemoryContextSwitchTo(measuring->context);
	measuring->profile = gpt_profile_write(profile, measurement->served);
	gpt_json_begin(&evaluation, NULL);
	gpt_results_write(&evaluation, measurement->results);
	measuring->evaluation = gpt_json_finish(&evaluation);
	MemoryContextSwitchTo(caller);
	gpt_cache_unpublished_end(measurement->served);
}

/* How many documents are looked at: fewer where they are long. */
static int64
learnt_documents(const Measurement *measurement)
{
	const LmDatasetHeader *header = measurement->dataset->header;
	double windows = (double) header->n_train_windows;
	double tokens = (double) Max(header->train_tokens, 1);

	if (measurement->dataset->documents == LM_DOCUMENTS_JOINED)
		return MOST_LEARNT;
	return (int64) Min(Max(MOST_LEARNT_TOKENS * windows / tokens, 64), MOST_LEARNT);
}

static void
measure_learnt(Measurement *measurement)
{
	int64 n_tokens = 0;
	GptTokenDocuments documents;
	GptTokenDocument document;

	gpt_token_documents_begin(&documents, measurement->dataset, measurement->served->tokenizer,
							  GPT_SIDE_TRAIN, learnt_documents(measurement));
	while (n_tokens < 2 * MOST_LEARNT_TOKENS && gpt_token_documents_next(&document, &documents))
	{
		GptMeterRow row = {.ids = document.ids,
						   .n_ids = document.n_ids,
						   .n_context = document.n_context,
						   .text_at = document.text_at,
						   .counts = true};

		n_tokens += (int64) document.n_ids;
		if (!document.is_whole || !gpt_row_meter_begin(measurement->meter))
			continue;
		gpt_row_meter_measure(measurement->meter, &row);
		count_label(measurement, document.label);
	}
}

/* Of the first document the beginning is asked about, if it is longer than all that may be. */
static void
measure_held_out(Measurement *measurement, int64 most_tokens)
{
	GptTokenDocuments documents;
	GptTokenDocument document;
	int64 n_tokens = 0;
	int n = 0;

	gpt_token_documents_begin(&documents, measurement->dataset, measurement->served->tokenizer,
							  GPT_SIDE_VALIDATION, MOST_HELD_OUT);
	while (n < MOST_HELD_OUT && n_tokens < most_tokens &&
		   gpt_token_documents_next(&document, &documents))
	{
		GptMeterRow row = {.ids = document.ids,
						   .n_ids = document.n_ids,
						   .n_context = document.n_context,
						   .text_at = document.text_at,
						   .tag = n,
						   .asks = true};

		if (!document.is_whole || !gpt_row_meter_begin(measurement->meter))
			continue;
		row.n_ids = Min(row.n_ids, (size_t) most_tokens);
		row.text_at = Min(row.text_at, row.n_ids);
		row.n_context = Min(row.n_context, row.n_ids);
		measurement->labels[n++] = document.label;
		n_tokens += (int64) document.n_ids;
		gpt_row_meter_measure(measurement->meter, &row);
	}
	gpt_row_meter_finish(measurement->meter);
}

/* ---- Labels ------------------------------------------------------------- */

/* The labels of a document; of a label that is no set one, in *single. */
static const uint32 *
labels_of(uint64 *n, uint32 *single, const Measurement *measurement, uint32 label)
{
	if (measurement->dataset->sets.n_sets > 0)
		return lm_label_set(n, &measurement->dataset->sets, label);
	*single = label;
	*n = 1;
	return single;
}

/* The number of a document, from the bits of the standardised one. */
static double
number_of(const Measurement *measurement, uint32 label)
{
	GptNumbers numbers = gpt_numbers_of(measurement->served->config);
	float standardized;

	memcpy(&standardized, &label, sizeof(standardized));
	return gpt_number_restore(&numbers, (double) standardized);
}

static void
count_label(Measurement *measurement, uint32 label)
{
	const LmConfig *config = measurement->served->config;
	GptRowSample *sample = measurement->sample;
	const uint32 *labels;
	uint32 single;
	uint64 n;

	if (config->labels == 0)
		return;
	if (config->number)
	{
		gpt_row_sample_number(sample, sample->n - 1, GPT_ROW_LABEL, number_of(measurement, label));
		return;
	}
	labels = labels_of(&n, &single, measurement, label);
	for (uint64 i = 0; i < n; i++)
		gpt_row_sample_count(sample, GPT_ROW_LABELS, labels[i], 1);
	if (n == 0)
		gpt_row_sample_count(sample, GPT_ROW_LABELS, GPT_LABEL_OTHER, 1);
}

/* Callback of the meter: adds what the model says of a held-out document. */
static void
take_answer(void *context, const GptMeterAnswer *answer)
{
	Measurement *measurement = context;
	const LmConfig *config = measurement->served->config;
	uint32 label = measurement->labels[answer->tag];
	const uint32 *labels = NULL;
	double target = 0;
	uint32 single;
	uint64 n = 0;

	if (config->number)
		target = number_of(measurement, label);
	else if (config->labels > 0)
		labels = labels_of(&n, &single, measurement, label);
	gpt_results_add(measurement->results, answer, labels, (int) n, target);
}

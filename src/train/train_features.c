/*
 * src/train/train_features.c
 *
 * Fits the linear part of a classifier, weighs it, and puts it behind the network's weights.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/nice.h"
#include "core/settings.h"
#include "core/transaction.h"
#include "store/weights.h"
#include "train/train_features.h"

/* Features of all rows together, at 8 bytes: a part of gpt.max_memory, within bounds. */
#define MEMORY_SHARE 8
#define LEAST_ENTRIES ((size_t) 1 << 20)
#define MOST_ENTRIES ((size_t) 1 << 26)
/* a word, a pair and four runs of letters, for each byte, and those of short texts' ends */
#define MOST_FEATURES_PER_BYTE 6
#define LEAST_ROOM 4096
/* of what `minutes` leave when the plan is made */
#define TIME_SHARE 0.5

/*
 * Bytes of the fit: an entry while its arrays grow, a feature in the list and in the table, a
 * weight of the table and of naive Bayes, a number of the solver with its dual variable and two
 * held-out logits, and a row in all lists of rows.
 */
#define ENTRY_SIZE 16
#define FEATURE_SIZE 96
#define WEIGHT_SIZE (2 * sizeof(float))
#define FLOAT_SIZE (4 * sizeof(float))
#define ROW_SIZE 64
/* where these do not fit, the job fails */
#define FEWEST_ENTRIES ((size_t) 1 << 16)
#define FEWEST_FEATURES ((size_t) 1 << 12)
#define FEWEST_FEATURES_PER_LABEL ((size_t) 256)
#define FEWEST_FLOATS ((size_t) 1 << 16)

static uint64 memory_of(const LmFeatureFitOptions *options, const GptCorpus *corpus);
static void fit_memory(LmFeatureFitOptions *options, const GptCorpus *corpus);
static double time_used(void *context);
static void read_base(LmFeatureFitOptions *options, const GptJob *job, const GptTrainBase *base);
static void put_rows(void *into, const LmParam *param, int first_row, int n_rows,
					 const float *rows);
static void scale_head(LmTrainer *trainer, double share);
static float *logits_of(const GptTrainFeatures *features, LmTrainer *trainer,
						const GptTrainPlan *plan, const GptCorpus *corpus);

GptTrainFeatures *
gpt_train_features_fit(const GptJob *job, const GptTrainPlan *plan, const GptCorpus *corpus,
					   const GptTrainBase *base, GptProgress *progress)
{
	LmFeatureFitOptions options = {.labels = plan->config.labels,
								   .multi_label = plan->config.multi_label,
								   .number = plan->config.number,
								   .most_features = LM_FIT_FEATURES,
								   .most_weights = LM_FEATURE_WEIGHTS,
								   .most_floats = LM_FIT_FLOATS,
								   .seed = plan->training.seed};
	size_t entries = (size_t) gpt_settings_max_memory() / MEMORY_SHARE / 8;
	GptTrainFeatures *features;
	LmError error;

	if (plan->config.labels == 0)
		return NULL;
	features = palloc0(sizeof(GptTrainFeatures));
	options.most_entries = Min(Max(entries, LEAST_ENTRIES), MOST_ENTRIES);
	read_base(&options, job, base);
	fit_memory(&options, corpus);
	features->short_of_memory = options.most_features < LM_FIT_FEATURES;
	features->short_of_entries = options.most_entries < MOST_ENTRIES;
	gpt_progress_phase(progress, "fitting");
	for (;;)
	{
		features->started_at = GetCurrentTimestamp();
		features->most_time = (double) (plan->total_time - plan->used_time) * TIME_SHARE;
		if (plan->total_time > 0)
			options.time = (LmFitTime){time_used, features};
		gpt_nice_compute(true);
		features->fit = lm_feature_fit_create(gpt_plan_engine(plan), &corpus->dataset,
											  corpus->tokenizer, &options, &error);
		gpt_nice_compute(false);
		if (features->fit != NULL)
			break;
		gpt_bridge_retry(&error);
	}
	return features;
}

/* An LmFitTime. A job that continues has as much time for the fit as it had at first. */
static double
time_used(void *context)
{
	const GptTrainFeatures *features = context;

	return (double) (GetCurrentTimestamp() - features->started_at) / Max(features->most_time, 1);
}

static uint64
memory_of(const LmFeatureFitOptions *options, const GptCorpus *corpus)
{
	uint64 labels = (uint64) options->labels;
	uint64 rows = corpus->dataset.header->n_train_windows;
	uint64 entries = Min(options->most_entries,
						 (uint64) corpus->counts.bytes * MOST_FEATURES_PER_BYTE + LEAST_ROOM);
	uint64 features = Min(options->most_features, entries + (uint64) options->base.n);
	uint64 weights = Min(features * labels, (uint64) options->most_weights);
	uint64 floats = Min(weights + rows * labels, (uint64) options->most_floats);

	return entries * ENTRY_SIZE + features * FEATURE_SIZE + weights * WEIGHT_SIZE +
		   floats * FLOAT_SIZE + rows * ROW_SIZE;
}

/*
 * Where the fit could take more than gpt.max_memory, it gets a quarter of it for entries, for
 * features, for weights and for the solver, less the lists of rows. Raises an error where the
 * fewest of them do not fit.
 */
static void
fit_memory(LmFeatureFitOptions *options, const GptCorpus *corpus)
{
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 rows = corpus->dataset.header->n_train_windows * ROW_SIZE;
	uint64 quarter = (limit - Min(limit, rows)) / 4;
	size_t fewest = FEWEST_FEATURES_PER_LABEL * (size_t) options->labels;

	if (memory_of(options, corpus) <= limit)
		return;
	options->most_entries = Min(options->most_entries, Max(quarter / ENTRY_SIZE, FEWEST_ENTRIES));
	options->most_features =
		Min(options->most_features, Max(quarter / FEATURE_SIZE, FEWEST_FEATURES));
	options->most_weights = Min(options->most_weights, Max(quarter / WEIGHT_SIZE, fewest));
	options->most_floats = Min(options->most_floats, Max(quarter / FLOAT_SIZE, FEWEST_FLOATS));
	gpt_bridge_check_memory_with(memory_of(options, corpus),
								 "Fewer rows or fewer labels need less.");
}

const char *
gpt_train_features_note(const GptTrainFeatures *features)
{
	LmFeatureFitLimits limits = lm_feature_fit_limits(features->fit);
	StringInfoData note;

	initStringInfo(&note);
	if (features->short_of_memory && limits.features)
		appendStringInfo(&note,
						 "; gpt.max_memory has room for the %d most frequent of its features",
						 lm_feature_fit_count(features->fit) - 1);
	if (limits.rows < limits.all_rows)
		appendStringInfo(&note, "; it has learnt %zu of %zu rows%s", limits.rows, limits.all_rows,
						 features->short_of_entries && !limits.time
							 ? ", for whose features gpt.max_memory has room"
							 : "");
	if (limits.time)
		appendStringInfoString(&note, "; half of the minutes ended its fit early");
	return note.len > 0 ? psprintf("the linear part is smaller than it could be%s", note.data)
						: NULL;
}

/* ---- The base ----------------------------------------------------------- */

/* Where the tables of the base's version go. */
typedef struct Tables
{
	float *keys;
	float *weights;
} Tables;

/* Reads the linear part of the version that the fine-tune starts from; its labels come first. */
static void
read_base(LmFeatureFitOptions *options, const GptJob *job, const GptTrainBase *base)
{
	MemoryContext context = CurrentMemoryContext;
	const GptVersion *version = base != NULL ? base->version : NULL;
	GptTransaction transaction;
	Tables tables;
	int *labels;
	Size n;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	if (version == NULL && job->base != NULL && job->base_version > 0)
		version = gpt_catalog_version(psprintf("%s@%d", job->base, job->base_version), true);
	if (version != NULL && version->config.features > 0 &&
		version->config.labels <= options->labels)
	{
		n = version->config.features;
		tables.keys = MemoryContextAllocHuge(context, n * LM_FEATURE_KEY_COLUMNS * sizeof(float));
		tables.weights =
			MemoryContextAllocHuge(context, n * version->config.labels * sizeof(float));
		labels = MemoryContextAlloc(context, version->config.labels * sizeof(int));
		for (int i = 0; i < version->config.labels; i++)
			labels[i] = i;
		gpt_weights_scan(version, gpt_weights_table(&version->config), put_rows, &tables);
		options->base = (LmFeatureTable){tables.keys, tables.weights, version->config.features,
										 version->config.labels};
		options->base_labels = labels;
	}
	gpt_transaction_commit(&transaction);
	MemoryContextSwitchTo(context);
}

/* A GptTakeRows. */
static void
put_rows(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	const Tables *tables = into;
	float *to = param->kind == LM_FEATURE_KEY	   ? tables->keys
				: param->kind == LM_FEATURE_WEIGHT ? tables->weights
												   : NULL;

	if (to != NULL)
		memcpy(to + (Size) first_row * param->columns, rows,
			   (Size) n_rows * param->columns * sizeof(float));
}

/* ---- After the steps ---------------------------------------------------- */

void
gpt_train_features_blend(GptTrainFeatures *features, GptTrainResult *result,
						 const GptTrainPlan *plan, const GptCorpus *corpus)
{
	LmTrainer *trainer = result->trainer;
	float *logits;
	LmError error;

	if (features == NULL)
		return;
	if (result->best != NULL)
	{
		memcpy(lm_trainer_params(trainer), result->best,
			   lm_trainer_table(trainer)->total * sizeof(float));
		pfree(result->best);
		result->best = NULL;
	}
	logits = logits_of(features, trainer, plan, corpus);
	while (!lm_feature_fit_blend(&features->blend, features->fit, logits, &error))
		gpt_bridge_retry(&error);
	pfree(logits);
	scale_head(trainer, features->blend.share);
	if (isfinite(features->blend.loss))
		result->validation_loss = features->blend.loss;
}

/* The network's logits of the first validation windows, palloc'd. */
static float *
logits_of(const GptTrainFeatures *features, LmTrainer *trainer, const GptTrainPlan *plan,
		  const GptCorpus *corpus)
{
	Size n = lm_feature_fit_validation(features->fit);
	Size labels = plan->config.labels;
	float *logits = MemoryContextAllocHuge(CurrentMemoryContext, (n * labels + 1) * sizeof(float));
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	LmBatch batch;
	uint64 next = 0;
	uint64 first = 0;
	bool more = n > 0;
	LmError error;

	if (!lm_batch_create(&batch, host, plan->training.max_tokens, &error))
		gpt_bridge_raise(&error);
	while (more && next < n)
	{
		if (!lm_dataset_validation(&batch, &next, &more, &corpus->dataset,
								   plan->training.max_tokens, &error))
			gpt_bridge_raise(&error);
		while (
			!lm_trainer_label_logits(logits + first * labels, n - first, trainer, &batch, &error))
			gpt_bridge_retry(&error);
		first = Min(next, n);
	}
	lm_batch_free(&batch, host);
	return logits;
}

static void
scale_head(LmTrainer *trainer, double share)
{
	static const LmParamKind kinds[] = {LM_LABEL_WEIGHT, LM_LABEL_BIAS};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		const LmParam *param = lm_param_find(lm_trainer_table(trainer), kinds[i], -1);
		float *values = lm_trainer_params(trainer) + param->offset;

		for (Size k = 0; k < param->count; k++)
			values[k] *= (float) share;
	}
}

void
gpt_train_features_publish(GptPublication *publication, const GptTrainFeatures *features)
{
	const LmParamTable *trained = publication->table;
	LmConfig config = trained->config;
	LmParamTable *table;
	float *block;

	config.features = lm_feature_fit_count(features->fit);
	table = gpt_weights_table(&config);
	block = MemoryContextAllocHuge(CurrentMemoryContext, table->total * sizeof(float));
	/* The linear part comes last in the table. */
	memcpy(block, publication->block, trained->total * sizeof(float));
	memset(block + trained->total, 0, (table->total - trained->total) * sizeof(float));
	lm_feature_fit_write(block + lm_param_find(table, LM_FEATURE_KEY, -1)->offset,
						 block + lm_param_find(table, LM_FEATURE_WEIGHT, -1)->offset, features->fit,
						 features->blend.scale);
	publication->table = table;
	publication->block = block;
}

void
gpt_train_features_report(GptJsonWriter *json, const GptTrainFeatures *features)
{
	const LmBlend *blend = &features->blend;

	gpt_json_begin(json, "classifier");
	gpt_json_put_integer(json, "features", lm_feature_fit_count(features->fit));
	gpt_json_put_integer(json, "rows", (int64) lm_feature_fit_limits(features->fit).rows);
	gpt_json_put_rounded(json, "network_factor", blend->share, 3);
	gpt_json_put_rounded(json, "linear_factor", blend->scale, 3);
	gpt_json_put_rounded(json, "validation_accuracy", blend->accuracy, 4);
	gpt_json_end(json);
}

/*
 * src/train/train_measure.c
 *
 * The weights of a training that has ended go in, measurements of them come out.
 *
 * The engine that trains serves as well, if both use as many threads: with another number it would
 * be started again, and the trainer's memory would go with it. So this process takes the number of
 * the training for its calls.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/bridge.h"
#include "core/nice.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "engine/ngram.h"
#include "store/weights.h"
#include "train/train_measure.h"

/* A forward pass costs a third of a step (forward and backward): 0.15 is a twentieth of it all. */
#define TOKENS_SHARE 0.15
#define MOST_OPERATIONS 2e11 /* multiplications and additions: some seconds of one core */
#define LEAST_OPERATIONS 4e9 /* a fraction of one, also after a training that was shorter */
#define LEAST_TOKENS 2048
#define MOST_TOKENS 262144

static void (*measure_weights)(GptMeasuring *measuring) = NULL;

static void fill_weights(GptMeasuring *measuring, const GptTrainBase *base,
						 const GptTrainResult *result, const GptTrainFeatures *features);
static void leave_out_held(GptPublication *publication, const GptCorpus *corpus);
static int64 tokens_to_ask(const GptTrainPlan *plan, const GptCorpus *corpus,
						   const GptTrainResult *result);
static void measure(void *argument);
static bool is_failure(const ErrorData *error);

void
gpt_train_ask_measure(void (*measure)(GptMeasuring *measuring))
{
	measure_weights = measure;
}

GptMeasuring *
gpt_train_measure(char **note, const GptJob *job, const GptTrainPlan *plan,
				  const GptTrainBase *base, const GptCorpus *corpus, const GptTrainResult *result,
				  const GptTrainFeatures *features, GptProgress *progress)
{
	GptMeasuring *measuring = palloc0(sizeof(GptMeasuring));
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt measured weights", ALLOCSET_DEFAULT_SIZES);
	ErrorData *error;

	*note = NULL;
	gpt_progress_phase(progress, "measuring");
	SetConfigOption("gpt.threads", psprintf("%d", plan->n_threads), PGC_SUSET, PGC_S_SESSION);
	measuring->model = job->model;
	measuring->corpus = corpus;
	measuring->context = caller;
	measuring->held = plan->memory;
	measuring->most_tokens = tokens_to_ask(plan, corpus, result);
	MemoryContextSwitchTo(scratch);
	fill_weights(measuring, base, result, features);
	error = gpt_transaction_attempt(GPT_COMMIT_ASYNC, 0, measure, measuring, is_failure);
	MemoryContextSwitchTo(caller);
	if (error != NULL)
	{
		measuring->evaluation = NULL;
		measuring->profile = NULL;
		*note = psprintf("the version was not measured on its rows: %s", error->message);
	}
	MemoryContextDelete(scratch);
	gpt_stop_check();
	return measuring;
}

/* The weights as they will be published: with n-grams, or with the linear part of a classifier. */
static void
fill_weights(GptMeasuring *measuring, const GptTrainBase *base, const GptTrainResult *result,
			 const GptTrainFeatures *features)
{
	GptPublication publication = {.table = lm_trainer_table(result->trainer)};

	publication.block = result->best != NULL ? result->best : lm_trainer_params(result->trainer);
	if (result->with_ngrams != NULL)
	{
		publication.table = result->ngram_table;
		publication.block = result->with_ngrams;
		leave_out_held(&publication, measuring->corpus);
		measuring->held += publication.table->total * sizeof(float);
	}
	if (features != NULL)
	{
		gpt_train_features_publish(&publication, features);
		measuring->held += publication.table->total * sizeof(float);
	}
	measuring->table = publication.table;
	measuring->block = publication.block;
	measuring->labels = lm_dataset_labels(&measuring->corpus->dataset);
	if (publication.table->config.lora_rank > 0)
		measuring->base = base->full;
}

/*
 * The n-grams that are published may have the held-out text too (train_ngrams.c), which would then
 * surprise nobody. The ones to measure are those to which the weights were fitted: palloc'd.
 */
static void
leave_out_held(GptPublication *publication, const GptCorpus *corpus)
{
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	const LmParamTable *full = publication->table;
	const float *from = publication->block;
	const LmDataset *dataset = &corpus->dataset;
	LmConfig config = full->config;
	LmParamTable *table;
	LmError error;
	float *tokens;
	float *block;

	config.ngram_tokens = lm_ngram_text(NULL, dataset, false);
	if (config.ngram_tokens == full->config.ngram_tokens)
		return;
	table = gpt_weights_table(&config);
	block = MemoryContextAllocHuge(CurrentMemoryContext, table->total * sizeof(float));
	memcpy(block, from, lm_param_find(full, LM_NGRAM_TOKENS, -1)->offset * sizeof(float));
	tokens = block + lm_param_find(table, LM_NGRAM_TOKENS, -1)->offset;
	(void) lm_ngram_text(tokens, dataset, false);
	while (!lm_ngram_sort(block + lm_param_find(table, LM_NGRAM_ORDER, -1)->offset, tokens,
						  config.ngram_tokens, config.vocabulary, host, &error))
		gpt_bridge_retry(&error);
	memcpy(block + lm_param_find(table, LM_NGRAM_WEIGHTING, -1)->offset,
		   from + lm_param_find(full, LM_NGRAM_WEIGHTING, -1)->offset,
		   LM_NGRAM_WEIGHTS * sizeof(float));
	publication->table = table;
	publication->block = block;
}

static int64
tokens_to_ask(const GptTrainPlan *plan, const GptCorpus *corpus, const GptTrainResult *result)
{
	double trained = gpt_train_step_tokens(plan, corpus) * (double) result->steps;
	double operations = 2.0 * (double) plan->parameters; /* of a token */
	double least = Min(Max(LEAST_OPERATIONS / operations, LEAST_TOKENS), MOST_TOKENS);
	double most = Min(MOST_OPERATIONS / operations, MOST_TOKENS);

	return (int64) Max(Min(trained * TOKENS_SHARE, most), least);
}

/* A snapshot is held only where the catalog is read, for the base of an adapter. */
static void
measure(void *argument)
{
	const GptMeasuring *measuring = argument;
	bool needs_snapshot = measuring->base != NULL;

	if (measure_weights == NULL)
		return;
	if (!needs_snapshot)
	{
		PopActiveSnapshot();
		InvalidateCatalogSnapshot();
	}
	gpt_nice_compute(true);
	measure_weights(argument);
	gpt_nice_compute(false);
	if (!needs_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
}

/* All but the end of the process. */
static bool
is_failure(const ErrorData *error)
{
	gpt_nice_compute(false);
	return error->elevel <= ERROR && !gpt_stop_is_cancelled() && !gpt_stop_is_terminated();
}

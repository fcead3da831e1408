/*
 * src/train/train_reference.c
 *
 * What a training keeps of the version that it starts from: the log-likelihoods of all windows,
 * with which DPO compares its own, and the probabilities of all tokens after some rows of the
 * validation, for the divergence
 *
 *   KL(model || base) = sum over tokens of p (log p - log p of the base)
 *
 * averaged over these rows. They are spread evenly over the chosen answers (the first window of
 * each group), so the sum over the vocabulary is exact, and the contexts are those of the rows, not
 * samples of the model.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "core/bridge.h"
#include "train/train_loop_private.h"

static float *log_probs_of(const GptTraining *training, int row);

void
gpt_training_allocate_reference(GptTraining *training)
{
	const GptTrainPlan *plan = training->plan;
	GptReference *reference = &training->reference;

	training->dataset = training->corpus->dataset;
	reference->count = (size_t) plan->reference_windows +
					   (size_t) plan->reference_rows * (size_t) plan->config.vocabulary;
	if (reference->count == 0)
		return;
	reference->values = MemoryContextAllocExtended(
		CurrentMemoryContext, reference->count * sizeof(float), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (plan->reference_windows > 0)
		training->dataset.references = reference->values;
}

/* ---- Log-likelihoods of windows ----------------------------------------- */

static void
likelihoods_apart(void *work)
{
	GptTrainTask *task = work;
	GptTraining *training = task->training;

	task->done = lm_trainer_likelihoods(training->likelihoods, training->trainer,
										&training->validation, &task->error);
}

/* Writes the log-likelihoods of the batch's windows from number `first` on, up to `end`. */
static void
refer_batch(GptTraining *training, uint64 first, uint64 end)
{
	const LmBatch *batch = &training->validation;
	uint64 n = 0;
	LmError error;

	while (!gpt_training_compute(training, likelihoods_apart, &error))
		gpt_bridge_retry(&error);
	for (int row = 0; row < batch->n_tokens; row++)
		n += batch->starts[row] == row;
	memcpy(training->reference.values + first, training->likelihoods,
		   Min(n, end - first) * sizeof(float));
	gpt_progress_tick(training->progress);
}

/* The windows of both sides, in the order of the file. */
void
gpt_training_refer(GptTraining *training)
{
	const LmDatasetHeader *header = training->dataset.header;
	LmDataset dataset = training->dataset;
	LmCursor cursor = {0};
	int32 example = 0;
	uint64 next = 0;
	bool more = header->n_validation_windows > 0;
	LmError error;

	if (training->plan->reference_windows == 0)
		return;
	gpt_progress_phase(training->progress, "reading with the base");
	dataset.shuffle = false;
	/* Of all windows, also where this server draws a share of them. */
	dataset.shares = 1;
	dataset.share = 0;
	training->likelihoods = palloc((size_t) training->plan->training.max_tokens * sizeof(float));
	while (cursor.drawn < header->n_train_windows)
	{
		uint64 first = cursor.drawn;

		if (!lm_dataset_next(&training->validation, &cursor, &example, &dataset,
							 training->plan->training.max_tokens, 1, &error))
			gpt_bridge_raise(&error);
		refer_batch(training, first, header->n_train_windows);
	}
	while (more)
	{
		uint64 first = header->n_train_windows + next;

		if (!lm_dataset_validation(&training->validation, &next, &more, &dataset,
								   training->plan->training.max_tokens, &error))
			gpt_bridge_raise(&error);
		refer_batch(training, first, header->n_train_windows + header->n_validation_windows);
	}
	pfree(training->likelihoods);
	training->likelihoods = NULL;
}

/* ---- Divergence --------------------------------------------------------- */

/* The rows of chosen answers that a validation reads, which are predicted. */
static int64
rows_of_answers(const GptTraining *training)
{
	const LmDatasetHeader *header = training->dataset.header;
	const LmWindow *windows = training->dataset.windows + header->n_train_windows;
	int64 tokens = 0;
	int64 rows = 0;

	for (uint64 i = 0;
		 i < header->n_validation_windows && tokens < training->plan->validation_tokens; i++)
	{
		tokens += windows[i].length - 1;
		if (i % header->group == 0)
			rows += windows[i].length - 1 - windows[i].prompt;
	}
	return rows;
}

void
gpt_training_diverge_begin(GptTraining *training)
{
	GptDivergence *divergence = &training->divergence;

	MemSet(divergence, 0, sizeof(GptDivergence));
	if (training->plan->reference_rows == 0)
		return;
	divergence->stride = Max(1, (rows_of_answers(training) + training->plan->reference_rows - 1) /
									training->plan->reference_rows);
	divergence->rows = palloc((size_t) training->plan->reference_rows * sizeof(int));
}

/* The rows of the batch whose probabilities are kept. */
static void
choose_rows(GptTraining *training)
{
	const LmBatch *batch = &training->validation;
	GptDivergence *divergence = &training->divergence;
	int window = -1;

	divergence->n_rows = 0;
	for (int row = 0; row < batch->n_tokens; row++)
	{
		window += batch->starts[row] == row;
		if (window % batch->group != 0 || batch->targets[row] < 0)
			continue;
		if (divergence->n_seen++ % divergence->stride == 0 &&
			divergence->n_done + divergence->n_rows < training->plan->reference_rows)
			divergence->rows[divergence->n_rows++] = row;
	}
}

static void
log_probs_apart(void *work)
{
	GptTrainTask *task = work;
	GptTraining *training = task->training;
	GptDivergence *divergence = &training->divergence;

	task->done = lm_trainer_log_probs(divergence->log_probs, training->trainer, divergence->rows,
									  divergence->n_rows, &task->error);
}

static double
divergence_of_row(const float *log_probs, const float *base, int vocabulary)
{
	double sum = 0;

	for (int token = 0; token < vocabulary; token++)
		sum += exp(log_probs[token]) * ((double) log_probs[token] - base[token]);
	return sum;
}

/* Before the first step the probabilities are the base's, and are kept. */
void
gpt_training_diverge_add(GptTraining *training)
{
	GptDivergence *divergence = &training->divergence;
	int vocabulary = training->plan->config.vocabulary;
	bool is_base = training->state.step == 0;
	float *kept;
	LmError error;

	if (divergence->rows == NULL)
		return;
	kept = log_probs_of(training, divergence->n_done);
	choose_rows(training);
	if (divergence->n_rows == 0)
		return;
	divergence->log_probs =
		is_base
			? kept
			: MemoryContextAllocHuge(CurrentMemoryContext, (size_t) divergence->n_rows *
															   (size_t) vocabulary * sizeof(float));
	while (!gpt_training_compute(training, log_probs_apart, &error))
		gpt_bridge_retry(&error);
	for (int i = 0; i < divergence->n_rows; i++)
		divergence->sum += divergence_of_row(divergence->log_probs + (size_t) i * vocabulary,
											 kept + (size_t) i * vocabulary, vocabulary);
	if (!is_base)
		pfree(divergence->log_probs);
	divergence->n_done += divergence->n_rows;
}

double
gpt_training_diverge_end(GptTraining *training)
{
	GptDivergence *divergence = &training->divergence;

	if (divergence->rows == NULL)
		return get_float8_nan();
	pfree(divergence->rows);
	divergence->rows = NULL;
	return divergence->n_done > 0 ? divergence->sum / divergence->n_done : get_float8_nan();
}

static float *
log_probs_of(const GptTraining *training, int row)
{
	return training->reference.values + training->plan->reference_windows +
		   (size_t) row * (size_t) training->plan->config.vocabulary;
}

/*
 * src/train/train_ngrams.c
 *
 * The end of a training: n-grams of its texts are fitted to the validation side, beside the weights
 * that will be published (engine/ngram.h). Where the mixture is better than the network, its
 * weights and the tokens of the training side join the weights.
 *
 * Text that the job itself has held out has done its duty then, and joins them too: it is as good
 * as the rest, and the end of a book is nearest to what follows. Rows that the user holds out stay
 * out.
 */
#include "postgres.h"

#include <math.h>

#include "core/bridge.h"
#include "core/settings.h"
#include "engine/ngram.h"
#include "store/weights.h"
#include "train/train_loop_private.h"

#define LEAST_ROWS 512 /* predictions, below which the weights would fit chance */
#define LEAST_GAIN 0.01 /* of the validation loss: each token costs some microseconds */
#define MOST_LOGITS ((size_t) 1 << 25) /* of all rows that are fitted to: a second of work */
#define PIECE_LOGITS ((size_t) 1 << 20) /* at once */

/* What is fitted, and the text of which the rows are. */
typedef struct Fitting
{
	GptTraining *training;
	LmNgramFit *fit;
	int most_rows;
	int32 *history; /* [LM_NGRAM_FIT_ROWS + 1] */
	size_t n_history;
	float *logprobs; /* [piece, vocabulary] */
	int piece; /* rows */
	int first; /* row of the batch, of logprobs */
	int n;
	int *rows; /* [piece] their numbers in the batch */
} Fitting;

static bool make_ngrams(LmNgram *ngram, GptTraining *training, bool with_validation);
static void free_ngrams(LmNgram *ngram);
static bool fit_ngrams(float *weights, double *network, double *mixture, const LmNgram *ngram,
					   GptTraining *training);
static void add_batch(Fitting *fitting);
static void publish_ngrams(GptTrainResult *result, const LmNgram *ngram, GptTraining *training);

void
gpt_training_add_ngrams(GptTraining *training, GptTrainResult *result)
{
	GptSwitch wanted = training->plan->ngrams;
	float weights[LM_NGRAM_WEIGHTS];
	LmNgram ngram = {.weights = weights};
	double network;
	double mixture;

	if (wanted == GPT_SWITCH_FALSE ||
		training->corpus->dataset.header->validation_tokens < LEAST_ROWS ||
		!make_ngrams(&ngram, training, false))
		return;
	gpt_progress_phase(training->progress, "fitting n-grams");
	if (result->best != NULL)
		memcpy(lm_trainer_params(training->trainer), result->best,
			   lm_trainer_table(training->trainer)->total * sizeof(float));
	if (fit_ngrams(weights, &network, &mixture, &ngram, training) &&
		(wanted == GPT_SWITCH_TRUE || mixture < (1 - LEAST_GAIN) * network))
	{
		if (training->plan->ngrams_of_held_out)
		{
			free_ngrams(&ngram);
			(void) make_ngrams(&ngram, training, true);
		}
		publish_ngrams(result, &ngram, training);
		result->network_loss = result->validation_loss;
		result->validation_loss *= mixture / network;
		result->validation_bits_per_byte *= mixture / network;
	}
	free_ngrams(&ngram);
}

/*
 * The tokens of the training side, or of both sides, and their order, palloc'd; false where there
 * are none.
 */
static bool
make_ngrams(LmNgram *ngram, GptTraining *training, bool with_validation)
{
	const LmDataset *dataset = &training->corpus->dataset;
	int n = lm_ngram_text(NULL, dataset, with_validation);
	float *tokens;
	float *order;
	LmError error;

	if (n == 0)
		return false;
	tokens = palloc(n * sizeof(float));
	order = palloc(n * sizeof(float));
	(void) lm_ngram_text(tokens, dataset, with_validation);
	if (!lm_ngram_sort(order, tokens, n, training->plan->config.vocabulary, training->host, &error))
		gpt_bridge_raise(&error);
	ngram->n = n;
	ngram->tokens = tokens;
	ngram->order = order;
	return true;
}

static void
free_ngrams(LmNgram *ngram)
{
	pfree(unconstify(float *, ngram->tokens));
	pfree(unconstify(float *, ngram->order));
}

static void
evaluate_apart(void *work)
{
	GptTrainTask *task = work;
	GptTraining *training = task->training;

	task->done = lm_trainer_evaluate(&training->validation_sum, &training->validation_weight,
									 training->trainer, &training->validation, &task->error);
}

/* False where the validation side has too few rows. */
static bool
fit_ngrams(float *weights, double *network, double *mixture, const LmNgram *ngram,
		   GptTraining *training)
{
	int vocabulary = training->plan->config.vocabulary;
	Fitting fitting = {.training = training};
	uint64 next = 0;
	bool more = true;
	bool good;
	LmError error;

	fitting.fit = lm_ngram_fit_begin(ngram, vocabulary, training->host, &error);
	if (fitting.fit == NULL)
		gpt_bridge_raise(&error);
	fitting.most_rows = (int) Max(Min(LM_NGRAM_FIT_ROWS, MOST_LOGITS / vocabulary), 2 * LEAST_ROWS);
	fitting.piece = (int) Max(PIECE_LOGITS / vocabulary, 1);
	fitting.logprobs = palloc((Size) fitting.piece * vocabulary * sizeof(float));
	fitting.rows = palloc(fitting.piece * sizeof(int));
	fitting.history = palloc((LM_NGRAM_FIT_ROWS + 1) * sizeof(int32));
	while (more && lm_ngram_fit_rows(fitting.fit) < fitting.most_rows)
	{
		if (!lm_dataset_validation(&training->validation, &next, &more, &training->corpus->dataset,
								   training->plan->training.max_tokens, &error))
			gpt_bridge_raise(&error);
		while (!gpt_training_compute(training, evaluate_apart, &error))
			gpt_bridge_retry(&error);
		add_batch(&fitting);
	}
	good = lm_ngram_fit_rows(fitting.fit) >= LEAST_ROWS;
	if (good && !lm_ngram_fit_finish(weights, network, mixture, fitting.fit, &error))
		gpt_bridge_raise(&error);
	lm_ngram_fit_free(fitting.fit);
	pfree(fitting.logprobs);
	pfree(fitting.history);
	pfree(fitting.rows);
	return good;
}

static void
read_apart(void *work)
{
	GptTrainTask *task = work;
	Fitting *fitting = task->context;

	task->done = lm_trainer_log_probs(fitting->logprobs, task->training->trainer, fitting->rows,
									  fitting->n, &task->error);
}

/* A window goes on with the text of the one before, or begins a text. */
static void
begin_window(Fitting *fitting, int row)
{
	const LmDataset *dataset = &fitting->training->corpus->dataset;
	const LmBatch *batch = &fitting->training->validation;
	const LmWindow *window =
		&dataset->windows[dataset->header->n_train_windows + batch->examples[row]];
	bool goes_on =
		batch->examples[row] > 0 && (dataset->documents == LM_DOCUMENTS_JOINED ||
									 window->offset + 1 == window[-1].offset + window[-1].length);

	if (goes_on && fitting->n_history > 0)
		return;
	fitting->history[0] = batch->tokens[row];
	fitting->n_history = 1;
}

/* Adds the rows of the batch that was evaluated last. */
static void
add_batch(Fitting *fitting)
{
	GptTraining *training = fitting->training;
	const LmBatch *batch = &training->validation;
	int vocabulary = training->plan->config.vocabulary;
	LmError error;

	for (int row = 0; row < batch->n_tokens && lm_ngram_fit_rows(fitting->fit) < fitting->most_rows;
		 row++)
	{
		if (row == 0 || row == fitting->first + fitting->n)
		{
			fitting->first = row;
			fitting->n = Min(fitting->piece, batch->n_tokens - row);
			for (int i = 0; i < fitting->n; i++)
				fitting->rows[i] = row + i;
			while (!gpt_training_compute_with(training, read_apart, fitting, &error))
				gpt_bridge_retry(&error);
		}
		if (batch->starts[row] == row)
			begin_window(fitting, row);
		lm_ngram_fit_add(fitting->fit,
						 fitting->logprobs + (Size) (row - fitting->first) * vocabulary,
						 batch->targets[row], fitting->history, fitting->n_history);
		fitting->history[fitting->n_history++] = batch->targets[row];
	}
}

/* The weights of the trainer, and after them the n-grams. */
static void
publish_ngrams(GptTrainResult *result, const LmNgram *ngram, GptTraining *training)
{
	const LmParamTable *own = lm_trainer_table(training->trainer);
	LmConfig config = own->config;
	LmParamTable *table;
	float *block;

	config.ngram_tokens = ngram->n;
	table = gpt_weights_table(&config);
	block = MemoryContextAllocHuge(CurrentMemoryContext, table->total * sizeof(float));
	memset(block + own->total, 0, (table->total - own->total) * sizeof(float));
	memcpy(block, lm_trainer_params(training->trainer), own->total * sizeof(float));
	memcpy(block + lm_param_find(table, LM_NGRAM_TOKENS, -1)->offset, ngram->tokens,
		   ngram->n * sizeof(float));
	memcpy(block + lm_param_find(table, LM_NGRAM_ORDER, -1)->offset, ngram->order,
		   ngram->n * sizeof(float));
	memcpy(block + lm_param_find(table, LM_NGRAM_WEIGHTING, -1)->offset, ngram->weights,
		   LM_NGRAM_WEIGHTS * sizeof(float));
	result->with_ngrams = block;
	result->ngram_table = table;
}

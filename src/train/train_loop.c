/*
 * src/train/train_loop.c
 *
 * A plan and a corpus go in, trained weights come out. Between two steps the process holds no
 * transaction, no lock but the job's, and no snapshot.
 *
 *   step 0        validation; or the state of a checkpoint
 *   each step     batches, made during the step before -> step of the engine -> means since the
 *                 last row of the log
 *   now and then  validation on a fixed part of the held-out documents; the best weights are put
 *                 aside; after `patience` validations without progress the training ends
 *   the end       after the planned steps, or when the time of the job is over. Then the learning
 *                 rate falls by the clock: other load on the machine changes the number of steps,
 *                 not the duration of the job
 *   each step     the save hook may write a checkpoint
 *
 * Users see steps counted from 1; the engine counts from 0.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "train/train_loop_private.h"
#include "train/train_search.h"

#define LOG_INTERVAL_MS 5000
/* of the training, after which its speed tells how many steps it will have */
#define CERTAIN_SHARE 0.05
/* times the time that timing steps may take, after which the first one is given up */
#define MOST_WAIT 3
#define COUNTED_BATCHES 64 /* from which the tokens of a step are estimated */

static void start(GptTraining *training, const GptTrainPlan *plan, const GptCorpus *corpus,
				  GptProgress *progress);
static void begin(GptTraining *training, const GptTrainHooks *hooks, TimestampTz job_started_at);
static bool is_over(GptTraining *training);
static bool advance(GptTraining *training);
static void save(GptTraining *training, const GptTrainHooks *hooks);
static void finish(GptTraining *training);
static void fit_reader(GptTraining *training);
static void draw_batches(GptTraining *training);
static bool step(GptTraining *training);
static void note_step(GptTraining *training);
static void log_row(GptTraining *training, bool validated);

void
gpt_train_run(GptTrainResult *result, const GptTrainPlan *plan, const GptCorpus *corpus,
			  const GptTrainHooks *hooks, TimestampTz started_at, GptProgress *progress)
{
	GptTraining training;

	start(&training, plan, corpus, progress);
	training.hooks = hooks;
	progress->steps = plan->training.steps;
	begin(&training, hooks, started_at);
	if (!is_over(&training))
	{
		while (advance(&training))
			save(&training, hooks);
	}

	MemSet(result, 0, sizeof(GptTrainResult));
	result->choice = gpt_training_choose(&training);
	result->trainer = training.trainer;
	result->best = training.best;
	result->end = training.end;
	result->steps = training.state.step;
	result->expected_steps =
		training.end == GPT_END_PATIENCE ? progress->steps : training.state.step;
	result->best_step = training.state.best_step;
	result->overfit_since = training.state.overfit_since;
	if (plan->total_time > 0)
		result->untrained_share =
			(double) (training.clock.started_at - training.clock.job_started_at) /
			(double) plan->total_time;
	result->tokens_per_second = (double) training.state.all_tokens * USECS_PER_SEC /
								(double) Max(1, GetCurrentTimestamp() - training.started_at);
	gpt_train_measures(&result->loss, &result->validation_loss, &result->validation_bits_per_byte,
					   &training.state);
	result->figure_names = lm_trainer_figure_names(training.trainer);
	result->figures =
		training.state.has_best ? training.state.best_figures : training.state.figures;
	gpt_progress_flush(progress);
	gpt_training_add_ngrams(&training, result);
	finish(&training);
}

/* Whether the training ends here, and why. One step is made in any case. */
static bool
is_over(GptTraining *training)
{
	const GptTrainPlan *plan = training->plan;
	int64 done = training->state.step;

	if (plan->total_time == 0)
	{
		training->end = plan->epochs_given ? GPT_END_EPOCHS : GPT_END_STEPS;
		return done >= plan->training.steps;
	}
	training->end =
		plan->most_steps > 0 && done >= plan->most_steps ? GPT_END_EPOCHS : GPT_END_MINUTES;
	return training->end == GPT_END_EPOCHS ||
		   (done > 0 && gpt_train_clock_is_over(&training->clock));
}

/* A step with its validation and its row of the log; false after the last. */
static bool
advance(GptTraining *training)
{
	GptTrainState *state = &training->state;
	bool made;
	bool over;
	bool validates;

	/* A checkpoint that it writes has the cursor of before. */
	if (training->hooks->before_step != NULL)
		training->hooks->before_step(training->hooks->context, state, training->trainer,
									 training->best, &training->reference);
	if (training->hooks->tree != NULL)
		training->tree = training->hooks->tree(training->hooks->context);
	draw_batches(training);
	if (training->plan->total_time > 0 && state->step > 0)
		training->deadline = gpt_train_clock_deadline(&training->clock);
	made = step(training);
	over = is_over(training) || !made;
	if (training->hooks->after_step != NULL)
		training->hooks->after_step(training->hooks->context, state, training->trainer, over);
	validates = training->corpus->has_validation && training->validated_step != state->step &&
				(state->step % training->plan->validation_interval == 0 || over);
	if (validates)
		gpt_training_validate(training);
	if (validates || (made && (state->step == 1 || over ||
							   TimestampDifferenceExceeds(training->logged_at,
														  GetCurrentTimestamp(), LOG_INTERVAL_MS))))
		log_row(training, validates);
	if (validates && !gpt_training_keep_best(training) && !over)
	{
		training->end = GPT_END_PATIENCE;
		return false;
	}
	return !over;
}

void
gpt_train_free(GptTrainResult *result)
{
	lm_trainer_free(result->trainer);
	if (result->best != NULL)
		pfree(result->best);
	if (result->with_ngrams != NULL)
		pfree(result->with_ngrams);
}

void
gpt_train_measures(double *loss, double *validation_loss, double *bits_per_byte,
				   const GptTrainState *state)
{
	*loss = state->has_best ? state->best_training_loss
							: state->window_sum / (double) state->window_steps;
	*validation_loss = state->has_best ? state->best_validation_loss : state->validation_loss;
	*bits_per_byte = state->has_best ? state->best_bits_per_byte : state->validation_bits_per_byte;
}

/* Allocates all memory of the training before its first step. */
static void
start(GptTraining *training, const GptTrainPlan *plan, const GptCorpus *corpus,
	  GptProgress *progress)
{
	LmError error;

	MemSet(training, 0, sizeof(GptTraining));
	training->plan = plan;
	training->corpus = corpus;
	training->progress = progress;
	training->host = gpt_bridge_host(CurrentMemoryContext);
	training->state.best_loss = INFINITY;
	training->state.validation_loss = get_float8_nan();
	training->state.validation_bits_per_byte = get_float8_nan();
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		training->state.figures.values[i] = get_float8_nan();
	training->state.figures.divergence = get_float8_nan();
	training->trainer =
		lm_trainer_create(gpt_plan_engine(plan), &plan->config, &plan->training, &error);
	if (training->trainer == NULL)
		gpt_bridge_raise(&error);

	gpt_train_search_begin(training->trainer, corpus);
	gpt_training_allocate_reference(training);
	fit_reader(training);
	if (!lm_batch_create(&training->validation, training->host, plan->training.max_tokens, &error))
		gpt_bridge_raise(&error);
	training->started_at = GetCurrentTimestamp();
	training->logged_at = training->started_at;
}

/* Starts at the beginning, or where the hooks say; the beginning includes the first validation. */
static void
begin(GptTraining *training, const GptTrainHooks *hooks, TimestampTz job_started_at)
{
	GptTrainState *state = &training->state;
	GptProgress *progress = training->progress;

	if (hooks->restore != NULL)
		hooks->restore(hooks->context, state, training->trainer, &training->best,
					   &training->reference);
	training->started_at = GetCurrentTimestamp() - state->microseconds;
	training->logged_at = GetCurrentTimestamp();
	gpt_train_clock_start(&training->clock, training->plan->total_time, job_started_at,
						  state->microseconds,
						  lm_trainer_table(training->trainer)->total * sizeof(float));
	progress->step = state->step;
	progress->validation_loss = state->validation_loss;
	progress->validation_bits_per_byte = state->validation_bits_per_byte;
	if (state->step == 0)
		gpt_training_refer(training);
	gpt_progress_phase(progress, "training");
	if (state->step == 0 && training->corpus->has_validation)
	{
		gpt_training_validate(training);
		log_row(training, true);
	}
	if (state->step == 0)
		save(training, hooks);
}

static void
save(GptTraining *training, const GptTrainHooks *hooks)
{
	training->state.microseconds = GetCurrentTimestamp() - training->started_at;
	training->state.used_time = GetCurrentTimestamp() - training->clock.job_started_at;
	if (hooks->save != NULL)
		hooks->save(hooks->context, &training->state, training->trainer, training->best,
					&training->reference);
}

/* The trainer stays. */
static void
finish(GptTraining *training)
{
	lm_reader_free(training->reader);
	lm_batch_free(&training->validation, training->host);
	if (training->reference.values != NULL)
		pfree(training->reference.values);
}

/* ---- Steps -------------------------------------------------------------- */

static void
step_apart(void *work)
{
	GptTrainTask *task = work;
	GptTraining *training = task->training;

	if (training->tree != NULL)
	{
		LmTreeStep tree = *training->tree;

		tree.batches = training->batches;
		task->done = lm_trainer_step_tree(&training->state.last, training->trainer,
										  training->state.step, &tree, &task->error);
		return;
	}
	task->done =
		lm_trainer_step(&training->state.last, training->trainer, training->state.step,
						training->batches, training->plan->accumulate, NULL, NULL, &task->error);
}

/*
 * Batches of dealt rows are those of all leaves, of rows of the server's own those of its leaves
 * alone. Their windows have numbers that no other member's have: dropout depends on them.
 */
static void
fit_reader(GptTraining *training)
{
	const GptTrainPlan *plan = training->plan;
	const LmTreeStep *tree = training->tree;
	LmTreeNode wanted = {0, plan->accumulate};
	LmError error;

	if (tree != NULL && !tree->dealt)
		wanted = tree->own;
	if (training->reader != NULL && training->drawn.first == wanted.first &&
		training->drawn.count == wanted.count)
		return;
	lm_reader_free(training->reader);
	training->batches = NULL;
	training->drawn = wanted;
	training->reader =
		lm_reader_create(lm_trainer_engine(training->trainer), &training->dataset, wanted.count,
						 plan->training.max_tokens, plan->batch_size, &error);
	if (training->reader == NULL)
		gpt_bridge_raise(&error);
	lm_reader_number_from(training->reader, (int32) ((int64) wanted.first *
													 plan->training.max_tokens % PG_INT32_MAX));
}

static void
draw_batches(GptTraining *training)
{
	LmError error;

	fit_reader(training);
	training->drawn_from = training->state.cursor;
	training->batches = lm_reader_next(training->reader, &training->state.cursor, &error);
	if (training->batches == NULL)
		gpt_bridge_raise(&error);
}

static void
raise_step_error(const LmError *error, int64 number)
{
	if (error->code == LM_ERR_NUMERIC)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("loss or gradient is not finite at step " INT64_FORMAT, number),
						errhint("Lower option \"learning_rate\", or set option \"grad_clip\".")));
	gpt_bridge_retry(error);
}

/* False where it was given up at its deadline: it has changed nothing. */
static bool
step(GptTraining *training)
{
	const GptTrainPlan *plan = training->plan;
	TimestampTz started_at = GetCurrentTimestamp();
	LmError error;

	if (training->state.step % plan->validation_interval == 0)
	{
		training->state.window_sum = 0;
		training->state.window_steps = 0;
	}
	if (training->clock.total > 0)
		lm_trainer_options(training->trainer)->share =
			plan->most_steps == 0 ? gpt_train_clock_share(&training->clock)
								  : Max(gpt_train_clock_share(&training->clock),
										(double) training->state.step / (double) plan->most_steps);

	/* A step that was stopped without an error is done again. */
	for (;;)
	{
		bool made;

		gpt_bridge_set_deadline(training->deadline);
		made = gpt_training_compute(training, step_apart, &error);
		gpt_bridge_set_deadline(0);
		if (made)
			break;
		if (error.code == LM_ERR_LIBRARY && training->tree != NULL &&
			training->tree->hooks != NULL && training->hooks != NULL &&
			training->hooks->failed_step != NULL)
		{
			training->state.cursor = training->drawn_from;
			training->hooks->failed_step(training->hooks->context, &training->state,
										 training->trainer, training->best, &training->reference,
										 &error);
			training->tree = training->hooks->tree(training->hooks->context);
			draw_batches(training);
			continue;
		}
		raise_step_error(&error, training->state.step + 1);
		if (training->deadline != 0 && GetCurrentTimestamp() >= training->deadline)
			return false;
	}
	gpt_train_clock_count_step(&training->clock, GetCurrentTimestamp() - started_at);
	note_step(training);
	return true;
}

/*
 * Adds the step's loss to the running means, and reports progress with an estimate of the time
 * left.
 */
static void
note_step(GptTraining *training)
{
	GptTrainState *state = &training->state;
	GptProgress *progress = training->progress;
	TimestampTz now = GetCurrentTimestamp();

	state->step++;
	state->loss_sum += state->last.loss;
	state->loss_steps++;
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		state->figure_sums[i] += state->last.figures[i];
	state->window_sum += state->last.loss;
	state->window_steps++;
	state->tokens += state->last.tokens;
	state->all_tokens += state->last.tokens;

	progress->step = state->step;
	progress->loss = state->loss_sum / (double) state->loss_steps;
	progress->tokens_per_second =
		(double) state->all_tokens * USECS_PER_SEC / (double) Max(1, now - training->started_at);
	if (training->clock.total > 0)
	{
		double share = lm_trainer_options(training->trainer)->share;

		progress->seconds_left =
			fmax(0, (double) (training->clock.job_started_at + training->clock.total - now) /
						USECS_PER_SEC);
		if (share > CERTAIN_SHARE)
			progress->steps = Max((int64) ((double) state->step / share), state->step);
	}
	else
		progress->seconds_left = (double) (now - training->started_at) / USECS_PER_SEC /
								 (double) state->step *
								 (double) (training->plan->training.steps - state->step);
	gpt_progress_tick(progress);
}

/* Logs the means since the last row, then starts them anew. */
static void
log_row(GptTraining *training, bool validated)
{
	GptProgress *progress = training->progress;
	TimestampTz now = GetCurrentTimestamp();
	bool stepped = training->state.loss_steps > 0;
	GptLogRow row = {
		.step = training->state.step,
		.loss = stepped ? training->state.loss_sum / (double) training->state.loss_steps
						: get_float8_nan(),
		.validation_loss = validated ? progress->validation_loss : get_float8_nan(),
		.validation_bits_per_byte =
			validated ? progress->validation_bits_per_byte : get_float8_nan(),
		.learning_rate = stepped ? training->state.last.learning_rate : get_float8_nan(),
		.grad_norm = stepped ? training->state.last.grad_norm : get_float8_nan(),
		.tokens_per_second = stepped ? (double) training->state.tokens * USECS_PER_SEC /
										   (double) Max(1, now - training->logged_at)
									 : get_float8_nan(),
		.at = now,
	};

	gpt_training_measures(row.measures, sizeof(row.measures), training, validated);
	gpt_progress_log(progress, &row);
	MemSet(training->state.figure_sums, 0, sizeof(training->state.figure_sums));
	training->state.loss_sum = 0;
	training->state.loss_steps = 0;
	training->state.tokens = 0;
	training->logged_at = now;
}

/* ---- For a member of a training over servers ------------------------------ */

void
gpt_training_start(GptTraining *training, const GptTrainPlan *plan, const GptCorpus *corpus,
				   GptProgress *progress)
{
	start(training, plan, corpus, progress);
}

void
gpt_training_step(GptTraining *training)
{
	draw_batches(training);
	(void) step(training);
}

bool
gpt_training_try_step(GptTraining *training, LmError *error)
{
	LmCursor cursor = training->state.cursor;

	draw_batches(training);
	if (!gpt_training_compute(training, step_apart, error))
	{
		training->state.cursor = cursor;
		return false;
	}
	note_step(training);
	return true;
}

void
gpt_training_finish(GptTraining *training)
{
	finish(training);
}

/* ---- For the plan ------------------------------------------------------- */

double
gpt_train_step_tokens(const GptTrainPlan *plan, const GptCorpus *corpus)
{
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	LmCursor cursor = {0};
	int32 example = 0;
	double tokens = 0;
	LmBatch batch;
	LmError error;

	if (!lm_batch_create(&batch, host, plan->training.max_tokens, &error))
		gpt_bridge_raise(&error);
	for (int i = 0; i < COUNTED_BATCHES; i++)
	{
		if (!lm_dataset_next(&batch, &cursor, &example, &corpus->dataset, plan->training.max_tokens,
							 plan->batch_size, &error))
			gpt_bridge_raise(&error);
		tokens += batch.n_tokens;
	}
	lm_batch_free(&batch, host);
	return tokens / COUNTED_BATCHES * plan->accumulate;
}

double
gpt_train_time_step(const GptTrainPlan *plan, const GptCorpus *corpus, int most_steps,
					double most_seconds, GptProgress *progress)
{
	GptTraining training;
	TimestampTz started_at;
	TimestampTz first_ended_at = 0;
	double seconds = 0;
	int64 counted;

	gpt_progress_phase(progress, "measuring");
	start(&training, plan, corpus, progress);
	started_at = GetCurrentTimestamp();
	training.deadline = started_at + (int64) (MOST_WAIT * most_seconds * USECS_PER_SEC);
	do
	{
		draw_batches(&training);
		if (!step(&training))
			break;

		/* The first step touches the memory for the first time. */
		if (training.state.step == 1)
			first_ended_at = GetCurrentTimestamp();
		else
			seconds = (double) (GetCurrentTimestamp() - first_ended_at) / USECS_PER_SEC;
	} while (training.state.step < 2 ||
			 (training.state.step < most_steps && seconds < most_seconds));

	counted = training.state.step - 1;
	if (counted < 1)
	{
		/* No more is known than that a step takes so long. */
		seconds = (double) (GetCurrentTimestamp() - started_at) / USECS_PER_SEC;
		counted = 1;
	}
	finish(&training);
	lm_trainer_free(training.trainer);
	gpt_progress_start(progress, progress->job);
	return Max(seconds, 1e-6) / (double) counted;
}

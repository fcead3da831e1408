/*
 * src/train/train_plan.c
 *
 * Options, corpus and machine go in; the plan of a training comes out:
 *
 *   1. the shape of the model: the options', or the largest preset that passes a few epochs in the
 *      time and that the data are worth;
 *   2. the batch, and whether the memory suffices;
 *   3. the number of steps: given, or by epochs, or by time. By time, a few steps are timed and
 *      thrown away. They give the expected number, for the options of step 4, while the clock
 *      decides when the training ends (train_clock.c);
 *   4. the options that depend on the steps: warm-up, dropout, how often to validate.
 *
 * The numbers are starting points; docs/benchmarks.md has the measurements.
 */
#include "postgres.h"

#include <math.h>

#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "corpus/facts.h"
#include "engine/ngram.h"
#include "engine/ops.h"
#include "engine/params.h"
#include "train/train_loop.h"
#include "store/weights.h"
#include "train/train_architecture.h"
#include "train/train_objective.h"
#include "train/train_plan.h"

#define DEFAULT_MINUTES 10.0
/*
 * of a new classifier of single texts, whose linear part learns in seconds what little a network
 * without any other text could add in minutes. Measured in docs/benchmarks.md
 */
#define LABELLED_MINUTES 0.4
#define DEFAULT_EPOCHS 10.0 /* of texts, ... */
/* ... of so few tokens of texts that this takes a minute or two, and ... */
#define LITTLE_EPOCHS 20.0
#define LITTLE_TOKENS (1 << 17)
/*
 * ... of prompts with completions: there are few, and the model must learn more of each. Measured
 * in docs/benchmarks.md
 */
#define PROMPTED_EPOCHS 100.0
/*
 * of preferences by DPO, which further epochs learn by heart, farther from the base, and of few of
 * them. Measured in docs/benchmarks.md
 */
#define DPO_EPOCHS 1.0
#define FEW_DPO_EPOCHS 3.0
#define FEW_PREFERENCES 1000
#define WANTED_EPOCHS 4.0 /* that a preset must be able to pass, of texts and ... */
#define PROMPTED_WANTED_EPOCHS 12.0 /* ... of prompts, of which there are few */
/* label smoothing of prompts in words: rules that are learnt letter by letter have none */
#define PROMPTED_SMOOTHING 0.1
#define PARAMETERS_PER_TOKEN 20.0 /* above which a corpus is too small for a preset */
/* floating point operations a second and thread, where time must not decide */
#define NOMINAL_SPEED 50e9
#define TRAINING_SHARE 0.88 /* of the time: the rest is validation and publication */
/* of `minutes`, left for training however long the reading took */
#define SMALLEST_TIME_SHARE 0.05
#define TIMED_STEPS 20
#define TIMED_SHARE 0.03 /* of the time */
#define PROBE_STEPS 4
#define PROBE_SHARE 0.02
#define MOST_WARMUP 100
#define WARMUP_SHARE 0.05
#define MOST_VALIDATIONS 25
#define VALIDATION_SHARE 0.10 /* of the work of training */
#define DEFAULT_PATIENCE 6
/* tokens, below which the second moment is averaged over more steps */
#define SMALL_STEP 8192
/* least learning rate of a classifier's head, which is new. Measured in docs/benchmarks.md */
#define HEAD_RATE 5e-3
#define EMBEDDING_RATE 1e-3 /* learning rate of a trained embedding */
/* least dropout of texts that are their own positives (Gao et al. 2021, "SimCSE", table 3) */
#define NOISE_DROPOUT 0.1f
#define DEFAULT_DECAY 0.1
/* of the weights of a model that passes its texts more often. Measured in docs/benchmarks.md */
#define REPEATED_DECAY 1.0
#define REPEATED_EPOCHS 5.0
/* of the learning rate of a fine-tune or an adapter. Measured in docs/benchmarks.md */
#define DPO_RATE_SHARE (1.0 / 3)
#define SMALLEST_CONTEXT 64
/* bytes of the base's probabilities that are kept to measure how far a preference leads from it */
#define REFERENCE_SIZE (8 * 1024 * 1024)
#define LEAST_REFERENCE_ROWS 16
#define MOST_REFERENCE_ROWS 1024
#define SMALLEST_VOCABULARY 257

static void plan_reference(GptTrainPlan *plan, const GptTrainOptions *options,
						   const GptCorpus *corpus, int vocabulary);
static GptSwitch ngrams_of(const GptTrainOptions *options, const GptCorpus *corpus);
static bool time_decides(const GptTrainOptions *options);
static double seconds_of_job(const GptTrainOptions *options, const GptCorpus *corpus);
static double seconds_for_training(const GptTrainOptions *options, const GptCorpus *corpus,
								   TimestampTz started_at);
static void make_plan(GptTrainPlan *plan, GptPlanTiming *timing, const GptTrainOptions *options,
					  const GptCorpus *corpus, TimestampTz started_at, GptProgress *progress);
static double measure_speed(const GptTrainPlan *plan, const GptPlanTiming *timing,
							const GptTrainOptions *options, const GptCorpus *corpus,
							GptProgress *progress);
static double token_budget(const GptTrainPlan *plan, const GptTrainOptions *options,
						   const GptCorpus *corpus, double operations);
static const char *choose_preset(const GptTrainPlan *plan, const GptTrainOptions *options,
								 const GptCorpus *corpus, double operations);
static void choose_rates(GptTrainPlan *plan, const GptTrainOptions *options);
static int64 choose_steps(GptTrainPlan *plan, GptPlanTiming *timing, const GptTrainOptions *options,
						  const GptCorpus *corpus, TimestampTz started_at, GptProgress *progress);
static void plan_around_steps(GptTrainPlan *plan, const GptTrainOptions *options,
							  const GptCorpus *corpus);

static LmPrecision
choose_precision(const GptTrainOptions *options)
{
	bool has_bf16 = lm_bf16_name() != NULL;

	if (options->precision == GPT_CHOSEN)
		return has_bf16 ? LM_BFLOAT16 : LM_FLOAT32;
	if (options->precision == LM_BFLOAT16 && !has_bf16)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("precision \"bfloat16\" needs a processor with AVX512_BF16 or AMX"),
				 errhint("With \"auto\" training is in float32 where the processor has neither.")));
	return (LmPrecision) options->precision;
}

/* A fine-tune uses the recipe for texts; none was measured for prompts. */
static bool
learns_prompts(const GptTrainOptions *options, const GptCorpus *corpus)
{
	return corpus->prompted && !options->is_finetune;
}

/* Prompts whose completions are words rather than letters: one text may be said in several ways. */
static bool
learns_words(const GptTrainOptions *options, const GptCorpus *corpus)
{
	LmTokenizerKind kind = lm_tokenizer_spec(corpus->tokenizer)->kind;

	return learns_prompts(options, corpus) && kind != LM_TOKENIZER_BYTES &&
		   kind != LM_TOKENIZER_CHARS &&
		   !gpt_objective_has_reference(gpt_objective_of(options, corpus->task));
}

/* A new model of texts alone. */
static bool
learns_texts(const GptTrainOptions *options, const GptCorpus *corpus)
{
	const LmDatasetHeader *header = corpus->dataset.header;

	return !corpus->prompted && !options->is_finetune && header->n_labels == 0 &&
		   header->group <= 1 && header->masked == 0;
}

static double
most_epochs(const GptTrainOptions *options, const GptCorpus *corpus)
{
	const LmDatasetHeader *header = corpus->dataset.header;

	if (!isnan(options->epochs))
		return options->epochs;
	if (!isnan(options->minutes))
		return INFINITY;
	if (gpt_objective_of(options, corpus->task) == LM_OBJECTIVE_DPO)
		return header->n_train_windows > FEW_PREFERENCES * header->group ? DPO_EPOCHS
																		 : FEW_DPO_EPOCHS;
	if (learns_texts(options, corpus) && header->train_tokens <= LITTLE_TOKENS)
		return LITTLE_EPOCHS;
	return learns_prompts(options, corpus) ? PROMPTED_EPOCHS : DEFAULT_EPOCHS;
}

static const char *
given_preset(const GptTrainOptions *options)
{
	return options->preset == GPT_CHOSEN ? "" : gpt_preset_name(options->preset);
}

const char *
gpt_plan_kernels(const GptTrainPlan *plan)
{
	LmEngine *engine = gpt_plan_engine(plan);

	if (plan->training.precision == LM_BFLOAT16)
		return psprintf("%s, bfloat16 %s", lm_engine_description(engine), lm_engine_bf16(engine));
	return lm_engine_description(engine);
}

LmEngine *
gpt_plan_engine(const GptTrainPlan *plan)
{
	return gpt_bridge_training_engine(plan->n_threads);
}

void
gpt_plan_check(const GptTrainOptions *options)
{
	GptTrainPlan plan = {0};
	int vocabulary =
		options->vocabulary == GPT_CHOSEN ? SMALLEST_VOCABULARY : (int) options->vocabulary;
	int context = options->context == GPT_CHOSEN ? SMALLEST_CONTEXT : (int) options->context;

	plan.n_threads = gpt_settings_train_threads(options->threads);
	plan.training.precision = choose_precision(options);
	gpt_plan_shape(&plan, options,
				   gpt_plan_shape_is_open(options) ? gpt_preset_name(0) : given_preset(options),
				   vocabulary, context);
	gpt_plan_batch(&plan, options);
}

void
gpt_plan_check_base(GptTrainOptions *options, const LmConfig *config)
{
	gpt_plan_take_shape(options, config);
	options->vocabulary = config->vocabulary;
	gpt_plan_check(options);
}

void
gpt_plan_create(GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus,
				TimestampTz started_at, GptProgress *progress)
{
	GptPlanTiming timing = {.most_seconds = INFINITY};

	make_plan(plan, &timing, options, corpus, started_at, progress);
}

void
gpt_plan_estimate(GptTrainPlan *plan, GptPlanTiming *timing, const GptTrainOptions *options,
				  const GptCorpus *corpus, GptProgress *progress)
{
	timing->step_seconds = 0;
	make_plan(plan, timing, options, corpus, GetCurrentTimestamp(), progress);
	if (timing->step_seconds == 0)
		timing->step_seconds =
			gpt_train_time_step(plan, corpus, PROBE_STEPS, timing->most_seconds, progress);
	timing->seconds = (double) plan->training.steps * timing->step_seconds / TRAINING_SHARE;
	if (plan->total_time > 0 && (plan->most_steps == 0 || plan->training.steps < plan->most_steps))
		timing->seconds = seconds_of_job(options, corpus);
}

static void
make_plan(GptTrainPlan *plan, GptPlanTiming *timing, const GptTrainOptions *given,
		  const GptCorpus *corpus, TimestampTz started_at, GptProgress *progress)
{
	GptTrainOptions chosen = *given;
	const GptTrainOptions *options = &chosen;
	int vocabulary = lm_tokenizer_spec(corpus->tokenizer)->n_tokens;
	int context = corpus->dataset.context;
	const char *preset = given_preset(options);
	double operations;

	chosen.architecture = (int) gpt_architecture_choose(given, corpus);
	MemSet(plan, 0, sizeof(GptTrainPlan));
	plan->labels = (int) corpus->dataset.header->n_labels;
	plan->multi_label = corpus->dataset.header->n_sets > 0;
	plan->pair = corpus->dataset.header->pairs != 0;
	if (corpus->dataset.header->numbers != 0)
		plan->numbers = (GptNumbers){(float) corpus->dataset.header->mean,
									 (float) corpus->dataset.header->scale};
	plan->group = (int) corpus->dataset.header->group;
	plan->n_threads = gpt_settings_train_threads(options->threads);
	plan->keep_best = corpus->has_validation && options->publish == GPT_PUBLISH_BEST;
	plan->ngrams = ngrams_of(options, corpus);
	plan->ngrams_of_held_out = corpus->facts != NULL && !corpus->facts->by_flag;
	if (plan->ngrams != GPT_SWITCH_FALSE)
		plan->ngram_memory = lm_ngram_memory(
			lm_ngram_text(NULL, &corpus->dataset, plan->ngrams_of_held_out), vocabulary);
	plan->training = lm_train_options_default();
	plan->training.precision = choose_precision(options);
	plan->training.objective = gpt_objective_of(options, corpus->task);
	if (gpt_objective_has_reference(plan->training.objective))
		plan->training.beta = gpt_objective_beta(options, plan->training.objective);
	plan->training.temperature = options->temperature;
	plan_reference(plan, options, corpus, vocabulary);
	plan->validation_interval = PG_INT64_MAX;
	operations = NOMINAL_SPEED * plan->n_threads * 60 * DEFAULT_MINUTES;
	if (time_decides(options))
		operations = measure_speed(plan, timing, options, corpus, progress) *
					 seconds_for_training(options, corpus, started_at);
	if (gpt_plan_shape_is_open(options))
		preset = choose_preset(plan, options, corpus, operations);
	gpt_plan_shape(plan, options, preset, vocabulary, context);
	plan->token_budget = token_budget(plan, options, corpus, operations);
	gpt_plan_batch(plan, options);
	choose_rates(plan, options);

	plan->step_tokens = gpt_train_step_tokens(plan, corpus);
	plan->training.steps = choose_steps(plan, timing, options, corpus, started_at, progress);
	plan_around_steps(plan, options, corpus);
	if (time_decides(options))
	{
		plan->total_time = (int64) (seconds_of_job(options, corpus) * USECS_PER_SEC);
		plan->used_time = GetCurrentTimestamp() - started_at;
	}
	else
		plan->epochs_given = options->steps == GPT_CHOSEN || plan->training.steps < options->steps;
}

/* DPO compares each window with the base; any preference is measured by how far it leads. */
static void
plan_reference(GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus,
			   int vocabulary)
{
	const LmDatasetHeader *header = corpus->dataset.header;
	int most = REFERENCE_SIZE / (int) sizeof(float) / vocabulary;

	if (!gpt_objective_has_reference(plan->training.objective))
		return;
	if (plan->training.objective == LM_OBJECTIVE_DPO)
		plan->reference_windows = (int64) (header->n_train_windows + header->n_validation_windows);
	if (options->is_finetune && corpus->has_validation)
		plan->reference_rows = Min(MOST_REFERENCE_ROWS, Max(LEAST_REFERENCE_ROWS, most));
}

/*
 * Texts alone have n-grams: completions, answers of conversations and labels say what comes after
 * others. Counts know no weights of rows. In large corpora the network has seen enough of
 * everything.
 */
static GptSwitch
ngrams_of(const GptTrainOptions *options, const GptCorpus *corpus)
{
	const LmDatasetHeader *header = corpus->dataset.header;

	if (options->ngrams == GPT_SWITCH_FALSE || corpus->prompted || header->masked != 0 ||
		header->n_labels > 0 || header->group > 1 || gpt_options_lora(options) ||
		!corpus->has_validation || options->architecture == LM_ENCODER_DECODER ||
		(options->ngrams == GPT_SWITCH_AUTO && header->train_tokens > LM_NGRAM_LARGEST))
		return GPT_SWITCH_FALSE;
	for (uint64 i = 1; i < header->n_train_windows; i++)
		if (corpus->dataset.windows[i].weight != corpus->dataset.windows[0].weight)
			return GPT_SWITCH_FALSE;
	return options->ngrams;
}

/* ---- Time --------------------------------------------------------------- */

static bool
time_decides(const GptTrainOptions *options)
{
	return options->steps == GPT_CHOSEN && (!isnan(options->minutes) || isnan(options->epochs));
}

static double
seconds_of_job(const GptTrainOptions *options, const GptCorpus *corpus)
{
	const LmDatasetHeader *header = corpus->dataset.header;
	bool labelled =
		!options->is_finetune && header->n_labels > 0 && header->numbers == 0 && header->pairs == 0;

	if (!isnan(options->minutes))
		return 60 * options->minutes;
	return 60 * (labelled ? LABELLED_MINUTES : DEFAULT_MINUTES);
}

static double
seconds_for_training(const GptTrainOptions *options, const GptCorpus *corpus,
					 TimestampTz started_at)
{
	double all = seconds_of_job(options, corpus);
	double spent = (double) (GetCurrentTimestamp() - started_at) / USECS_PER_SEC;

	return Max(all - spent, SMALLEST_TIME_SHARE * all) * TRAINING_SHARE;
}

/* ---- 1. Shape ----------------------------------------------------------- */

/* Floating point operations a second, in real steps of the smallest preset. */
static double
measure_speed(const GptTrainPlan *plan, const GptPlanTiming *timing, const GptTrainOptions *options,
			  const GptCorpus *corpus, GptProgress *progress)
{
	GptTrainPlan probe = *plan;
	double seconds;

	gpt_plan_shape(&probe, options, gpt_preset_name(0),
				   lm_tokenizer_spec(corpus->tokenizer)->n_tokens, corpus->dataset.context);
	gpt_plan_batch(&probe, options);
	choose_rates(&probe, options);
	probe.training.steps = PROBE_STEPS;
	seconds = gpt_train_time_step(
		&probe, corpus, PROBE_STEPS,
		Min(PROBE_SHARE * seconds_of_job(options, corpus), timing->most_seconds), progress);
	return gpt_plan_work(&probe.config) * gpt_train_step_tokens(&probe, corpus) / seconds;
}

/* Whether the texts are enough for the candidate's parameters, and the time for its operations. */
static bool
is_worthwhile(const GptTrainPlan *candidate, const GptTrainOptions *options,
			  const GptCorpus *corpus, double operations)
{
	double train_tokens = gpt_plan_all_tokens(options, corpus);
	double step_tokens =
		(double) candidate->batch_size * candidate->accumulate * candidate->context;
	double tokens =
		(learns_prompts(options, corpus) ? PROMPTED_WANTED_EPOCHS : WANTED_EPOCHS) * train_tokens;
	LmConfig body = candidate->config;
	size_t parameters;

	/* The parameters of a classifier's head do not count: a text touches nearly none of them. */
	body.labels = 0;

	if (options->steps != GPT_CHOSEN)
		tokens = (double) options->steps * step_tokens * gpt_plan_runs(options);
	else if (!time_decides(options))
		tokens = options->epochs * train_tokens;
	return lm_param_total(&parameters, &body) &&
		   (double) parameters <= PARAMETERS_PER_TOKEN * train_tokens &&
		   tokens * gpt_plan_work(&candidate->config) <= operations * Max(1, options->n_servers);
}

/* The largest preset that fits into memory and is worthwhile; the smallest one if none is. */
static const char *
choose_preset(const GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus,
			  double operations)
{
	int vocabulary = lm_tokenizer_spec(corpus->tokenizer)->n_tokens;
	const char *best = gpt_preset_name(0);

	for (int i = 1; gpt_preset_name(i) != NULL; i++)
	{
		GptTrainPlan candidate = *plan;

		gpt_plan_shape(&candidate, options, gpt_preset_name(i), vocabulary,
					   corpus->dataset.context);
		if (!gpt_plan_batch_fits(&candidate, options) ||
			!is_worthwhile(&candidate, options, corpus, operations))
			break;
		best = gpt_preset_name(i);
	}
	return best;
}

static double
token_budget(const GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus,
			 double operations)
{
	double most = most_epochs(options, corpus) * gpt_plan_all_tokens(options, corpus) /
				  gpt_plan_runs(options);

	if (options->steps != GPT_CHOSEN)
		return 0;
	operations *= gpt_plan_hands(options);
	return time_decides(options) ? Min(most, operations / gpt_plan_work(&plan->config)) : most;
}

/* ---- 2. Rates ----------------------------------------------------------- */

/* Rates and coefficients; the defaults depend on width and on the tokens of a step. */
static void
choose_rates(GptTrainPlan *plan, const GptTrainOptions *options)
{
	LmTrainOptions *training = &plan->training;
	bool small_step = (int64) training->max_tokens * plan->accumulate < SMALL_STEP;

	training->schedule = options->schedule;
	training->learning_rate = isnan(options->learning_rate) ? Min(3e-3, 0.4 / plan->config.channels)
															: options->learning_rate;
	if (training->objective == LM_OBJECTIVE_DPO && options->head_rate_is_open)
		training->learning_rate *= DPO_RATE_SHARE;
	training->min_learning_rate = isnan(options->min_learning_rate)
									  ? training->learning_rate / 10
									  : Min(options->min_learning_rate, training->learning_rate);
	training->head_rate = 1;
	if (plan->labels > 0 && options->head_rate_is_open)
		training->head_rate = Max(1, HEAD_RATE / training->learning_rate);
	if (training->objective == LM_OBJECTIVE_CONTRASTIVE)
		training->head_rate = EMBEDDING_RATE / training->learning_rate;
	training->beta1 = options->beta1;
	training->beta2 = !isnan(options->beta2) ? options->beta2 : small_step ? 0.99 : 0.95;
	training->grad_clip = options->grad_clip;
	training->label_smoothing = isnan(options->label_smoothing) ? 0 : options->label_smoothing;
	training->seed = (uint64) options->seed;
}

/* ---- 3. Steps ----------------------------------------------------------- */

static int64
steps_of_epochs(const GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus,
				double epochs)
{
	double steps = ceil(epochs * gpt_plan_all_tokens(options, corpus) / gpt_plan_runs(options) /
						plan->step_tokens);

	return (int64) Max(1, Min(steps, 1e12));
}

/* The number of steps; under a time limit it follows from the measured time of some steps. */
static int64
choose_steps(GptTrainPlan *plan, GptPlanTiming *timing, const GptTrainOptions *options,
			 const GptCorpus *corpus, TimestampTz started_at, GptProgress *progress)
{
	int64 most = steps_of_epochs(plan, options, corpus, most_epochs(options, corpus));
	double seconds;

	if (options->steps != GPT_CHOSEN)
		return isnan(options->epochs) ? options->steps : Min(options->steps, most);
	if (!time_decides(options))
		return most;

	plan->training.steps = most;
	plan->most_steps = isinf(most_epochs(options, corpus)) ? 0 : most;
	seconds = seconds_for_training(options, corpus, started_at);
	timing->step_seconds = gpt_train_time_step(
		plan, corpus, TIMED_STEPS, Min(TIMED_SHARE * seconds, timing->most_seconds), progress);
	return Max(1, Min(most, (int64) (seconds / timing->step_seconds * gpt_plan_hands(options))));
}

/* ---- 4. Options that depend on the steps -------------------------------- */

static float
dropout_of_epochs(double epochs, bool has_texts)
{
	if (epochs < 2)
		return 0.0f;
	if (epochs <= 5)
		return 0.1f;
	return epochs <= 12 || !has_texts ? 0.2f : 0.3f;
}

/*
 * Texts that are read again and again need dropout. Letters and digits of short prompts do not, nor
 * does a decoder of prompts; an encoder needs it later than texts do (docs/benchmarks.md,
 * "Recipes").
 */
static float
choose_dropout(const GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus)
{
	if (gpt_objective_has_reference(plan->training.objective))
		return 0.0f;
	if (plan->training.objective == LM_OBJECTIVE_CONTRASTIVE && gpt_objective_needs_noise(corpus))
		return Max(NOISE_DROPOUT, dropout_of_epochs(plan->epochs, false));
	if (!learns_prompts(options, corpus))
		return dropout_of_epochs(plan->epochs, learns_texts(options, corpus));
	if (!learns_words(options, corpus) || plan->config.architecture != LM_ENCODER_DECODER ||
		plan->epochs < 10)
		return 0.0f;
	return plan->epochs < 25 ? 0.1f : 0.2f;
}

/*
 * A new model that reads its texts again and again learns them by heart, unless its weights decay
 * fast.
 */
static double
choose_decay(const GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus)
{
	return learns_texts(options, corpus) && plan->epochs > REPEATED_EPOCHS ? REPEATED_DECAY
																		   : DEFAULT_DECAY;
}

/* The loss of a few pairs goes up and down too much to end the one or few epochs of DPO. */
static int64
choose_patience(const GptTrainPlan *plan, const GptTrainOptions *options)
{
	bool is_short = plan->training.objective == LM_OBJECTIVE_DPO && isnan(options->minutes);

	if (options->patience != GPT_CHOSEN)
		return options->patience;
	return options->steps == GPT_CHOSEN && !is_short ? DEFAULT_PATIENCE : 0;
}

/* Settles what depends on the number of steps: warm-up, dropout, patience and validations. */
static void
plan_around_steps(GptTrainPlan *plan, const GptTrainOptions *options, const GptCorpus *corpus)
{
	LmTrainOptions *training = &plan->training;
	double tokens = (double) training->steps * plan->step_tokens;
	int64 n_validations = Max(1, Min(MOST_VALIDATIONS, training->steps / 10));
	LmParamTable *table;

	plan->epochs = tokens * gpt_plan_runs(options) / gpt_plan_all_tokens(options, corpus);
	training->warmup_steps =
		options->warmup_steps != GPT_CHOSEN
			? options->warmup_steps
			: Min(MOST_WARMUP, (int64) (WARMUP_SHARE * (double) training->steps));
	if (isnan(options->dropout))
		plan->config.dropout = choose_dropout(plan, options, corpus);
	training->weight_decay =
		isnan(options->weight_decay) ? choose_decay(plan, options, corpus) : options->weight_decay;
	if (isnan(options->label_smoothing) && learns_words(options, corpus))
		training->label_smoothing = PROMPTED_SMOOTHING;
	plan->patience = choose_patience(plan, options);

	/* Evaluating a token costs a third of training on it. */
	plan->validation_interval = (training->steps + n_validations - 1) / n_validations;
	plan->validation_tokens =
		(int64) (3 * VALIDATION_SHARE * tokens / (double) (n_validations + 1));
	plan->validation_tokens = Max(plan->validation_tokens, training->max_tokens);

	table = gpt_weights_table(&plan->config);
	plan->parameters = table->parameter_count;
	lm_param_table_free(gpt_bridge_host(CurrentMemoryContext), table);
}

/*
 * test/unit/test_bag.c
 *
 * The bag of a classifier that begins as naive Bayes: log ratios against a naive twin that knows every run by its tokens, and what
 * the head then makes of the texts that were counted.
 */
#include "model/bag.h"
#include "tap.h"
#include "train_support.h"

#define TEXTS 12
#define LENGTH 5
#define MOST_RUNS (TEXTS * LENGTH * LM_BAG_RUN)

typedef struct Run
{
	int32_t tokens[LM_BAG_RUN]; /* from the last one back */
	int n;
	double counts[LM_BAG_CHANNELS]; /* by label, then of all texts */
} Run;

typedef struct Bayes
{
	LmConfig config;
	int32_t texts[TEXTS][LENGTH];
	double weights[TEXTS];
	bool labels[TEXTS][LM_BAG_CHANNELS];
	Run runs[MOST_RUNS];
	int n_runs;
} Bayes;

static Run *
find_run(Bayes *bayes, const int32_t *last, int n)
{
	for (int i = 0; i < bayes->n_runs; i++)
	{
		bool same = bayes->runs[i].n == n;

		for (int j = 0; j < n; j++)
			same = same && bayes->runs[i].tokens[j] == last[-j];
		if (same)
			return &bayes->runs[i];
	}
	bayes->runs[bayes->n_runs].n = n;
	for (int j = 0; j < n; j++)
		bayes->runs[bayes->n_runs].tokens[j] = last[-j];
	return &bayes->runs[bayes->n_runs++];
}

static void
count_naively(Bayes *bayes)
{
	int n_labels = bayes->config.labels;

	for (int text = 0; text < TEXTS; text++)
		for (int i = 0; i < LENGTH; i++)
			for (int n = 1; n <= LM_BAG_RUN && n <= i + 1; n++)
			{
				Run *run = find_run(bayes, &bayes->texts[text][i], n);

				for (int label = 0; label < n_labels; label++)
					run->counts[label] += bayes->labels[text][label] ? bayes->weights[text] : 0;
				run->counts[n_labels] += bayes->weights[text];
			}
}

static double
log_ratio(const Bayes *bayes, const Run *run, int label)
{
	int n_labels = bayes->config.labels;
	double with = 0, all = 0, seen = 0;

	if (run->counts[n_labels] == 0)
		return 0;
	for (int i = 0; i < bayes->n_runs; i++)
	{
		with += bayes->runs[i].counts[label];
		all += bayes->runs[i].counts[n_labels];
		seen += bayes->runs[i].counts[n_labels] > 0;
	}
	return log((run->counts[label] + 1) / (with + seen)) - log((run->counts[n_labels] - run->counts[label] + 1) / (all - with + seen));
}

/* Σ over the runs of a text. */
static double
naive_sum(Bayes *bayes, int text, int label)
{
	double sum = 0;

	for (int i = 0; i < LENGTH; i++)
		for (int n = 1; n <= LM_BAG_RUN && n <= i + 1; n++)
			sum += log_ratio(bayes, find_run(bayes, &bayes->texts[text][i], n), label);
	return sum;
}

/* Texts of few tokens, so that runs repeat; one label each or, with several, any set. A text without weight counts for nothing. */
static void
fill(Bayes *bayes, LmBatch *batch, uint64_t *ends, uint32_t *members)
{
	uint64_t state = 11, n = 0;

	for (int text = 0; text < TEXTS; text++)
	{
		int start = batch->n_tokens;

		append_sequence(batch, LENGTH, 4, false, text, &state);
		for (int i = 0; i < LENGTH; i++)
		{
			bayes->texts[text][i] = batch->tokens[start + i];
			batch->targets[start + i] = -1;
			batch->weights[start + i] = 0;
		}
		bayes->weights[text] = text == 3 ? 0 : 0.5 * (text % 3 + 1);
		batch->weights[start + LENGTH - 1] = (float) bayes->weights[text];
		batch->targets[start + LENGTH - 1] = bayes->config.multi_label ? text : text % bayes->config.labels;
		for (int label = 0; label < bayes->config.labels; label++)
		{
			bayes->labels[text][label] = bayes->config.multi_label ? (text >> label) % 2 : text % bayes->config.labels == label;
			if (bayes->labels[text][label])
				members[n++] = (uint32_t) label;
		}
		ends[text] = n;
	}
	batch->sets = (LmLabelSets){TEXTS, ends, members};
}

static void
test_log_ratios(LmEngine *engine, const LmHost *host, int n_labels, bool multi_label)
{
	static Bayes bayes;
	static uint64_t ends[TEXTS];
	static uint32_t members[TEXTS * LM_BAG_CHANNELS];
	LmTrainOptions options = small_options(TEXTS * LENGTH);
	LmBatch batch = create_batch(host, TEXTS * LENGTH);
	double apart = 0, before = 0, after = 0, weight = 0;
	int C, n_channels, n_other = 0, n_free = 0;
	const float *bag, *weights;
	LmTrainer *trainer;
	LmError error;

	memset(&bayes, 0, sizeof bayes);
	bayes.config = small_config();
	bayes.config.labels = n_labels;
	bayes.config.multi_label = multi_label;
	n_channels = lm_bag_channels(n_labels);
	C = bayes.config.channels;
	fill(&bayes, &batch, ends, members);
	count_naively(&bayes);
	trainer = create_trainer(engine, &bayes.config, &options);
	bag = lm_trainer_params(trainer) + lm_param_find(lm_trainer_table(trainer), LM_BAG_EMBEDDING, -1)->offset;
	weights = lm_trainer_params(trainer) + lm_param_find(lm_trainer_table(trainer), LM_LABEL_WEIGHT, -1)->offset;
	ok(lm_trainer_evaluate(&before, &weight, trainer, &batch, &error), "the texts have a loss");
	lm_trainer_bayes_begin(trainer);
	ok(lm_trainer_bayes_count(trainer, &batch, &error), "they are counted");
	lm_trainer_bayes_end(trainer);
	for (int text = 0; text < TEXTS; text++)
	{
		double sums[LM_BAG_CHANNELS] = {0};

		lm_bag_add(sums, bag, &bayes.config, bayes.texts[text], 0, LENGTH);
		for (int label = 0; label < n_labels; label++)
			apart = fmax(apart, fabs(sums[label] - naive_sum(&bayes, text, label)));
		for (int k = n_labels; k < n_channels; k++)
			n_other += sums[k] != 0;
	}
	is_near(apart, 0, 1e-4, multi_label ? "log ratios of sets of labels are the naive twin's" : "log ratios of labels are the naive twin's");
	ok(n_other == 0, "the channels beyond the labels are 0");
	for (int label = 0; label < n_labels; label++)
	{
		const float *row = weights + (size_t) label * (size_t) (C + n_channels) + C;

		for (int k = 0; k < n_labels; k++)
			n_other += (row[k] > 0) != (k == label);
		for (int k = n_labels; k < n_channels; k++)
			n_free += row[k] != 0;
	}
	ok(n_other == 0, "each label reads its own channel");
	ok(n_free == n_labels * (n_channels - n_labels), "the others are read too, so that they can learn");
	ok(lm_trainer_evaluate(&after, &weight, trainer, &batch, &error), "and a loss again");
	ok(after < before, "which is lower: %g, before %g", after, before);
	lm_trainer_free(trainer);
	lm_batch_free(&batch, host);
}

static void
test_wrong_batch(LmEngine *engine, const LmHost *host)
{
	LmTrainOptions options = small_options(LENGTH);
	LmBatch batch = create_batch(host, LENGTH);
	LmConfig config = small_config();
	uint64_t state = 1;
	LmTrainer *trainer;
	LmError error;

	config.labels = 3;
	trainer = create_trainer(engine, &config, &options);
	append_sequence(&batch, LENGTH, config.vocabulary, false, 0, &state);
	lm_trainer_bayes_begin(trainer);
	for (int i = 0; i < LENGTH; i++)
		batch.targets[i] = -1;
	ok(lm_trainer_bayes_count(trainer, &batch, &error), "a text without a label is passed over");
	batch.targets[LENGTH - 1] = 3;
	ok(!lm_trainer_bayes_count(trainer, &batch, &error) && error.code == LM_ERR_ARGUMENT, "a label that the model does not have is an error");
	batch.targets[LENGTH - 1] = 2;
	batch.tokens[0] = config.vocabulary;
	ok(!lm_trainer_bayes_count(trainer, &batch, &error) && error.code == LM_ERR_ARGUMENT, "so is a token beyond the vocabulary");
	lm_trainer_free(trainer);
	lm_batch_free(&batch, host);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_log_ratios(engine, &host, 2, false);
	test_log_ratios(engine, &host, 5, false);
	test_log_ratios(engine, &host, 3, true);
	test_log_ratios(engine, &host, LM_BAYES_LABELS, false);
	test_wrong_batch(engine, &host);
	lm_engine_stop(engine);
	return done_testing();
}

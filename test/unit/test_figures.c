/*
 * test/unit/test_figures.c
 *
 * What a training counts beside its loss: accuracy of labels, F1 of sets of labels, errors of
 * numbers, and the tokens that a language model finds the most probable.
 */
#include <math.h>

#include "kernels.h"
#include "model/label_figures.h"
#include "serve_support.h"

#define ROWS 24

static void
test_labels(void)
{
	const float logits[] = {1, 2, 0, 3, 3, 1, 0, 0, 9, 5, 4, 3};
	const int32_t targets[] = {1, 0, 1, -1};
	const float weights[] = {1, 2, 0.5f, 1};
	LmConfig config = {.labels = 3};
	double sums[LM_MAX_FIGURES] = {0};

	lm_label_figures_add(sums, &config, &(LmLabelAnswers){logits, targets, NULL, weights, NULL}, 4);
	is_near(sums[0], 3, 0, "the first of the most probable labels counts, with the row's weight");
}

static void
test_sets(void)
{
	const float logits[] = {1, -1, 0, -1, -2, -3, 2, 2, -1};
	static const uint64_t ends[] = {2, 2, 3};
	static const uint32_t members[] = {0, 2, 2};
	static const LmLabelSets sets = {3, ends, members};
	const int32_t targets[] = {0, 1, 2};
	const float weights[] = {1, 1, 2};
	const double none[LM_MAX_FIGURES] = {0};
	LmConfig config = {.labels = 3, .multi_label = true};
	double sums[LM_MAX_FIGURES] = {0}, values[LM_MAX_FIGURES];

	lm_label_figures_add(sums, &config, &(LmLabelAnswers){logits, targets, NULL, weights, &sets},
						 3);
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		sums[i] /= 4;
	lm_set_figures_finish(values, sums, &config);
	is_near(values[0], 2 * 2.0 / (2 * 2 + 6), 1e-12, "micro F1 of sets");
	is_near(values[1], 0.5, 1e-12, "and the share of sets that are right");
	lm_set_figures_finish(values, none, &config);
	is_near(values[0], 1, 0, "no labels, none given: all is right");
}

static void
test_numbers(void)
{
	const float outputs[] = {0.5f, -1, 2}, numbers[] = {1, -1, 1}, weights[] = {1, 2, 1};
	const int32_t targets[] = {0, 0, 0};
	LmConfig config = {.labels = 1, .number = true, .number_mean = 3, .number_scale = 10};
	double sums[LM_MAX_FIGURES] = {0}, values[LM_MAX_FIGURES];

	lm_label_figures_add(sums, &config, &(LmLabelAnswers){outputs, targets, numbers, weights, NULL},
						 3);
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		sums[i] /= 4;
	lm_number_figures_finish(values, sums, &config);
	is_near(values[0], 1 - 1.25 / 4, 1e-12, "r2 of numbers");
	is_near(values[1], 10 * sqrt(1.25 / 4), 1e-6, "root of the mean squared error, in their unit");
	is_near(values[2], 10 * 1.5 / 4, 1e-6, "mean absolute error");
	sums[2] = 1;
	sums[3] = 1;
	lm_number_figures_finish(values, sums, &config);
	ok(isnan(values[0]), "equal numbers have no r2");
}

/* Against all logits of the batch; with some rows that have no target, and without any such. */
static void
test_tokens(LmEngine *engine, const LmHost *host, bool prompted)
{
	LmTrainOptions options = small_options(ROWS);
	LmConfig config = small_config();
	LmBatch batch = create_batch(host, ROWS);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	float *logits = zero_array((size_t) ROWS * (size_t) config.vocabulary);
	double wanted = 0, sum = 0, weight = 0;
	uint64_t state = 3;
	LmStepResult result;
	LmError error;

	append_sequence(&batch, ROWS / 2, config.vocabulary, false, 0, &state);
	append_sequence(&batch, ROWS / 2, config.vocabulary, false, 1, &state);
	lm_trainer_logits(logits, trainer, &batch, &error);
	for (int row = 0; row < ROWS; row++)
	{
		const float *row_logits = logits + (size_t) row * (size_t) config.vocabulary;
		int best = 0;

		for (int token = 1; token < config.vocabulary; token++)
			if (row_logits[token] > row_logits[best])
				best = token;
		batch.targets[row] = row % 3 == 0 ? best : batch.targets[row];
		if (prompted && row < ROWS / 2)
			batch.targets[row] = -1;
		batch.weights[row] = 1 + (float) (row % 2);
		wanted += batch.targets[row] == best ? batch.weights[row] : 0;
	}
	ok(lm_trainer_evaluate(&sum, &weight, trainer, &batch, &error) && wanted > 0,
	   "a language model is evaluated");
	is_near(lm_trainer_figures(trainer)[0], wanted, 1e-9, "its most probable tokens are counted");
	ok(lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, &error) &&
		   isnan(result.figures[0]),
	   "not in training");
	free(logits);
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_labels();
	test_sets();
	test_numbers();
	test_tokens(engine, &host, false);
	test_tokens(engine, &host, true);
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

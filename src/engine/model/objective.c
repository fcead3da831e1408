/*
 * src/engine/model/objective.c
 *
 * The table of objectives.
 */
#include "model/contrastive.h"
#include "model/label_figures.h"
#include "model/labels.h"
#include "model/preference.h"

static int64_t
tokens_of(const LmConfig *config, const LmBatch *batch)
{
	(void) batch;
	return config->vocabulary;
}

static int64_t
labels_of(const LmConfig *config, const LmBatch *batch)
{
	return config->multi_label ? (int64_t) batch->sets.n_sets : config->labels;
}

/* What rows have in common: of tokens, of labels and numbers, of pairs of answers. */
/* clang-format off */
#define OF_TOKENS .writes_head = true, .n_targets = tokens_of
#define OF_LABELS .least_group = 1, .most_group = 1, .layout = lm_labels_layout, \
	.scratch = lm_labels_scratch, .n_targets = labels_of, .weight = lm_batch_weight, \
	.loss = lm_labels_loss
#define OF_ANSWERS OF_TOKENS, .least_group = 2, .most_group = 2, .layout = lm_preference_layout, \
	.weight = lm_group_weight, .figures = {"reward_margin", "preference_accuracy"}
/* clang-format on */

/* By LmObjectiveKind. */
static const LmObjective objectives[] = {
	[LM_OBJECTIVE_LANGUAGE] = {.name = "language",
							   OF_TOKENS,
							   .least_group = 1,
							   .most_group = 1,
							   .weight = lm_batch_weight,
							   .loss = lm_language_objective,
							   .figures = {"token_accuracy"}},
	[LM_OBJECTIVE_LABELS] = {.name = "labels", OF_LABELS, .figures = {"accuracy"}},
	[LM_OBJECTIVE_NUMBER] = {.name = "number",
							 OF_LABELS,
							 .figures = {"r2", "rmse", "mae"},
							 .finish = lm_number_figures_finish},
	[LM_OBJECTIVE_DPO] = {.name = "dpo", OF_ANSWERS, .loss = lm_dpo_loss},
	[LM_OBJECTIVE_ORPO] = {.name = "orpo", OF_ANSWERS, .loss = lm_orpo_loss},
	[LM_OBJECTIVE_CONTRASTIVE] = {.name = "contrastive",
								  .least_group = 2,
								  .most_group = 3,
								  .figures = {"recall_at_1"},
								  .layout = lm_contrastive_layout,
								  .n_targets = tokens_of,
								  .weight = lm_group_weight,
								  .loss = lm_contrastive_loss},
};

/* In the place of labels where a row may have several. */
static const LmObjective label_sets = {.name = "labels",
									   OF_LABELS,
									   .figures = {"micro_f1", "accuracy"},
									   .finish = lm_set_figures_finish};

/* The objective that a configuration means. */
static int
kind_of(const LmConfig *config)
{
	if (config->labels > 0)
		return config->number ? LM_OBJECTIVE_NUMBER : LM_OBJECTIVE_LABELS;
	return config->embedding > 0 ? LM_OBJECTIVE_CONTRASTIVE : LM_OBJECTIVE_LANGUAGE;
}

static bool
has_head(int kind)
{
	return kind == LM_OBJECTIVE_LABELS || kind == LM_OBJECTIVE_NUMBER ||
		   kind == LM_OBJECTIVE_CONTRASTIVE;
}

/* A head has one objective; without a head there are the others. */
const LmObjective *
lm_objective(const LmConfig *config, const LmTrainOptions *options)
{
	int kind = (int) options->objective, own = kind_of(config);

	if (kind == LM_OBJECTIVE_OF_MODEL)
		kind = own;
	if (kind < 0 || kind >= (int) (sizeof objectives / sizeof *objectives) ||
		(kind != own && (has_head(kind) || has_head(own))))
		return NULL;
	return kind == LM_OBJECTIVE_LABELS && config->multi_label ? &label_sets : &objectives[kind];
}

double
lm_batch_weight(const LmBatch *batch)
{
	double sum = 0;

	for (int i = 0; i < batch->n_tokens; i++)
		if (batch->targets[i] >= 0)
			sum += batch->weights[i];
	return sum;
}

double
lm_group_weight(const LmBatch *batch)
{
	int group = batch->group > 0 ? batch->group : 1, n_windows = 0;
	double sum = 0, weight = 0;

	for (int row = 0; row < batch->n_tokens; row++)
	{
		bool is_last = row + 1 == batch->n_tokens || batch->starts[row + 1] != batch->starts[row];

		if (batch->targets[row] >= 0 && batch->weights[row] != 0)
			weight = batch->weights[row];
		if (!is_last)
			continue;
		sum += n_windows++ % group == 0 ? weight : 0;
		weight = 0;
	}
	return sum;
}

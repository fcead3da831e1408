/*
 * src/train/train_objective.c
 *
 * The task of a query and options go in, the objective of the training comes out.
 */
#include "postgres.h"

#include <math.h>

#include "corpus/source.h"
#include "train/train_objective.h"

#define MOST_COMPARED 1000 /* pairs of texts */
#define DPO_BETA 0.3 /* Measured in docs/benchmarks.md */
#define ORPO_BETA 0.1 /* as in Hong et al. 2024, section 5 */
#define MOST_SWAPPED 0.5 /* of the pairs: beyond it the rejected answers would be learnt */

static bool
is_preference(const GptTask *task)
{
	return task->rows == GPT_ROWS_PREFERENCE;
}

static bool
is_retrieval(const GptTask *task)
{
	return task->rows == GPT_ROWS_RETRIEVAL;
}

static GptPreference
preference_of(const GptTrainOptions *options)
{
	if (options->preference != GPT_CHOSEN)
		return (GptPreference) options->preference;
	return options->is_finetune ? GPT_PREFERENCE_DPO : GPT_PREFERENCE_ORPO;
}

LmObjectiveKind
gpt_objective_of(const GptTrainOptions *options, const GptTask *task)
{
	if (is_retrieval(task))
		return LM_OBJECTIVE_CONTRASTIVE;
	if (!is_preference(task))
		return LM_OBJECTIVE_OF_MODEL;
	switch (preference_of(options))
	{
		case GPT_PREFERENCE_DPO:
			return LM_OBJECTIVE_DPO;
		case GPT_PREFERENCE_ORPO:
			return LM_OBJECTIVE_ORPO;
	}
	elog(ERROR, "kind of preference %d is unknown", options->preference);
}

const char *
gpt_objective_preference(LmObjectiveKind objective)
{
	if (objective == LM_OBJECTIVE_DPO)
		return gpt_preference_name(GPT_PREFERENCE_DPO);
	return objective == LM_OBJECTIVE_ORPO ? gpt_preference_name(GPT_PREFERENCE_ORPO) : NULL;
}

double
gpt_objective_beta(const GptTrainOptions *options, LmObjectiveKind objective)
{
	if (!gpt_objective_has_reference(objective))
		return 0;
	if (!isnan(options->beta))
		return options->beta;
	return objective == LM_OBJECTIVE_DPO ? DPO_BETA : ORPO_BETA;
}

bool
gpt_objective_has_reference(LmObjectiveKind objective)
{
	return objective == LM_OBJECTIVE_DPO || objective == LM_OBJECTIVE_ORPO;
}

static void
check_preference(const GptTrainOptions *options)
{
	switch (preference_of(options))
	{
		case GPT_PREFERENCE_DPO:
			if (!options->is_finetune)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("option \"preference\" cannot be \"dpo\" in gpt_train"),
								errdetail("DPO compares a model with the version that it starts "
										  "from, and gpt_train starts from none."),
								errhint("Use gpt_finetune, or \"orpo\".")));
			if (options->label_smoothing >= MOST_SWAPPED)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("option \"label_smoothing\" must be below %g for \"dpo\", "
									   "not %g",
									   MOST_SWAPPED, options->label_smoothing),
								errdetail("It is the share of the pairs that are believed to be "
										  "swapped.")));
			break;
		case GPT_PREFERENCE_ORPO:
			if (options->label_smoothing > 0)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("option \"label_smoothing\" cannot be used with \"orpo\""),
								errhint("Leave it out, or use \"dpo\".")));
			break;
	}
}

void
gpt_objective_check(const GptTrainOptions *options, const GptTask *task)
{
	int group = gpt_task_group(task);

	if (options->batch_size != GPT_CHOSEN && options->batch_size < group)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"batch_size\" must be at least %d for rows of %s, not " INT64_FORMAT,
					group, task->name, options->batch_size),
			 errdetail("So many texts of a row are compared with each other.")));
	gpt_options_check_rows(options, task->rows, task->name);
	if (is_preference(task))
		check_preference(options);
}

bool
gpt_objective_needs_noise(const GptCorpus *corpus)
{
	const LmDataset *dataset = &corpus->dataset;
	uint64 group = dataset->header->group, n = dataset->header->n_train_windows / group,
		   n_equal = 0;

	n = Min(n, MOST_COMPARED);
	for (uint64 i = 0; i < n; i++)
	{
		const LmWindow *query = &dataset->windows[i * group], *positive = query + 1;
		uint64 j = 0;

		while (query->length == positive->length && j < query->length &&
			   lm_dataset_id(dataset, query->offset + j) ==
				   lm_dataset_id(dataset, positive->offset + j))
			j++;
		n_equal += j == query->length ? 1 : 0;
	}
	return 2 * n_equal > n;
}

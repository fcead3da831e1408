/*
 * src/train/train_servers.c
 *
 * What a plan counts where several servers train: the rows of all, steps that go on side by side,
 * and the servers that share one.
 */
#include "postgres.h"

#include "train/train_plan.h"

double
gpt_plan_all_tokens(const GptTrainOptions *options, const GptCorpus *corpus)
{
	return (double) corpus->dataset.header->train_tokens * Max(1, options->all_rows);
}

double
gpt_plan_runs(const GptTrainOptions *options)
{
	return options->sync == 0 ? 1 : Max(1, options->n_servers);
}

double
gpt_plan_hands(const GptTrainOptions *options)
{
	return Max(1, options->n_servers) / gpt_plan_runs(options);
}

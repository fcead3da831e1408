/*
 * src/train/membership_check.c
 *
 * A checkpoint that another server has sent goes in; an error comes out for each number with which
 * this process would leave its arrays, divide by zero or take more memory than it may.
 *
 * The engine checks configurations, options of a training, and batches against the model whenever
 * it gets them; here is what the server's part of a training relies on.
 */
#include "postgres.h"

#include "core/compat.h"
#include "engine/config_field.h"
#include "engine/gradient_tree.h"
#include "engine/outer.h"
#include "train/membership_private.h"

/* Bytes of a token in a batch: seven arrays of four. */
#define BATCH_TOKEN 28

pg_noreturn static void
raise_number(const char *what, int64 value)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the received checkpoint is corrupted"),
					errdetail("Its %s is " INT64_FORMAT ".", what, value)));
}

static void
check_range(const char *what, int64 value, int64 least, int64 most)
{
	if (value < least || value > most)
		raise_number(what, value);
}

static void
check_boolean(const char *what, const void *value)
{
	check_range(what, *(const unsigned char *) value, 0, 1);
}

static void
check_config(const LmConfig *config)
{
	const LmConfigField *field;
	LmConfig checked;
	LmError error;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		if (field->type == LM_FIELD_BOOLEAN)
			check_boolean(field->name, (const char *) config + field->offset);
	}
	check_boolean("multi_label", &config->multi_label);
	check_boolean("number", &config->number);
	check_boolean("pair", &config->pair);
	checked = *config;
	if (!lm_config_check(&checked, &error))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the received checkpoint is corrupted"),
				 errdetail("Its configuration says: %s.", error.message)));
}

static void
check_plan(const GptTrainPlan *plan, const GptCorpus *corpus, bool is_local)
{
	const LmDatasetHeader *header = corpus->dataset.header;

	check_config(&plan->config);
	check_boolean("recompute", &plan->training.recompute);
	check_range("vocabulary", plan->config.vocabulary, header->vocabulary, header->vocabulary);
	check_range("context", plan->context, 1, plan->config.context);
	check_range("context of the corpus", corpus->dataset.context, 1, plan->context);
	check_range("number of steps", plan->training.steps, 1, PG_INT64_MAX / 2);
	check_range("warm-up", plan->training.warmup_steps, 0, PG_INT64_MAX / 2);
	check_range("number of tokens in a micro-batch", plan->training.max_tokens, 1,
				PG_INT32_MAX / BATCH_TOKEN);
	check_range("number of micro-batches", plan->accumulate, 1, LM_TREE_LEAVES);
	check_range("number of leaves of a step", plan->training.tree_leaves, 0, LM_TREE_LEAVES);
	check_range("size of a batch", plan->batch_size, 1, PG_INT32_MAX);
	check_range("interval of validations", plan->validation_interval, 1, PG_INT64_MAX);
	check_range("number of reference rows", plan->reference_rows, 0, PG_INT32_MAX);
	if (plan->reference_windows != 0 && !is_local &&
		plan->reference_windows != (int64) (header->n_train_windows + header->n_validation_windows))
		raise_number("number of reference windows", plan->reference_windows);
}

void
gpt_membership_check(const GptMembership *member, const GptCheckpoint *checkpoint)
{
	check_plan(&checkpoint->plan, member->corpus, member->spec.is_local);
	if (!checkpoint->has_weights)
		return;
	check_boolean("mark of the best weights", &checkpoint->state.has_best);
	check_range("step", checkpoint->state.step, 0, PG_INT64_MAX / 2);
}

uint64
gpt_membership_extra_memory(const GptTrainPlan *plan, size_t parameters)
{
	uint64 batches =
		(2 * (uint64) plan->accumulate + 1) * (uint64) plan->training.max_tokens * BATCH_TOKEN;
	uint64 references = (uint64) plan->reference_windows +
						(uint64) plan->reference_rows * (uint64) plan->config.vocabulary;

	return batches + references * sizeof(float) + 2 * (uint64) parameters * sizeof(float) +
		   2 * (uint64) lm_outer_size(parameters, 8);
}

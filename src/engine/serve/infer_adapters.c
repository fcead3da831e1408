/*
 * src/engine/serve/infer_adapters.c
 *
 * The adapters of a pass (Chen et al. 2023, "Punica: Multi-tenant LoRA serving", section 4): rows
 * of sequences that have different adapters of one base go through the base's products together;
 * the small products of each adapter go over the rows of its own sequences.
 */
#include "serve/infer_pass.h"

bool
lm_pass_check_adapter(const LmInferPass *pass, const LmSequence *sequence, int i, LmError *error)
{
	const LmModel *model = sequence->model;

	return !model || model == pass->model ||
		   (model->head.panels == pass->model->head.panels &&
			lm_config_same_base(&model->config, &pass->model->config)) ||
		   lm_fail(error, LM_ERR_ARGUMENT, i, "a sequence has an adapter of another base");
}

/* The group of the rows of a sequence, which is a new one for a new adapter. */
static int
group_of(LmInferPass *pass, const LmModel *model)
{
	for (int i = 0; i < pass->n_groups_of_rows; i++)
		if (pass->groups[i].model == model)
			return i;
	pass->groups[pass->n_groups_of_rows] = (LmPassGroup){.model = model};
	return pass->n_groups_of_rows++;
}

/* Rows in the order of groups, by counting. */
void
lm_pass_group(LmInferPass *pass)
{
	int begin = 0, last = -1, group = -1;

	pass->n_groups_of_rows = 0;
	for (int row = 0; row < pass->n_rows; row++)
	{
		int sequence = pass->inputs[pass->rows[row]].sequence;

		if (sequence != last)
		{
			const LmModel *own = pass->sequences[sequence].model;
			const LmModel *model = own ? own : pass->model;

			group = model->adapters ? group_of(pass, model) : -1;
			last = sequence;
		}
		pass->group_of[row] = group;
		if (group >= 0)
			pass->groups[group].n++;
	}
	for (int i = 0; i < pass->n_groups_of_rows; i++)
	{
		pass->groups[i].first = begin;
		begin += pass->groups[i].n;
		pass->groups[i].n = 0;
	}
	for (int row = 0; row < pass->n_rows; row++)
		if (pass->group_of[row] >= 0)
		{
			LmPassGroup *to = &pass->groups[pass->group_of[row]];

			pass->order[to->first + to->n++] = row;
		}
}

void
lm_pass_add_adapters(LmInferPass *pass, float *y, const float *x, const LmLinear *linear,
					 LmTarget target)
{
	int n = 0;

	for (int i = 0; i < pass->n_groups_of_rows; i++)
	{
		const LmPassGroup *group = &pass->groups[i];
		const LmAdapterBlock *adapter = &group->model->adapters[pass->layer];

		if (adapter->a[target])
			pass->adapters[n++] =
				(LmLoraRows){.y = y,
							 .x = x,
							 .rows = pass->order + group->first,
							 .n_rows = group->n,
							 .n_in = linear->n_in,
							 .n_out = linear->n_out,
							 .rank = group->model->config.lora_rank,
							 .is_bfloat16 = lm_adapter_is_short(group->model->type),
							 .a = adapter->a[target],
							 .b = adapter->b[target]};
	}
	lm_lora_infer(pass->engine, pass->adapters, n);
}

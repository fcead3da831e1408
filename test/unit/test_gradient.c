/*
 * test/unit/test_gradient.c
 *
 * The gradient of every parameter against central differences of the loss, in the corners of the
 * model family.
 */
#include "gradient_support.h"

static bool
is_zero(LmTrainer *trainer, LmParamKind kind, int layer)
{
	const LmParam *param = lm_param_find(lm_trainer_table(trainer), kind, layer);
	const float *gradient = lm_trainer_gradient(trainer) + param->offset;

	for (size_t i = 0; i < param->count; i++)
		if (gradient[i] != 0)
			return false;
	return true;
}

/*
 * With dropout the outputs of half of the windows are dropped, and with them what the blocks would
 * learn; without it of none.
 */
static void
test_dropped_outputs(float dropout, LmEngine *engine, const LmHost *host)
{
	const int n_steps = tap_repeat(dropout > 0 ? 96 : 24);
	Corner corner = {"", small_config(), false};
	uint64_t state = 5;
	Problem problem;
	LmStepResult result;
	LmError error;
	int n_dropped = 0, n_without_bag = 0;

	corner.config.labels = 3;
	corner.config.dropout = dropout;
	fill_problem(&problem, &corner, engine, host, &state);
	problem.batches[0].n_tokens = 0;
	append_sequence(&problem.batches[0], 12, corner.config.vocabulary, false, 0, &state);
	set_labels(&problem.batches[0], &corner.config, &state);
	for (int step = 1; step <= n_steps; step++)
	{
		problem.failed = !lm_trainer_step(&result, problem.trainer, step, problem.batches, 1, NULL,
										  NULL, &error) ||
						 problem.failed;
		n_dropped += is_zero(problem.trainer, LM_NORM1_WEIGHT, 0);
		n_without_bag += is_zero(problem.trainer, LM_BAG_EMBEDDING, -1);
	}
	/* Half of the steps, with a deviation of half the root of their number; of 96, 48 and 5. */
	ok(!problem.failed && n_without_bag == 0 &&
		   (dropout > 0 ? fabs(n_dropped - n_steps / 2.0) < 2.5 * sqrt(n_steps) / 2
						: n_dropped == 0),
	   "at dropout %g a window's outputs were dropped in %d of %d steps, its bag in %d",
	   (double) dropout, n_dropped, n_steps, n_without_bag);
	for (int i = 0; i < N_BATCHES; i++)
		lm_batch_free(&problem.batches[i], host);
	lm_trainer_free(problem.trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	Corner corners[] = {
		{"GPT-2", small_config(), false},
		{"packed documents with unequal weights", small_config(), true},
		{"no biases, untied, sinusoidal, exact GELU", small_config(), true},
		{"dropout, untied", small_config(), true},
		{"dropout, no biases, sinusoidal, odd sizes", small_config(), false},
		{"modern: RMSNorm, rotary positions, norms of queries and keys, squared ReLU",
		 small_config(), true},
		{"rotary positions, biases, dropout, odd sizes", small_config(), true},
		{"RMSNorm with biases, norms of queries and keys, learned positions, untied",
		 small_config(), false},
		{"labels", small_config(), false},
		{"labels, modern, dropout", small_config(), false},
		{"sets of labels", small_config(), false},
		{"an adapter", small_config(), true},
		{"an adapter with labels, of a base with every switch of modern", small_config(), false},
		{"an adapter of some layers, with both dropouts, odd sizes, untied", small_config(), true},
		{"numbers, modern, dropout", small_config(), false},
		{"labels of pairs, dropout", small_config(), false},
	};

	corners[2].config.bias = corners[2].config.tie_embeddings = false;
	corners[2].config.position = LM_SINUSOIDAL;
	corners[2].config.mlp = LM_GELU;
	corners[3].config.tie_embeddings = false;
	corners[3].config.dropout = 0.3f;
	corners[4].config.bias = false;
	corners[4].config.position = LM_SINUSOIDAL;
	corners[4].config.dropout = 0.2f;
	corners[4].config.channels = 15;
	corners[4].config.heads = 3;
	corners[4].config.mlp_channels = 37;
	corners[5].config.norm = LM_RMSNORM;
	corners[5].config.position = LM_ROPE;
	corners[5].config.qk_norm = true;
	corners[5].config.mlp = LM_RELU2;
	corners[5].config.bias = false;
	corners[6].config.position = LM_ROPE;
	corners[6].config.rope_base = 100;
	corners[6].config.dropout = 0.2f;
	corners[6].config.channels = 18;
	corners[6].config.heads = 3;
	corners[7].config.norm = LM_RMSNORM;
	corners[7].config.qk_norm = true;
	corners[7].config.tie_embeddings = false;
	corners[8].config.labels = 40; /* of 64 channels in the bag, as the next ones of 16 */
	corners[9].config = corners[5].config;
	corners[9].config.labels = 3;
	corners[9].config.dropout = 0.2f;
	/* squared ReLU has kinks, which steps along the embedding meet here */
	corners[9].config.mlp = LM_GELU_TANH;
	corners[10].config.labels = 4;
	corners[10].config.multi_label = true;
	corners[11].config.lora_rank = 3;
	corners[12].config = corners[9].config;
	corners[12].config.dropout = 0;
	corners[12].config.lora_rank = 8;
	corners[12].config.lora_alpha = 5;
	corners[13].config = corners[4].config;
	corners[13].config.tie_embeddings = false;
	corners[13].config.lora_rank = 5;
	corners[13].config.lora_targets = 1 << LM_TARGET_PROJECTION | 1 << LM_TARGET_DOWN;
	corners[13].config.lora_dropout = 0.3f;
	corners[14].config = corners[9].config;
	corners[14].config.labels = 1;
	corners[14].config.number = true;
	corners[15].config = corners[9].config;
	corners[15].config.pair = true;
	for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
		test_corner(&corners[i], engine, &host);
	test_dropped_outputs(0.1f, engine, &host);
	test_dropped_outputs(0, engine, &host);
	lm_engine_stop(engine);
	return done_testing();
}

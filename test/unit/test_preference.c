/*
 * test/unit/test_preference.c
 *
 * Learning from pairs: gradients against central differences, masks, micro-batches and threads, and
 * likelihoods and probabilities against logits. test_pytorch.c has the losses of PyTorch.
 */
#include "engine/loss_sample.h"
#include "gradient_support.h"

static void
test_gradients(LmEngine *engine, const LmHost *host)
{
	Corner corners[] = {
		{"DPO", small_config(), true, 0, LM_OBJECTIVE_DPO},
		{"DPO of an adapter, with a soft cap", small_config(), false, 0, LM_OBJECTIVE_DPO},
		{"ORPO, untied", small_config(), true, 0, LM_OBJECTIVE_ORPO},
		{"ORPO with dropout", small_config(), false, 0, LM_OBJECTIVE_ORPO},
	};

	corners[1].config.lora_rank = 3;
	corners[1].config.logit_softcap = 5;
	corners[2].config.tie_embeddings = false;
	corners[3].config.dropout = 0.2f;
	for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
		test_corner(&corners[i], engine, host);
}

/* Pairs of windows of some lengths; the first two rows of each are a prompt's. */
static LmBatch
make_pairs(const LmHost *host, int n_pairs, uint64_t *state)
{
	LmBatch batch = create_batch(host, 24 * n_pairs);

	batch.group = 2;
	for (int window = 0; window < 2 * n_pairs; window++)
	{
		int start = batch.n_tokens;

		append_sequence(&batch, 5 + window % 4, 29, false, window, state);
		for (int row = start; row < batch.n_tokens; row++)
		{
			batch.targets[row] = row < start + 2 ? -1 : batch.targets[row];
			batch.weights[row] = 0.5f + (float) (window / 2 % 3);
			batch.values[row] = row + 1 == batch.n_tokens ? -20 - (float) window : 0;
		}
	}
	return batch;
}

/* The rows of some pairs of a batch as a batch of their own. */
static LmBatch
part_of(const LmBatch *batch, int first_row, int end_row, const LmHost *host)
{
	LmBatch part = create_batch(host, batch->capacity);

	part.group = 2;
	for (int row = first_row; row < end_row; row++)
	{
		int to = part.n_tokens++;

		part.tokens[to] = batch->tokens[row];
		part.targets[to] = batch->targets[row];
		part.weights[to] = batch->weights[row];
		part.positions[to] = batch->positions[row];
		part.starts[to] = batch->starts[row] - first_row;
		part.examples[to] = batch->examples[row];
		part.values[to] = batch->values[row];
	}
	return part;
}

static LmStepResult
step_of(LmTrainer *trainer, const LmBatch *batches, int n)
{
	LmStepResult result;
	LmError error;

	if (!lm_trainer_step(&result, trainer, 0, batches, n, NULL, NULL, &error))
		printf("# %s\n", error.message);
	return result;
}

static LmTrainer *
pair_trainer(LmEngine *engine, LmObjectiveKind objective)
{
	LmConfig config = small_config();
	LmTrainOptions options = small_options(24 * 6);
	uint64_t state = 8;
	LmTrainer *trainer;

	options.objective = objective;
	trainer = create_trainer(engine, &config, &options);
	move_away(lm_trainer_params(trainer), lm_trainer_table(trainer), &state);
	return trainer;
}

static double
largest_difference(const float *a, const float *b, size_t count)
{
	double largest = 0;

	for (size_t i = 0; i < count; i++)
		largest = fmax(largest, fabs((double) a[i] - b[i]));
	return largest;
}

static void
test_batches(LmEngine *engine, LmEngine *other_engine, const LmHost *host, LmObjectiveKind kind)
{
	uint64_t state = 3;
	LmBatch batch = make_pairs(host, 6, &state), parts[2];
	LmTrainer *whole = pair_trainer(engine, kind), *parted = pair_trainer(engine, kind),
			  *threaded = pair_trainer(other_engine, kind), *masked = pair_trainer(engine, kind);
	size_t total = lm_trainer_table(whole)->total;
	LmStepResult result = step_of(whole, &batch, 1), other;
	int middle = 0;

	while (batch.examples[middle] < 6)
		middle++;
	parts[0] = part_of(&batch, 0, middle, host);
	parts[1] = part_of(&batch, middle, batch.n_tokens, host);
	other = step_of(parted, parts, 2);
	is_near(other.loss, result.loss, 1e-6, "micro-batches have the loss of one batch");
	is_near(other.figures[0], result.figures[0], 1e-6, "and its margin");
	is_near(largest_difference(lm_trainer_gradient(whole), lm_trainer_gradient(parted), total), 0,
			1e-6, "and its gradient");
	other = step_of(threaded, &batch, 1);
	ok(memcmp(lm_trainer_params(whole), lm_trainer_params(threaded), total * sizeof(float)) == 0 &&
		   other.loss == result.loss,
	   "two threads give the bits of one");
	for (int row = 0; row < batch.n_tokens; row++)
		if (batch.targets[row] < 0)
			batch.weights[row] = 7;
	other = step_of(masked, &batch, 1);
	ok(memcmp(lm_trainer_params(whole), lm_trainer_params(masked), total * sizeof(float)) == 0 &&
		   other.loss == result.loss,
	   "weights of a prompt's rows play no role");
	lm_trainer_free(whole);
	lm_trainer_free(parted);
	lm_trainer_free(threaded);
	lm_trainer_free(masked);
	for (int i = 0; i < 2; i++)
		lm_batch_free(&parts[i], host);
	lm_batch_free(&batch, host);
}

/* Log-likelihoods of windows and log-probabilities of rows, from the logits. */
static void
test_likelihoods(LmEngine *engine, const LmHost *host)
{
	uint64_t state = 4;
	LmBatch batch = make_pairs(host, 2, &state);
	LmTrainer *trainer = pair_trainer(engine, LM_OBJECTIVE_DPO);
	int n = batch.n_tokens, window = -1;
	float *logits = malloc((size_t) n * 29 * sizeof(float)),
		  *log_probs = malloc((size_t) n * 29 * sizeof(float));
	float likelihoods[4];
	double wanted[4] = {0}, difference = 0;
	int rows[64];
	LmError error;
	bool good;

	for (int i = 0; i < n; i++)
		rows[i] = n - 1 - i;
	good = lm_trainer_logits(logits, trainer, &batch, &error) &&
		   lm_trainer_likelihoods(likelihoods, trainer, &batch, &error) &&
		   lm_trainer_log_probs(log_probs, trainer, rows, n, &error);
	for (int row = 0; row < n; row++)
	{
		double sum = 0;

		window += batch.starts[row] == row;
		for (int i = 0; i < 29; i++)
			sum += exp(logits[row * 29 + i]);
		if (batch.targets[row] >= 0)
			wanted[window] += logits[row * 29 + batch.targets[row]] - log(sum);
		for (int i = 0; i < 29; i++)
			difference = fmax(difference, fabs(log_probs[(n - 1 - row) * 29 + i] -
											   (logits[row * 29 + i] - log(sum))));
	}
	ok(good, "a trainer says how likely windows are");
	for (int i = 0; i < 4; i++)
		wanted[i] -= likelihoods[i];
	is_near(fabs(wanted[0]) + fabs(wanted[1]) + fabs(wanted[2]) + fabs(wanted[3]), 0, 1e-4,
			"as the logits of their targets do");
	is_near(difference, 0, 1e-5, "and the probability of every token after a row");
	rows[0] = 24 * 6;
	ok(!lm_trainer_log_probs(log_probs, trainer, rows, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "rows beyond the capacity are refused");
	free(logits);
	free(log_probs);
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
}

/* The base itself has no margin, and the loss of chance; each pair is a piece of the sample. */
static void
test_base(LmEngine *engine, const LmHost *host)
{
	uint64_t state = 4;
	LmBatch batch = make_pairs(host, 5, &state);
	LmTrainer *trainer = pair_trainer(engine, LM_OBJECTIVE_DPO);
	float likelihoods[10];
	double sum = 0, weight = 0;
	LmLossSample sample = {0};
	LmError error;
	bool good = lm_trainer_likelihoods(likelihoods, trainer, &batch, &error);

	for (int row = 0; row < batch.n_tokens; row++)
		if (batch.values[row] != 0)
			batch.values[row] = likelihoods[batch.examples[row]];
	good = good && lm_trainer_evaluate(&sum, &weight, trainer, &batch, &error);
	lm_loss_sample_add(&sample, &batch, lm_trainer_nll(trainer), false);
	ok(good && weight == 0.5 + 1.5 + 2.5 + 0.5 + 1.5, "each pair has the weight of its windows");
	is_near(sum / weight, log(2), 1e-4, "against itself the base has the loss of chance");
	is_near(lm_trainer_figures(trainer)[0], 0, 1e-3, "and no margin");
	is_int(sample.n_pieces, 5, "each pair is a piece of the validation");
	is_near(sample.sum[0] + sample.sum[1] + sample.sum[2] + sample.sum[3] + sample.sum[4], sum,
			1e-5, "with its loss");
	ok(strcmp(lm_trainer_figure_names(trainer)[0], "reward_margin") == 0 &&
		   strcmp(lm_trainer_figure_names(trainer)[1], "preference_accuracy") == 0 &&
		   !lm_trainer_figure_names(trainer)[2],
	   "the figures have names");
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
}

static void
test_refused(LmEngine *engine, const LmHost *host)
{
	uint64_t state = 4;
	LmBatch batch = make_pairs(host, 2, &state);
	LmTrainer *trainer = pair_trainer(engine, LM_OBJECTIVE_DPO), *plain;
	LmConfig config = small_config();
	LmTrainOptions options = small_options(100);
	double sum = 0, weight = 0;
	size_t bytes;
	LmError error;

	plain = create_trainer(engine, &config, &options);
	ok(!lm_trainer_evaluate(&sum, &weight, plain, &batch, &error) && error.code == LM_ERR_ARGUMENT,
	   "a language model does not take pairs");
	batch.group = 1;
	ok(!lm_trainer_evaluate(&sum, &weight, trainer, &batch, &error), "nor DPO single windows");
	batch.group = 2;
	while (batch.starts[batch.n_tokens - 1] == batch.starts[batch.n_tokens - 2])
		batch.n_tokens--;
	batch.n_tokens = batch.starts[batch.n_tokens - 1];
	ok(!lm_trainer_evaluate(&sum, &weight, trainer, &batch, &error), "nor half a pair");
	options.objective = LM_OBJECTIVE_DPO;
	config.labels = 3;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "nor a classifier");
	config.labels = 0;
	options.beta = 0;
	ok(!lm_trainer_memory(&bytes, &config, &options, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a beta of 0 is refused");
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	lm_trainer_free(plain);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1), *two = start_engine(&host, 2);

	test_gradients(engine, &host);
	test_batches(engine, two, &host, LM_OBJECTIVE_DPO);
	test_batches(engine, two, &host, LM_OBJECTIVE_ORPO);
	test_likelihoods(engine, &host);
	test_base(engine, &host);
	test_refused(engine, &host);
	lm_engine_stop(engine);
	lm_engine_stop(two);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

/*
 * test/unit/test_labels.c
 *
 * Rows with several labels: the loss against a naive twin, PyTorch
 * (test/reference/make_fixtures.py) and central differences; and probabilities of texts against a
 * naive head on what lm_embed gives.
 */
#include "kernels.h"
#include "model/bag.h"
#include "model/labels.h"
#include "safetensors.h"
#include "serve_support.h"

#define MAX_ROWS 300
#define MAX_MEMBERS 40000
#define CONTEXT 20

typedef struct Rows
{
	LmEngine *engine;
	int n_rows;
	int n_labels;
	float smoothing;
	float *logits, *gradient, *nll, *weights;
	int32_t targets[MAX_ROWS];
	LmLabelSets sets;
	uint64_t ends[MAX_ROWS];
	uint32_t members[MAX_MEMBERS];
} Rows;

/*
 * Row i has set (i + 1) % n_rows, so that numbers of rows and sets differ; wanted [n_rows,
 * n_labels] is 1 where a row has a label.
 */
static void
set_members(Rows *rows, const float *wanted)
{
	uint64_t n = 0;

	for (int set = 0; set < rows->n_rows; set++)
	{
		int row = (set + rows->n_rows - 1) % rows->n_rows;

		rows->targets[row] = set;
		for (int label = 0; label < rows->n_labels; label++)
			if (wanted[(size_t) row * rows->n_labels + label] > 0)
				rows->members[n++] = (uint32_t) label;
		rows->ends[set] = n;
	}
	rows->sets = (LmLabelSets){(uint64_t) rows->n_rows, rows->ends, rows->members};
}

static float *
random_wanted(int n_rows, int n_labels, double share)
{
	float *wanted = zero_array((size_t) n_rows * n_labels);
	uint64_t state = 5;

	for (size_t i = 0; i < (size_t) n_rows * n_labels; i++)
		wanted[i] = test_random(&state) % 1000 < 1000 * share;
	return wanted;
}

static void
run_gradient(Rows *rows, float scale)
{
	memcpy(rows->gradient, rows->logits, (size_t) rows->n_rows * rows->n_labels * sizeof(float));
	lm_binary_cross_entropy(rows->engine, rows->gradient, rows->nll, rows->targets, &rows->sets,
							rows->weights, scale, rows->smoothing, rows->n_rows, rows->n_labels);
}

/*
 * Σ weight of the loss with smoothed answers: (1 - smoothing) nll + smoothing / 2 Σ (loss of yes +
 * loss of no)
 */
static double
objective(void *context)
{
	Rows *rows = context;
	double sum = 0;

	lm_binary_cross_entropy_forward(rows->engine, rows->nll, rows->logits, rows->targets,
									&rows->sets, rows->n_rows, rows->n_labels);
	for (int row = 0; row < rows->n_rows; row++)
	{
		double both = 0;

		for (int i = 0; i < rows->n_labels && rows->targets[row] >= 0; i++)
		{
			double x = rows->logits[(size_t) row * rows->n_labels + i];

			both += log(1 + exp(x)) + log(1 + exp(-x));
		}
		sum += rows->weights[row] *
			   ((1 - rows->smoothing) * (double) rows->nll[row] + rows->smoothing / 2 * both);
	}
	return 0.25 * sum;
}

static void
test_loss(LmEngine *engine, int n_rows, int n_labels, float smoothing)
{
	static Rows rows;
	size_t count = (size_t) n_rows * n_labels;
	float *wanted = random_wanted(n_rows, n_labels, n_labels > 100 ? 0.01 : 0.4),
		  *nll = zero_array((size_t) n_rows);
	float *gradient = zero_array(count), *first;

	rows = (Rows){.engine = engine, .n_rows = n_rows, .n_labels = n_labels, .smoothing = smoothing};
	rows.logits = random_floats(count, 3, 1);
	rows.gradient = zero_array(count);
	rows.nll = zero_array((size_t) n_rows);
	rows.weights = random_floats((size_t) n_rows, 1, 2);
	set_members(&rows, wanted);
	rows.targets[1] = -1;
	rows.weights[2] = 0;
	for (int row = 0; row < n_rows; row++)
	{
		double sum = 0;

		for (int i = 0; i < n_labels && rows.targets[row] >= 0 && rows.weights[row] != 0; i++)
		{
			size_t at = (size_t) row * n_labels + i;
			double yes = 1 / (1 + exp(-(double) rows.logits[at]));

			sum -= log(wanted[at] > 0 ? yes : 1 - yes);
			gradient[at] = (float) ((yes - (1 - smoothing) * wanted[at] - smoothing / 2) *
									rows.weights[row] * 0.25);
		}
		nll[row] = (float) sum;
	}
	run_gradient(&rows, 0.25f);
	is_close(rows.nll, nll, (size_t) n_rows, 1e-6 * n_labels,
			 "losses of sets agree with the naive twin");
	is_close(rows.gradient, gradient, count, 3e-7, "gradients agree with the naive twin");
	ok(rows.nll[1] == 0 && rows.nll[2] == 0 && rows.gradient[n_labels] == 0 &&
		   rows.gradient[2 * n_labels] == 0,
	   "rows without a set or weight have no loss and no gradient");
	first = copy_floats(rows.nll, (size_t) n_rows);
	lm_binary_cross_entropy_forward(engine, rows.nll, rows.logits, rows.targets, &rows.sets, n_rows,
									n_labels);
	first[2] = rows.nll[2];
	ok(same_bits(rows.nll, first, (size_t) n_rows), "losses alone have the same bits");
	if (n_labels < 100)
		gradient_holds(objective, &rows, rows.logits, rows.gradient, count, 1e-2f, 1e-3,
					   "gradients agree with central differences");
	free(wanted);
	free(nll);
	free(gradient);
	free(first);
	free(rows.logits);
	free(rows.gradient);
	free(rows.nll);
	free(rows.weights);
}

static void
test_extremes(LmEngine *engine)
{
	static const uint64_t ends[] = {1};
	static const uint32_t members[] = {1};
	LmLabelSets sets = {1, ends, members};
	float logits[3] = {-1000, 1000, -1000}, wrong[3] = {1000, -1000, 0}, broken[3] = {0, NAN, 0},
		  nll, weight = 1;
	int32_t target = 0;

	lm_binary_cross_entropy_forward(engine, &nll, logits, &target, &sets, 1, 3);
	ok(nll == 0, "large logits that are right cost nothing");
	lm_binary_cross_entropy(engine, wrong, &nll, &target, &sets, &weight, 1, 0, 1, 3);
	is_near(nll, 2000 + log(2), 1e-3, "large logits do not overflow");
	ok(wrong[0] == 1 && wrong[1] == -1 && wrong[2] == 0.5f, "nor do their gradients");
	lm_binary_cross_entropy_forward(engine, &nll, broken, &target, &sets, 1, 3);
	ok(isnan(nll), "NaN among the logits is not lost");
}

static void
test_threads(void)
{
	float *first = NULL, *wanted = random_wanted(MAX_ROWS, 500, 0.1);

	for (int n_threads = 1; n_threads <= 4; n_threads *= 2)
	{
		static Rows rows;
		LmEngine *engine = test_engine(n_threads, "");

		rows = (Rows){.engine = engine, .n_rows = MAX_ROWS, .n_labels = 500, .smoothing = 0.1f};
		rows.logits = random_floats(MAX_ROWS * 500, 3, 1);
		rows.gradient = zero_array(MAX_ROWS * 500);
		rows.nll = zero_array(MAX_ROWS);
		rows.weights = random_floats(MAX_ROWS, 1, 2);
		set_members(&rows, wanted);
		run_gradient(&rows, 1);
		if (first)
			ok(same_bits(first, rows.gradient, MAX_ROWS * 500),
			   "%d threads give the same bits as one", n_threads);
		else
			first = copy_floats(rows.gradient, MAX_ROWS * 500);
		free(rows.logits);
		free(rows.gradient);
		free(rows.nll);
		free(rows.weights);
		lm_engine_stop(engine);
	}
	free(first);
	free(wanted);
}

static void
test_pytorch(LmEngine *engine)
{
	static Rows rows;
	Safetensors file;
	size_t count, n_rows;
	const float *logits, *weights;

	if (!ok(safetensors_open(&file, "test/fixtures/labels.safetensors"), "there is a fixture"))
		return;
	logits = safetensors_find(&file, "logits", &count);
	weights = safetensors_find(&file, "weights", &n_rows);
	rows = (Rows){.engine = engine, .n_rows = (int) n_rows, .n_labels = (int) (count / n_rows)};
	rows.smoothing = *safetensors_find(&file, "smoothing", &count);
	count = n_rows * (size_t) rows.n_labels;
	rows.logits = copy_floats(logits, count);
	rows.weights = copy_floats(weights, n_rows);
	rows.gradient = zero_array(count);
	rows.nll = zero_array(n_rows);
	set_members(&rows, safetensors_find(&file, "members", &count));
	run_gradient(&rows, 1);
	is_close(rows.nll, safetensors_find(&file, "losses", &n_rows), n_rows, 3e-6,
			 "losses are those of PyTorch's BCEWithLogitsLoss");
	is_close(rows.gradient, safetensors_find(&file, "gradient", &count), count, 3e-7,
			 "so are gradients, with smoothing");
	free(rows.logits);
	free(rows.weights);
	free(rows.gradient);
	free(rows.nll);
	safetensors_close(&file);
}

/* The head in float64 on outputs of the last block that are fed token by token. */
static void
test_classify(LmEngine *engine, LmHost host, TapHost *state, bool multi_label)
{
	static const char text[] = "a text that is longer than the context of twenty tokens";
	LmConfig config = bytes_config(CONTEXT);
	float got[5], again[5];
	double sum = 0, apart = 0, sums[LM_BAG_CHANNELS] = {0}, logits[5], *hidden;
	int32_t ids[sizeof text] = {256};
	int n = (int) sizeof text, n_bag;
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	const float *bag, *weight, *bias;
	LmSession *session;
	TestModel test;
	int64_t n_tokens;
	LmError error;
	int F;

	config.labels = 5;
	config.multi_label = multi_label;
	F = config.channels + lm_bag_channels(config.labels);
	test = test_model(&host, &config, 3, 0.15f);
	session = create_session(engine, &test, tokenizer);
	for (int i = 1; i < n; i++)
		ids[i] = (unsigned char) text[i - 1];
	bag = test.block + lm_param_find(test.table, LM_BAG_EMBEDDING, -1)->offset;
	weight = test.block + lm_param_find(test.table, LM_LABEL_WEIGHT, -1)->offset;
	bias = test.block + lm_param_find(test.table, LM_LABEL_BIAS, -1)->offset;
	lm_bag_add(sums, bag, &config, ids, 0, (size_t) n);
	n_bag = 4 * n - 6;
	hidden = calloc((size_t) config.channels, sizeof *hidden);
	/* One pool of windows with stride context / 2, each token in the first that holds it. */
	for (int start = 0, first = 0; first < n; start += CONTEXT / 2)
	{
		LmSequence sequence;
		void *workspace =
			aligned_alloc(64, lm_infer_workspace(test.model, 1, 1, lm_engine_threads(engine)));
		LmPages *pages = lm_pages_create(&host, test.model, 1, &error);
		float *output = calloc((size_t) config.channels, sizeof *output);
		int end = start + CONTEXT < n ? start + CONTEXT : n;

		lm_sequence_create(&sequence, &host, test.model, &error);
		for (int i = start; i < end; i++)
		{
			LmInput input = {ids[i], 0, i - start, true};

			if (!lm_infer_hidden(output, engine, test.model, pages, &sequence, 1, &input, 1,
								 workspace, &error))
				printf("# %s\n", error.message);
			for (int k = 0; k < config.channels && i >= first; k++)
				hidden[k] += output[k];
		}
		first = end;
		lm_sequence_free(&sequence, pages, &host);
		lm_pages_free(pages);
		free(workspace);
		free(output);
	}
	for (int label = 0; label < 5; label++)
	{
		logits[label] = bias[label];
		for (int k = 0; k < F; k++)
			logits[label] +=
				weight[label * F + k] *
				(k < config.channels ? hidden[k] / n : sums[k - config.channels] / n_bag);
		sum += exp(logits[label]);
	}
	ok(classify_text(got, &n_tokens, session, (LmBytes){text, sizeof text - 1}, &error) &&
		   n_tokens == n - 1,
	   "a text is classified");
	for (int label = 0; label < 5; label++)
		apart = fmax(apart, fabs(got[label] - (multi_label ? 1 / (1 + exp(-logits[label]))
														   : exp(logits[label]) / sum)));
	is_near(apart, 0, 1e-5,
			multi_label ? "sigmoids are those of a naive head"
						: "the softmax is that of a naive head");
	ok(classify_text(again, &n_tokens, session, (LmBytes){"", 0}, &error) && n_tokens == 0,
	   "so is an empty text");
	state->stop = true;
	ok(!classify_text(again, &n_tokens, session, (LmBytes){"never seen", 10}, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "it can be stopped");
	state->stop = false;
	free(hidden);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

static void
test_config(const LmHost *host)
{
	LmConfig config = small_config();
	LmError error = {0};
	TestModel test;

	config.multi_label = true;
	ok(!lm_config_check(&config, &error) && error.code == LM_ERR_ARGUMENT,
	   "without labels there are no several of them");
	config.labels = 1;
	ok(lm_config_check(&config, &error), "a single one may be there or not");
	test = test_model(host, &config, 3, 0);
	ok(lm_model_config(test.model)->multi_label && lm_model_config(test.model)->labels == 1,
	   "an image knows of them");
	test_model_free(&test);
}

/* The memory of runs is the same for any number of labels; few of them have more rows in it. */
static void
test_bag_sizes(const LmHost *host)
{
	static const int n_labels[] = {1, 16, 17, 33, 64, 10000},
					 n_channels[] = {16, 16, 32, 64, 64, 64};
	bool good = true;

	for (int i = 0; i < 6; i++)
	{
		LmConfig config = small_config();
		const LmParam *bag;
		LmParamTable *table;
		LmError error;

		config.labels = n_labels[i];
		config.multi_label = true;
		table = lm_param_table_create(host, &config, &error);
		bag = lm_param_find(table, LM_BAG_EMBEDDING, -1);
		good = good && bag->count == ((size_t) LM_BAG_HASHED_FLOATS +
									  (size_t) config.vocabulary * (size_t) n_channels[i]);
		lm_param_table_free(host, table);
	}
	ok(good, "a bag has 16 to 64 channels by the number of labels, and as many rows as fit");
}

/* A label that the network would use as an index. */
static void
test_batch(LmEngine *engine, const LmHost *host)
{
	static const uint64_t ends[] = {0, 2};
	uint32_t members[] = {0, 2};
	LmTrainOptions options = small_options(32);
	LmConfig config = small_config();
	LmBatch batch = create_batch(host, 32);
	uint64_t state = 3;
	LmStepResult result;
	LmTrainer *trainer;
	LmError error;

	config.labels = 3;
	config.multi_label = true;
	trainer = create_trainer(engine, &config, &options);
	append_sequence(&batch, 4, config.vocabulary, false, 0, &state);
	for (int i = 0; i < 4; i++)
		batch.targets[i] = i < 3 ? -1 : 1;
	ok(!lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "a batch without sets is refused");
	batch.sets = (LmLabelSets){2, ends, members};
	ok(lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, &error),
	   "one with sets is learnt");
	batch.targets[3] = 2;
	ok(!lm_trainer_step(&result, trainer, 1, &batch, 1, NULL, NULL, &error),
	   "a set that is not there is refused");
	batch.targets[3] = 1;
	members[1] = 3;
	ok(!lm_trainer_step(&result, trainer, 1, &batch, 1, NULL, NULL, &error),
	   "so is one of a label that is not there");
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_loss(engine, 7, 5, 0);
	test_loss(engine, 7, 5, 0.2f);
	test_loss(engine, 30, 3000, 0.1f);
	test_extremes(engine);
	test_threads();
	test_pytorch(engine);
	test_classify(engine, host, &state, false);
	test_classify(engine, host, &state, true);
	test_config(&host);
	test_bag_sizes(&host);
	test_batch(engine, &host);
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}

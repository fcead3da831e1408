/*
 * test/unit/test_tree.c
 *
 * The tree of a step's micro-batches: its nodes, and that 1 to 4 members, in any number of threads,
 * make the same bits of it.
 */
#include "counting_host.h"
#include "engine/gradient_tree.h"
#include "train_support.h"

#define MOST 8 /* leaves, and members, of the steps below */

/* ---- Nodes --------------------------------------------------------------- */

/* The definition: a node of n leaves has the largest power of two below n on its left. */
static double
sum_of(const double *x, int n)
{
	int left = 1;

	if (n == 1)
		return x[0];
	while (left * 2 < n)
		left *= 2;
	return sum_of(x, left) + sum_of(x + left, n - left);
}

/* Whether a range of leaves is a node below the node of first, count. */
static bool
is_below(LmTreeNode range, int first, int count)
{
	int left = 1;

	if (range.first == first && range.count == count)
		return true;
	if (count == 1)
		return false;
	while (left * 2 < count)
		left *= 2;
	return range.first < first + left ? is_below(range, first, left)
									  : is_below(range, first + left, count - left);
}

static void
test_nodes(void)
{
	bool covered = true, nodes_are = true, same = true;
	uint64_t state = 2;
	LmError error;

	for (int M = 1; M <= 70; M++)
		for (int n = 1; n <= M && n <= 9; n++)
		{
			LmTreeNode nodes[9 * LM_TREE_NODES];
			float values[9 * LM_TREE_NODES], *at[9 * LM_TREE_NODES];
			double leaves[70];
			int n_nodes = 0, next = 0;

			/* Numbers whose sums are exact in both types: only the nodes matter. */
			for (int i = 0; i < M; i++)
				leaves[i] = test_random(&state) % 1000;
			for (int k = 0; k < n; k++)
				n_nodes += lm_tree_nodes(nodes + n_nodes, M, lm_tree_share(M, k, n));
			for (int i = 0; i < n_nodes; i++)
			{
				covered &= nodes[i].first == next;
				next += nodes[i].count;
				nodes_are &= is_below(nodes[i], 0, M);
				values[i] = 0;
				for (int j = 0; j < nodes[i].count; j++)
					values[i] += (float) leaves[nodes[i].first + j];
				at[i] = &values[i];
			}
			covered &= next == M;
			same &=
				lm_tree_fold(at, nodes, n_nodes, M, 1, &error) && values[0] == sum_of(leaves, M);
			for (int i = 0; i < M; i++)
				leaves[i] = 1.0 / (1 + test_random(&state) % 1000);
			same &= lm_tree_sum(leaves, 1, M) == sum_of(leaves, M);
		}
	ok(covered, "the nodes of all members are all leaves in their order");
	ok(nodes_are, "they are nodes of the tree");
	ok(same, "sums are those of the tree's definition");
	is_int(lm_tree_buffers(1), 0, "one leaf needs no block of its own");
	is_int(lm_tree_buffers(4), 2, "4 leaves need 2");
	is_int(lm_tree_buffers(64), 6, "64 leaves need 6");
}

/* The longest list of nodes fits; what is no tree is refused. */
static void
test_bounds(void)
{
	LmTreeNode nodes[LM_TREE_NODES], gap[] = {{0, 2}, {3, 1}}, crooked[] = {{0, 1}, {1, 2}, {3, 1}};
	float a[1] = {1}, b[1] = {1}, c[1] = {1}, *values[] = {a, b, c};
	int most = 0;
	LmError error;

	for (int M = LM_TREE_LEAVES - 2; M <= LM_TREE_LEAVES; M++)
		for (int first = 0; first < 3; first++)
			for (int end = M - 2; end <= M; end++)
			{
				int n = lm_tree_nodes(nodes, M, (LmTreeNode){first, end - first});

				most = n > most && nodes[n - 1].first + nodes[n - 1].count == end ? n : most;
			}
	ok(most > 18 && most < LM_TREE_NODES, "a range of 4,096 leaves has up to %d nodes", most);
	ok(!lm_tree_fold(values, gap, 2, 4, 1, &error), "a missing leaf is refused");
	ok(!lm_tree_fold(values, crooked, 3, 4, 1, &error), "a range that is no node is refused");
	ok(!lm_tree_fold(values, gap, 1, 4, 1, &error), "the first half is not the tree");
}

/* ---- Members ------------------------------------------------------------- */

/* What members send, and how the parts of one came. */
typedef struct Meeting
{
	LmTreeNode nodes[MOST * LM_TREE_NODES];
	float *sums[MOST * LM_TREE_NODES];
	int n_nodes;
	double values[MOST][LM_TREE_VALUES];
	const double *weights; /* of all leaves */
	bool collects; /* the members' sums; else the step goes on with them */
	bool right; /* what was said to be final was so, once */
	float *early; /* parameters as they were when they were final; NULL: not looked at */
	size_t calls[64][2];
	int n_calls;
} Meeting;

static bool
gather(void *context, double *values, int width, LmTreeNode own, int n_leaves, LmError *error)
{
	const Meeting *meeting = context;

	for (int i = 0; i < n_leaves; i++)
		if (i < own.first || i >= own.first + own.count)
			values[i * width] = meeting->weights[i];
	return true;
}

/* The nodes lie in early one after another. */
static void
ready(void *context, const LmTreeGradient *own, size_t first, size_t count)
{
	Meeting *meeting = context;

	if (meeting->n_calls < 64)
	{
		meeting->calls[meeting->n_calls][0] = first;
		meeting->calls[meeting->n_calls++][1] = count;
	}
	meeting->right &= own->n_nodes <= 2;
	for (int i = 0; meeting->early && i < own->n_nodes && i < 2; i++)
		for (size_t j = first; j < first + count; j++)
		{
			float *early = meeting->early + (size_t) i * own->count + j;

			meeting->right &= isnan(*early);
			*early = own->sums[i][j];
		}
}

static bool
reduce(void *context, const LmTreeGradient *own, LmError *error)
{
	Meeting *meeting = context;
	size_t bytes = own->count * sizeof(float);

	for (int i = 0; meeting->early && i < own->n_nodes && i < 2; i++)
		meeting->right &=
			memcmp(meeting->early + (size_t) i * own->count, own->sums[i], bytes) == 0;
	if (meeting->collects)
	{
		for (int i = 0; i < own->n_nodes; i++)
		{
			meeting->nodes[meeting->n_nodes] = own->nodes[i];
			meeting->sums[meeting->n_nodes] = malloc(bytes);
			memcpy(meeting->sums[meeting->n_nodes++], own->sums[i], bytes);
		}
		memcpy(meeting->values[own->own.first], own->values + own->own.first * LM_TREE_VALUES,
			   (size_t) own->own.count * sizeof meeting->values[0]);
		return lm_fail(error, LM_ERR_STOPPED, -1, "collected");
	}
	memcpy(own->sums[own->n_nodes - 1], meeting->sums[0], bytes);
	memcpy(own->values, meeting->values, (size_t) own->n_leaves * sizeof meeting->values[0]);
	return true;
}

/* A training of MOST leaves or fewer, and its batches. */
typedef struct Problem
{
	LmConfig config;
	LmTrainOptions options;
	LmBatch batches[MOST];
	double weights[MOST];
	int n_leaves;
	double factors[MOST]; /* of the member whose leaves begin there */
} Problem;

static Problem
problem_of(LmConfig config, const LmHost *host, int n_leaves, bool unequal)
{
	Problem problem = {.config = config, .options = small_options(36), .n_leaves = n_leaves};
	uint64_t state = 8;

	problem.options.tree_leaves = n_leaves;
	for (int i = 0; i < n_leaves; i++)
	{
		LmBatch *batch = &problem.batches[i];

		*batch = create_batch(host, 36);
		for (int j = 0; j < 3; j++)
			append_sequence(batch, 12, config.vocabulary, unequal, i * 3 + j, &state);
		if (config.architecture != LM_DECODER)
			set_prefixes(batch);
		for (int row = 0; config.labels > 0 && row < batch->n_tokens; row++)
			batch->targets[row] = row % 12 == 11 ? row / 12 % config.labels : -1;
		problem.weights[i] = lm_batch_weight(batch);
	}
	return problem;
}

static void
free_problem(Problem *problem, const LmHost *host)
{
	for (int i = 0; i < problem->n_leaves; i++)
		lm_batch_free(&problem->batches[i], host);
}

static bool
step_of(LmStepResult *result, LmTrainer *trainer, const Problem *problem, int step, LmTreeNode own,
		bool dealt, Meeting *meeting)
{
	LmTreeHooks hooks = {meeting, gather, ready, reduce};
	LmTreeStep tree = {problem->n_leaves,
					   own,
					   problem->batches + (dealt ? 0 : own.first),
					   dealt,
					   problem->factors[own.first],
					   meeting ? &hooks : NULL};
	LmError error = {0};

	if (lm_trainer_step_tree(result, trainer, step, &tree, &error))
		return true;
	if (!meeting || !meeting->collects || error.code != LM_ERR_STOPPED)
		printf("# %s\n", error.message);
	return false;
}

/* Two steps of n members, each with a trainer; the parameters of the last member, for free(). */
static float *
train(LmStepResult *result, LmEngine *engine, const Problem *problem, int n, bool dealt)
{
	LmTrainer *trainers[MOST];
	size_t bytes;
	bool same = true;
	float *params;
	LmError error;

	for (int k = 0; k < n; k++)
		trainers[k] = create_trainer(engine, &problem->config, &problem->options);
	bytes = lm_trainer_table(trainers[0])->total * sizeof *params;
	for (int step = 0; step < 2; step++)
	{
		Meeting meeting = {.weights = problem->weights, .collects = true};

		for (int k = 0; n > 1 && k < n; k++)
			step_of(result, trainers[k], problem, step, lm_tree_share(problem->n_leaves, k, n),
					dealt, &meeting);
		same &= n == 1 || lm_tree_fold(meeting.sums, meeting.nodes, meeting.n_nodes,
									   problem->n_leaves, bytes / sizeof *params, &error);
		meeting.collects = false;
		for (int k = 0; k < n; k++)
			same &=
				step_of(result, trainers[k], problem, step, lm_tree_share(problem->n_leaves, k, n),
						dealt, n == 1 ? NULL : &meeting);
		for (int i = 0; i < meeting.n_nodes; i++)
			free(meeting.sums[i]);
	}
	params = malloc(bytes);
	memcpy(params, lm_trainer_params(trainers[n - 1]), bytes);
	for (int k = 0; k < n; k++)
	{
		same &= memcmp(params, lm_trainer_params(trainers[k]), bytes) == 0;
		lm_trainer_free(trainers[k]);
	}
	if (!same)
		params[0] = NAN;
	return params;
}

static void
test_members(LmEngine *engine, LmEngine *other, const LmHost *host, const char *name,
			 LmConfig config, LmPrecision precision, int n_leaves)
{
	Problem problem = problem_of(config, host, n_leaves, config.labels == 0);
	LmStepResult results[2];
	bool same = true;
	float *alone, *together;
	LmTrainer *trainer;
	size_t bytes;

	problem.options.precision = precision;
	trainer = create_trainer(engine, &problem.config, &problem.options);
	bytes = lm_trainer_table(trainer)->total * sizeof(float);
	lm_trainer_free(trainer);
	alone = train(&results[0], engine, &problem, 1, true);
	for (int n = 2; n <= 4; n++)
	{
		together = train(&results[1], n == 3 ? other : engine, &problem, n, n != 4);
		same &= memcmp(alone, together, bytes) == 0 &&
				memcmp(&results[0].loss, &results[1].loss, sizeof(double)) == 0 &&
				results[0].grad_norm == results[1].grad_norm &&
				results[0].tokens == results[1].tokens;
		free(together);
	}
	ok(same, "%s: 1, 2, 3 and 4 members have the same bits of %d leaves, loss %.4f", name, n_leaves,
	   results[0].loss);
	free(alone);
	free_problem(&problem, host);
}

/* The same numbers as a step without a tree, but for the order of sums. */
static void
test_plain(LmEngine *engine, const LmHost *host)
{
	Problem problem = problem_of(small_config(), host, 5, true);
	LmTrainer *plain = create_trainer(engine, &problem.config, &problem.options);
	LmTrainer *tree = create_trainer(engine, &problem.config, &problem.options);
	LmStepResult results[2];
	double worst = 0;
	LmError error;

	lm_trainer_step(&results[0], plain, 0, problem.batches, 5, NULL, NULL, &error);
	step_of(&results[1], tree, &problem, 0, (LmTreeNode){0, 5}, true, NULL);
	for (size_t i = 0; i < lm_trainer_table(plain)->total; i++)
		worst = fmax(worst,
					 fabs((double) lm_trainer_gradient(plain)[i] - lm_trainer_gradient(tree)[i]));
	ok(worst < 1e-6 && fabs(results[0].loss - results[1].loss) < 1e-6 &&
		   results[0].tokens == results[1].tokens,
	   "a step along the tree is the step of the micro-batches (%g)", worst);
	lm_trainer_free(plain);
	lm_trainer_free(tree);
	free_problem(&problem, host);
}

/* Own rows that count four times are rows of four times the weight. */
static void
test_factors(LmEngine *engine, const LmHost *host)
{
	Problem heavy = problem_of(small_config(), host, 4, true), counted = heavy;
	LmStepResult results[2];
	float *alone, *together;
	LmTrainer *trainer = create_trainer(engine, &heavy.config, &heavy.options);
	size_t bytes = lm_trainer_table(trainer)->total * sizeof(float);

	lm_trainer_free(trainer);
	counted.factors[0] = 4;
	for (int i = 0; i < 2; i++)
		counted.weights[i] *= 4;
	together = train(&results[1], engine, &counted, 2, false);
	for (int i = 0; i < 2; i++)
		for (int row = 0; row < heavy.batches[i].n_tokens; row++)
			heavy.batches[i].weights[row] *= 4;
	alone = train(&results[0], engine, &heavy, 1, true);
	ok(memcmp(alone, together, bytes) == 0 && results[0].loss == results[1].loss,
	   "a member whose rows count four times weighs them so (%.4f, %.4f)", results[0].loss,
	   results[1].loss);
	free(alone);
	free(together);
	free_problem(&heavy, host);
}

static bool
tell_share(void *context, const LmTreeGradient *own, LmError *error)
{
	own->values[LM_TREE_VALUES - 2] = *(double *) context;
	return true;
}

/* The share of time is that of the member with the first leaf. */
static void
test_share(LmEngine *engine, const LmHost *host)
{
	Problem problem = problem_of(small_config(), host, 2, true);
	double share = 0.75;
	LmTreeHooks hooks = {&share, gather, NULL, tell_share};
	LmTreeStep tree = {2, {0, 2}, problem.batches, true, 0, &hooks};
	LmTrainOptions then = problem.options;
	LmTrainer *trainer;
	LmStepResult result;
	LmError error;

	then.warmup_steps = problem.options.warmup_steps = 1;
	then.share = 0.75;
	problem.options.share = 0.1;
	trainer = create_trainer(engine, &problem.config, &problem.options);
	ok(lm_trainer_step_tree(&result, trainer, 2, &tree, &error) &&
		   result.learning_rate == lm_learning_rate(&then, 2) &&
		   result.learning_rate != lm_learning_rate(&problem.options, 2),
	   "the learning rate is that of another member's clock");
	share = NAN;
	ok(!lm_trainer_step_tree(&result, trainer, 3, &tree, &error) && error.code == LM_ERR_NUMERIC,
	   "a share that is none is refused: %s", error.message);
	lm_trainer_free(trainer);
	free_problem(&problem, host);
}

/* ---- Ranges -------------------------------------------------------------- */

static int
record(Meeting *meeting, LmEngine *engine, const Problem *problem, LmTreeNode own)
{
	LmTrainer *trainer = create_trainer(engine, &problem->config, &problem->options);
	size_t total = lm_trainer_table(trainer)->total;
	LmStepResult result;
	int n_calls;

	*meeting = (Meeting){.weights = problem->weights, .collects = true, .right = true};
	meeting->early = malloc(2 * total * sizeof(float));
	for (size_t i = 0; i < 2 * total; i++)
		meeting->early[i] = NAN;
	step_of(&result, trainer, problem, 0, own, true, meeting);
	for (size_t i = 0; i < total * (size_t) meeting->n_nodes; i++)
		meeting->right &= !isnan(meeting->early[i]);
	for (int i = 0; i < meeting->n_nodes; i++)
		free(meeting->sums[i]);
	n_calls = meeting->n_calls;
	free(meeting->early);
	lm_trainer_free(trainer);
	return n_calls;
}

static void
test_ranges(LmEngine *engine, const LmHost *host, const char *name, LmConfig config)
{
	Problem problem = problem_of(config, host, 6, config.labels == 0);
	Meeting first, second;
	int n;

	/* The second member's last leaf has no row for an encoder. */
	if (config.architecture == LM_ENCODER_DECODER)
		for (int row = 0; row < problem.batches[5].n_tokens; row++)
		{
			problem.batches[5].prefixes[row] = problem.batches[5].starts[row];
			problem.batches[5].targets[row] = 1;
		}
	n = record(&first, engine, &problem, (LmTreeNode){0, 3});
	record(&second, engine, &problem, (LmTreeNode){3, 3});
	ok(first.right && second.right, "%s: each parameter is final when it is said to be, once",
	   name);
	ok(n >= config.layers && memcmp(first.calls, second.calls, sizeof first.calls) == 0,
	   "%s: members have the same %d ranges in the same order", name, n);
	free_problem(&problem, host);
}

/* ---- Limits -------------------------------------------------------------- */

static bool
bad_values(void *context, const LmTreeGradient *own, LmError *error)
{
	own->values[LM_TREE_VALUES - 1] = *(double *) context;
	return true;
}

static void
test_errors(LmEngine *engine, const LmHost *host)
{
	Problem problem = problem_of(small_config(), host, 3, true);
	LmTrainer *trainer = create_trainer(engine, &problem.config, &problem.options);
	double tokens = INFINITY;
	LmTreeHooks hooks = {&tokens, gather, NULL, bad_values};
	LmTreeStep tree = {3, {0, 3}, problem.batches, true, 0, &hooks};
	float first = lm_trainer_params(trainer)[0];
	LmStepResult result;
	LmError error;

	ok(!lm_trainer_step_tree(&result, trainer, 0, &tree, &error) && error.code == LM_ERR_NUMERIC &&
		   lm_trainer_params(trainer)[0] == first,
	   "a number of tokens that cannot be is refused: %s", error.message);
	tree.hooks = NULL;
	tree.own.count = 2;
	ok(!lm_trainer_step_tree(&result, trainer, 0, &tree, &error) && error.code == LM_ERR_ARGUMENT,
	   "a share alone is refused: %s", error.message);
	tree = (LmTreeStep){4, {0, 4}, problem.batches, true, 0, NULL};
	ok(!lm_trainer_step_tree(&result, trainer, 0, &tree, &error) && error.code == LM_ERR_ARGUMENT,
	   "more leaves than the trainer has are refused: %s", error.message);
	problem.options.tree_leaves = LM_TREE_LEAVES + 1;
	ok(!lm_train_options_check(&problem.options, &error) && error.code == LM_ERR_ARGUMENT,
	   "more leaves than there may be are refused: %s", error.message);
	lm_trainer_free(trainer);
	free_problem(&problem, host);
}

static void
test_memory(void)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmConfig config = small_config();
	LmTrainOptions options = small_options(36);
	bool exact = true;

	for (int leaves = 0; leaves < 5; leaves++)
	{
		size_t before = state.live, announced = 0;
		LmTrainer *trainer;
		LmError error;

		options.tree_leaves = leaves;
		trainer = create_trainer(engine, &config, &options);
		lm_trainer_memory(&announced, &config, &options, lm_engine_threads(engine), &error);
		exact &= announced == state.live - before;
		lm_trainer_free(trainer);
		exact &= state.live == before;
	}
	ok(exact, "a trainer with a tree takes exactly the memory that is announced");
	lm_engine_stop(engine);
}

static void
test_wire(void)
{
	float x[131], back[131];
	uint16_t wire[131];
	uint64_t state = 7;
	bool nearest = true;

	for (int i = 0; i < 131; i++)
	{
		uint32_t bits = test_random(&state) ^ test_random(&state) << 16;

		memcpy(&x[i], &bits, sizeof bits);
		if (!isfinite(x[i]) || fabsf(x[i]) > 3e38f)
			x[i] = (float) i;
	}
	memcpy(&x[0], &(uint32_t){0x3f808000}, 4); /* half-way: to even, down */
	memcpy(&x[1], &(uint32_t){0x3f818000}, 4); /* up */
	x[2] = INFINITY;
	memcpy(&x[3], &(uint32_t){0x7f800001}, 4);
	lm_tree_pack(wire, x, 131);
	lm_tree_unpack(back, wire, 131);
	for (int i = 4; i < 131; i++)
		nearest &= fabsf(back[i] - x[i]) <= fabsf(x[i]) / 256;
	ok(nearest, "bfloat16 is at most half of its last place off");
	ok(wire[0] == 0x3f80 && wire[1] == 0x3f82, "what is half-way goes to the even one");
	ok(back[2] == INFINITY && isnan(back[3]), "infinity and NaN stay");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1), *other = start_engine(&host, 3);
	LmConfig config = small_config(), untied = small_config(), encoder = small_config();
	LmConfig adapter = small_config(), labels = small_config();

	config.dropout = 0.1f;
	untied.tie_embeddings = false;
	encoder.architecture = LM_ENCODER_DECODER;
	encoder.encoder_layers = 2;
	adapter.lora_rank = 3;
	labels.labels = 3;
	test_nodes();
	test_bounds();
	test_members(engine, other, &host, "dropout", config, LM_FLOAT32, 6);
	test_members(engine, other, &host, "untied", untied, LM_FLOAT32, 4);
	test_members(engine, other, &host, "encoder", encoder, LM_FLOAT32, 7);
	if (lm_engine_bf16(engine))
		test_members(engine, other, &host, "bfloat16", config, LM_BFLOAT16, 6);
	test_plain(engine, &host);
	test_factors(engine, &host);
	test_share(engine, &host);
	test_ranges(engine, &host, "tied", config);
	test_ranges(engine, &host, "untied", untied);
	test_ranges(engine, &host, "encoder", encoder);
	test_ranges(engine, &host, "adapter", adapter);
	test_ranges(engine, &host, "labels", labels);
	test_errors(engine, &host);
	test_memory();
	test_wire();
	lm_engine_stop(other);
	lm_engine_stop(engine);
	return done_testing();
}

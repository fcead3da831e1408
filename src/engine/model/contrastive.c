/*
 * src/engine/model/contrastive.c
 *
 * The loss of groups of a query, a positive and perhaps a negative. Threads take windows, or rows
 * of the matrices of similarities; every sum has a fixed order.
 */
#include <math.h>
#include <string.h>

#include "engine/random.h"
#include "model/contrastive.h"

#define RECALL 0
#define MOST_GROUPS (LM_CONTRAST_WINDOWS / 2)

/* Windows of a batch that are compared with each other: window w is part w % group of its group. */
typedef struct Crowd
{
	LmNetwork *network;
	const LmPass *pass;
	float scale;
	int group;
	int n; /* windows */
	int n_groups;
	int first[LM_CONTRAST_WINDOWS]; /* row */
	int rows[LM_CONTRAST_WINDOWS];
	int same[LM_CONTRAST_WINDOWS]; /* the first window with the same text */
	float weights[MOST_GROUPS];
	double losses[MOST_GROUPS];
	bool found[MOST_GROUPS];
} Crowd;

static int gather(Crowd *crowd, int row);
static void find_equals(Crowd *crowd);
static void embed_windows(Crowd *crowd);
static void read_window(void *work, int piece, int thread);
static void scale_window(void *work, int piece, int thread);
static void compare_group(void *work, int piece, int thread);
static void differentiate_window(void *work, int piece, int thread);
static void propagate(Crowd *crowd);
static void spread_window(void *work, int piece, int thread);

void
lm_contrastive_layout(LmNetwork *network, LmArena *arena)
{
	size_t C = (size_t) network->config.channels, d = (size_t) network->config.embedding;

	network->activations.contrast = (LmContrastActivations){
		.runs = lm_arena_floats(arena, LM_CONTRAST_WINDOWS, LM_SEARCH_WIDE_RUNS),
		.hidden = lm_arena_floats(arena, LM_CONTRAST_WINDOWS, C),
		.dhidden = lm_arena_floats(arena, LM_CONTRAST_WINDOWS, C),
		.z = lm_arena_floats(arena, LM_CONTRAST_WINDOWS, d),
		.dz = lm_arena_floats(arena, LM_CONTRAST_WINDOWS, d),
		.lengths = lm_arena_floats(arena, LM_CONTRAST_WINDOWS, 1),
		.forward = lm_arena_floats(arena, MOST_GROUPS, LM_CONTRAST_WINDOWS),
		.reverse = lm_arena_floats(arena, MOST_GROUPS, MOST_GROUPS),
	};
}

double
lm_contrastive_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	LmEngine *engine = network->engine;
	Crowd crowd = {.network = network,
				   .pass = pass,
				   .scale = scale,
				   .group = pass->batch->group > 1 ? pass->batch->group : 2};
	double sum = 0;

	for (int row = 0; row < pass->batch->n_tokens && !lm_engine_stopped(engine);)
	{
		row = gather(&crowd, row);
		find_equals(&crowd);
		embed_windows(&crowd);
		lm_engine_run(engine, compare_group, &crowd, crowd.n_groups);
		if (scale > 0)
			propagate(&crowd);
		for (int i = 0; i < crowd.n_groups; i++)
		{
			int last = (i + 1) * crowd.group - 1;

			sum += crowd.weights[i] * crowd.losses[i];
			network->figures[RECALL] += crowd.found[i] ? crowd.weights[i] : 0;
			network->activations.nll[crowd.first[last] + crowd.rows[last] - 1] =
				(float) crowd.losses[i];
		}
	}
	return lm_engine_stopped(engine) ? 0 : sum;
}

/* ---- Windows ------------------------------------------------------------ */

/* The weight of a group is that of its first window's last target. */
static float
weight_of(const LmBatch *batch, int first, int rows)
{
	for (int row = first + rows - 1; row >= first; row--)
		if (batch->targets[row] >= 0 && batch->weights[row] != 0)
			return batch->weights[row];
	return 0;
}

/* Collects whole groups from a row on until the crowd is full; returns the row after them. */
static int
gather(Crowd *crowd, int row)
{
	const LmBatch *batch = crowd->pass->batch;
	int most = LM_CONTRAST_WINDOWS / crowd->group * crowd->group;

	crowd->n = 0;
	while (row < batch->n_tokens && crowd->n < most)
	{
		int i = crowd->n++, end = row + 1;

		while (end < batch->n_tokens && batch->starts[end] == batch->starts[row])
			end++;
		crowd->first[i] = row;
		crowd->rows[i] = end - row;
		if (i % crowd->group == 0)
			crowd->weights[i / crowd->group] = weight_of(batch, row, end - row);
		row = end;
	}
	crowd->n_groups = crowd->n / crowd->group;
	return row;
}

/* At most half a million comparisons, nearly all of which end at the lengths or the first token. */
static void
find_equals(Crowd *crowd)
{
	const int32_t *tokens = crowd->pass->batch->tokens;

	for (int i = 0; i < crowd->n; i++)
	{
		int j = 0;

		while (j < i && (crowd->rows[j] != crowd->rows[i] ||
						 memcmp(tokens + crowd->first[j], tokens + crowd->first[i],
								(size_t) crowd->rows[i] * sizeof *tokens) != 0))
			j++;
		crowd->same[i] = j;
	}
}

/* ---- Embeddings --------------------------------------------------------- */

/* The maps from runs of letters, and from the mean hidden state, to an embedding. */
static LmLinear
runs_of(const LmNetwork *network)
{
	return (LmLinear){.n_in = LM_SEARCH_WIDE_RUNS,
					  .n_out = network->config.embedding,
					  .w = network->params.embedding_runs};
}

static LmLinear
hidden_of(const LmNetwork *network)
{
	return (LmLinear){.n_in = network->config.channels,
					  .n_out = network->config.embedding,
					  .w = network->params.embedding_hidden};
}

static void
embed_windows(Crowd *crowd)
{
	LmNetwork *network = crowd->network;
	LmEngine *engine = network->engine;
	LmContrastActivations *a = &network->activations.contrast;
	LmLinear runs = runs_of(network);
	LmLinear hidden = hidden_of(network);

	lm_engine_run(engine, read_window, crowd, crowd->n);
	lm_linear_forward(engine, a->z, a->runs, &runs, crowd->n);
	lm_linear_forward(engine, a->dz, a->hidden, &hidden, crowd->n);
	lm_engine_run(engine, scale_window, crowd, crowd->n);
}

static void
drop_runs(float *runs, const Crowd *crowd, int row)
{
	const LmBatch *batch = crowd->pass->batch;
	double rate = crowd->network->config.dropout;
	float kept = (float) (1 / (1 - rate));
	LmKey key = lm_key(crowd->pass->seed, LM_RANDOM_RUNS_DROPOUT, (uint64_t) crowd->pass->step, 0);

	for (uint32_t k = 0; k < LM_SEARCH_WIDE_RUNS; k++)
		if (runs[k] != 0)
			runs[k] *= lm_random_uniform(key, (uint32_t) batch->examples[row],
										 (uint32_t) (row - batch->starts[row]), k) < rate
						   ? 0
						   : kept;
}

/* r and h of a window */
static void
read_window(void *work, int piece, int thread)
{
	const Crowd *crowd = work;
	const LmNetwork *network = crowd->network;
	size_t C = (size_t) network->config.channels, w = (size_t) piece;
	int first = crowd->first[piece], n = crowd->rows[piece];
	const float *outputs = network->activations.norm + (size_t) first * C;
	float *runs = network->activations.contrast.runs + w * LM_SEARCH_WIDE_RUNS;
	float *hidden = network->activations.contrast.hidden + w * C;
	float share = LM_CONTRAST_HIDDEN / sqrtf((float) C) / (float) n;

	(void) thread;
	if (network->tokenizer)
		lm_search_project(runs, LM_SEARCH_WIDE_RUNS, network->search, network->tokenizer,
						  crowd->pass->batch->tokens + first, (size_t) n);
	else
		memset(runs, 0, LM_SEARCH_WIDE_RUNS * sizeof *runs);
	if (crowd->pass->training && network->config.dropout > 0)
		drop_runs(runs, crowd, first);
	memset(hidden, 0, C * sizeof *hidden);
	for (size_t row = 0; row < (size_t) n; row++)
		for (size_t k = 0; k < C; k++)
			hidden[k] += outputs[row * C + k];
	for (size_t k = 0; k < C; k++)
		hidden[k] *= share;
}

/* z = (A r + B h) / length; dz has B h */
static void
scale_window(void *work, int piece, int thread)
{
	const Crowd *crowd = work;
	const LmContrastActivations *a = &crowd->network->activations.contrast;
	size_t d = (size_t) crowd->network->config.embedding;
	float *z = a->z + (size_t) piece * d;
	const float *added = a->dz + (size_t) piece * d;
	double squares = 0;

	(void) thread;
	for (size_t k = 0; k < d; k++)
	{
		z[k] += added[k];
		squares += (double) z[k] * z[k];
	}
	a->lengths[piece] = (float) sqrt(squares);
	for (size_t k = 0; k < d && squares > 0; k++)
		z[k] = (float) (z[k] / sqrt(squares));
}

/* ---- The loss ----------------------------------------------------------- */

static double
product(const float *a, const float *b, size_t n)
{
	double sum = 0;

	for (size_t k = 0; k < n; k++)
		sum += (double) a[k] * b[k];
	return sum;
}

/* Whether window w says nothing against group i: it equals a text of it, or its group is alike. */
static bool
is_alike(const Crowd *crowd, int i, int w)
{
	int g = crowd->group, query = crowd->same[i * g], positive = crowd->same[i * g + 1];
	int other = w / g * g;

	return crowd->same[w] == query || crowd->same[w] == positive ||
		   (w % g < 2 && (crowd->same[other] == query || crowd->same[other] == positive ||
						  crowd->same[other + 1] == positive || crowd->same[other + 1] == query));
}

/*
 * Turns the row of similarities s of n candidates into the gradient of -log softmax of `target`,
 * times `factor`; candidates that do not count have -INFINITY. Returns the loss.
 */
static double
cross_entropy(float *s, int n, int target, double factor)
{
	double largest = s[target], sum = 0, loss;

	for (int j = 0; j < n; j++)
		largest = s[j] > largest ? s[j] : largest;
	for (int j = 0; j < n; j++)
		sum += exp(s[j] - largest);
	loss = largest + log(sum) - s[target];
	for (int j = 0; j < n; j++)
		s[j] = (float) (factor * (exp(s[j] - largest) / sum - (j == target)));
	return loss;
}

/* Both rows of a group: its query with all candidates, its positive with all queries. */
static void
compare_group(void *work, int piece, int thread)
{
	Crowd *crowd = work;
	const LmContrastActivations *a = &crowd->network->activations.contrast;
	size_t d = (size_t) crowd->network->config.embedding;
	int g = crowd->group, n = crowd->n_groups, query = piece * g;
	double temperature = crowd->pass->options->temperature;
	double factor = crowd->weights[piece] * crowd->scale / 2 / temperature;
	float *forward = a->forward + (size_t) piece * LM_CONTRAST_WINDOWS;
	float *reverse = a->reverse + (size_t) piece * MOST_GROUPS;
	const float *z = a->z + (size_t) query * d;
	bool found = true;

	(void) thread;
	for (int w = 0; w < crowd->n; w++)
	{
		bool own = w == query + 1, counts = own || (w % g != 0 && !is_alike(crowd, piece, w));

		forward[w] =
			counts ? (float) (product(z, a->z + (size_t) w * d, d) / temperature) : -INFINITY;
	}
	for (int w = 0; w < crowd->n; w++)
		found = found && (w == query + 1 || forward[w] < forward[query + 1]);
	for (int j = 0; j < n; j++)
		reverse[j] = j == piece || !is_alike(crowd, piece, j * g)
						 ? (float) (product(z + d, a->z + (size_t) (j * g) * d, d) / temperature)
						 : -INFINITY;
	crowd->found[piece] = found;
	crowd->losses[piece] = (cross_entropy(forward, crowd->n, query + 1, factor) +
							cross_entropy(reverse, n, piece, factor)) /
						   2;
}

/* ---- The gradient ------------------------------------------------------- */

static void
add(double *sum, double factor, const float *z, size_t d)
{
	for (size_t k = 0; factor != 0 && k < d; k++)
		sum[k] += factor * z[k];
}

/* dz of a window: of the similarities that it is in, then through the scaling to length 1. */
static void
differentiate_window(void *work, int piece, int thread)
{
	const Crowd *crowd = work;
	const LmContrastActivations *a = &crowd->network->activations.contrast;
	size_t d = (size_t) crowd->network->config.embedding;
	int g = crowd->group, own = piece / g;
	const float *z = a->z + (size_t) piece * d, *forward = a->forward, *reverse = a->reverse;
	double sum[LM_MAX_EMBEDDING] = {0}, along = 0, length = a->lengths[piece];
	float *dz = a->dz + (size_t) piece * d;

	(void) thread;
	for (int w = 0; piece % g == 0 && w < crowd->n; w++)
		add(sum, forward[(size_t) own * LM_CONTRAST_WINDOWS + (size_t) w], a->z + (size_t) w * d,
			d);
	for (int i = 0; i < crowd->n_groups; i++)
	{
		const float *query = a->z + (size_t) (i * g) * d, *positive = query + d;

		if (piece % g == 0)
			add(sum, reverse[(size_t) i * MOST_GROUPS + (size_t) own], positive, d);
		else
			add(sum, forward[(size_t) i * LM_CONTRAST_WINDOWS + (size_t) piece], query, d);
		if (piece % g == 1)
			add(sum, reverse[(size_t) own * MOST_GROUPS + (size_t) i], query, d);
	}
	/* z = f / |f| */
	for (size_t k = 0; k < d; k++)
		along += sum[k] * z[k];
	for (size_t k = 0; k < d; k++)
		dz[k] = length > 0 ? (float) ((sum[k] - along * z[k]) / length) : 0;
}

static void
propagate(Crowd *crowd)
{
	LmNetwork *network = crowd->network;
	LmEngine *engine = network->engine;
	LmContrastActivations *a = &network->activations.contrast;
	LmLinear runs = runs_of(network);
	LmLinear hidden = hidden_of(network);

	lm_engine_run(engine, differentiate_window, crowd, crowd->n);
	/* f = A r + B h */
	lm_linear_backward(engine, NULL, network->gradient.embedding_runs, NULL, a->dz, a->runs, &runs,
					   crowd->n, NULL);
	lm_linear_backward(engine, a->dhidden, network->gradient.embedding_hidden, NULL, a->dz,
					   a->hidden, &hidden, crowd->n, NULL);
	lm_engine_run(engine, spread_window, crowd, crowd->n);
}

/* h = share times the sum of the outputs */
static void
spread_window(void *work, int piece, int thread)
{
	const Crowd *crowd = work;
	const LmNetwork *network = crowd->network;
	size_t C = (size_t) network->config.channels;
	int n = crowd->rows[piece];
	const float *dhidden = network->activations.contrast.dhidden + (size_t) piece * C;
	float *doutputs = network->activations.narrow + (size_t) crowd->first[piece] * C;
	float share = LM_CONTRAST_HIDDEN / sqrtf((float) C) / (float) n;

	(void) thread;
	for (size_t row = 0; row < (size_t) n; row++)
		for (size_t k = 0; k < C; k++)
			doutputs[row * C + k] = share * dhidden[k];
}

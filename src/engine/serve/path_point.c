/*
 * src/engine/serve/path_point.c
 *
 * Points of the path go in; the score at each, and its derivatives by logits and by embeddings of
 * tokens, come out.
 *
 *   input of a row = baseline + alpha (embedding - baseline) + position
 *   logits = constant + alpha linear + hidden label_weight'    (of a classifier)
 *
 * Several points of a text that is one window go through the network together. A longer text has
 * windows: its logits need the outputs of all, so that each goes through twice.
 */
#include <math.h>
#include <string.h>

#include "model/objective.h"
#include "model/pair.h"
#include "serve/path.h"

static void find_baseline(LmExplain *explain, const LmProbe *probe);
static void load(const LmExplain *explain, LmProbe *probe, const LmPathWindow *window,
				 double alpha);
static void pool(LmExplain *explain, const LmProbe *probe, const LmPathWindow *window, int row,
				 double *hidden);
static bool score_labels(LmExplain *explain, LmPathPoint *point, int number, LmError *error);
static void differentiate(LmExplain *explain, const double *dlogits);
static void spread(const LmExplain *explain, LmProbe *probe, const LmPathWindow *window, int row);
static void collect(const LmExplain *explain, const LmProbe *probe, const LmPathWindow *window,
					int row, double *dots);
static bool classify_together(LmExplain *explain, LmProbe *probe, int first, int n, LmError *error);
static bool classify_windows(LmExplain *explain, LmProbe *probe, int first, LmError *error);
static bool score_target(LmExplain *explain, LmProbe *probe, int first, int n, LmError *error);

bool
lm_path_evaluate(LmExplain *explain, LmProbe *probe, int first, int n, LmError *error)
{
	bool good;

	lm_engine_begin(probe->engine);
	find_baseline(explain, probe);
	memset(explain->dots, 0, (size_t) n * explain->n * sizeof *explain->dots);
	if (explain->task == LM_TASK_SCORE)
		good = score_target(explain, probe, first, n, error);
	else if (explain->n_windows == 1)
		good = classify_together(explain, probe, first, n, error);
	else
		good = classify_windows(explain, probe, first, error);
	if (lm_engine_stopped(probe->engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "explaining was stopped");
	return good;
}

static const float *
embedding_of(const LmProbe *probe, int32_t id)
{
	return probe->network.params.token_embedding +
		   (size_t) id * (size_t) probe->network.config.channels;
}

/* The embedding of the token in front of texts; without one, the mean of all. */
static void
find_baseline(LmExplain *explain, const LmProbe *probe)
{
	const LmConfig *config = &probe->network.config;
	int C = config->channels, V = config->vocabulary;
	int32_t front = explain->session->front;

	if (explain->has_baseline)
		return;
	memset(explain->baseline, 0, (size_t) C * sizeof *explain->baseline);
	for (int32_t id = front < 0 ? 0 : front; id < V && (front < 0 || id == front); id++)
		for (int i = 0; i < C; i++)
			explain->baseline[i] += embedding_of(probe, id)[i] / (front < 0 ? (float) V : 1.0f);
	for (int i = 0; i < C; i++)
		explain->baseline[i] *= config->embedding_scale;
	explain->has_baseline = true;
}

/* Adds the rows of a window at a point to the batch. */
static void
load(const LmExplain *explain, LmProbe *probe, const LmPathWindow *window, double alpha)
{
	const LmNetwork *network = &probe->network;
	const LmConfig *config = &network->config;
	const float *positions = network->activations.sinusoid ? network->activations.sinusoid
														   : network->params.position_embedding;
	size_t C = (size_t) config->channels;
	const int32_t *ids = explain->tokens.ids + window->start;
	int row = lm_probe_add_window(probe, ids, window->n, window->prefix);

	for (int i = 0; i < window->n; i++)
	{
		float *to = probe->inputs + (size_t) (row + i) * C;
		const float *token = embedding_of(probe, ids[i]);
		float share = explain->fixed[window->start + (size_t) i] ? 1.0f : (float) alpha;

		for (size_t k = 0; k < C; k++)
			to[k] = (1 - share) * explain->baseline[k] + share * config->embedding_scale * token[k];
		for (size_t k = 0; positions && k < C; k++)
			to[k] += positions[(size_t) i * C + k];
	}
}

/* dots [n] += derivative by each input of a window times its difference from the baseline. */
static void
collect(const LmExplain *explain, const LmProbe *probe, const LmPathWindow *window, int row,
		double *dots)
{
	const LmConfig *config = &probe->network.config;
	size_t C = (size_t) config->channels;

	for (int i = 0; i < window->n; i++)
	{
		size_t number = window->start + (size_t) i;
		const float *dx = probe->network.activations.dx + (size_t) (row + i) * C;
		const float *token = embedding_of(probe, explain->tokens.ids[number]);
		double sum = 0;

		if (explain->fixed[number])
			continue;
		for (size_t k = 0; k < C; k++)
			sum += (double) dx[k] * (config->embedding_scale * token[k] - explain->baseline[k]);
		dots[number] += sum;
	}
}

/* ---- Labels and numbers --------------------------------------------------- */

static bool
classify_together(LmExplain *explain, LmProbe *probe, int first, int n, LmError *error)
{
	const LmPathWindow *window = explain->windows;
	LmPass pass = lm_probe_pass(probe, probe->inputs);
	size_t C = (size_t) probe->network.config.channels;

	probe->n_read = 0;
	probe->batch.n_tokens = 0;
	for (int i = 0; i < n; i++)
		load(explain, probe, window, explain->points[first + i].alpha);
	lm_probe_forward(probe, &pass);
	memset(explain->hidden, 0, (size_t) n * 2 * C * sizeof *explain->hidden);
	for (int i = 0; i < n; i++)
	{
		pool(explain, probe, window, i * window->n, explain->hidden + (size_t) i * 2 * C);
		if (lm_engine_stopped(probe->engine) ||
			!score_labels(explain, &explain->points[first + i], i, error))
			return false;
		spread(explain, probe, window, i * window->n);
	}
	lm_network_backward(&probe->network, &pass);
	for (int i = 0; i < n && !lm_engine_stopped(probe->engine); i++)
		collect(explain, probe, window, i * window->n, explain->dots + (size_t) i * explain->n);
	return true;
}

static bool
classify_windows(LmExplain *explain, LmProbe *probe, int first, LmError *error)
{
	LmPathPoint *point = &explain->points[first];
	LmPass pass = lm_probe_pass(probe, probe->inputs);
	size_t C = (size_t) probe->network.config.channels;

	probe->n_read = 0;
	memset(explain->hidden, 0, 2 * C * sizeof *explain->hidden);
	for (int i = 0; i < explain->n_windows && !lm_engine_stopped(probe->engine); i++)
	{
		probe->batch.n_tokens = 0;
		load(explain, probe, &explain->windows[i], point->alpha);
		lm_probe_forward(probe, &pass);
		pool(explain, probe, &explain->windows[i], 0, explain->hidden);
	}
	if (lm_engine_stopped(probe->engine) || !score_labels(explain, point, 0, error))
		return false;
	for (int i = 0; i < explain->n_windows && point->weight != 0; i++)
	{
		probe->batch.n_tokens = 0;
		load(explain, probe, &explain->windows[i], point->alpha);
		lm_probe_forward(probe, &pass);
		spread(explain, probe, &explain->windows[i], 0);
		lm_network_backward(&probe->network, &pass);
		if (lm_engine_stopped(probe->engine))
			return false;
		collect(explain, probe, &explain->windows[i], 0, explain->dots);
	}
	return true;
}

/* hidden [2 C] += the outputs of a window that count, each divided by the number of its text. */
static void
pool(LmExplain *explain, const LmProbe *probe, const LmPathWindow *window, int row, double *hidden)
{
	size_t C = (size_t) probe->network.config.channels;

	for (int i = window->first_wanted; i < window->n; i++)
	{
		const float *output = probe->network.activations.norm + (size_t) (row + i) * C;
		bool second = window->start + (size_t) i >= explain->n_first;
		double share = 1.0 / (double) (second ? explain->n - explain->n_first : explain->n_first);

		for (size_t k = 0; k < C; k++)
			hidden[(second ? C : 0) + k] += share * output[k];
	}
}

/* The score of logits [n], and its derivatives in their place. */
static double
score_of(double *logits, int n, int label, const LmConfig *config)
{
	double largest = -INFINITY, sum = 0, score = logits[label];
	bool alone = config->number || config->multi_label || n == 1;

	for (int i = 0; i < n && !alone; i++)
		if (i != label && logits[i] > largest)
			largest = logits[i];
	for (int i = 0; i < n && !alone; i++)
		sum += i != label ? exp(logits[i] - largest) : 0;
	for (int i = 0; i < n; i++)
		logits[i] = alone || i == label ? 0 : -exp(logits[i] - largest) / sum;
	logits[label] = config->number ? (double) config->number_scale : 1;
	if (config->number)
		return (double) config->number_mean + (double) config->number_scale * score;
	return alone ? score : score - largest - log(sum);
}

/* The logits of a point from its hidden means; then its score and the derivatives by logits. */
static bool
score_labels(LmExplain *explain, LmPathPoint *point, int number, LmError *error)
{
	const LmModel *model = explain->session->model;
	const LmConfig *config = &model->config;
	int C = config->channels, n = config->labels, F = lm_label_features(config),
		n_hidden = lm_label_hidden(config);
	float *features = explain->combined;
	double *logits = explain->logits + (size_t) number * (size_t) n;

	for (int i = 0; i < (config->pair ? 2 * C : C); i++)
		features[i] = (float) explain->hidden[(size_t) number * 2 * (size_t) C + (size_t) i];
	if (config->pair)
		lm_pair_forward(features, C);
	for (int i = 0; i < n; i++)
	{
		const float *row = model->label_weight + (size_t) i * (size_t) F;

		logits[i] = explain->constant[i] + point->alpha * explain->linear[i];
		for (int k = 0; k < n_hidden; k++)
			logits[i] += (double) row[k] * features[k];
	}
	if (explain->result.label < 0)
		explain->result.label = lm_path_label(explain);
	point->value = score_of(logits, n, explain->result.label, config);
	differentiate(explain, logits);
	return isfinite(point->value) ||
		   lm_fail(error, LM_ERR_NUMERIC, -1, "the model's output is not finite");
}

int
lm_path_label(const LmExplain *explain)
{
	int best = 0;

	for (int i = 1; i < explain->session->config.labels; i++)
		if (explain->logits[i] > explain->logits[best])
			best = i;
	return best;
}

/* From the derivatives by logits to those by the hidden means, after their features. */
static void
differentiate(LmExplain *explain, const double *dlogits)
{
	const LmModel *model = explain->session->model;
	const LmConfig *config = &model->config;
	size_t C = (size_t) config->channels, F = (size_t) lm_label_features(config),
		   n_hidden = (size_t) lm_label_hidden(config);
	float *features = explain->combined, *derivatives = features + 4 * C;

	memset(derivatives, 0, n_hidden * sizeof *derivatives);
	for (int i = 0; i < config->labels; i++)
		for (size_t k = 0; k < n_hidden && dlogits[i] != 0; k++)
			derivatives[k] += (float) dlogits[i] * model->label_weight[(size_t) i * F + k];
	if (!config->pair)
		return;
	lm_pair_backward(features, features + C, derivatives, features, (int) C);
	memcpy(derivatives, features, 2 * C * sizeof *derivatives);
}

/* The derivatives by the outputs of a window, in the network's narrow. */
static void
spread(const LmExplain *explain, LmProbe *probe, const LmPathWindow *window, int row)
{
	size_t C = (size_t) probe->network.config.channels;
	const float *derivatives = explain->combined + 4 * C;

	for (int i = 0; i < window->n; i++)
	{
		float *to = probe->network.activations.narrow + (size_t) (row + i) * C;
		bool second = window->start + (size_t) i >= explain->n_first;
		size_t count = second ? explain->n - explain->n_first : explain->n_first;
		float share = i < window->first_wanted ? 0 : 1.0f / (float) count;

		for (size_t k = 0; k < C; k++)
			to[k] = share * derivatives[(second ? C : 0) + k];
	}
}

/* ---- Tokens --------------------------------------------------------------- */

/* F = the sum of ln p of the target's tokens = - the network's loss. */
static bool
score_target(LmExplain *explain, LmProbe *probe, int first, int n, LmError *error)
{
	const LmPathWindow *window = explain->windows;
	LmNetwork *network = &probe->network;
	LmPass pass = lm_probe_pass(probe, probe->inputs);

	probe->n_read = 0;
	probe->batch.n_tokens = 0;
	for (int i = 0; i < n; i++)
	{
		load(explain, probe, window, explain->points[first + i].alpha);
		for (int k = window->first_wanted; k < window->n; k++)
			probe->batch.targets[i * window->n + k] =
				explain->tokens.ids[window->start + (size_t) k + 1];
	}
	lm_probe_forward(probe, &pass);
	(void) lm_network_loss(network, &pass, 1);
	lm_network_backward(network, &pass);
	if (lm_engine_stopped(probe->engine))
		return false;
	for (int i = 0; i < n; i++)
	{
		double *dots = explain->dots + (size_t) i * explain->n, value = 0;

		collect(explain, probe, window, i * window->n, dots);
		for (size_t k = 0; k < explain->n; k++)
			dots[k] = -dots[k];
		for (int k = window->first_wanted; k < window->n; k++)
			value -= network->activations.nll[i * window->n + k];
		explain->points[first + i].value = value;
		if (!isfinite(value))
			return lm_fail(error, LM_ERR_NUMERIC, -1, "the model's output is not finite");
	}
	return true;
}

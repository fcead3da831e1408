/*
 * src/engine/serve/path.c
 *
 * Integrated gradients: an explanation goes from point to point of its path, until the parts of the
 * sum agree with the score.
 *
 * A job is a list of points: at first the whole path, an interval, with both of its ends; then the
 * halves of the interval that is most wrong. Each step computes as many of them as the probe has
 * room for.
 */
#include <math.h>
#include <string.h>

#include "serve/path.h"
#include "serve/reading.h"
#include "text/array.h"

/* Of a score: in so much, a difference of two of them may be wrong, and is at least. */
#define NOISE 1e-5
#define LEAST 0.1

/* Nodes and weights of Gauss and Legendre on -1 .. 1 (Abramowitz and Stegun, table 25.4). */
static const double nodes[LM_PATH_NODES] = {-0.906179845938664, -0.538469310105683, 0,
											0.538469310105683, 0.906179845938664};
static const double node_weights[LM_PATH_NODES] = {
	0.236926885056189, 0.478628670499366, 0.568888888888889, 0.478628670499366, 0.236926885056189};

static bool encode(LmExplain *explain, const LmRequest *request, LmError *error);
static bool take_tokens(LmExplain *explain, const LmRequest *request, size_t *n_skipped,
						LmError *error);
static bool cut_windows(LmExplain *explain, const LmRequest *request, size_t n_skipped,
						size_t n_prefix, LmError *error);
static bool cut_target(LmExplain *explain, size_t n_prefix, LmError *error);
static bool allocate(LmExplain *explain, LmError *error);
static bool add_interval(LmExplain *explain, double first, double last, LmError *error);
static void add_points(LmExplain *explain, int interval);
static void add_point(LmExplain *explain, double alpha, double weight, int interval);
static bool follow(LmExplain *explain, LmProbe *probe, LmError *error);
static void take_points(LmExplain *explain, int first, int n);
static bool finish_job(LmExplain *explain, LmError *error);
static double gap_of(const LmExplain *explain, const LmPathInterval *interval);
static bool halve(LmExplain *explain, int worst, LmError *error);
static void finish(LmExplain *explain);

LmExplain *
lm_explain_create(const LmHost *host, LmSession *session, const LmRequest *request, int label,
				  LmError *error)
{
	LmExplain *explain;

	if (!lm_probe_check(&session->config, error))
		return NULL;
	if (label >= session->config.labels && session->config.labels > 0)
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "label %d is not known", label);
		return NULL;
	}
	explain = lm_array_allocate(host, 1, sizeof *explain, error);
	if (!explain)
		return NULL;
	explain->host = *host;
	explain->session = session;
	explain->task = request->task;
	explain->result.label = session->config.number ? 0 : label;
	if (encode(explain, request, error) && allocate(explain, error))
		return explain;
	lm_explain_free(explain);
	return NULL;
}

void
lm_explain_free(LmExplain *explain)
{
	LmHost host;

	if (!explain)
		return;
	host = explain->host;
	lm_tokens_free(&host, &explain->tokens);
	for (int i = 0; i < explain->n_intervals; i++)
		lm_free(&host, explain->intervals[i].tokens);
	for (int i = 0; i < 2; i++)
	{
		lm_free(&host, explain->texts[i].bytes);
		lm_free(&host, explain->texts[i].weights);
		lm_free(&host, explain->texts[i].rows);
	}
	lm_features_free(&explain->features, &host);
	lm_features_free(&explain->pair.first, &host);
	lm_features_free(&explain->pair.second, &host);
	lm_array_free(&host, explain->text.bytes);
	lm_free(&host, explain->windows);
	lm_free(&host, explain->fixed);
	lm_free(&host, explain->constant);
	lm_free(&host, explain->baseline);
	lm_free(&host, explain->dots);
	lm_free(&host, explain);
}

static bool
encode(LmExplain *explain, const LmRequest *request, LmError *error)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(explain->session->tokenizer);
	size_t n_skipped, n_prefix;

	if (!take_tokens(explain, request, &n_skipped, error))
		return false;
	n_prefix = lm_request_prefix(explain->session, request, n_skipped);
	if (!cut_windows(explain, request, n_skipped, n_prefix, error))
		return false;
	explain->result.n_tokens =
		explain->tokens.count - (explain->tokens.count > 0 && explain->session->front >= 0 ? 1 : 0);
	explain->fixed = lm_array_allocate(&explain->host, explain->tokens.count, 1, error);
	for (size_t i = 0; explain->fixed && i < explain->tokens.count; i++)
	{
		int32_t id = explain->tokens.ids[i];

		explain->fixed[i] = (id < spec->n_tokens && spec->special[id] && id != spec->unknown) ||
							(explain->task == LM_TASK_SCORE && i >= explain->first_target);
	}
	return explain->fixed != NULL;
}

/* The tokens of the request, copied from the engine's memory into the explanation's own. */
static bool
take_tokens(LmExplain *explain, const LmRequest *request, size_t *n_skipped, LmError *error)
{
	LmTokens tokens = {0};
	bool good = lm_request_encode(&tokens, n_skipped, explain->session, request, error) &&
				lm_tokens_reserve(&explain->host, &explain->tokens, tokens.count + 1, error);

	if (good && tokens.count > 0)
		memcpy(explain->tokens.ids, tokens.ids, tokens.count * sizeof *tokens.ids);
	explain->tokens.count = good ? tokens.count : 0;
	lm_tokens_free(lm_engine_host(explain->session->engine), &tokens);
	return good;
}

/* The windows in which the model reads the text (serve/reading.h). */
static bool
cut_windows(LmExplain *explain, const LmRequest *request, size_t n_skipped, size_t n_prefix,
			LmError *error)
{
	size_t context = (size_t) explain->session->config.context, sums;
	LmReading reading;
	double *scratch;

	explain->n = explain->n_first = explain->tokens.count;
	explain->first_target = n_skipped;
	if (explain->task == LM_TASK_SCORE)
		return cut_target(explain, n_prefix, error);
	if (explain->session->config.pair)
		explain->n_first = n_skipped;
	sums = lm_reading_sums(&explain->session->config);
	scratch = lm_array_allocate(&explain->host, sums, sizeof *scratch, error);
	explain->windows = scratch ? lm_array_allocate(&explain->host,
												   2 + 2 * explain->n / (context > 1 ? context : 2),
												   sizeof *explain->windows, error)
							   : NULL;
	if (explain->windows)
		lm_reading_begin(&reading, explain->session, request, &explain->tokens, n_skipped, n_prefix,
						 scratch);
	while (explain->windows && lm_reading_window(&reading))
		explain->windows[explain->n_windows++] =
			(LmPathWindow){reading.start, reading.n_window, reading.first_wanted, reading.prefix};
	lm_free(&explain->host, scratch);
	return explain->windows != NULL;
}

/* One window, which ends before the last token: as much of the prompt as the context has room for.
 */
static bool
cut_target(LmExplain *explain, size_t n_prefix, LmError *error)
{
	size_t context = (size_t) explain->session->config.context,
		   n_target = explain->tokens.count - explain->first_target;
	LmPathWindow *window;

	if (n_target == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the target has no tokens");
	if (explain->first_target == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "nothing stands before the target");
	if (n_target > context)
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "the target has %zu tokens, the model's context is %zu", n_target, context);
	window = explain->windows = lm_array_allocate(&explain->host, 1, sizeof *window, error);
	if (!window)
		return false;
	explain->n = explain->tokens.count - 1;
	explain->n_first = explain->tokens.count;
	explain->n_windows = 1;
	window->start = explain->n > context ? explain->n - context : 0;
	window->n = (int) (explain->n - window->start);
	window->first_wanted = (int) (explain->first_target - 1 - window->start);
	window->prefix = n_prefix > window->start ? (int) (n_prefix - window->start) : 0;
	explain->result.n_dropped = window->start;
	return true;
}

int
lm_explain_window(const LmExplain *explain)
{
	int longest = 0;

	for (int i = 0; i < explain->n_windows; i++)
		longest = explain->windows[i].n > longest ? explain->windows[i].n : longest;
	return longest;
}

/* Rows of dots that are there at once. */
static size_t
dots_rows(const LmExplain *explain)
{
	return explain->n_windows == 1 ? LM_PATH_POINTS : 1;
}

size_t
lm_explain_memory(const LmExplain *explain)
{
	size_t labels = (size_t) explain->session->config.labels, n = explain->tokens.count, bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += lm_tokenizer_bytes(explain->session->tokenizer, explain->tokens.ids[i]).size;
	/* A byte has itself, its weight and at most a row; up to five features that occur once. */
	return sizeof *explain + LM_EXPLAIN_INTERVALS * (n + labels) * sizeof(double) +
		   dots_rows(explain) * n * sizeof(double) + n * (sizeof(double) + 1) +
		   bytes * (1 + sizeof(double) + sizeof(LmExplainRow)) +
		   (labels > 0 ? bytes * 8 * (sizeof(LmFeature) + 2 * sizeof(double)) : 0) +
		   (size_t) explain->session->config.channels * LM_PATH_POINTS * 2 * sizeof(double);
}

static bool
allocate(LmExplain *explain, LmError *error)
{
	const LmConfig *config = &explain->session->config;
	size_t C = (size_t) config->channels, labels = (size_t) config->labels,
		   n = explain->tokens.count;
	size_t n_bag = labels > 0 ? (size_t) lm_bag_channels(config->labels) : 0;

	explain->constant = lm_array_allocate(
		&explain->host, 2 * labels + n_bag + LM_PATH_POINTS * (labels + 2 * C) + n,
		sizeof *explain->constant, error);
	explain->baseline = explain->constant ? lm_array_allocate(&explain->host, 9 * C,
															  sizeof *explain->baseline, error)
										  : NULL;
	explain->dots = explain->baseline ? lm_array_allocate(&explain->host, dots_rows(explain) * n,
														  sizeof *explain->dots, error)
									  : NULL;
	if (!explain->dots)
		return false;
	explain->linear = explain->constant + labels;
	explain->bag = explain->linear + labels;
	explain->logits = explain->bag + n_bag;
	explain->hidden = explain->logits + LM_PATH_POINTS * labels;
	explain->token_weights = explain->hidden + LM_PATH_POINTS * 2 * C;
	explain->combined = explain->baseline + C;
	return true;
}

/* ---- Steps ---------------------------------------------------------------- */

/* The label that is explained, where the caller names none: the most probable of the text. */
static bool
choose(LmExplain *explain, LmProbe *probe, LmError *error)
{
	if (explain->result.label < 0 && explain->task == LM_TASK_CLASSIFY)
	{
		explain->n_points = 0;
		add_point(explain, 1, 0, -1);
		if (!lm_path_evaluate(explain, probe, 0, 1, error))
			return false;
	}
	explain->n_points = 0;
	if (!add_interval(explain, 0, 1, error))
		return false;
	add_point(explain, 0, 0, 0);
	add_points(explain, 0);
	add_point(explain, 1, 0, 0);
	return true;
}

bool
lm_explain_step(LmExplain *explain, LmProbe *probe, bool *done, LmError *error)
{
	bool good = true;

	if (lm_explain_window(explain) > lm_probe_capacity(probe))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the probe has no room for %d tokens",
					   lm_explain_window(explain));
	switch (explain->phase)
	{
		case LM_EXPLAIN_PREPARE:
			good = lm_explain_prepare(explain, error);
			break;
		case LM_EXPLAIN_CHOOSE:
			good = choose(explain, probe, error);
			break;
		case LM_EXPLAIN_FOLLOW:
			if (!follow(explain, probe, error))
				return false;
			*done = false;
			if (explain->next_point < explain->n_points)
				return true;
			finish(explain);
			break;
		case LM_EXPLAIN_SHARE:
			good = lm_explain_share(explain, error);
			break;
		case LM_EXPLAIN_DONE:
			break;
	}
	if (good && explain->phase < LM_EXPLAIN_DONE)
		explain->phase++;
	*done = explain->phase == LM_EXPLAIN_DONE;
	return good;
}

/* Memory for an interval; its sums are 0. */
static bool
add_interval(LmExplain *explain, double first, double last, LmError *error)
{
	size_t labels = (size_t) explain->session->config.labels;
	LmPathInterval *interval = &explain->intervals[explain->n_intervals];

	interval->tokens =
		lm_array_allocate(&explain->host, explain->n + labels, sizeof(double), error);
	if (!interval->tokens)
		return false;
	interval->labels = interval->tokens + explain->n;
	interval->first = first;
	interval->last = last;
	explain->n_intervals++;
	return true;
}

static void
add_point(LmExplain *explain, double alpha, double weight, int interval)
{
	explain->points[explain->n_points++] =
		(LmPathPoint){.alpha = alpha, .weight = weight, .interval = interval};
}

static void
add_points(LmExplain *explain, int number)
{
	const LmPathInterval *interval = &explain->intervals[number];
	double half = (interval->last - interval->first) / 2;

	for (int i = 0; i < LM_PATH_NODES; i++)
		add_point(explain, interval->first + half * (1 + nodes[i]), half * node_weights[i], number);
}

/* The next points of the job; at its end the next job. */
static bool
follow(LmExplain *explain, LmProbe *probe, LmError *error)
{
	int left = explain->n_points - explain->next_point,
		room = explain->n_windows > 1 ? 1 : lm_probe_capacity(probe) / explain->windows->n,
		n = left < room ? left : room;

	if (left > 0)
	{
		if (!lm_path_evaluate(explain, probe, explain->next_point, n, error))
			return false;
		take_points(explain, explain->next_point, n);
		explain->next_point += n;
	}
	return explain->next_point < explain->n_points || finish_job(explain, error);
}

/* The score at an end of intervals. */
static void
set_ends(LmExplain *explain, const LmPathPoint *point)
{
	for (int i = 0; i < explain->n_intervals; i++)
	{
		LmPathInterval *interval = &explain->intervals[i];

		if (interval->first == point->alpha)
			interval->first_value = point->value;
		if (interval->last == point->alpha)
			interval->last_value = point->value;
	}
}

/* Adds what the points say to their intervals. */
static void
take_points(LmExplain *explain, int first, int n)
{
	size_t labels = (size_t) explain->session->config.labels;

	explain->result.n_points += n;
	for (int i = 0; i < n; i++)
	{
		const LmPathPoint *point = &explain->points[first + i];
		const double *dots = explain->dots + (size_t) i * explain->n;
		const double *dlogits = explain->logits + (size_t) i * labels;
		LmPathInterval *interval = &explain->intervals[point->interval];

		if (point->weight == 0)
		{
			set_ends(explain, point);
			continue;
		}
		for (size_t k = 0; k < explain->n; k++)
			interval->tokens[k] += point->weight * dots[k];
		for (size_t k = 0; k < labels; k++)
			interval->labels[k] += point->weight * dlogits[k];
	}
}

/*
 * By how much an interval's part of the sum is wrong. Logits grow with alpha by `linear`, but for
 * the network's part, which the tokens have.
 */
static double
gap_of(const LmExplain *explain, const LmPathInterval *interval)
{
	double sum = 0;

	for (size_t i = 0; i < explain->n; i++)
		sum += interval->tokens[i];
	for (int i = 0; i < explain->session->config.labels; i++)
		sum += interval->labels[i] * explain->linear[i];
	return sum - (interval->last_value - interval->first_value);
}

/*
 * Whether the parts of the sum are near enough to the score: all of them together or, where these
 * differences are not much more than noise, their sum.
 */
static bool
is_complete(const LmExplain *explain)
{
	double allowed = LM_EXPLAIN_GAP * fabs(explain->result.score - explain->result.baseline);
	double noise = NOISE * (1 + fabs(explain->result.score)), all = 0, sum = 0;

	for (int i = 0; i < explain->n_intervals; i++)
	{
		all += fabs(explain->intervals[i].gap);
		sum += explain->intervals[i].gap;
	}
	return all <= allowed || (all <= noise && fabs(sum) <= allowed) || all <= LEAST * noise;
}

/* Halves the interval that is most wrong; nothing more where the sum is good enough. */
static bool
finish_job(LmExplain *explain, LmError *error)
{
	int worst = 0;

	for (int i = 0; i < explain->n_intervals; i++)
	{
		LmPathInterval *interval = &explain->intervals[i];

		interval->gap = gap_of(explain, interval);
		if (fabs(interval->gap) > fabs(explain->intervals[worst].gap))
			worst = i;
		if (interval->first == 0)
			explain->result.baseline = interval->first_value;
		if (interval->last == 1)
			explain->result.score = interval->last_value;
	}
	if (explain->n_intervals == LM_EXPLAIN_INTERVALS || is_complete(explain))
		return true;
	return halve(explain, worst, error);
}

/* The worst interval becomes its first half, a new one its second. */
static bool
halve(LmExplain *explain, int worst, LmError *error)
{
	LmPathInterval *interval = &explain->intervals[worst], *added;
	double middle = (interval->first + interval->last) / 2;
	size_t labels = (size_t) explain->session->config.labels;

	if (!add_interval(explain, middle, interval->last, error))
		return false;
	added = &explain->intervals[explain->n_intervals - 1];
	added->last_value = interval->last_value;
	interval->last = middle;
	memset(interval->tokens, 0, (explain->n + labels) * sizeof(double));
	explain->n_points = explain->next_point = 0;
	add_points(explain, worst);
	add_point(explain, middle, 0, worst);
	add_points(explain, explain->n_intervals - 1);
	return true;
}

/* The sums of all intervals, in the first one. */
static void
finish(LmExplain *explain)
{
	LmPathInterval *all = &explain->intervals[0];
	size_t count = explain->n + (size_t) explain->session->config.labels;

	for (int i = 1; i < explain->n_intervals; i++)
		for (size_t k = 0; k < count; k++)
			all->tokens[k] += explain->intervals[i].tokens[k];
	explain->result.sum = 0;
	for (size_t k = 0; k < explain->n; k++)
		explain->result.sum += all->tokens[k];
	for (int k = 0; k < explain->session->config.labels; k++)
		explain->result.sum += all->labels[k] * explain->linear[k];
}

LmExplanation
lm_explain_result(const LmExplain *explain)
{
	return explain->result;
}

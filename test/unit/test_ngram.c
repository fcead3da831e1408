/*
 * test/unit/test_ngram.c
 *
 * N-grams beside the network: places against a search from end to end, the mixture against its
 * formula, and what the fit makes of texts that repeat themselves.
 */
#include <math.h>
#include <string.h>

#include "counting_host.h"
#include "engine/model.h"
#include "kernels/weight_types.h"
#include "model/ngram_counts.h"
#include "tap.h"

#define V 7
#define N 3000
#define TEXT 400

static float tokens[N], order[N], weights[LM_NGRAM_WEIGHTS];
static const LmNgram ngram = {N, tokens, order, weights};
static LmNgramCounts counts;
static uint64_t state = 1;

static uint32_t
draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) (state >> 33) % below;
}

/* The number of tokens in which the places before i of a text and the end of a history agree. */
static int
agreement(const float *text, int i, const int32_t *history, int n)
{
	int k = 0;

	while (k < LM_NGRAM_ORDERS && k < i && k < n && (int32_t) text[i - 1 - k] == history[n - 1 - k])
		k++;
	return k;
}

/* Of the places at which the longest order has too many, those at equal distances. */
static void
sample_naively(int found[V], const int32_t *history, int n)
{
	static int places[N];
	int longest = n < LM_NGRAM_ORDERS ? n : LM_NGRAM_ORDERS, n_places = 0;

	for (int i = 0; i < N; i++)
		if (agreement(tokens, (int) order[i], history, n) == longest)
			places[n_places++] = (int) order[i];
	if (n_places <= LM_NGRAM_PLACES)
		return;
	memset(found, 0, sizeof(int) * V);
	for (int i = 0; i < LM_NGRAM_PLACES; i++)
		found[(int) tokens[places[n_places * i / LM_NGRAM_PLACES]]]++;
}

/* Counts as lm_ngram_count does, by trying all places. */
static void
count_naively(int found[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS][V], const int32_t *history, int n)
{
	float own[TEXT];
	int n_own = 0;

	memset(found, 0, sizeof(int) * LM_NGRAM_SOURCES * LM_NGRAM_ORDERS * V);
	for (int i = 0; i < N; i++)
		for (int k = 0; k < agreement(tokens, i, history, n); k++)
			found[0][k][(int) tokens[i]]++;
	sample_naively(found[0][(n < LM_NGRAM_ORDERS ? n : LM_NGRAM_ORDERS) - 1], history, n);
	for (int i = 0; i < n; i++)
		own[i] = (float) history[i];
	for (int i = n - 1; i > 0 && n_own < LM_NGRAM_PLACES; i--)
	{
		int length = agreement(own, i, history, n);

		n_own += length > 0;
		for (int k = 0; k < length; k++)
			found[1][k][history[i]]++;
	}
	for (int k = 0; k < LM_NGRAM_ORDERS; k++)
	{
		int places = 0;

		for (int id = 0; id < V; id++)
			places += found[0][k][id];
		for (int id = 0; id < V; id++)
			found[0][k][id] = places > LM_NGRAM_PLACES ? 0 : found[0][k][id] + found[1][k][id];
	}
}

static bool
same_level(const LmNgramLevel *level, const int found[V])
{
	int places = 0, different = 0, once = 0, most = 0;

	for (int id = 0; id < V; id++)
	{
		places += found[id];
		different += found[id] > 0;
		once += found[id] == 1;
		most = found[id] > most ? found[id] : most;
	}
	return level->places == places && (places == 0 || (level->tokens == different &&
													   level->once == once && level->most == most));
}

static void
test_counts(void)
{
	static int found[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS][V];
	int32_t history[TEXT];
	int n_levels = 0, n_counts = 0, n_full = 0;

	for (int i = 0; i < TEXT; i++)
		history[i] = (int32_t) (i % 40 < 20 ? tokens[1000 + i] : draw(V));
	for (int n = 1; n <= TEXT; n++)
	{
		lm_ngram_count(&counts, &ngram, history, (size_t) n);
		count_naively(found, history, n);
		for (int source = 0; source < LM_NGRAM_SOURCES; source++)
			for (int k = 0; k < LM_NGRAM_ORDERS; k++)
			{
				n_levels += same_level(&counts.levels[source][k], found[source][k]);
				n_full += counts.levels[source][k].places > 0;
			}
		for (int i = 0; i < counts.n; i++)
			for (int source = 0; source < LM_NGRAM_SOURCES; source++)
				for (int k = 0; k < LM_NGRAM_ORDERS; k++)
					n_counts +=
						counts.levels[source][k].places > 0 &&
						counts.tokens[i].counts[source][k] != found[source][k][counts.tokens[i].id];
	}
	ok(n_levels == TEXT * LM_NGRAM_SOURCES * LM_NGRAM_ORDERS && n_full > 4 * TEXT,
	   "levels are those of a search over all places (%d have some)", n_full);
	ok(n_counts == 0, "so are the counts of each token");
	lm_ngram_count(&counts, &ngram, history, 0);
	ok(counts.n == 0, "an empty history has no places");
}

/* More rows begin alike than places are visited: what follows the beginning is known all the same.
 */
static void
test_alike(LmHost *host)
{
	enum
	{
		ROW = 20,
		ROWS = 300,
		ALL = ROW * ROWS
	};
	static float texts[ALL], sorted[ALL];
	const LmNgram alike = {ALL, texts, sorted, weights};
	int32_t history[ROW];
	int n_right = 0;
	LmError error;

	for (int i = 0; i < ALL; i++)
		texts[i] = (float) (i % ROW == 0 ? 0 : i % ROW < 16 ? 1 + i % ROW % 3 : 1 + draw(V - 1));
	lm_ngram_sort(sorted, texts, ALL, V, host, &error);
	for (int i = 0; i < ROW; i++)
		history[i] = (int32_t) texts[i];
	for (int n = 1; n < 16; n++)
	{
		lm_ngram_count(&counts, &alike, history, (size_t) n);
		n_right += counts.n > 0 && counts.tokens[0].id == history[n];
	}
	ok(n_right == 15, "rows that begin alike tell how they begin (%d of 15)", n_right);
}

static void
test_mixture(void)
{
	int32_t history[TEXT];
	double worst = 0, sum = 0, network[V];
	float logits[V];

	for (int i = 1; i < LM_NGRAM_WEIGHTS; i++)
		weights[i] = (float) draw(1000) / 1000 - 0.7f;
	weights[0] = 0.75f;
	for (int i = 0; i < TEXT; i++)
		history[i] = (int32_t) (i % 40 < 20 ? tokens[1000 + i] : draw(V));
	for (int n = 1; n < TEXT; n++)
	{
		double total = 0, normaliser = 0;

		for (int id = 0; id < V; id++)
		{
			logits[id] = (float) draw(4000) / 1000;
			network[id] = exp(weights[0] * logits[id]);
			total += network[id];
		}
		lm_ngram_count(&counts, &ngram, history, (size_t) n);
		lm_ngram_mix(logits, V, &ngram, history, (size_t) n);
		for (int id = 0; id < V; id++)
			normaliser += exp(logits[id]);
		for (int id = 0; id < V; id++)
		{
			double p = network[id] / total;

			for (int k = 0; k < LM_NGRAM_ORDERS; k++)
				for (int source = 0; source < LM_NGRAM_SOURCES; source++)
				{
					const LmNgramLevel *level = &counts.levels[source][k];
					double features[LM_NGRAM_FEATURES], weight = 0;
					int count = 0;

					if (level->places == 0)
						continue;
					lm_ngram_features(features, level);
					for (int i = 0; i < LM_NGRAM_FEATURES; i++)
						weight +=
							weights[lm_ngram_weights_at(source, k) + (size_t) i] * features[i];
					weight = 1 / (1 + exp(-weight));
					for (int i = 0; i < counts.n; i++)
						if (counts.tokens[i].id == id)
							count = counts.tokens[i].counts[source][k];
					p = (1 - weight) * p + weight * count / level->places;
				}
			worst = fmax(worst, fabs(exp(logits[id]) / normaliser - p));
			sum += p;
		}
	}
	ok(worst < 1e-6, "a row of logits becomes the mixture of the formula (within %.1e)", worst);
	ok(fabs(sum / (TEXT - 1) - 1) < 1e-12, "whose probabilities sum to 1");
}

/* Beside the arrays, and without the bytes by which a block is aligned. */
static bool
takes_as_announced(const LmHost *host)
{
	const CountingHost *counting = host->context;

	return counting->peak + 2 * N * sizeof(float) <= lm_ngram_memory(N, V) + 128;
}

/* A text that repeats a passage: the network knows nothing, and the places all. */
static void
test_fit(LmHost *host)
{
	static int32_t history[LM_NGRAM_FIT_ROWS];
	float logprobs[V];
	double network, mixture, after = 0;
	LmNgramFit *fit;
	LmError error;

	for (int id = 0; id < V; id++)
		logprobs[id] = -(float) log(V);
	for (int i = 0; i < 1000; i++)
		history[i] = (int32_t) (i % 50 < 40 ? tokens[500 + i % 50] : draw(V));
	fit = lm_ngram_fit_begin(&ngram, V, host, &error);
	for (int n = 1; n < 1000; n++)
		lm_ngram_fit_add(fit, logprobs, history[n], history, (size_t) n);
	ok(lm_ngram_fit_rows(fit) == 999, "each prediction is a row");
	ok(lm_ngram_fit_finish(weights, &network, &mixture, fit, &error) && network > 1.94 &&
		   network < 1.95 && mixture < 0.9,
	   "a text that repeats a passage is far more likely with n-grams: %.3f, and %.3f without",
	   mixture, network);
	for (int n = 1; n < 1000; n++)
	{
		float logits[V] = {0};
		double sum = 0;

		lm_ngram_mix(logits, V, &ngram, history, (size_t) n);
		for (int id = 0; id < V; id++)
			sum += exp(logits[id]);
		after -= logits[history[n]] - log(sum);
	}
	ok(after / 999 < mixture + 0.01, "so is it by the weights that were fitted");
	((CountingHost *) host->context)->questions = 5;
	ok(!lm_ngram_fit_finish(weights, &network, &mixture, fit, &error) &&
		   error.code == LM_ERR_STOPPED,
	   "the fit can be stopped");
	((CountingHost *) host->context)->questions = -1;
	lm_ngram_fit_free(fit);
	ok(takes_as_announced(host), "the fit takes no more memory than announced");
	fit = lm_ngram_fit_begin(&ngram, V, host, &error);
	ok(!lm_ngram_fit_finish(weights, &network, &mixture, fit, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "there is no fit without rows");
	lm_ngram_fit_free(fit);
}

static void
test_sort(LmHost *host)
{
	LmError error;
	int in_order = 0;

	ok(lm_ngram_sort(order, tokens, N, V, host, &error), "places are sorted");
	for (int i = 1; i < N; i++)
	{
		int k = 1, before = (int) order[i - 1], after = (int) order[i];

		while (k <= LM_NGRAM_ORDERS && before >= k && after >= k &&
			   tokens[before - k] == tokens[after - k])
			k++;
		in_order += k > LM_NGRAM_ORDERS || before < k ||
					(after >= k && tokens[before - k] < tokens[after - k]);
	}
	ok(in_order == N - 1, "by the tokens before them, the nearest first");
	ok(takes_as_announced(host), "sorting takes no more memory than announced");
	((CountingHost *) host->context)->questions = 3;
	ok(!lm_ngram_sort(order, tokens, N, V, host, &error) && error.code == LM_ERR_STOPPED,
	   "sorting can be stopped");
	((CountingHost *) host->context)->questions = -1;
	ok(!lm_ngram_sort(order, tokens, N, V - 1, host, &error) && error.code == LM_ERR_ARGUMENT,
	   "a token outside the vocabulary is an error");
	ok(!lm_ngram_sort(order, tokens, LM_NGRAM_LARGEST + 1, V, host, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "so are too many tokens");
}

/* An image with n-grams; their values are checked, whoever wrote the file. */
static void
test_image(const LmHost *host)
{
	const LmWeightType *type = lm_weight_type(LM_WEIGHTS_FLOAT32);
	LmConfig config = lm_config_default();
	const LmParam *of_tokens, *of_order;
	LmParamTable *table;
	LmModel *model;
	LmError error;
	size_t size;
	float *block;
	void *image;

	config.vocabulary = V;
	config.context = config.layers = config.heads = 1;
	config.channels = 8;
	config.ngram_tokens = 5;
	table = lm_param_table_create(host, &config, &error);
	of_tokens = lm_param_find(table, LM_NGRAM_TOKENS, -1);
	of_order = lm_param_find(table, LM_NGRAM_ORDER, -1);
	ok(of_tokens->count == 5 && of_order->count == 5 && lm_param_in_head(of_order) &&
		   strcmp(of_order->parts[0].name, "ngram.order") == 0,
	   "n-grams are in the table of parameters");
	block = lm_allocate(host, table->total * sizeof(float));
	ok(lm_image_size(&size, &table->config, type, &error), "an image has room for n-grams");
	image = lm_allocate(host, size);
	ok(lm_image_build(image, block, table, type, host, &error), "and takes them");
	model = lm_model_open(host, image, size, &error);
	ok(model && lm_model_config(model)->ngram_tokens == 5, "a model over it knows them");
	lm_model_close(model);
	block[of_tokens->offset + 4] = V;
	ok(!lm_image_build(image, block, table, type, host, &error) && error.code == LM_ERR_FORMAT,
	   "but not the id of no token: %s", error.message);
	block[of_tokens->offset + 4] = 0;
	block[of_order->offset] = 5;
	ok(!lm_image_build(image, block, table, type, host, &error) && error.code == LM_ERR_FORMAT,
	   "nor a place outside the text: %s", error.message);
	config.labels = 2;
	ok(!lm_config_check(&config, &error) && error.code == LM_ERR_ARGUMENT,
	   "a classifier has no n-grams: %s", error.message);
	lm_param_table_free(host, table);
	lm_free(host, block);
	lm_free(host, image);
}

int
main(void)
{
	CountingHost counting;
	LmHost host = counting_host(&counting);

	for (int i = 0; i < N; i++)
		tokens[i] = (float) (i % 100 < 60 ? (i % 60) * (i % 60) % V : (int) draw(V));
	test_sort(&host);
	test_counts();
	test_alike(&host);
	test_mixture();
	test_fit(&host);
	test_image(&host);
	ok(counting.live == 0, "all memory is freed");
	return done_testing();
}

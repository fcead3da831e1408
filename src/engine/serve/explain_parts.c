/*
 * src/engine/serve/explain_parts.c
 *
 * The parts of a classifier beside its network: what they add to the logits goes to the path; at
 * its end the weights of runs of tokens, of features and of what two texts share go to tokens and
 * bytes.
 *
 * A bag's run belongs to its tokens in even shares, a feature to the bytes of the places where it
 * occurs (lm_features_spread), and how much two texts share to the tokens that both have.
 */
#include <string.h>

#include "model/bag.h"
#include "model/pair.h"
#include "serve/path.h"
#include "text/array.h"
#include "text/utf8.h"

#define PIECE ((size_t) 4096) /* tokens, between two looks at whether to stop */

static bool add_bag(LmExplain *explain, LmError *error);
static bool add_features(LmExplain *explain, LmError *error);
static void add_overlaps(LmExplain *explain);
static bool share_bag(LmExplain *explain, LmError *error);
static bool share_overlaps(LmExplain *explain, LmError *error);
static bool share_features(LmExplain *explain, LmError *error);
static bool spread(LmExplain *explain, int number, const LmFeatures *features,
				   const double *weights, LmError *error);
static bool read_text(LmExplain *explain, int number, LmError *error);
static void share_tokens(LmExplain *explain, int number);

static const float *
label_row(const LmExplain *explain, int label)
{
	const LmModel *model = explain->session->model;

	return model->label_weight + (size_t) label * (size_t) lm_label_features(&model->config);
}

bool
lm_explain_prepare(LmExplain *explain, LmError *error)
{
	const LmModel *model = explain->session->model;
	int n = model->config.labels;

	if (explain->task == LM_TASK_SCORE)
		return true;
	memset(explain->linear, 0, (size_t) n * sizeof *explain->linear);
	for (int i = 0; i < n; i++)
		explain->constant[i] = model->label_bias[i];
	if (!add_bag(explain, error))
		return false;
	if (model->config.pair)
		add_overlaps(explain);
	return model->features.n == 0 || add_features(explain, error);
}

/* Adds the means of the bag: of the text's runs, and of those that have special tokens alone. */
static bool
add_bag(LmExplain *explain, LmError *error)
{
	const LmModel *model = explain->session->model;
	const LmConfig *config = &model->config;
	int n_channels = lm_bag_channels(config->labels), n_hidden = lm_label_hidden(config);
	double all[LM_BAG_CHANNELS] = {0}, count = (double) lm_bag_count(explain->n);
	const int32_t *ids = explain->tokens.ids;

	memset(explain->bag, 0, (size_t) n_channels * sizeof *explain->bag);
	for (size_t first = 0; first < explain->n; first += PIECE)
	{
		size_t last = explain->n - first < PIECE ? explain->n : first + PIECE;

		if (!lm_text_go_on(&explain->host, error))
			return false;
		lm_bag_add(all, model->bag_embedding, config, ids, first, last);
		lm_bag_add_free(explain->bag, model->bag_embedding, config, ids, explain->fixed, first,
						last);
	}
	for (int i = 0; i < config->labels; i++)
		for (int k = 0; k < n_channels; k++)
		{
			double w = (double) label_row(explain, i)[n_hidden + k] / count;

			explain->linear[i] += w * explain->bag[k];
			explain->constant[i] += w * (all[k] - explain->bag[k]);
		}
	return true;
}

static void
add_overlaps(LmExplain *explain)
{
	const LmConfig *config = &explain->session->config;
	int first = lm_label_hidden(config) + lm_bag_channels(config->labels);

	lm_pair_overlaps(explain->overlaps, explain->tokens.ids, explain->n_first, explain->n);
	for (int i = 0; i < config->labels; i++)
		for (int k = 0; k < LM_PAIR_OVERLAPS; k++)
			explain->linear[i] += (double) label_row(explain, i)[first + k] * explain->overlaps[k];
}

static bool
add_features(LmExplain *explain, LmError *error)
{
	const LmFeatureTable *table = &explain->session->model->features;
	const LmTokenizer *tokenizer = explain->session->tokenizer;
	const int32_t *ids = explain->tokens.ids;
	size_t n = explain->n;

	if (explain->session->config.pair
			? !lm_features_of_pair(&explain->features, &explain->pair, &explain->text,
								   &explain->host, tokenizer, ids, explain->n_first, n, error)
			: !lm_features_of_ids(&explain->features, &explain->text, &explain->host, tokenizer,
								  ids, n, error))
		return false;
	lm_feature_add_logits(explain->linear, &explain->features, table);
	for (int i = 0; i < table->labels; i++)
	{
		explain->linear[i] -= table->weights[i];
		explain->constant[i] += table->weights[i];
	}
	return true;
}

/* ---- Weights -------------------------------------------------------------- */

bool
lm_explain_share(LmExplain *explain, LmError *error)
{
	int n_texts = explain->session->config.pair ? 2 : 1;

	memset(explain->token_weights, 0, explain->tokens.count * sizeof *explain->token_weights);
	memcpy(explain->token_weights, explain->intervals[0].tokens,
		   explain->n * sizeof *explain->token_weights);
	for (int i = 0; i < n_texts; i++)
		if (!read_text(explain, i, error))
			return false;
	if (explain->task == LM_TASK_CLASSIFY)
	{
		if (!share_bag(explain, error) ||
			(explain->session->config.pair && !share_overlaps(explain, error)) ||
			(explain->session->model->features.n > 0 && !share_features(explain, error)))
			return false;
	}
	for (int i = 0; i < n_texts; i++)
		share_tokens(explain, i);
	return true;
}

static bool
share_bag(LmExplain *explain, LmError *error)
{
	const LmModel *model = explain->session->model;
	const LmConfig *config = &model->config;
	int n_channels = lm_bag_channels(config->labels), n_hidden = lm_label_hidden(config);
	double dsums[LM_BAG_CHANNELS] = {0}, count = (double) lm_bag_count(explain->n);

	for (int i = 0; i < config->labels; i++)
		for (int k = 0; k < n_channels; k++)
			dsums[k] +=
				explain->intervals[0].labels[i] * label_row(explain, i)[n_hidden + k] / count;
	for (size_t first = 0; first < explain->n; first += PIECE)
	{
		size_t last = explain->n - first < PIECE ? explain->n : first + PIECE;

		if (!lm_text_go_on(&explain->host, error))
			return false;
		lm_bag_share(explain->token_weights, dsums, model->bag_embedding, config,
					 explain->tokens.ids, explain->fixed, first, last);
	}
	return true;
}

/* The tokens that both texts have; where there are none, all. */
static bool
share_overlaps(LmExplain *explain, LmError *error)
{
	const LmConfig *config = &explain->session->config;
	int first = lm_label_hidden(config) + lm_bag_channels(config->labels);
	uint8_t *sides = lm_array_allocate(&explain->host, (size_t) config->vocabulary, 1, error);
	double sum = 0;
	size_t n_both = 0, n_free = 0;

	if (!sides)
		return false;
	for (int i = 0; i < config->labels; i++)
		for (int k = 0; k < LM_PAIR_OVERLAPS; k++)
			sum += explain->intervals[0].labels[i] * label_row(explain, i)[first + k] *
				   explain->overlaps[k];
	for (size_t i = 0; i < explain->n; i++)
		sides[explain->tokens.ids[i]] |= explain->fixed[i] ? 0 : i < explain->n_first ? 1 : 2;
	for (size_t i = 0; i < explain->n; i++)
	{
		n_free += !explain->fixed[i];
		n_both += !explain->fixed[i] && sides[explain->tokens.ids[i]] == 3;
	}
	for (size_t i = 0; i < explain->n; i++)
		if (!explain->fixed[i] && (n_both == 0 || sides[explain->tokens.ids[i]] == 3))
			explain->token_weights[i] += sum / (double) (n_both > 0 ? n_both : n_free);
	lm_free(&explain->host, sides);
	return true;
}

/* The weight of each feature of the text, or of the pair: its value times those of its row. */
static void
weigh_features(double *weights, const LmExplain *explain)
{
	const LmFeatureTable *table = &explain->session->model->features;
	LmFeatures features = explain->features;
	double scale[LM_FEATURE_KINDS];
	size_t n = (size_t) table->labels;

	lm_feature_look_up(scale, &features, table);
	for (size_t i = 0; i < features.n; i++)
	{
		const LmFeature *feature = &features.items[i];
		const float *row = table->weights + feature->row * n;
		double sum = 0;

		for (size_t k = 0; feature->row > 0 && k < n; k++)
			sum += explain->intervals[0].labels[k] * row[k];
		weights[i] = sum * scale[lm_feature_kind(feature->key)] *
					 lm_feature_value(
						 feature, table->keys[(size_t) feature->row * LM_FEATURE_KEY_COLUMNS + 2]);
	}
}

static bool
share_features(LmExplain *explain, LmError *error)
{
	const LmHost *host = &explain->host;
	const LmFeaturePair *pair = &explain->pair;
	size_t n = explain->features.n, n_first = pair->first.n, n_second = pair->second.n;
	double *weights = lm_array_allocate(host, n + n_first + n_second + 1, sizeof *weights, error);
	bool good;

	if (!weights)
		return false;
	weigh_features(weights, explain);
	if (explain->session->config.pair)
	{
		double *first = weights + n, *second = first + n_first;

		lm_features_unmatch(first, second, weights, &explain->features, &pair->first, &pair->second,
							host);
		good = spread(explain, 0, &pair->first, first, error) &&
			   spread(explain, 1, &pair->second, second, error);
	}
	else
		good = spread(explain, 0, &explain->features, weights, error);
	lm_free(host, weights);
	return good;
}

void
lm_explain_range(size_t *first, size_t *last, const LmExplain *explain, int number)
{
	*first = number == 0 ? explain->windows[0].start : explain->n_first;
	*last = number == 0 ? explain->n_first : explain->n;
	if (explain->task == LM_TASK_SCORE)
		*last = explain->first_target;
}

/* Shares weights of features over the bytes of a text. */
static bool
spread(LmExplain *explain, int number, const LmFeatures *features, const double *weights,
	   LmError *error)
{
	LmExplainText *text = &explain->texts[number];
	size_t first, last;
	double sum = 0;

	lm_explain_range(&first, &last, explain, number);
	if (!lm_features_spread_ids(text->weights, weights, features, &explain->text, &explain->host,
								explain->session->tokenizer, explain->tokens.ids + first,
								last - first, error))
		return false;
	for (size_t i = 0; i <= text->size; i++)
	{
		sum += text->weights[i];
		text->weights[i] = sum;
	}
	return true;
}

/* Bytes of no character become question marks. */
static void
make_valid(char *bytes, size_t size)
{
	LmError error;
	size_t at = 0;

	while (!lm_text_check(&(LmHost){0}, bytes + at, size - at, &error) && error.position >= 0)
	{
		at += (size_t) error.position;
		bytes[at++] = '?';
	}
}

/* The bytes of a text's tokens, with weights of 0. */
static bool
read_text(LmExplain *explain, int number, LmError *error)
{
	const LmTokenizer *tokenizer = explain->session->tokenizer;
	LmExplainText *text = &explain->texts[number];
	size_t first, last, size = 0;

	lm_explain_range(&first, &last, explain, number);
	for (size_t i = first; i < last; i++)
		size += lm_tokenizer_bytes(tokenizer, explain->tokens.ids[i]).size;
	if (!text->bytes)
		text->bytes = lm_array_allocate(&explain->host, size + 1, 1, error);
	if (text->bytes && !text->weights)
		text->weights = lm_array_allocate(&explain->host, size + 1, sizeof *text->weights, error);
	if (!text->weights)
		return false;
	memset(text->weights, 0, (size + 1) * sizeof *text->weights);
	text->size = 0;
	for (size_t i = first; i < last; i++)
	{
		LmBytes bytes = lm_tokenizer_bytes(tokenizer, explain->tokens.ids[i]);

		if (bytes.size > 0)
			memcpy(text->bytes + text->size, bytes.data, bytes.size);
		text->size += bytes.size;
	}
	make_valid(text->bytes, text->size);
	return true;
}

static bool
is_space(char byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/*
 * Adds the weight of each token to its bytes, those of white space left out where there are others.
 * A token without bytes gives it to the byte after it, or to the last one.
 */
static void
share_tokens(LmExplain *explain, int number)
{
	LmExplainText *text = &explain->texts[number];
	size_t first, last, start = 0;

	lm_explain_range(&first, &last, explain, number);
	for (size_t i = first; i < last && text->size > 0; i++)
	{
		size_t size = lm_tokenizer_bytes(explain->session->tokenizer, explain->tokens.ids[i]).size;
		size_t n_spaces = 0;

		for (size_t k = 0; k < size; k++)
			n_spaces += is_space(text->bytes[start + k]);
		for (size_t k = 0; k < size; k++)
			if (n_spaces == size || !is_space(text->bytes[start + k]))
				text->weights[start + k] += explain->token_weights[i] /
											(double) (n_spaces == size ? size : size - n_spaces);
		if (size == 0)
			text->weights[start < text->size ? start : text->size - 1] += explain->token_weights[i];
		start += size;
	}
}

/*
 * test/unit/family_twin.h
 *
 * The model family once more, in plain loops and float64, and random members of it.
 */
#ifndef TEST_FAMILY_TWIN_H
#define TEST_FAMILY_TWIN_H

#include "serve_support.h"

/* Parameters of a model by kind, and the widths of its rows. */
typedef struct Twin
{
	const LmConfig *config;
	const LmParamTable *table;
	const float *block;
	int layer;
	int n; /* tokens */
	int C, A, K, size, M;
} Twin;

static inline const float *
twin_values(const Twin *twin, LmParamKind kind, int layer)
{
	const LmParam *param = lm_param_find(twin->table, kind, layer);

	return param ? twin->block + param->offset : NULL;
}

/* y [n_out] = w x + bias */
static inline void
twin_linear(double *y, const double *x, const float *w, const float *bias, int n_in, int n_out)
{
	for (int i = 0; i < n_out; i++)
	{
		y[i] = bias ? bias[i] : 0;
		for (int j = 0; j < n_in; j++)
			y[i] += (double) w[(size_t) i * (size_t) n_in + (size_t) j] * x[j];
	}
}

static inline void
twin_norm(double *y, const double *x, const float *weight, const float *bias, int n, double epsilon,
		  bool centered)
{
	double mean = 0, square = 0;

	for (int i = 0; i < n && centered; i++)
		mean += x[i] / n;
	for (int i = 0; i < n; i++)
		square += (x[i] - mean) * (x[i] - mean) / n;
	for (int i = 0; i < n; i++)
		y[i] = (x[i] - mean) / sqrt(square + epsilon) * weight[i] + (bias ? bias[i] : 0);
}

/* The configuration's norm with the weights of a kind; its bias is the kind after it. */
static inline void
twin_kind_norm(double *y, const double *x, const Twin *twin, LmParamKind weight, int layer)
{
	twin_norm(y, x, twin_values(twin, weight, layer),
			  twin_values(twin, (LmParamKind) (weight + 1), layer), twin->C,
			  twin->config->norm_epsilon, twin->config->norm == LM_LAYERNORM);
}

/* The angle of pair i at a position, by the papers that config.h names; *factor of both parts. */
static inline double
twin_angle(const LmConfig *config, int layer, int position, int i, double *factor)
{
	int size = lm_config_rotary_size(config);
	bool local = lm_config_is_local(config, layer);
	double base = local ? config->rope_local_base : config->rope_base;
	double frequency = pow(base, -2.0 * i / size), ramp;
	double turns = config->rope_context * frequency / (2 * M_PI);
	double s = config->rope_factor;

	*factor = 1;
	if (local)
		return position * frequency;
	switch (config->rope_scaling)
	{
		case LM_ROPE_UNSCALED:
			break;
		case LM_ROPE_LINEAR:
			frequency /= s;
			break;
		case LM_ROPE_LLAMA3:
			ramp = (turns - config->rope_low) / (config->rope_high - config->rope_low);
			ramp = fmin(fmax(ramp, 0), 1);
			frequency = (1 - ramp) * frequency / s + ramp * frequency;
			break;
		case LM_ROPE_YARN:
		{
			/* The passage is linear in the number of the pair (the authors' code). */
			double low =
				size * log(config->rope_context / (config->rope_high * 2 * M_PI)) / (2 * log(base));
			double high =
				size * log(config->rope_context / (config->rope_low * 2 * M_PI)) / (2 * log(base));

			low = fmax(floor(low), 0);
			high = fmin(ceil(high), size - 1);
			high = low == high ? high + 0.001 : high;
			ramp = 1 - fmin(fmax((i - low) / (high - low), 0), 1);
			frequency = (1 - ramp) * frequency / s + ramp * frequency;
			*factor = config->rope_attention > 0 ? config->rope_attention : 0.1 * log(s) + 1;
			break;
		}
	}
	return position * frequency;
}

static inline void
twin_rotate(double *x, const LmConfig *config, int layer, int position)
{
	int half = lm_config_rotary_size(config) / 2;

	for (int i = 0; i < half; i++)
	{
		double factor, angle = twin_angle(config, layer, position, i, &factor);
		int first = config->rope_style == LM_ROPE_HALF ? i : 2 * i;
		int second = config->rope_style == LM_ROPE_HALF ? i + half : 2 * i + 1;
		double a = x[first], b = x[second];

		x[first] = factor * (a * cos(angle) - b * sin(angle));
		x[second] = factor * (b * cos(angle) + a * sin(angle));
	}
}

/* qkv [n, A + 2 K] of normalised rows. */
static inline void
twin_qkv(double *qkv, const double *norm1, const Twin *twin)
{
	const LmConfig *config = twin->config;
	const float *q_norm = twin_values(twin, LM_QUERY_NORM_WEIGHT, twin->layer),
				*k_norm = twin_values(twin, LM_KEY_NORM_WEIGHT, twin->layer);
	int width = twin->A + 2 * twin->K, kv_heads = twin->K / twin->size;

	for (int t = 0; t < twin->n; t++)
	{
		double *row = qkv + (size_t) t * (size_t) width;

		twin_linear(row, norm1 + (size_t) t * (size_t) twin->C,
					twin_values(twin, LM_ATTENTION_WEIGHT, twin->layer),
					twin_values(twin, LM_ATTENTION_BIAS, twin->layer), twin->C, width);
		for (int head = 0; head < config->heads + kv_heads; head++)
		{
			double *x = row + head * twin->size;

			if (q_norm)
				twin_norm(x, x, head < config->heads ? q_norm : k_norm, NULL, twin->size,
						  config->norm_epsilon, false);
			if (lm_config_rotates(config, twin->layer))
				twin_rotate(x, config, twin->layer, t);
		}
	}
}

/* out [A] of one row. */
static inline void
twin_attention(double *out, const double *qkv, const Twin *twin, int t)
{
	const LmConfig *config = twin->config;
	int width = twin->A + 2 * twin->K, window = lm_config_window(config, twin->layer);
	int first = window > 0 && t + 1 > window ? t + 1 - window : 0;
	double scores[256];

	for (int head = 0; head < config->heads; head++)
	{
		const double *q = qkv + (size_t) t * (size_t) width + head * twin->size;
		int place = head / (config->heads / lm_config_kv_heads(config)) * twin->size;
		double sum = 0;

		for (int s = first; s <= t; s++)
		{
			const double *k = qkv + (size_t) s * (size_t) width + twin->A + place;

			scores[s] = 0;
			for (int c = 0; c < twin->size; c++)
				scores[s] += q[c] * k[c];
			scores[s] *=
				config->attention_scale > 0 ? config->attention_scale : 1 / sqrt(twin->size);
			if (config->attention_softcap > 0)
				scores[s] = config->attention_softcap * tanh(scores[s] / config->attention_softcap);
			sum += scores[s] = exp(scores[s]);
		}
		for (int c = 0; c < twin->size; c++)
		{
			double *y = &out[head * twin->size + c];

			*y = 0;
			for (int s = first; s <= t; s++)
				*y += scores[s] / sum *
					  qkv[(size_t) s * (size_t) width + (size_t) (twin->A + twin->K + place + c)];
		}
	}
}

static inline double
twin_activation(double x, LmActivation kind)
{
	switch (kind)
	{
		case LM_GELU:
			return 0.5 * x * erfc(-x * M_SQRT1_2);
		case LM_GELU_TANH:
		case LM_GEGLU:
			return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
		case LM_RELU2:
			return x > 0 ? x * x : 0;
		case LM_SWIGLU:
			return x / (1 + exp(-x));
	}
	return NAN;
}

/* y [C] = the MLP's branch of one normalised row. */
static inline void
twin_mlp(double *y, const double *norm2, const Twin *twin)
{
	int up = lm_config_up_channels(twin->config), M = twin->M;
	double *wide = malloc(sizeof(double) * (size_t) up);

	twin_linear(wide, norm2, twin_values(twin, LM_UP_WEIGHT, twin->layer),
				twin_values(twin, LM_UP_BIAS, twin->layer), twin->C, up);
	for (int i = 0; i < M; i++)
		wide[i] = twin_activation(wide[i], twin->config->mlp) * (up > M ? wide[M + i] : 1);
	twin_linear(y, wide, twin_values(twin, LM_DOWN_WEIGHT, twin->layer),
				twin_values(twin, LM_DOWN_BIAS, twin->layer), M, twin->C);
	free(wide);
}

/* One block of x [n, C]. */
static inline void
twin_block(double *x, const Twin *twin)
{
	int C = twin->C;
	size_t n = (size_t) twin->n;
	double *norm1 = malloc(sizeof(double) * n * (size_t) C);
	double *qkv = malloc(sizeof(double) * n * (size_t) (twin->A + 2 * twin->K));
	double *attention = malloc(sizeof(double) * (size_t) twin->A);
	double *branch = malloc(sizeof(double) * 2 * (size_t) C), *norm2 = branch + C;

	for (size_t t = 0; t < n; t++)
		twin_kind_norm(norm1 + t * (size_t) C, x + t * (size_t) C, twin, LM_NORM1_WEIGHT,
					   twin->layer);
	twin_qkv(qkv, norm1, twin);
	for (int t = 0; t < twin->n; t++)
	{
		double *row = x + (size_t) t * (size_t) C;

		twin_kind_norm(norm2, row, twin, LM_NORM2_WEIGHT, twin->layer);
		twin_attention(attention, qkv, twin, t);
		twin_linear(branch, attention, twin_values(twin, LM_PROJECTION_WEIGHT, twin->layer),
					twin_values(twin, LM_PROJECTION_BIAS, twin->layer), twin->A, C);
		if (twin->config->post_norm)
			twin_kind_norm(branch, branch, twin, LM_POST_NORM1_WEIGHT, twin->layer);
		for (int c = 0; c < C; c++)
			row[c] += branch[c];
		if (!twin->config->parallel_residual)
			twin_kind_norm(norm2, row, twin, LM_NORM2_WEIGHT, twin->layer);
		twin_mlp(branch, norm2, twin);
		if (twin->config->post_norm)
			twin_kind_norm(branch, branch, twin, LM_POST_NORM2_WEIGHT, twin->layer);
		for (int c = 0; c < C; c++)
			row[c] += branch[c];
	}
	free(norm1);
	free(qkv);
	free(attention);
	free(branch);
}

/* logits [n, V] of tokens at positions 0 .. n - 1; at most 256 of them. */
static inline void
twin_logits(double *logits, const LmParamTable *table, const float *block, const int32_t *tokens,
			int n)
{
	const LmConfig *config = &table->config;
	Twin twin = {.config = config,
				 .table = table,
				 .block = block,
				 .n = n,
				 .C = config->channels,
				 .A = lm_config_query_channels(config),
				 .K = lm_config_kv_channels(config),
				 .size = lm_config_head_size(config),
				 .M = config->mlp_channels};
	size_t C = (size_t) twin.C, V = (size_t) config->vocabulary;
	const float *wte = twin_values(&twin, LM_TOKEN_EMBEDDING, -1),
				*wpe = twin_values(&twin, LM_POSITION_EMBEDDING, -1),
				*head = twin_values(&twin, LM_HEAD_WEIGHT, -1);
	double *x = malloc(sizeof(double) * (size_t) n * C);

	for (size_t t = 0; t < (size_t) n; t++)
		for (size_t c = 0; c < C; c++)
		{
			double turn = t / pow(10000, (double) (c / 2 * 2) / (double) C);

			x[t * C + c] = (double) config->embedding_scale * wte[(size_t) tokens[t] * C + c];
			if (wpe)
				x[t * C + c] += wpe[t * C + c];
			if (config->position == LM_SINUSOIDAL)
				x[t * C + c] += c % 2 ? cos(turn) : sin(turn);
		}
	for (twin.layer = 0; twin.layer < config->layers; twin.layer++)
		twin_block(x, &twin);
	for (size_t t = 0; t < (size_t) n; t++)
	{
		double *row = x + t * C;

		twin_kind_norm(row, row, &twin, LM_FINAL_NORM_WEIGHT, -1);
		twin_linear(logits + t * V, row, head ? head : wte, NULL, twin.C, (int) V);
		for (size_t v = 0; v < V && config->logit_softcap > 0; v++)
			logits[t * V + v] =
				config->logit_softcap * tanh(logits[t * V + v] / config->logit_softcap);
	}
	free(x);
}

/* ---- Members of the family ----------------------------------------------- */

static inline int
family_one_of(uint64_t *state, int n)
{
	return (int) (test_random(state) % (uint32_t) n);
}

/* Any combination of switches that lm_config_check accepts, of a small model. */
static inline LmConfig
family_random(uint64_t *state)
{
	static const int kv_of[4] = {1, 2, 3, 6};
	LmConfig config = lm_config_default();

	config.vocabulary = 71;
	config.context = 100;
	config.layers = 3;
	config.heads = 6;
	config.channels = 48;
	config.mlp_channels = 40 + family_one_of(state, 40);
	config.norm = (LmNorm) family_one_of(state, 2);
	config.mlp = (LmActivation) family_one_of(state, LM_GEGLU + 1);
	config.bias = family_one_of(state, 2);
	config.qkv_bias = (LmQkvBias) family_one_of(state, 3);
	config.tie_embeddings = family_one_of(state, 2);
	config.kv_heads = kv_of[family_one_of(state, 4)];
	config.head_size = 8 + 4 * family_one_of(state, 3);
	config.qk_norm = family_one_of(state, 2);
	config.position = family_one_of(state, 3) ? LM_ROPE : (LmPosition) family_one_of(state, 2);
	if (config.position == LM_ROPE)
	{
		config.rope_style = (LmRopeStyle) family_one_of(state, 2);
		config.rope_scaling = (LmRopeScaling) family_one_of(state, 4);
		config.rope_factor = config.rope_scaling ? 4 : 1;
		if (config.rope_scaling >= LM_ROPE_LLAMA3)
		{
			config.rope_context = 32;
			config.rope_low = 1;
			config.rope_high = config.rope_scaling == LM_ROPE_YARN ? 32 : 4;
		}
		config.rotary_size = family_one_of(state, 2) ? 4 : 0;
		config.nope_period = family_one_of(state, 2) ? 2 : 0;
		config.rope_local_base = family_one_of(state, 2) ? 500 : 0;
	}
	if (family_one_of(state, 2))
	{
		config.window = 1 + family_one_of(state, 60);
		config.window_period = family_one_of(state, 3);
		config.window_full = config.window_period > 1 ? family_one_of(state, 2) : 0;
	}
	config.parallel_residual = family_one_of(state, 3) == 0;
	config.post_norm = !config.parallel_residual && family_one_of(state, 2);
	config.embedding_scale = family_one_of(state, 2) ? 6.9f : 1;
	config.attention_scale = family_one_of(state, 2) ? 0.2f : 0;
	config.attention_softcap = family_one_of(state, 2) ? 2 : 0;
	config.logit_softcap = family_one_of(state, 2) ? 3 : 0;
	return config;
}

/* One switch more than GPT-2 with rotations: number 0 .. ; false beyond the last. */
static inline bool
family_switch(LmConfig *config, const char **name, int number)
{
	*config = lm_config_default();
	config->vocabulary = 71;
	config->context = 100;
	config->layers = 3;
	config->heads = 6;
	config->channels = 48;
	config->mlp_channels = 61;
	config->position = LM_ROPE;
#define FAMILY_SWITCH(text, ...) \
	if (number-- == 0)           \
	{                            \
		*name = text;            \
		__VA_ARGS__;             \
		return true;             \
	}
	FAMILY_SWITCH("kv_heads 2", config->kv_heads = 2)
	FAMILY_SWITCH("kv_heads 1", config->kv_heads = 1)
	FAMILY_SWITCH("head_size 12", config->head_size = 12)
	FAMILY_SWITCH("head_size 12, kv_heads 3", config->head_size = 12; config->kv_heads = 3)
	FAMILY_SWITCH("swiglu", config->mlp = LM_SWIGLU)
	FAMILY_SWITCH("geglu", config->mlp = LM_GEGLU)
	FAMILY_SWITCH("qkv_bias yes", config->bias = false; config->qkv_bias = LM_QKV_BIAS)
	FAMILY_SWITCH("qkv_bias no", config->qkv_bias = LM_QKV_NO_BIAS)
	FAMILY_SWITCH("rope_style interleaved", config->rope_style = LM_ROPE_INTERLEAVED)
	FAMILY_SWITCH("rope_scaling linear", config->rope_scaling = LM_ROPE_LINEAR;
				  config->rope_factor = 4)
	FAMILY_SWITCH("rope_scaling llama3", config->rope_scaling = LM_ROPE_LLAMA3;
				  config->rope_factor = 8; config->rope_context = 32; config->rope_low = 1;
				  config->rope_high = 4)
	FAMILY_SWITCH("rope_scaling yarn", config->rope_scaling = LM_ROPE_YARN; config->rope_factor = 4;
				  config->rope_context = 32; config->rope_low = 1; config->rope_high = 32)
	FAMILY_SWITCH("rope_local_base", config->rope_local_base = 100; config->window = 20;
				  config->window_period = 2; config->window_full = 1)
	FAMILY_SWITCH("rotary_size 4", config->rotary_size = 4)
	FAMILY_SWITCH("nope_period 2", config->nope_period = 2)
	FAMILY_SWITCH("window 33", config->window = 33)
	FAMILY_SWITCH("window 5 in two of three layers", config->window = 5; config->window_period = 3;
				  config->window_full = 2)
	FAMILY_SWITCH("parallel_residual", config->parallel_residual = true)
	FAMILY_SWITCH("post_norm", config->post_norm = true)
	FAMILY_SWITCH("embedding_scale", config->embedding_scale = 6.9f)
	FAMILY_SWITCH("attention_scale", config->attention_scale = 0.1f)
	FAMILY_SWITCH("attention_softcap", config->attention_softcap = 1.5f)
	FAMILY_SWITCH("logit_softcap", config->logit_softcap = 2)
#undef FAMILY_SWITCH
	return false;
}

#endif /* TEST_FAMILY_TWIN_H */

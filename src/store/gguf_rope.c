/*
 * src/store/gguf_rope.c
 *
 * The scaling of rotations between GGUF's metadata and LmConfig.
 *
 * Llama 3's scaling is no key of GGUF, but a tensor rope_freqs.weight: by how much the wavelength
 * of each pair of elements grows. Pair i turns n_i = context / wavelength_i times within the
 * context of pre-training; its factor is
 *
 *   1 for n_i > high,  f for n_i < low,  1 / ((1 - s) / f + s) between, s = (n_i - low) / (high -
 * low)
 *
 * (Transformers, _compute_llama3_parameters). Factors stay the same when context, low and high are
 * multiplied by one number, so the rest follows from two factors in between with low = 1, as Llama
 * 3 has it.
 */
#include "postgres.h"

#include <math.h>

#include "store/gguf_rope.h"

#define LLAMA3_HIGH 4
#define LLAMA3_CONTEXT 8192
#define TOLERANCE 1e-4 /* of factors, which are float32 */

static void read_factors(LmConfig *config, const GptGgufValues *values);
static bool solve_factors(LmConfig *config, const GptGgufValues *values);
static bool fits_factors(const LmConfig *config, const GptGgufValues *values);
static double wavelength(const LmConfig *config, int pair);
static double factor_of(const LmConfig *config, int pair);
static void read_yarn(LmConfig *config, const GptGgufValues *values, const char *architecture);

void
gpt_gguf_read_scaling(LmConfig *config, const GptGgufValues *values, const char *architecture)
{
	const GptGgufValue *type = gpt_gguf_value(values, architecture, "rope.scaling.type");
	const char *word = type != NULL && type->type == LM_GGUF_STRING ? type->text : "none";
	/* older files have this key */
	double factor = gpt_gguf_number(values, architecture, "rope.scale_linear", 1);

	factor = gpt_gguf_number(values, architecture, "rope.scaling.factor", factor);
	if (strcmp(word, "linear") != 0 && strcmp(word, "yarn") != 0 && strcmp(word, "none") != 0)
		gpt_gguf_refuse(type, "Supported are: none, linear, yarn.");
	if (values->n_factors > 0)
	{
		read_factors(config, values);
		return;
	}
	if (strcmp(word, "yarn") == 0)
	{
		config->rope_scaling = LM_ROPE_YARN;
		read_yarn(config, values, architecture);
	}
	else if (factor != 1 && (type == NULL || strcmp(word, "linear") == 0))
		config->rope_scaling = LM_ROPE_LINEAR;
	if (config->rope_scaling == LM_ROPE_UNSCALED)
		return;
	if (!(factor >= 1))
		gpt_gguf_refuse(gpt_gguf_value(values, architecture, "rope.scaling.factor"),
						"It must be a number from 1 on.");
	config->rope_factor = (float) factor;
}

/*
 * llama.cpp multiplies cosines and sines by attn_factor (1 + 0.1 ln factor), which is the paper's
 * rule where attn_factor is 1.
 */
static void
read_yarn(LmConfig *config, const GptGgufValues *values, const char *architecture)
{
	double factor = gpt_gguf_number(values, architecture, "rope.scaling.factor", 1);
	double attention = gpt_gguf_number(values, architecture, "rope.scaling.attn_factor", 1);
	double context = gpt_gguf_number(values, architecture, "rope.scaling.original_context_length",
									 config->context);

	attention = gpt_gguf_number(values, architecture, "rope.scaling.yarn_attn_factor", attention);
	config->rope_low =
		(float) gpt_gguf_number(values, architecture, "rope.scaling.yarn_beta_slow", 1);
	config->rope_high =
		(float) gpt_gguf_number(values, architecture, "rope.scaling.yarn_beta_fast", 32);
	if (!(context >= 1 && context <= LM_MAX_CONTEXT))
		gpt_gguf_refuse(
			gpt_gguf_value(values, architecture, "rope.scaling.original_context_length"), NULL);
	config->rope_context = (int) context;
	if (attention != 1 && factor >= 1)
		config->rope_attention = (float) (attention * (1 + 0.1 * log(factor)));
}

/* Llama 3's numbers from its factors. */
static void
read_factors(LmConfig *config, const GptGgufValues *values)
{
	int n = lm_config_rotary_size(config) / 2;
	float largest = 1;

	for (int i = 0; i < values->n_factors; i++)
		largest = Max(largest, values->factors[i]);
	config->rope_scaling = LM_ROPE_LLAMA3;
	config->rope_factor = largest;
	config->rope_low = 1;
	config->rope_high = LLAMA3_HIGH;
	config->rope_context = LLAMA3_CONTEXT;
	if (values->n_factors == n && (fits_factors(config, values) || solve_factors(config, values)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("GGUF file is outside the supported family"),
			 errdetail("Tensor \"rope_freqs.weight\" has no factors of Llama 3's scaling.")));
}

/*
 * s is linear in n, so two factors in between give it: s = (context / wavelength - low) / (high -
 * low). With fewer of them the context is a power of two that fits.
 */
static bool
solve_factors(LmConfig *config, const GptGgufValues *values)
{
	double x[2], s[2], slope, high;
	int n = 0;

	for (int i = 0; i < values->n_factors; i++)
	{
		double f = values->factors[i], most = config->rope_factor;

		if (f <= 1 || f >= most)
			continue;
		/* the first one and the last one */
		x[Min(n, 1)] = 1 / wavelength(config, i);
		s[Min(n, 1)] = (1 / f - 1 / most) / (1 - 1 / most);
		n++;
	}
	if (n >= 2 && x[0] != x[1])
	{
		slope = (s[0] - s[1]) / (x[0] - x[1]); /* context / (high - low) */
		high = 1 + 1 / (slope * x[0] - s[0]); /* low / (high - low) is the rest */
		config->rope_high = (float) high;
		config->rope_context = (int) rint(Min(slope * (high - 1), LM_MAX_CONTEXT));
		if (fabs(high - rint(high)) < 1e-3)
			config->rope_high = (float) rint(high);
		if (fits_factors(config, values))
			return true;
	}
	for (int high2 = 2; high2 <= 32; high2 *= 2)
		for (int context = 8; context <= LM_MAX_CONTEXT; context *= 2)
		{
			config->rope_high = (float) high2;
			config->rope_context = context;
			if (fits_factors(config, values))
				return true;
		}
	return false;
}

static bool
fits_factors(const LmConfig *config, const GptGgufValues *values)
{
	if (!(config->rope_high > config->rope_low && config->rope_context >= 1))
		return false;
	for (int i = 0; i < values->n_factors; i++)
		if (!(fabs(factor_of(config, i) - values->factors[i]) <= TOLERANCE * values->factors[i]))
			return false;
	return true;
}

/* Positions for a whole turn of a pair. */
static double
wavelength(const LmConfig *config, int pair)
{
	return 2 * M_PI * pow(config->rope_base, 2.0 * pair / lm_config_rotary_size(config));
}

static double
factor_of(const LmConfig *config, int pair)
{
	double turns = config->rope_context / wavelength(config, pair);
	double s = (turns - config->rope_low) / (config->rope_high - config->rope_low);

	if (s > 1)
		return 1;
	return s < 0 ? config->rope_factor : 1 / ((1 - s) / config->rope_factor + s);
}

void
gpt_gguf_write_scaling(GptGgufValues *values, const LmConfig *config, const char *architecture)
{
	int n = lm_config_rotary_size(config) / 2;
	double rule = 1 + 0.1 * log(config->rope_factor);

	switch (config->rope_scaling)
	{
		case LM_ROPE_UNSCALED:
			return;
		case LM_ROPE_LLAMA3:
			values->n_factors = n;
			values->factors = palloc(n * sizeof(float));
			for (int i = 0; i < n; i++)
				values->factors[i] = (float) factor_of(config, i);
			return;
		case LM_ROPE_LINEAR:
			gpt_gguf_put(values, architecture, "rope.scaling.type", LM_GGUF_STRING, 0)->text =
				"linear";
			gpt_gguf_put(values, architecture, "rope.scaling.factor", LM_GGUF_F32,
						 config->rope_factor);
			return;
		case LM_ROPE_YARN:
			gpt_gguf_put(values, architecture, "rope.scaling.type", LM_GGUF_STRING, 0)->text =
				"yarn";
			gpt_gguf_put(values, architecture, "rope.scaling.factor", LM_GGUF_F32,
						 config->rope_factor);
			gpt_gguf_put(values, architecture, "rope.scaling.original_context_length", LM_GGUF_U32,
						 config->rope_context);
			if (config->rope_low != 1)
				gpt_gguf_put(values, architecture, "rope.scaling.yarn_beta_slow", LM_GGUF_F32,
							 config->rope_low);
			if (config->rope_high != 32)
				gpt_gguf_put(values, architecture, "rope.scaling.yarn_beta_fast", LM_GGUF_F32,
							 config->rope_high);
			if (config->rope_attention > 0)
				gpt_gguf_put(values, architecture, "rope.scaling.yarn_attn_factor", LM_GGUF_F32,
							 config->rope_attention / rule);
			return;
	}
}

/*
 * src/engine/model/bag.c
 *
 * Adds up the rows of the bag that a text has, or adds to their gradients.
 */
#include "engine/params.h"
#include "model/bag.h"

/*
 * Writes the rows of the runs that end at tokens[i], that of the token itself first; returns their
 * number. The hash of a run continues that of the shorter one: each token is multiplied by an odd
 * constant (Knuth, TAOCP 3, section 6.4), and the upper bits choose the row.
 */
static int
rows_at(size_t rows[LM_BAG_RUN], const LmConfig *config, const int32_t *tokens, size_t i)
{
	size_t n_hashed = (size_t) lm_bag_hashed(config->labels);
	uint64_t hash = (uint64_t) (uint32_t) tokens[i];
	int n = 0;

	rows[n++] = (size_t) tokens[i];
	while (n < LM_BAG_RUN && (size_t) n <= i)
	{
		hash = (hash ^ hash >> 29) * 0x9E3779B97F4A7C15u +
			   (uint64_t) (uint32_t) tokens[i - (size_t) n] * 0xC2B2AE3D27D4EB4Fu + (uint64_t) n;
		rows[n++] =
			(size_t) config->vocabulary + (size_t) ((hash * 0x9E3779B97F4A7C15u) >> 32) % n_hashed;
	}
	return n;
}

size_t
lm_bag_count(size_t n)
{
	size_t count = 0;

	for (size_t length = 1; length <= LM_BAG_RUN && length <= n; length++)
		count += n - length + 1;
	return count;
}

void
lm_bag_add(double *sums, const float *bag, const LmConfig *config, const int32_t *tokens,
		   size_t first, size_t last)
{
	size_t rows[LM_BAG_RUN], n_channels = (size_t) lm_bag_channels(config->labels);

	for (size_t i = first; i < last; i++)
	{
		int n = rows_at(rows, config, tokens, i);

		for (int j = 0; j < n; j++)
			for (size_t k = 0; k < n_channels; k++)
				sums[k] += bag[rows[j] * n_channels + k];
	}
}

/* How many of the n tokens of a run that ends at tokens[last] are not fixed. */
static int
count_free(const uint8_t *fixed, size_t last, int n)
{
	int count = 0;

	for (int i = 0; i < n; i++)
		count += fixed[last - (size_t) i] == 0;
	return count;
}

void
lm_bag_add_free(double *sums, const float *bag, const LmConfig *config, const int32_t *tokens,
				const uint8_t *fixed, size_t first, size_t last)
{
	size_t rows[LM_BAG_RUN], n_channels = (size_t) lm_bag_channels(config->labels);

	for (size_t i = first; i < last; i++)
	{
		int n = rows_at(rows, config, tokens, i);

		for (int j = 0; j < n; j++)
			for (size_t k = 0; k < n_channels && count_free(fixed, i, j + 1) > 0; k++)
				sums[k] += bag[rows[j] * n_channels + k];
	}
}

void
lm_bag_share(double *weights, const double *dsums, const float *bag, const LmConfig *config,
			 const int32_t *tokens, const uint8_t *fixed, size_t first, size_t last)
{
	size_t rows[LM_BAG_RUN], n_channels = (size_t) lm_bag_channels(config->labels);

	for (size_t i = first; i < last; i++)
	{
		int n = rows_at(rows, config, tokens, i);

		for (int j = 0; j < n; j++)
		{
			int n_free = count_free(fixed, i, j + 1);
			double sum = 0;

			for (size_t k = 0; k < n_channels; k++)
				sum += dsums[k] * (double) bag[rows[j] * n_channels + k];
			for (size_t k = 0; n_free > 0 && k <= (size_t) j; k++)
				weights[i - k] += fixed[i - k] ? 0 : sum / n_free;
		}
	}
}

void
lm_bag_add_gradient(float *gradient, const float *dmean, const LmConfig *config,
					const int32_t *tokens, size_t n)
{
	size_t rows[LM_BAG_RUN], n_channels = (size_t) lm_bag_channels(config->labels);
	float share = 1.0f / (float) lm_bag_count(n);

	for (size_t i = 0; i < n; i++)
	{
		int n_rows = rows_at(rows, config, tokens, i);

		for (int j = 0; j < n_rows; j++)
			for (size_t k = 0; k < n_channels; k++)
				gradient[rows[j] * n_channels + k] += share * dmean[k];
	}
}

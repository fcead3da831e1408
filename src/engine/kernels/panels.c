/*
 * src/engine/kernels/panels.c
 *
 * Weights into panels and back, the choice of kernels, and their naive twin.
 */
#include <math.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/panels.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"

#define ROUND_TO_INT 12582912.0f /* 1.5 2^23: its lowest bit is worth one */
#define TRIED_SCALES 16 /* of a group of int4 */
#define ERROR_SUMS 8

static void pack_floats(float *panel, const float *w, int n_in, int n_rows);
static void pack_pairs(uint16_t *panel, const float *w, int n_in, int n_rows);
static void pack_groups(char *panel, LmImageType type, const float *w, int n_in, int n_rows);
static void pack_group(char *unit, LmImageType type, int column, const float *w);
static float int8_scale(const float *w);
static float int4_scale(const float *w);
static float quantize(int8_t *q, const float *w, float scale, float lowest, float highest);
static int byte_place(LmImageType type, int column, int i);
static void naive_group(float *sum, const float *x, const char *unit, LmImageType type, int column,
						int n);

bool
lm_linear_panels_size(size_t *size, LmImageType type, int n_in, int n_out)
{
	return lm_size_multiply(size, (size_t) lm_divide_up((size_t) n_out, LM_PANEL),
							lm_panel_size(type, n_in));
}

void
lm_linear_pack(void *panels, LmImageType type, const float *w, int n_in, int n_out)
{
	size_t panel_size = lm_panel_size(type, n_in);

	for (int first = 0; first < n_out; first += LM_PANEL)
	{
		const float *rows = w + (size_t) first * (size_t) n_in;
		char *panel = (char *) panels + (size_t) (first / LM_PANEL) * panel_size;
		int n_rows = lm_smaller(LM_PANEL, n_out - first);

		if (type == LM_IMAGE_FLOAT32)
			pack_floats((float *) (void *) panel, rows, n_in, n_rows);
		else if (type == LM_IMAGE_BFLOAT16)
			pack_pairs((uint16_t *) (void *) panel, rows, n_in, n_rows);
		else
			pack_groups(panel, type, rows, n_in, n_rows);
	}
}

static void
pack_floats(float *panel, const float *w, int n_in, int n_rows)
{
	for (int i = 0; i < n_in; i++, panel += LM_PANEL)
		for (int j = 0; j < LM_PANEL; j++)
			panel[j] = j < n_rows ? w[(size_t) j * (size_t) n_in + i] : 0;
}

static void
pack_pairs(uint16_t *panel, const float *w, int n_in, int n_rows)
{
	for (int i = 0; i < n_in; i += 2, panel += 2 * LM_PANEL)
		for (int j = 0; j < LM_PANEL; j++)
		{
			const float *pair = w + (size_t) j * (size_t) n_in + i;

			panel[2 * j] = j < n_rows ? lm_bf16_from_float(pair[0]) : 0;
			panel[2 * j + 1] = j < n_rows && i + 1 < n_in ? lm_bf16_from_float(pair[1]) : 0;
		}
}

static void
pack_groups(char *panel, LmImageType type, const float *w, int n_in, int n_rows)
{
	for (int i = 0; i < n_in; i += LM_GROUP, panel += lm_panel_unit_size(type))
		for (int j = 0; j < LM_PANEL; j++)
		{
			float values[LM_GROUP] = {0};

			if (j < n_rows)
				memcpy(values, w + (size_t) j * (size_t) n_in + i,
					   (size_t) lm_smaller(LM_GROUP, n_in - i) * sizeof(float));
			pack_group(panel, type, j, values);
		}
}

/* A group of a column. */
static void
pack_group(char *unit, LmImageType type, int column, const float *w)
{
	uint16_t scale = lm_bf16_from_float(type == LM_IMAGE_INT8 ? int8_scale(w) : int4_scale(w));
	int8_t q[LM_GROUP];

	((uint16_t *) (void *) unit)[column % (LM_PANEL / 2) * 2 + column / (LM_PANEL / 2)] = scale;
	quantize(q, w, lm_bf16_to_float(scale), type == LM_IMAGE_INT8 ? -127 : -8,
			 type == LM_IMAGE_INT8 ? 127 : 7);
	for (int i = 0; i < LM_GROUP; i++)
	{
		uint8_t *place = (uint8_t *) unit + byte_place(type, column, i);

		if (type == LM_IMAGE_INT8)
			*place = (uint8_t) (q[i] + LM_INT8_ZERO);
		else if (i / 4 % 2 == 0)
			*place = (uint8_t) (q[i] + LM_INT4_ZERO);
		else
			*place = (uint8_t) (*place | (q[i] + LM_INT4_ZERO) << 4);
	}
}

/* Of weight i of a column's group. */
static int
byte_place(LmImageType type, int column, int i)
{
	int word = type == LM_IMAGE_INT8 ? i / 4 : i / 8;

	return (int) LM_SCALES_SIZE + (word * LM_PANEL + column) * 4 + i % 4;
}

/* Rounded up, so that no weight lies beyond 127 of them; NaN for weights that are not finite. */
static float
int8_scale(const float *w)
{
	float largest = 0;
	uint16_t scale;

	for (int i = 0; i < LM_GROUP; i++)
	{
		if (!isfinite(w[i]))
			return NAN;
		largest = fmaxf(largest, fabsf(w[i]));
	}
	scale = lm_bf16_from_float(largest / 127);
	return lm_bf16_to_float((uint16_t) (scale + (lm_bf16_to_float(scale) < largest / 127)));
}

/*
 * Of scales that put the largest weight between 6.2 and 9.2 steps from 0, on the side that has 8 of
 * them, the one with the least squared error; 8 steps where errors are too small or too large to be
 * told apart.
 */
static float
int4_scale(const float *w)
{
	float largest = 0, best = 0, least = INFINITY;
	int8_t q[LM_GROUP];

	for (int i = 0; i < LM_GROUP; i++)
	{
		if (!isfinite(w[i]))
			return NAN;
		largest = fabsf(w[i]) > fabsf(largest) ? w[i] : largest;
	}
	for (int i = 0; i < TRIED_SCALES && largest != 0; i++)
	{
		float scale = -largest / (6.2f + 0.2f * (float) ((i + 9) % TRIED_SCALES)), error;

		scale = lm_bf16_to_float(lm_bf16_from_float(scale));
		error = quantize(q, w, scale, -8, 7);
		if (i == 0 || error < least)
		{
			least = error;
			best = scale;
		}
	}
	return best;
}

/* q = round(w / scale), within bounds; the sum of squared errors. A scale of 0 or NaN gives 0. */
static float
quantize(int8_t *q, const float *w, float scale, float lowest, float highest)
{
	float factor = fabsf(scale) > 0 ? 1 / scale : 0, errors[ERROR_SUMS] = {0}, sum = 0;

	if (!isfinite(factor))
		factor = 0;
	for (int i = 0; i < LM_GROUP; i += ERROR_SUMS)
		for (int j = 0; j < ERROR_SUMS; j++)
		{
			float value = w[i + j] * factor, error;

			value = value > lowest ? value : lowest;
			value = value < highest ? value : highest;
			value = value + ROUND_TO_INT - ROUND_TO_INT;
			error = w[i + j] - value * scale;
			errors[j] += error * error;
			q[i + j] = (int8_t) value;
		}
	for (int j = 0; j < ERROR_SUMS; j++)
		sum += errors[j];
	return sum;
}

static float
scale_of(const char *unit, int column)
{
	return lm_bf16_to_float(((const uint16_t *) (const void *)
								 unit)[column % (LM_PANEL / 2) * 2 + column / (LM_PANEL / 2)]);
}

static int
byte_of(const char *unit, LmImageType type, int column, int i)
{
	uint8_t byte = ((const uint8_t *) unit)[byte_place(type, column, i)];

	if (type == LM_IMAGE_INT8)
		return byte - LM_INT8_ZERO;
	return (i / 4 % 2 == 0 ? byte & 15 : byte >> 4) - LM_INT4_ZERO;
}

void
lm_linear_weights(float *row, const LmLinear *linear, int output)
{
	int unit = lm_panel_unit(linear->type), column = output % LM_PANEL;
	size_t unit_size = lm_panel_unit_size(linear->type);
	const char *from = (const char *) linear->panels +
					   (size_t) (output / LM_PANEL) * lm_panel_size(linear->type, linear->n_in);

	for (int i = 0; i < linear->n_in; i++)
	{
		const char *at = from + (size_t) (i / unit) * unit_size;

		if (linear->type == LM_IMAGE_FLOAT32)
			row[i] = ((const float *) (const void *) at)[column];
		else if (linear->type == LM_IMAGE_BFLOAT16)
			row[i] = lm_bf16_to_float(((const uint16_t *) (const void *) at)[2 * column + i % 2]);
		else
			row[i] = (float) byte_of(at, linear->type, column, i % unit) * scale_of(at, column);
	}
}

const LmPanelKernels *
lm_panel_kernels(void)
{
#if defined(__x86_64__)
	if (lm_simd() == &lm_simd_avx512)
	{
		if (!__builtin_cpu_supports("avx512vnni"))
			return &lm_panels_avx512;
		return __builtin_cpu_supports("avx512bf16") ? &lm_panels_avx512bf16 : &lm_panels_avx512vnni;
	}
	if (lm_simd() == &lm_simd_avx2)
		return &lm_panels_avx2;
#endif
	return &lm_panels_base;
}

const char *
lm_linear_infer_name(void)
{
	return lm_panel_kernels()->name;
}

void
lm_panel_multiply_naive(float *y, const float *x, const LmLinear *linear, int n_rows)
{
	int unit = lm_panel_unit(linear->type);
	size_t unit_size = lm_panel_unit_size(linear->type),
		   panel_size = lm_panel_size(linear->type, linear->n_in);

	for (int row = 0; row < n_rows; row++)
		for (int output = 0; output < linear->n_out; output++)
		{
			const char *at =
				(const char *) linear->panels + (size_t) (output / LM_PANEL) * panel_size;
			float sum = 0;

			for (int i = 0; i < linear->n_in; i += unit, at += unit_size)
			{
				const float *values = x + (size_t) row * (size_t) linear->n_in + i;
				int n = lm_smaller(unit, linear->n_in - i), column = output % LM_PANEL;

				if (linear->type == LM_IMAGE_FLOAT32)
					sum = fmaf(*values, ((const float *) (const void *) at)[column], sum);
				else if (linear->type == LM_IMAGE_BFLOAT16)
					for (int j = n - 1; j >= 0; j--)
						sum = fmaf(lm_bf16_to_float(lm_bf16_from_float(values[j])),
								   lm_bf16_to_float(
									   ((const uint16_t *) (const void *) at)[2 * column + j]),
								   sum);
				else
					naive_group(&sum, values, at, linear->type, column, n);
			}
			y[(size_t) row * (size_t) linear->n_out + output] =
				linear->bias ? sum + linear->bias[output] : sum;
		}
}

static void
naive_group(float *sum, const float *x, const char *unit, LmImageType type, int column, int n)
{
	float largest = 0, scale = 0;
	int dot = 0;

	for (int i = 0; i < n; i++)
		largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
	if (largest > LM_SMALLEST_GROUP)
	{
		scale = largest / 127;
		for (int i = 0; i < n; i++)
			dot += (int) lrintf(x[i] * (127 / largest)) * byte_of(unit, type, column, i);
	}
	*sum += (float) dot * (scale_of(unit, column) * scale);
}

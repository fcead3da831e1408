/*
 * src/engine/kernels/panels.c
 *
 * Matrices into panels and back, the choice of kernels, and their naive twin.
 */
#include "kernels/panels.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"

bool
lm_linear_panels_size(size_t *size, const LmWeightType *type, int n_in, int n_out)
{
	return lm_size_multiply(size, (size_t) lm_divide_up((size_t) n_out, LM_PANEL),
							lm_panel_size(type, n_in));
}

void
lm_linear_pack(void *panels, const LmWeightType *type, const float *w, int n_in, int n_out)
{
	size_t panel_size = lm_panel_size(type, n_in);
	char *panel = panels;

	for (int first = 0; first < n_out; first += LM_PANEL, panel += panel_size)
		type->pack(panel, w + (size_t) first * (size_t) n_in, n_in,
				   lm_smaller(LM_PANEL, n_out - first));
}

void
lm_linear_weights(float *row, const LmLinear *linear, int output)
{
	const LmWeightType *type = linear->type;
	const char *panel = (const char *) linear->panels +
						(size_t) (output / LM_PANEL) * lm_panel_size(type, linear->n_in);

	for (int i = 0; i < linear->n_in; i++)
		row[i] = type->weight(panel + (size_t) (i / type->unit) * type->unit_size,
							  output % LM_PANEL, i % type->unit);
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
	const LmWeightType *type = linear->type;
	size_t panel_size = lm_panel_size(type, linear->n_in);

	for (int row = 0; row < n_rows; row++, x += linear->n_in, y += linear->n_out)
		for (int output = 0; output < linear->n_out; output++)
		{
			const char *unit =
				(const char *) linear->panels + (size_t) (output / LM_PANEL) * panel_size;
			float sum = 0;

			for (int i = 0; i < linear->n_in; i += type->unit, unit += type->unit_size)
				sum = type->add(sum, x + i, unit, output % LM_PANEL,
								lm_smaller(type->unit, linear->n_in - i));
			y[output] = linear->bias ? sum + linear->bias[output] : sum;
		}
}

/*
 * src/engine/kernels/panels.h
 *
 * Packed weights, which inference reads, and the kernels that multiply by them.
 *
 * A panel holds LM_PANEL output channels, unit after unit along the input, so that one thread reads
 * one stream. A weight type (weight_types.h) decides the inputs and the bytes of a unit, and in its
 * file how a product is rounded. Beyond n_in and n_out weights are 0.
 *
 * The sums of an element of a product are one chain in the order of the inputs, for any number of
 * rows and however it is cut. The bias is added last.
 */
#ifndef LM_PANELS_H
#define LM_PANELS_H

#include "engine/ops.h"

#define LM_GROUP 32 /* inputs that share a scale */
#define LM_GROUP_QUADS (LM_GROUP / 4)
/* Below it a row's group counts as 0, lest 127 / m be infinite. */
#define LM_SMALLEST_GROUP 1e-30f

/* Bytes of one panel. */
static inline size_t
lm_panel_size(const LmWeightType *type, int n_in)
{
	return ((size_t) n_in + (size_t) type->unit - 1) / (size_t) type->unit * type->unit_size;
}

/*
 * The rows of a product: x [n_rows, n_in], and packed, which LmPanelKernels.pack has filled from
 * it; NULL: each calling thread packs for itself.
 */
typedef struct LmPanelRows
{
	const float *x;
	int n_rows;
	int n_in;
	const uint32_t *packed;
} LmPanelRows;

/* The kernels of one instruction set, for all weight types. */
typedef struct LmPanelKernels
{
	const char *name;
	/*
	 * Columns [0, n_out) of y from n_out / LM_PANEL (rounded up) panels that follow each other; on
	 * the calling thread.
	 */
	void (*multiply)(const LmWeightType *type, float *y, const LmPanelRows *rows,
					 const void *panels, const float *bias, int n_out, int ld_y);
	/*
	 * Part `part` of n_parts of the rows into packed, of lm_linear_infer_scratch bytes; parts may
	 * be packed at once.
	 */
	void (*pack)(const LmWeightType *type, uint32_t *packed, const LmPanelRows *rows, int part,
				 int n_parts);
} LmPanelKernels;

/* One table for each instruction set that the engine was compiled for. */
extern const LmPanelKernels lm_panels_base, lm_panels_avx2, lm_panels_avx512, lm_panels_avx512vnni,
	lm_panels_avx512bf16;

/* The best that this processor runs. */
const LmPanelKernels *lm_panel_kernels(void);

/*
 * The naive twin, in plain C: the same bits as any kernel, as far as the files of the types promise
 * them.
 */
void lm_panel_multiply_naive(float *y, const float *x, const LmLinear *linear, int n_rows);

#endif /* LM_PANELS_H */

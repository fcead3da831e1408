/*
 * src/engine/kernels/panels.h
 *
 * Weights as inference reads them, and the kernels that read them.
 *
 * A panel holds LM_PANEL output channels, unit after unit along the input, so that one thread
 * reads one stream:
 *
 *   float32   unit of 1 input     | 32 floats |
 *   bfloat16  unit of 2 inputs    | 32 pairs (input 2i, 2i + 1) |
 *   int8      unit of 32 inputs   | scales | quads 0 .. 7: 32 times 4 bytes, weight / scale + 128 |
 *   int4      unit of 32 inputs   | scales | double quads 0 .. 3: 32 times 4 bytes, of which the
 *                                 low halves are quad 2i and the high halves quad 2i + 1,
 *                                 weight / scale + 8 |
 *   scales    16 words; word i is the bfloat16 scale of channel i (low half) and i + 16 (high half)
 *
 * Beyond n_in and n_out weights are 0. A scale is bfloat16 and not float16 because it has float32's
 * range, so that no group of weights is too small or too large for it, and is widened by a shift on
 * every processor; its rounding costs nothing, since weights are divided by the rounded scale.
 *
 * What a product is, for any number of rows and however it is cut (w and scale as stored):
 *
 *   float32   one chain of multiply-adds over the inputs in order
 *   bfloat16  the row is rounded to bfloat16 (nearest, ties to even; denormals to 0); one chain of
 *             multiply-adds, of each pair the second input first: what vdpbf16ps does, which also
 *             takes denormal sums for 0
 *   int8/4    each group of 32 inputs of the row becomes q = round(x 127 / m), m its largest
 *             magnitude; sum over the groups in order of float(dot(q, w)) (scale (m / 127)), the
 *             dot products exact in integers
 *
 * The bias is added last. int8 and int4 have the same bits on every processor; bfloat16 too,
 * denormal sums apart; float32 wherever there is a fused multiply-add.
 */
#ifndef LM_PANELS_H
#define LM_PANELS_H

#include "engine/ops.h"

#define LM_GROUP 32 /* inputs that share a scale */
#define LM_GROUP_QUADS (LM_GROUP / 4)
#define LM_SCALES_SIZE (LM_PANEL * sizeof(uint16_t))
#define LM_INT8_ZERO 128
#define LM_INT4_ZERO 8
/* Below it a row's group counts as 0, lest 127 / m be infinite. */
#define LM_SMALLEST_GROUP 1e-30f

/* Inputs in a unit, and its bytes in a panel. */
static inline int
lm_panel_unit(LmImageType type)
{
	return type == LM_IMAGE_FLOAT32 ? 1 : type == LM_IMAGE_BFLOAT16 ? 2 : LM_GROUP;
}

static inline size_t
lm_panel_unit_size(LmImageType type)
{
	if (type == LM_IMAGE_INT8)
		return LM_SCALES_SIZE + LM_PANEL * LM_GROUP;
	return type == LM_IMAGE_INT4 ? LM_SCALES_SIZE + LM_PANEL * LM_GROUP / 2
								 : LM_PANEL * sizeof(float);
}

static inline size_t
lm_panel_size(LmImageType type, int n_in)
{
	size_t unit = (size_t) lm_panel_unit(type);

	return ((size_t) n_in + unit - 1) / unit * lm_panel_unit_size(type);
}

/*
 * What is multiplied: x [n_rows, n_in], and the same as LmPanelKernels.pack has left it; NULL: as
 * the calling thread packs it for itself.
 */
typedef struct LmPanelRows
{
	const float *x;
	int n_rows;
	int n_in;
	const uint32_t *packed;
} LmPanelRows;

/*
 * Columns [0, n_out) of y from n_out / LM_PANEL (rounded up) panels that follow each other; on the
 * calling thread.
 */
typedef void (*LmPanelMultiply)(float *y, const LmPanelRows *rows, const void *panels,
								const float *bias, int n_out, int ld_y);

typedef struct LmPanelKernels
{
	const char *name;
	LmPanelMultiply multiply[LM_IMAGE_TYPES];
	/*
	 * Part `part` of n_parts of the rows into packed, of lm_linear_infer_scratch bytes; parts may
	 * be packed at once.
	 */
	void (*pack)(LmImageType type, uint32_t *packed, const LmPanelRows *rows, int part,
				 int n_parts);
} LmPanelKernels;

extern const LmPanelKernels lm_panels_base, lm_panels_avx2, lm_panels_avx512, lm_panels_avx512vnni,
	lm_panels_avx512bf16;

/* The best that this processor runs. */
const LmPanelKernels *lm_panel_kernels(void);

/* The naive twin, in plain C: the same bits as any kernel, within what is said above. */
void lm_panel_multiply_naive(float *y, const float *x, const LmLinear *linear, int n_rows);

#endif /* LM_PANELS_H */

/*
 * src/engine/kernels/simd.h
 *
 * The vectorised loops of the engine, compiled once for each instruction set from the vector_*.h
 * files and chosen at run time. All work on the calling thread, on dense rows of any length and
 * alignment.
 */
#ifndef LM_SIMD_H
#define LM_SIMD_H

#include <stddef.h>
#include <stdint.h>

#include "engine/ops.h"

/* The place of a row's dropout mask, its threshold and its scale. */
typedef struct LmMaskRow
{
	LmKey key;
	uint32_t position;
	uint32_t example;
	uint32_t head; /* 0 outside attention */
	uint32_t threshold; /* of 16 bits; below it an element is dropped */
	float scale; /* of the elements that are kept */
} LmMaskRow;

/* Channels are masked in groups: a row's first masked channel must be a multiple of this. */
#define LM_MASK_GROUP 64

/*
 * The loops of one instruction set. Arrays have count, n or C floats; engine/ops.h has the
 * equations.
 */
typedef struct LmSimd
{
	const char *name;

	void (*matmul)(float *y, const float *a, const float *b, LmTranspose transpose, int m, int n,
				   int k, int ld_y, int ld_a, int ld_b, float scale, float beta);

	void (*gelu_forward)(float *y, const float *x, size_t count, LmActivation kind);
	void (*gelu_backward)(float *dx, const float *dy, const float *x, size_t count,
						  LmActivation kind);
	void (*gate_forward)(float *y, const float *gate, const float *up, size_t count,
						 LmActivation kind);
	void (*gate_backward)(float *dgate, float *dup, const float *dy, const float *gate,
						  const float *up, size_t count, LmActivation kind);
	void (*add)(float *y, const float *x, size_t count);
	void (*add_to)(float *y, const float *x, const float *z, size_t count); /* y = x + z */
	void (*multiply)(float *y, const float *x, size_t count);
	void (*multiply_to)(float *y, const float *x, const float *z, size_t count); /* y = x z */
	/* y = x + a b */
	void (*multiply_add)(float *y, const float *x, const float *a, const float *b, size_t count);
	void (*scale)(float *y, float factor, size_t count);
	void (*scale_to)(float *y, const float *x, float factor, size_t count); /* y = factor x */
	/* y = cap tanh(x / cap); y may be x */
	void (*softcap)(float *y, const float *x, float cap, size_t count);
	/* dx = dy (1 - (y / cap)^2); dx may be dy */
	void (*softcap_gradient)(float *dx, const float *dy, const float *y, float cap, size_t count);
	/* y = a x + b z; y may be x or z */
	void (*blend)(float *y, float a, const float *x, float b, const float *z, size_t count);
	float (*dot)(const float *x, const float *y, size_t count);
	double (*sum_squares)(const float *x, size_t count);
	void (*exp)(float *y, const float *x, size_t count);
	void (*adamw)(float *p, float *m, float *v, const float *gradient, size_t count,
				  const LmAdamW *adamw);

	void (*norm_forward)(float *y, float *mean, float *rstd, const float *x, const float *weight,
						 const float *bias, int C, float epsilon, bool centered);
	/* dweight and dbias (NULL: none) are this block's partial sums */
	void (*norm_backward)(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
						  float mean, float rstd, const float *weight, int C, bool centered);
	/*
	 * LmHeads: pairs of a head's elements by the angles of a position; sign 1, or -1 to turn back.
	 * The pairs of rotate are LM_ROPE_HALF, those of rotate_pairs LM_ROPE_INTERLEAVED.
	 */
	void (*rotate)(float *x, const float *rotary, int size, float sign);
	void (*rotate_pairs)(float *x, const float *rotary, int size, float sign);

	/*
	 * One row of attention against one block of n keys, of which the first n_seen are visible.
	 * scores become exp(score - max) and 0 beyond; *max and *sum go on from the blocks before.
	 * Returns the factor by which the sums of those blocks must be multiplied.
	 */
	float (*attention_softmax)(float *scores, float *max, float *sum, int n_seen, int n);
	/*
	 * scores -> p = exp(score - lse), times mask (NULL: none); dp -> p (mask dp - delta); 0 beyond
	 * n_seen
	 */
	void (*attention_gradient)(float *scores, float *dp, const float *mask, float lse, float delta,
							   int n_seen, int n);
	/* Heads of lm_attention_rows that read the same keys and values. */
	void (*attention_heads)(const LmAttentionRows *rows, int first_head, int n_heads);
	/* y += x A' B' of rows that have one adapter */
	void (*lora)(const LmLoraRows *rows);

	float (*largest)(const float *x, int n);
	/* log of the sum of exponentials */
	double (*log_sum_exp)(const float *x, int n);
	/* logits -> (exp(logit - lse) - (1 - smoothing) onehot(target) - smoothing / n) factor */
	void (*cross_entropy_gradient)(float *logits, double lse, int target, float factor,
								   float smoothing, int n);

	/*
	 * mask of channels first .. first + n - 1, first a multiple of LM_MASK_GROUP; writes whole
	 * groups
	 */
	void (*dropout_mask)(float *mask, const LmMaskRow *row, int first, int n);
} LmSimd;

/* One table for each instruction set that the engine was compiled for. */
extern const LmSimd lm_simd_base, lm_simd_avx2, lm_simd_avx512;

/* The best that this processor runs. */
const LmSimd *lm_simd(void);

#endif /* LM_SIMD_H */

/*
 * src/engine/formats/blocks.h
 *
 * Functions of the rows of the table of block types.
 */
#ifndef LM_BLOCKS_H
#define LM_BLOCKS_H

#include <stddef.h>

/* The types with one scale for 32 elements. */
void lm_q4_0_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q4_1_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q5_0_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q5_1_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q8_0_decode(float *y, const void *blocks, size_t n_blocks);
void lm_iq4_nl_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q4_0_encode(void *blocks, const float *x, size_t n_blocks);
void lm_q8_0_encode(void *blocks, const float *x, size_t n_blocks);

/* The types with scales of groups in a block of 256 elements. */
void lm_q2_k_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q3_k_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q4_k_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q5_k_decode(float *y, const void *blocks, size_t n_blocks);
void lm_q6_k_decode(float *y, const void *blocks, size_t n_blocks);
void lm_iq4_xs_decode(float *y, const void *blocks, size_t n_blocks);

#endif /* LM_BLOCKS_H */

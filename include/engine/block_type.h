/*
 * include/engine/block_type.h
 *
 * The types that tensors have in files: floats of 32 and 16 bits, and the quantised blocks of ggml,
 * which hold a fixed number of elements in a fixed number of bytes. They are rows of one table.
 *
 * All numbers in blocks are little endian. A tensor's rows are whole blocks.
 */
#ifndef LM_BLOCK_TYPE_H
#define LM_BLOCK_TYPE_H

#include <stdbool.h>
#include <stddef.h>

/* The most elements of a block. */
#define LM_BLOCK_MOST 256

/* A row of the table of block types. */
typedef struct LmBlockType
{
	const char *name; /* as ggml spells it: "F32", "Q4_K" */
	int number; /* ggml's number of the type, as in GGUF files */
	int elements; /* of a block */
	int bytes; /* of a block */

	/* n_blocks blocks to floats, and back. Neither fails. encode is NULL where none exists. */
	void (*decode)(float *y, const void *blocks, size_t n_blocks);
	void (*encode)(void *blocks, const float *x, size_t n_blocks);
} LmBlockType;

/* The number of rows, and row i of them, 0 <= i < count. */
int lm_block_type_count(void);
const LmBlockType *lm_block_type(int i);

/* The row of a name, or of ggml's number; NULL where the table does not have it. */
const LmBlockType *lm_block_type_named(const char *name);
const LmBlockType *lm_block_type_numbered(long long number);

/*
 * *size = the bytes of n elements. False where n is no multiple of the block's elements, or the
 * size overflows.
 */
bool lm_block_size(size_t *size, const LmBlockType *type, size_t n);

/*
 * Turns the blocks of n elements, a multiple of type->elements, into floats y [n]. blocks needs no
 * alignment. The results have the bits of ggml's reference functions.
 */
void lm_block_decode(float *y, const LmBlockType *type, const void *blocks, size_t n);

/*
 * Turns n floats, a multiple of type->elements, into blocks: F16 and BF16 round to nearest even;
 * Q8_0 and Q4_0 round as ggml's reference functions do. type->encode must not be NULL. A number of
 * a quantised block that is not finite makes its scale infinite or NaN, so that it stays visible.
 */
void lm_block_encode(void *blocks, const LmBlockType *type, const float *x, size_t n);

#endif /* LM_BLOCK_TYPE_H */

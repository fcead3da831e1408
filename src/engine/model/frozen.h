/*
 * src/engine/model/frozen.h
 *
 * The base of an adapter in less memory: the matrices of its blocks stay in a type of block_type.h,
 * because training does not change them, and are floats for one layer at a time (Dettmers et al.
 * 2023, "QLoRA: Efficient finetuning of quantized LLMs", section 3). Norms, biases, embeddings and
 * the head are floats.
 *
 *   bytes | layer 0: attention, projection, up, down | layer 1: ... |
 *   base  | all other parameters | scratch: the four matrices of one layer |
 */
#ifndef LM_FROZEN_H
#define LM_FROZEN_H

#include "engine/block_type.h"
#include "engine/params.h"

#define LM_FROZEN_MATRICES 4

/* One of a block's matrices. */
typedef struct LmFrozenMatrix
{
	LmParamKind kind;
	size_t rows;
	size_t columns;
	size_t row_size; /* bytes */
	size_t place; /* bytes from the beginning of a layer */
	size_t offset; /* floats from the beginning of scratch */
} LmFrozenMatrix;

/* All matrices, and the layer that scratch has. */
typedef struct LmFrozen
{
	const LmBlockType *type; /* NULL: all of the base is float32, and nothing is here */
	LmFrozenMatrix matrices[LM_FROZEN_MATRICES];
	size_t layer_size; /* bytes */
	size_t size; /* bytes of all layers */
	size_t scratch_count; /* floats */
	char *bytes;
	float *scratch;
	int layer; /* -1: none */
} LmFrozen;

/*
 * Fills in types and sizes for a checked configuration, and *count, the floats of base. type: its
 * ggml number. LM_ERR_ARGUMENT where it does not fit the matrices, LM_ERR_LIMIT on overflow.
 */
bool lm_frozen_plan(LmFrozen *frozen, size_t *count, const LmConfig *base, int type,
					LmError *error);

/* Makes the offsets of a base's table, and its total, those of base as drawn above. */
void lm_frozen_lay_out(const LmFrozen *frozen, LmParamTable *table);

/* Writes rows of a parameter; false where it is not one of the matrices. */
bool lm_frozen_put(LmFrozen *frozen, const LmParam *param, int first_row, int n_rows,
				   const float *rows);

/* Scratch becomes the matrices of a layer, unless it has them. */
void lm_frozen_expand(LmFrozen *frozen, LmEngine *engine, int layer);

#endif /* LM_FROZEN_H */

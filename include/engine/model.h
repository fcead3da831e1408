/*
 * include/engine/model.h
 *
 * Inference: an image of the weights, pages of keys and values, and one ragged entry for prefill,
 * decoding and scoring.
 *
 * An image is one contiguous read-only block in the layout that the kernels want; it holds no
 * pointers, so it can be shared by mapping:  | LmImageHeader | slices at offsets that follow from
 * the configuration |
 */
#ifndef LM_MODEL_H
#define LM_MODEL_H

#include "engine/ops.h"
#include "engine/params.h"

/*
 * Bytes of the image of a configuration, with the matrices of blocks and head (and a tied token
 * embedding) of a type; norms, biases, positions, an untied token embedding and a classifier's own
 * weights are float32 in every type. LM_ERR_LIMIT on overflow.
 */
bool lm_image_size(size_t *size, const LmConfig *config, const LmWeightType *type, LmError *error);

/*
 * Builds the image of a parameter block into image (aligned to 64, lm_image_size bytes).
 * kernels/weight_types.h says how types are rounded.
 */
bool lm_image_build(void *image, const float *block, const LmParamTable *table,
					const LmWeightType *type, const LmHost *host, LmError *error);

/*
 * The same in pieces, for a model that is not in memory: rows first_row .. first_row + n_rows - 1
 * [n_rows, columns] of the parameters of the table, in any order, each once. A piece of a matrix
 * has a multiple of LM_PANEL rows from a multiple of LM_PANEL on, or reaches the last row; a vector
 * is one row. _begin: NULL with LM_ERR_LIMIT, LM_ERR_MEMORY or LM_ERR_STOPPED; the writer takes
 * memory for no weight. _put_rows: LM_ERR_ARGUMENT for rows without a place in the image. _end
 * frees the writer, and fails with LM_ERR_FORMAT where rows are missing, or n-grams had values out
 * of range: such an image is for nobody. The table of _begin outlives the writer.
 */
typedef struct LmImageWriter LmImageWriter;
LmImageWriter *lm_image_begin(const LmHost *host, void *image, const LmParamTable *table,
							  const LmWeightType *type, LmError *error);
bool lm_image_put_rows(LmImageWriter *writer, const LmParam *param, int first_row, int n_rows,
					   const float *rows, LmError *error);
bool lm_image_end(LmImageWriter *writer, LmError *error);

/*
 * An open model: pointers into an image, and into an adapter where it has one. Read-only, so that
 * several sessions may share it.
 */
typedef struct LmModel LmModel;

/*
 * A model over an image of size bytes, which must outlive it. Checks the header and reads no
 * weight, so it is cheap. NULL with LM_ERR_FORMAT, LM_ERR_LIMIT or LM_ERR_MEMORY; freed by
 * lm_model_close.
 */
LmModel *lm_model_open(const LmHost *host, const void *image, size_t size, LmError *error);
/*
 * The block of an adapter, which lies beside the image of its base (lm_config_base of its
 * configuration, with or without a classifier's head: the adapter's head replaces it), whose type
 * it depends on. It is small and aligned to 64; _build fills it from a parameter block of the
 * adapter. LM_ERR_ARGUMENT for a configuration without an adapter, LM_ERR_LIMIT on overflow,
 * LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_adapter_size(size_t *size, const LmConfig *config, const LmWeightType *type,
					 LmError *error);
bool lm_adapter_build(void *adapter, const float *block, const LmParamTable *table,
					  const LmWeightType *type, const LmHost *host, LmError *error);

/*
 * A model over an image and an adapter, which must outlive it; several adapters may share an image.
 * LM_ERR_FORMAT when they do not fit.
 */
LmModel *lm_model_open_adapter(const LmHost *host, const void *image, size_t size,
							   const void *adapter, size_t adapter_size, const LmConfig *config,
							   LmError *error);

/*
 * Folds a layer of an adapter into a parameter block of its base: w += scale B A. It is not stopped
 * midway, so that a layer is either whole or untouched.
 */
void lm_adapter_merge(LmEngine *engine, float *block, const LmParamTable *table,
					  const float *adapter, const LmParamTable *adapter_table, int layer);

/*
 * The same for one parameter w [param->rows, param->columns] of the base; false, and w as it is,
 * where the adapter adds nothing to it. With w NULL only the answer.
 */
bool lm_adapter_merge_param(LmEngine *engine, float *w, const LmParam *param, const float *adapter,
							const LmParamTable *adapter_table);

/* Copies a classifier's head between blocks, where both have one of the same shape. */
void lm_adapter_copy_head(float *block, const LmParamTable *table, const float *from,
						  const LmParamTable *from_table);

/* Frees the model, not its image or adapter; NULL is fine. */
void lm_model_close(LmModel *model);
/* The configuration and the type of the packed weights; they live as long as the model. */
const LmConfig *lm_model_config(const LmModel *model);
const LmWeightType *lm_model_weight_type(const LmModel *model);

/*
 * The paged KV cache. A page holds keys and values of LM_PAGE (ops.h) positions of all layers.
 * Pages have reference counts, so that sequences with a common beginning share its full pages.
 */
typedef struct LmPages LmPages;

/* n_pages free pages; NULL with LM_ERR_LIMIT or LM_ERR_MEMORY. _free accepts NULL. */
LmPages *lm_pages_create(const LmHost *host, const LmModel *model, int n_pages, LmError *error);
void lm_pages_free(LmPages *pages);
size_t lm_pages_size(const LmConfig *config, int n_pages); /* bytes; 0 on overflow */

/*
 * A sequence: the pages that hold its past. Zero it; n_positions is how many positions are filled.
 */
typedef struct LmSequence
{
	/*
	 * Positions of its prefix (LmArchitecture), set before the first input; a decoder has no use
	 * for it. Inputs of the prefix must come in one call.
	 */
	int prefix;
	/*
	 * Whose adapter its rows have, set before the first input: NULL, the model of the call, or one
	 * over the same image, with another adapter or none.
	 */
	const LmModel *model;
	int n_positions;
	int n_pages;
	int *pages; /* [ceil(context / LM_PAGE)], owned by the sequence */
} LmSequence;

/* Allocates an empty sequence's table of pages, for the model's context. LM_ERR_MEMORY. */
bool lm_sequence_create(LmSequence *sequence, const LmHost *host, const LmModel *model,
						LmError *error);
/* Forgets positions from n_positions on, giving back pages. */
void lm_sequence_truncate(LmSequence *sequence, LmPages *pages, int n_positions);
/*
 * Makes sequence share the full pages of the first n_positions of other (rounded down to LM_PAGE);
 * returns the number of positions that it now has.
 */
int lm_sequence_share(LmSequence *sequence, const LmSequence *other, LmPages *pages,
					  int n_positions);
/* Makes sequence share all positions of other; the one that goes on copies the last page. */
void lm_sequence_fork(LmSequence *sequence, const LmSequence *other, LmPages *pages);
/* Gives back the pages and frees the table. */
void lm_sequence_free(LmSequence *sequence, LmPages *pages, const LmHost *host);

/* One token of a ragged call. Tokens of a sequence follow each other, in the order of positions. */
typedef struct LmInput
{
	int32_t token;
	int32_t sequence; /* index into the sequences of the call */
	int32_t position; /* must be the sequence's next */
	bool wanted; /* compute logits of this row */
} LmInput;

/*
 * Runs n inputs and writes logits [wanted rows, vocabulary] in input order. The bits of a row
 * depend on its own tokens and adapter alone: not on the other sequences, on how a prompt is cut
 * into calls, or on threads. workspace has at least lm_infer_workspace(model, n, n_wanted, threads)
 * bytes, aligned to 64. LM_ERR_ARGUMENT for a token or a position out of range, an adapter of
 * another base, a prefix in parts, or a wanted row of an encoder, LM_ERR_LIMIT when pages run out,
 * LM_ERR_STOPPED.
 */
bool lm_infer(float *logits, LmEngine *engine, const LmModel *model, LmPages *pages,
			  LmSequence *sequences, int n_sequences, const LmInput *inputs, int n, void *workspace,
			  LmError *error);

/*
 * The same, with the normalised output of the last block, [wanted rows, channels], in the place of
 * logits. Of a prefix beside a decoder it is that of the encoder; then no other row is wanted.
 */
bool lm_infer_hidden(float *hidden, LmEngine *engine, const LmModel *model, LmPages *pages,
					 LmSequence *sequences, int n_sequences, const LmInput *inputs, int n,
					 void *workspace, LmError *error);
/* Bytes of workspace of either function; grows with each argument. */
size_t lm_infer_workspace(const LmModel *model, int n, int n_wanted, int n_threads);

#endif /* LM_MODEL_H */

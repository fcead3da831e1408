/*
 * include/store/weights.h
 *
 * Weights between a parameter block and the large object that keeps them: a valid safetensors file.
 *
 *   | header size: uint64, little-endian | header: JSON, padded with spaces | tensors, without
 *   gaps |
 *
 * The data begins at a multiple of 64 bytes. Tensors stand in the order of the parameter table,
 * under the names that Hugging Face's tools give them. Each has a type of its own: training writes
 * float32, an import keeps the types of its source. F32, F16 and BF16 are safetensors' own types.
 * Blocks of GGUF have the type U8 and the shape [rows, bytes of a row]; the metadata's "gpt.blocks"
 * is JSON text with their names: {"model.layers.0.mlp.down_proj.weight": "Q4_K", ...}. Its
 * "gpt_config" is the configuration, and "gpt_extras" (not in each file) says how the model's texts
 * are written (gpt_extras_of_texts), both as JSON text.
 */
#ifndef GPT_WEIGHTS_H
#define GPT_WEIGHTS_H

#include "engine/block_type.h"
#include "engine/params.h"
#include "store/blob.h"
#include "utils/uuid.h"

struct GptVersion;

/* The parameter table of a valid configuration, in the current memory context. */
extern LmParamTable *gpt_weights_table(const LmConfig *config);

/* ---- Writing: src/store/weights_write.c --------------------------------- */

/* What a file says besides its tensors. */
typedef struct GptWeightsNotes
{
	const char *labels; /* of a classifier, in the form of lm_dataset_labels; else NULL */
	const char *extras; /* of the version (store/model_extras.h), or NULL */
	const pg_uuid_t *run_id; /* NULL: the file is an export */
} GptWeightsNotes;

/* Appends the file to an empty object. */
extern void gpt_weights_write(GptBlob *blob, const LmParamTable *table, const float *block,
							  const GptWeightsNotes *notes);

/*
 * The same for tensors whose bytes the caller has, in types of their own. types has
 * table->n_tensors elements: one for each part of each parameter, in the table's order (NULL: all
 * are F32). A vector's type has no blocks, and a matrix's blocks must divide its columns. _append
 * takes the bytes of all tensors in that order, in pieces of any size. _end raises an error unless
 * all bytes have come, and frees the writer.
 */
typedef struct GptWeightsWriter GptWeightsWriter;
extern GptWeightsWriter *gpt_weights_begin(GptBlob *blob, const LmParamTable *table,
										   const LmBlockType *const *types,
										   const GptWeightsNotes *notes);
extern void gpt_weights_append(GptWeightsWriter *writer, const void *bytes, size_t size);
/*
 * The next values of the file, in types that have an encoding; and a whole parameter [rows,
 * columns], or rows of it in the order in which gpt_weights_scan gives them.
 */
extern void gpt_weights_append_values(GptWeightsWriter *writer, const float *values, size_t count);
extern void gpt_weights_append_rows(GptWeightsWriter *writer, const LmParam *param, int n_rows,
									const float *rows);
extern void gpt_weights_end(GptWeightsWriter *writer);

/*
 * Bytes of a part in a file, and of one of its rows there; false where blocks of the type do not
 * divide a row.
 */
extern bool gpt_weights_part_size(size_t *size, size_t *row_size, const LmParam *param,
								  const LmFilePart *part, const LmBlockType *type);

/* ---- Reading: src/store/weights.c --------------------------------------- */

/*
 * Reads the object into a block of table->total floats. Raises ERRCODE_DATA_CORRUPTED, naming model
 * and version, if size or sha256 of the object differ from the catalog, or if it does not fit the
 * table.
 */
extern void gpt_weights_read(float *block, const LmParamTable *table,
							 const struct GptVersion *version);

/*
 * The same in pieces: take gets the parameters in table order, each in one or more calls, as rows
 * first_row .. first_row + n_rows - 1 of the engine's matrix, float32 [n_rows, param->columns].
 * Each row comes once, not always in order. A piece of a matrix begins at a multiple of LM_PANEL
 * rows and has a multiple of LM_PANEL rows or reaches the last one; a vector is one row. take must
 * not believe any value before _scan has returned. _memory is what it allocates at most: a few MB,
 * or the largest matrix that goes through memory as a whole, because the file has it transposed.
 */
typedef void (*GptTakeRows)(void *into, const LmParam *param, int first_row, int n_rows,
							const float *rows);
extern void gpt_weights_scan(const struct GptVersion *version, const LmParamTable *table,
							 GptTakeRows take, void *into);
extern size_t gpt_weights_memory(const LmParamTable *table);

/*
 * The bytes themselves, in order: _open reads and checks the header, _type says the type of tensor
 * number i, _raw reads the next bytes of the tensors, and _close checks that the whole file is the
 * one that was published, which nobody must believe before, and frees the reader.
 */
typedef struct GptWeightsReader GptWeightsReader;
extern GptWeightsReader *gpt_weights_open(const struct GptVersion *version,
										  const LmParamTable *table);
extern const LmBlockType *gpt_weights_type(const GptWeightsReader *reader, int i);
extern void gpt_weights_raw(GptWeightsReader *reader, void *bytes, size_t size);
extern void gpt_weights_close(GptWeightsReader *reader);
/* Frees a reader of which only the header was wanted. */
extern void gpt_weights_abandon(GptWeightsReader *reader);

/*
 * The type in which training an adapter keeps the matrices of the version's blocks in memory, by
 * the types that they have in its file: that of all where it is one of 16 bits, Q8_0 for blocks
 * where these divide the rows (Dettmers et al. 2023 train on quantised bases), else F32. Reads the
 * header only.
 */
extern const LmBlockType *gpt_weights_base_type(const struct GptVersion *version);

/* Whose object a version's oid refers to. */
typedef enum GptBelonging
{
	GPT_WEIGHTS_GONE, /* there is no object, or it has the id of another run */
	/* no run's id, or nearly ours: our object, damaged, or one that is not ours */
	GPT_WEIGHTS_ALTERED,
	GPT_WEIGHTS_OURS, /* it has the run's id */
} GptBelonging;

/*
 * The state of a version's object, from one row of pg_largeobject: once our object is gone, any
 * object can get its oid. The content hash finds out a forger who copies our header.
 */
extern GptBelonging gpt_weights_belonging(Oid object, const pg_uuid_t *run_id);

#endif /* GPT_WEIGHTS_H */

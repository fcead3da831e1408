/*
 * include/store/weights.h
 *
 * Weights between a parameter block and the large object that keeps them: a valid safetensors file.
 *
 *   | header size: uint64, little-endian | header: JSON, padded with spaces | tensors, without
 *   gaps |
 *
 * The data begins at a multiple of 64 bytes. Tensors stand in the order of the parameter table,
 * under the names that Hugging Face's tools give them, as float32.
 */
#ifndef GPT_WEIGHTS_H
#define GPT_WEIGHTS_H

#include "engine/params.h"
#include "store/blob.h"
#include "utils/uuid.h"

/* The parameter table of a valid configuration, in the current memory context. */
extern LmParamTable *gpt_weights_table(const LmConfig *config);

/*
 * Appends the file to an empty object. labels: of a classifier, in the form of lm_dataset_labels;
 * else NULL.
 */
extern void gpt_weights_write(GptBlob *blob, const LmParamTable *table, const float *block,
							  const char *labels, const pg_uuid_t *run_id);

/*
 * Reads the object into a block of table->total floats. Raises ERRCODE_DATA_CORRUPTED, naming model
 * and version, if size or sha256 of the object differ from the catalog, or if it does not fit the
 * table.
 */
struct GptVersion;
extern void gpt_weights_read(float *block, const LmParamTable *table,
							 const struct GptVersion *version);

/*
 * The same, but floats of the block from number `first` on are stored in tail[0] and following;
 * with tail NULL they are skipped.
 */
extern void gpt_weights_read_parts(float *block, size_t first, float *tail,
								   const LmParamTable *table, const struct GptVersion *version);

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

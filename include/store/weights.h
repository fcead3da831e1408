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

/* The parameter table of a configuration that has been checked, in the current memory context. */
extern LmParamTable *gpt_weights_table(const LmConfig *config);

/*
 * Appends the file to an empty object. labels: the names of a classifier's, as lm_dataset_labels
 * gives them.
 */
extern void gpt_weights_write(GptBlob *blob, const LmParamTable *table, const float *block,
							  const char *labels, const pg_uuid_t *run_id);

/*
 * Reads the object into a block of table->total floats. ERRCODE_DATA_CORRUPTED, naming the model
 * and version, when the object's size or sha256 is not that of the catalog or it does not fit the
 * table.
 */
struct GptVersion;
extern void gpt_weights_read(float *block, const LmParamTable *table,
							 const struct GptVersion *version);

/*
 * The same, where the parameters from a block's float number `first` on are not wanted there: they
 * go to tail, which takes the block's place from that float on, or nowhere (NULL).
 */
extern void gpt_weights_read_parts(float *block, size_t first, float *tail,
								   const LmParamTable *table, const struct GptVersion *version);

typedef enum GptBelonging
{
	GPT_WEIGHTS_GONE, /* there is no object, or it bears another run's id */
	/* an object without a run's id, or with nearly ours: ours, ruined, or a stranger's */
	GPT_WEIGHTS_ALTERED,
	GPT_WEIGHTS_OURS, /* it bears the run's id */
} GptBelonging;

/*
 * The state of a version's object: an oid can be taken by anybody's object once ours is
 * gone. One row of pg_largeobject answers. A forger who copies our header fails at the content
 * hash.
 */
extern GptBelonging gpt_weights_belonging(Oid object, const pg_uuid_t *run_id);

#endif /* GPT_WEIGHTS_H */

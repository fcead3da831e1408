/*
 * include/engine/safetensors.h
 *
 * The header of a safetensors file: https://github.com/huggingface/safetensors#format.
 *
 *   | u64 size of the header | header: JSON, padded with blanks | tensors, without gaps |
 *
 *   {"__metadata__": {"key": "text", ...}, "name": {"dtype": "F32", "shape": [2, 3],
 *   "data_offsets": [0, 24]}, ...}
 *
 * The reader takes this grammar and nothing else: no other fields, no field twice, no fractions,
 * signs or exponents in numbers, no escapes in names.
 */
#ifndef LM_SAFETENSORS_H
#define LM_SAFETENSORS_H

#include "engine/file.h"

/* The limits of a file that is read; that of the header is the format's own. */
#define LM_SAFETENSORS_MOST_HEADER 100000000
#define LM_SAFETENSORS_MOST_TENSORS 65535
#define LM_SAFETENSORS_MOST_TEXTS 65535
#define LM_SAFETENSORS_KEY 255 /* bytes of a key of the metadata; longer ones are passed over */

typedef struct LmSafetensors LmSafetensors;

/*
 * Reads the header and checks all of it: grammar, limits, names, duplicates, and that the tensors
 * have the bytes of their types and shapes and fill the file. It allocates only when it has seen
 * all of the header, less than 1 kB and LM_SAFETENSORS_MEMORY bytes for each byte of the header.
 * NULL with an error that names the tensor. The file's context must outlive the result.
 *
 * A tensor's type is NULL where it is neither F32, F16 nor BF16; type_name is its dtype.
 */
#define LM_SAFETENSORS_MEMORY 4
LmSafetensors *lm_safetensors_open(const LmFile *file, const LmHost *host, LmError *error);
void lm_safetensors_close(LmSafetensors *safetensors);

/* Tensors in the order of the header; by name, or NULL. */
size_t lm_safetensors_n_tensors(const LmSafetensors *safetensors);
const LmFileTensor *lm_safetensors_tensor(const LmSafetensors *safetensors, size_t i);
const LmFileTensor *lm_safetensors_find(const LmSafetensors *safetensors, const char *name);

/* Whether the metadata have a key. */
bool lm_safetensors_has_text(const LmSafetensors *safetensors, const char *key);

/*
 * The text of a key, of at most `most` bytes as it stands in the file, its escapes resolved, and a
 * zero byte after it, in memory of the host that the caller frees by lm_free. NULL with an error,
 * also for a text with a zero byte inside. The bytes need not be valid UTF-8.
 */
char *lm_safetensors_text(const LmSafetensors *safetensors, const char *key, size_t most,
						  LmError *error);

#endif /* LM_SAFETENSORS_H */

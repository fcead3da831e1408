/*
 * include/engine/gguf_writer.h
 *
 * Writes a GGUF file, version 3, in the order of its bytes (include/engine/gguf.h has the layout):
 * counts, keys, tensors, and the data of each tensor. A call that fails makes all later ones do
 * nothing; lm_gguf_writer_end() reports the failure.
 */
#ifndef LM_GGUF_WRITER_H
#define LM_GGUF_WRITER_H

#include "engine/gguf.h"

#define LM_GGUF_WRITER_BUFFER 4096

/* The state of a file that is written; the memory is the caller's. */
typedef struct LmGgufWriter
{
	/* Takes the next bytes of the file; false where it cannot. Must not jump out of the engine. */
	bool (*write)(void *context, const void *bytes, size_t size);
	void *context;
	uint64_t at; /* bytes so far */
	uint64_t n_keys; /* that are still to come */
	uint64_t n_tensors;
	uint64_t n_items; /* of the array that was begun */
	LmGgufType item_type;
	uint64_t data_size; /* of the tensors named so far, each padded */
	uint64_t data_begin; /* 0 until the data begin */
	size_t filled;
	LmError error; /* the first failure; code LM_OK without */
	uint8_t buffer[LM_GGUF_WRITER_BUFFER];
} LmGgufWriter;

/* Begins a file with so many keys and tensors. */
void lm_gguf_writer_start(LmGgufWriter *writer,
						  bool (*write)(void *context, const void *bytes, size_t size),
						  void *context, uint64_t n_keys, uint64_t n_tensors);

/* A key with a number: type is one of the integers, or LM_GGUF_BOOL with 0 or 1; the value fits. */
void lm_gguf_write_integer(LmGgufWriter *writer, const char *key, LmGgufType type, int64_t value);
void lm_gguf_write_float(LmGgufWriter *writer, const char *key, float value);
void lm_gguf_write_string(LmGgufWriter *writer, const char *key, const void *bytes, size_t size);

/* A key with an array of n items, followed by n calls for items of the type. */
void lm_gguf_write_array(LmGgufWriter *writer, const char *key, LmGgufType item_type, uint64_t n);
void lm_gguf_write_integer_item(LmGgufWriter *writer, int64_t value);
void lm_gguf_write_float_item(LmGgufWriter *writer, float value);
void lm_gguf_write_string_item(LmGgufWriter *writer, const void *bytes, size_t size);

/*
 * A tensor's entry: name, type and shape of the argument, and the next offset, at a multiple of 32.
 */
void lm_gguf_write_tensor(LmGgufWriter *writer, const LmFileTensor *tensor);

/* Bytes of a tensor, in the order of the entries; the last piece of one is followed by padding. */
void lm_gguf_write_data(LmGgufWriter *writer, const void *bytes, size_t size);
void lm_gguf_write_padding(LmGgufWriter *writer);

/* False where a call failed, or keys, tensors, items or data are missing. */
bool lm_gguf_writer_end(LmGgufWriter *writer, LmError *error);

#endif /* LM_GGUF_WRITER_H */

/*
 * src/store/export_gguf.h
 *
 * The keys of a GGUF file that is written, and the tokenizer among them.
 */
#ifndef GPT_EXPORT_GGUF_H
#define GPT_EXPORT_GGUF_H

#include "engine/gguf_writer.h"
#include "engine/tokenizer.h"
#include "store/blob.h"

/*
 * A GGUF file that goes into a large object. The engine's writer must not be left by an error of
 * the server, so its bytes wait in memory until the writer has returned.
 */
typedef struct GptGgufOutput
{
	LmGgufWriter writer;
	GptBlob *blob;
	char *waiting;
	size_t n_waiting;
} GptGgufOutput;

extern void gpt_gguf_start(GptGgufOutput *output, GptBlob *blob, uint64 n_keys, uint64 n_tensors);
/* Writes what waits; call it after each few calls of the writer. */
extern void gpt_gguf_flush(GptGgufOutput *output);
/* Bytes of a tensor, as GptExportTake. */
extern void gpt_gguf_take(void *output, const void *bytes, size_t size);
extern void gpt_gguf_end(GptGgufOutput *output);

/*
 * Writes the keys of a tokenizer, or counts them where output is NULL. Raises
 * ERRCODE_FEATURE_NOT_SUPPORTED for one that llama.cpp does not have.
 */
extern int gpt_gguf_tokenizer(GptGgufOutput *output, const LmTokenizerSpec *spec);

#endif /* GPT_EXPORT_GGUF_H */

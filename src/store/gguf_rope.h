/*
 * src/store/gguf_rope.h
 *
 * Parts of the reader and writer of GGUF's metadata: values of keys, and the scaling of rotations.
 */
#ifndef GPT_GGUF_ROPE_H
#define GPT_GGUF_ROPE_H

#include "core/compat.h"
#include "store/gguf_config.h"

/* The value of key "architecture.name"; NULL if it is missing. _number raises for another type. */
extern const GptGgufValue *gpt_gguf_value(const GptGgufValues *values, const char *architecture,
										  const char *name);
extern double gpt_gguf_number(const GptGgufValues *values, const char *architecture,
							  const char *name, double absent);

/* Raises the error for a key outside the family; supported: a full sentence, or NULL. */
pg_noreturn extern void gpt_gguf_refuse(const GptGgufValue *value, const char *supported);

/* Appends a key. */
extern GptGgufValue *gpt_gguf_put(GptGgufValues *values, const char *architecture, const char *name,
								  LmGgufType type, double number);

/* src/store/gguf_rope.c: rope_scaling and its numbers, both ways. */
extern void gpt_gguf_read_scaling(LmConfig *config, const GptGgufValues *values,
								  const char *architecture);
extern void gpt_gguf_write_scaling(GptGgufValues *values, const LmConfig *config,
								   const char *architecture);

#endif /* GPT_GGUF_ROPE_H */

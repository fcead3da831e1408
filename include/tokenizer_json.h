/*
 * include/tokenizer_json.h
 *
 * Tokenizers as Hugging Face's tokenizer.json, the form in which they are stored and exchanged.
 *
 *   BPE    model BPE over the ByteLevel alphabet, split by GPT-2's or another regular expression
 *   BYTES  the same with 256 tokens, no merges and no split
 *   CHARS  model WordLevel, split at every code point
 */
#ifndef GPT_TOKENIZER_JSON_H
#define GPT_TOKENIZER_JSON_H

#include "engine/tokenizer.h"

#define GPT_TOKENIZER_JSON_MAX (64 * 1024 * 1024) /* bytes */

/* The text of a tokenizer.json, palloc'd and with a NUL behind its *size bytes; the same for equal descriptions. */
extern char *gpt_tokenizer_to_json(const LmTokenizerSpec *spec, size_t *size);

/*
 * The description that a tokenizer.json, or an object {"encoder": vocabulary, "merges": text of vocab.bpe}, stands
 * for, palloc'd. Error when it is malformed, or needs what the engine does not do. Ids, merges and sizes are checked
 * as a whole by lm_tokenizer_create.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_json(const char *json, size_t size);

/*
 * The alphabet of ByteLevel (Radford et al. 2019, encoder.py): printable bytes of Latin-1 stand for themselves, the
 * other 68 for U+0100 and following, in order.
 */
extern int gpt_byte_to_letter(int byte);
/* The byte that a code point stands for, or -1. */
extern int gpt_letter_to_byte(int letter);

#endif /* GPT_TOKENIZER_JSON_H */

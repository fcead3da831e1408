/*
 * include/store/tokenizer_json.h
 *
 * Tokenizers as text: the tokenizer.json of Hugging Face's tokenizers, which is also the form that
 * the database keeps.
 *
 *   kind     model                    pre_tokenizer                                       decoder
 *   BPE      BPE                      ByteLevel, or Split by a pattern and ByteLevel      ByteLevel
 *   BYTES    BPE of 256, no merges    ByteLevel without a pattern                         ByteLevel
 *   CHARS    WordLevel                Split into single characters                        Fuse
 *
 * Special tokens are the added tokens; NFC is the normalizer; a token in front of the text, and one
 * behind it that is not known by its name, are a TemplateProcessing.
 */
#ifndef GPT_TOKENIZER_JSON_H
#define GPT_TOKENIZER_JSON_H

#include "engine/tokenizer.h"

#define GPT_MAX_TOKENIZER_SIZE (64 * 1024 * 1024)

/*
 * The text of a tokenizer, palloc'd with a NUL after it; *size without it. The same spec always
 * gives the same bytes, and gpt_tokenizer_from_json gives the spec back.
 */
extern char *gpt_tokenizer_to_json(const LmTokenizerSpec *spec, size_t *size);

/*
 * The description in a tokenizer.json, in the current memory context. Also takes the two files of
 * GPT-2 as published, as one object: {"encoder": {"token": id, ...}, "merges": "text of
 * vocab.bpe"}. `truncation` and `padding` are ignored. ERROR with a detail for what is malformed
 * (class 22, data exception), and by its name for a feature that would change tokens and is not
 * supported. The engine still has to check the spec.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_json(const char *json, size_t size);

/* The special token that ends texts by its well-known name, or -1. */
extern int32_t gpt_tokenizer_end_by_name(const LmTokenizerSpec *spec);

/* Names that the reader and the writer share. */
/* ByteLevel without a pattern: the text is one piece */
#define GPT_PATTERN_WHOLE "(?s:.+)"
#define GPT_PATTERN_CHARACTER "[\\s\\S]" /* Split of a tokenizer of characters */

#endif /* GPT_TOKENIZER_JSON_H */

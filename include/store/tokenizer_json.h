/*
 * include/store/tokenizer_json.h
 *
 * Tokenizers as text: the tokenizer.json of Hugging Face's tokenizers, which is also the form that
 * the database keeps.
 *
 *   kind           model                  pre_tokenizer                              decoder
 *   BPE            BPE                    ByteLevel, or Splits by patterns before it ByteLevel
 *   BYTES          BPE of 256, no merges  ByteLevel without a pattern                ByteLevel
 *   CHARS          WordLevel              Split into single characters               Fuse
 *   SENTENCEPIECE  BPE, byte_fallback     none, or Metaspace                         Replace, Strip
 *   UNIGRAM        Unigram                none, or Metaspace                         Replace, Strip
 *
 * Special tokens are added tokens; NFC, NFKC, and Prepend and Replace of SentencePiece's spaces are
 * the normalizers. A token before the text, and a token after it whose name is not a well-known
 * one, are a TemplateProcessing.
 */
#ifndef GPT_TOKENIZER_JSON_H
#define GPT_TOKENIZER_JSON_H

#include "lib/stringinfo.h"

#include "engine/tokenizer.h"

#define GPT_MAX_TOKENIZER_SIZE (64 * 1024 * 1024)

/*
 * Writes a tokenizer as text, palloc'd, with a NUL after *size bytes. Equal specs give equal bytes,
 * and gpt_tokenizer_from_json restores the spec.
 */
/*
 * A token as the vocabulary of its kind spells it, in scratch memory: in ByteLevel's letters, or
 * with U+2581 for a space.
 */
extern const char *gpt_tokenizer_spell(StringInfo scratch, const LmTokenizerSpec *spec, int id);

extern char *gpt_tokenizer_to_json(const LmTokenizerSpec *spec, size_t *size);

/*
 * Reads a tokenizer.json into the current memory context. Also takes the two published files of
 * GPT-2 as one object: {"encoder": {"token": id, ...}, "merges": "text of vocab.bpe"}. `truncation`
 * and `padding` are ignored. Raises an error with a detail for malformed text (class 22, data
 * exception), and for an unsupported feature that would change tokens. The engine still has to
 * check the spec.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_json(const char *json, size_t size);

/* The id of the special token with a well-known name for the end of a text; -1 if there is none. */
extern int32_t gpt_tokenizer_end_by_name(const LmTokenizerSpec *spec);

/* Names that the reader and the writer share. */
/* ByteLevel without a pattern: the text is one piece */
#define GPT_PATTERN_WHOLE "(?s:.+)"
#define GPT_PATTERN_CHARACTER "[\\s\\S]" /* Split of a tokenizer of characters */

#endif /* GPT_TOKENIZER_JSON_H */

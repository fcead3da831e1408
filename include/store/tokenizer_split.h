/*
 * include/store/tokenizer_split.h
 *
 * Splits of well-known vocabularies (src/store/tokenizer_split.c).
 */
#ifndef GPT_TOKENIZER_SPLIT_H
#define GPT_TOKENIZER_SPLIT_H

/*
 * The split patterns of a well-known vocabulary by its name in GGUF ("llama-bpe", "qwen2") or of
 * the vocabulary ("cl100k", "o200k", "gpt2"), palloc'd, up to the first NULL. NULL for an unknown
 * name.
 */
extern const char **gpt_tokenizer_split(const char *name);

#endif /* GPT_TOKENIZER_SPLIT_H */

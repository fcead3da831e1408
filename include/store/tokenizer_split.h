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

/*
 * The same for the value of an option "split": such a name, or a regular expression of ICU, which
 * has a character that names do not have. An error lists the names. The engine still has to compile
 * the expression.
 */
extern const char **gpt_tokenizer_split_option(const char *value);

/* Raises an error if the option is given for a kind of file that has a split of its own, or none.
 */
extern void gpt_tokenizer_refuse_split(const char *split, const char *file);

#endif /* GPT_TOKENIZER_SPLIT_H */

/*
 * include/core/lora_targets.h
 *
 * Words for the layers that an adapter changes.
 */
#ifndef GPT_LORA_TARGETS_H
#define GPT_LORA_TARGETS_H

/*
 * The layers of LmConfig.lora_targets as words, separated by ", ", palloc'd; and back: 0 for what
 * is no such list.
 */
extern char *gpt_lora_targets_words(int targets);
extern int gpt_lora_targets_parse(const char *text, size_t length);

#endif /* GPT_LORA_TARGETS_H */

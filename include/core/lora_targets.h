/*
 * include/core/lora_targets.h
 *
 * Words for the layers that an adapter changes.
 */
#ifndef GPT_LORA_TARGETS_H
#define GPT_LORA_TARGETS_H

/*
 * LmConfig.lora_targets as words, separated by ", " and palloc'd, and back. _parse returns 0 for a
 * text that is no such list.
 */
extern char *gpt_lora_targets_words(int targets);
extern int gpt_lora_targets_parse(const char *text, size_t length);

#endif /* GPT_LORA_TARGETS_H */

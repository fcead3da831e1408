/*
 * include/nice.h
 *
 * The priority of a training process, by gpt.nice. Threads started later inherit it.
 */
#ifndef GPT_NICE_H
#define GPT_NICE_H

/* Failures are ignored: a lower priority is a courtesy. */
extern void gpt_nice_apply(void);

#endif /* GPT_NICE_H */

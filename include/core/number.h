/*
 * include/core/number.h
 *
 * Numbers as messages write them.
 */
#ifndef GPT_NUMBER_H
#define GPT_NUMBER_H

/* The shortest text that reads back as the value, palloc'd; integers have no exponent. */
extern char *gpt_number_text(double value);

#endif /* GPT_NUMBER_H */

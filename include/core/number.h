/*
 * include/core/number.h
 *
 * Numbers as messages write them.
 */
#ifndef GPT_NUMBER_H
#define GPT_NUMBER_H

/* palloc'd: integers without an exponent, and different numbers differ. */
extern char *gpt_number_text(double value);

#endif /* GPT_NUMBER_H */

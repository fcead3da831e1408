/*
 * include/core/ticks.h
 *
 * The ticks of an axis at round numbers: steps of 1, 2 or 5 times a power of ten (Heckbert 1990,
 * "Nice numbers for graph labels", Graphics Gems). Charts of text and of HTML use them.
 */
#ifndef GPT_TICKS_H
#define GPT_TICKS_H

#define GPT_MOST_TICKS 24
#define GPT_TICK_TEXT 32 /* bytes of a tick's label */

/* The ticks of an axis: first, first + step, ... */
typedef struct GptTicks
{
	double first;
	double step; /* positive */
	int n; /* at least 1 */
	int decimals; /* that labels need, at most 12 */
} GptTicks;

/*
 * Ticks that lie within low .. high, about as many as wanted (2 to GPT_MOST_TICKS). Where low and
 * high are equal, or not finite, there is one tick, at low or 0.
 */
extern void gpt_ticks(GptTicks *ticks, double low, double high, int wanted);

/*
 * Widens low .. high to the ticks around them, so that an axis begins and ends with one. Equal ends
 * become an axis around them.
 */
extern void gpt_ticks_around(GptTicks *ticks, double *low, double *high, int wanted);

extern double gpt_tick_value(const GptTicks *ticks, int number);

/*
 * The label of a tick in text [GPT_TICK_TEXT]: with as many decimals as the step needs, large
 * numbers as 20k and 3M, small ones with an exponent.
 */
extern void gpt_tick_text(char *text, const GptTicks *ticks, int number);

#endif /* GPT_TICKS_H */

/*
 * src/core/ticks.c
 *
 * From the ends of an axis to ticks at round numbers and their labels.
 */
#include "postgres.h"

#include <math.h>

#include "core/ticks.h"

#define NEARLY 1e-9 /* of a step: what rounding may cost */
#define SMALL_STEP 1e-4 /* labels of smaller steps have exponents */

/* The least of 1, 2 and 5 times a power of ten that is not less than a positive step. */
static double
round_step(double step)
{
	double power = pow(10, floor(log10(step)));
	double rest = step / power;

	return power * (rest <= 1 + NEARLY ? 1 : rest <= 2 + NEARLY ? 2 : rest <= 5 + NEARLY ? 5 : 10);
}

static void
set_step(GptTicks *ticks, double low, double high, int wanted)
{
	wanted = Max(2, Min(wanted, GPT_MOST_TICKS - 2));
	ticks->step = round_step((high - low) / wanted);
	ticks->decimals = Max(0, Min(12, (int) -floor(log10(ticks->step) + NEARLY)));
}

static bool
is_range(double low, double high)
{
	return isfinite(low) && isfinite(high) && high > low && isfinite(high - low) &&
		   high - low > 1e-12 * Max(fabs(low), fabs(high)) && high - low > 1e-290;
}

void
gpt_ticks(GptTicks *ticks, double low, double high, int wanted)
{
	if (!is_range(low, high))
	{
		*ticks = (GptTicks){isfinite(low) ? low : 0, 1, 1, 3};
		return;
	}
	set_step(ticks, low, high, wanted);
	ticks->first = ceil(low / ticks->step - NEARLY) * ticks->step;
	ticks->n = 1 + (int) floor((high - ticks->first) / ticks->step + NEARLY);
	ticks->n = Max(1, Min(ticks->n, GPT_MOST_TICKS));
}

void
gpt_ticks_around(GptTicks *ticks, double *low, double *high, int wanted)
{
	if (!is_range(*low, *high))
	{
		double middle = isfinite(*low) ? *low : 0;
		double half = middle != 0 ? fabs(middle) * 0.5 : 0.5;

		*low = middle - half;
		*high = middle + half;
	}
	if (!is_range(*low, *high))
	{
		*low = 0;
		*high = 1;
	}
	set_step(ticks, *low, *high, wanted);
	*low = floor(*low / ticks->step + NEARLY) * ticks->step;
	*high = ceil(*high / ticks->step - NEARLY) * ticks->step;
	ticks->first = *low;
	ticks->n = Min(1 + (int) floor((*high - *low) / ticks->step + 0.5), GPT_MOST_TICKS);
}

double
gpt_tick_value(const GptTicks *ticks, int number)
{
	double value = ticks->first + number * ticks->step;

	return fabs(value) < NEARLY * ticks->step ? 0 : value;
}

/* A number of thousands, millions ... as one with a letter. */
static void
write_scaled(char *text, double value, double step, double unit, const char *letter)
{
	int decimals = Max(0, Min(6, (int) -floor(log10(step / unit) + NEARLY)));

	snprintf(text, GPT_TICK_TEXT, "%.*f%s", decimals, value / unit, letter);
}

void
gpt_tick_text(char *text, const GptTicks *ticks, int number)
{
	double value = gpt_tick_value(ticks, number);
	double size = Max(fabs(value), ticks->step);

	if (size >= 1e15 || ticks->step < SMALL_STEP)
		snprintf(text, GPT_TICK_TEXT, "%.4g", value);
	else if (value == 0)
		strcpy(text, "0");
	else if (size >= 1e9)
		write_scaled(text, value, ticks->step, 1e9, "G");
	else if (size >= 1e6)
		write_scaled(text, value, ticks->step, 1e6, "M");
	else if (size >= 1e4)
		write_scaled(text, value, ticks->step, 1e3, "k");
	else
		snprintf(text, GPT_TICK_TEXT, "%.*f", ticks->decimals, value);
}

/*
 * src/core/number.c
 *
 * Numbers as messages write them.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"

#include "core/number.h"

char *
gpt_number_text(double value)
{
	char *text;

	if (value == floor(value) && fabs(value) < 1e16)
		return psprintf(INT64_FORMAT, (int64) value);
	text = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);
	double_to_shortest_decimal_buf(value, text);
	return text;
}

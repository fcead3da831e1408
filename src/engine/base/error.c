/*
 * src/engine/base/error.c
 *
 * Writes an error value.
 */
#include <stdarg.h>
#include <stdio.h>

#include "engine/error.h"

bool
lm_fail(LmError *error, LmErrorCode code, int64_t position, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return false;
	error->code = code;
	error->position = position;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof error->message, format, arguments);
	va_end(arguments);
	return false;
}

/*
 * include/engine/error.h
 *
 * How the engine fails: a function that can fail returns false or NULL and fills an LmError.
 * Arithmetic returns void and cannot fail. The server's bridge.c alone turns an LmError into an
 * error of the server.
 */
#ifndef LM_ERROR_H
#define LM_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* The kinds of failure; bridge.c maps each to an SQLSTATE. */
typedef enum LmErrorCode
{
	LM_OK = 0,
	LM_ERR_MEMORY, /* the host's allocator returned NULL */
	LM_ERR_STOPPED, /* the host's should_stop said yes; outputs are undefined */
	LM_ERR_ARGUMENT, /* a value the caller chose is out of range */
	LM_ERR_LIMIT, /* a size beyond what the engine supports */
	LM_ERR_FORMAT, /* bytes from outside are malformed; position says where */
	LM_ERR_ENCODING, /* text is not valid UTF-8, or has no token; position is the byte offset */
	LM_ERR_NUMERIC, /* NaN or infinity; position is the step */
	LM_ERR_LIBRARY, /* ICU or BLAS failed */
} LmErrorCode;

/* A failure; the memory is the caller's. */
typedef struct LmError
{
	LmErrorCode code;
	int64_t position; /* byte offset, step or index, -1 where it has no meaning */
	char message[200]; /* lower case, no period: the server's primary message */
} LmError;

/*
 * Fills error (which may be NULL) and returns false, so that callers can write `return
 * lm_fail(...)`.
 */
bool lm_fail(LmError *error, LmErrorCode code, int64_t position, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif /* LM_ERROR_H */

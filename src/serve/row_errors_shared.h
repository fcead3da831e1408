/*
 * src/serve/row_errors_shared.h
 *
 * The errors of rows that parallel workers met, on their way to the session (with preload).
 */
#ifndef GPT_ROW_ERRORS_SHARED_H
#define GPT_ROW_ERRORS_SHARED_H

#include "serve/row_errors.h"

/* src/serve/row_errors.c: as gpt_row_errors_add, for errors that were counted elsewhere. */
extern void gpt_row_errors_merge(const GptRowError *error);

#endif /* GPT_ROW_ERRORS_SHARED_H */

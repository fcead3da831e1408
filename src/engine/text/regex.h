/*
 * src/engine/text/regex.h
 *
 * The atoms of a regular expression.
 */
#ifndef LM_REGEX_H
#define LM_REGEX_H

#include "text/builder.h"

/* Fails with the position of what is wrong, a byte of the pattern. */
void lm_regex_fail(LmBuilder *builder, size_t at, const char *what);

/*
 * regex_class.c: reads the atom at *at, which is not a sign of the syntax, and pushes its language.
 */
void lm_regex_atom(LmBuilder *builder, const char *data, size_t size, size_t *at);

#endif /* LM_REGEX_H */

/*
 * src/engine/kernels/blas.h
 *
 * The matrix library that is loaded at run time.
 */
#ifndef LM_BLAS_H
#define LM_BLAS_H

#include <stdbool.h>

#include "engine/engine.h"

/*
 * Fills engine->blas. False with LM_ERR_LIBRARY when path names a file that cannot be used, or
 * LM_ERR_MEMORY; path "" loads nothing, NULL looks in the usual places and is content to find
 * nothing.
 */
bool lm_blas_load(LmEngine *engine, const char *path, LmError *error);

#endif /* LM_BLAS_H */

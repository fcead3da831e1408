#include "base/engine_private.h"
bool
lm_blas_load(LmEngine *engine, const char *path, LmError *error)
{
	return true;
}

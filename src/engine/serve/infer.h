/*
 * src/engine/serve/infer.h
 *
 * The size of inference's workspace, from a configuration alone.
 */
#ifndef LM_INFER_H
#define LM_INFER_H

#include "engine/model.h"

/* As lm_infer_workspace; 0 on overflow. */
size_t lm_infer_workspace_for(const LmConfig *config, int n, int n_wanted, int n_threads);

#endif /* LM_INFER_H */

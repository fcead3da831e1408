/*
 * src/engine/model/param_names.h
 *
 * The names of tensors in the files of other projects.
 */
#ifndef LM_PARAM_NAMES_H
#define LM_PARAM_NAMES_H

#include "engine/params.h"

/* Whether the files of the configuration's model_type have a tensor for a kind of parameters. */
bool lm_param_has_name(LmParamKind kind, const LmConfig *config);

/*
 * Sets the parts of a parameter, and how they differ from the engine's matrix, from its kind, layer
 * and size. lm_params_have_names was true of the configuration.
 */
void lm_param_set_names(LmParam *param, const LmConfig *config);

#endif /* LM_PARAM_NAMES_H */

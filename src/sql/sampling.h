/*
 * src/sql/sampling.h
 *
 * The arguments of the functions that generate, by their names: one reader serves all of them,
 * whatever their places in a declaration.
 */
#ifndef GPT_SAMPLING_H
#define GPT_SAMPLING_H

#include "serve/call.h"

/*
 * Names of arguments in the order of the declaration, NULL after the last. An argument that a
 * function does not have counts as NULL.
 */
typedef const char *const *GptArgumentNames;

/* The number of an argument; one beyond all numbers where there is none of the name. */
extern int gpt_argument_number(GptArgumentNames names, const char *name);

/*
 * Reads sampling, stop strings, beams and what else decides about the tokens of a generation into
 * call->request.sampling and call. NULL means the default of gpt_generate; or, with open, what the
 * model's extras say (store/model_extras.h), which gpt_sampling_complete puts in. Texts stay in the
 * arguments, which must outlive the call.
 */
extern void gpt_sampling_read(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names,
							  bool open);
extern void gpt_sampling_complete(LmSampling *sampling, const char *extras);

/* Raises an error where the sampling cannot be used with a constraint; name: of its argument. */
extern void gpt_sampling_check_constraint(const LmSampling *sampling, const char *name);

/* Completes a call for its model; as GptCallKind.prepare. */
extern bool gpt_sampling_prepare(GptCall *call, const GptServed *served, LmError *error);

#endif /* GPT_SAMPLING_H */

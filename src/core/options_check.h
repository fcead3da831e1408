/*
 * src/core/options_check.h
 *
 * Checks of options that need or exclude one another.
 */
#ifndef GPT_OPTIONS_CHECK_H
#define GPT_OPTIONS_CHECK_H

#include "core/options.h"

/* Raises an error for options that do not go together; each one has passed its own check before. */
extern void gpt_options_check(const GptTrainOptions *options);

/* Raises an error if one is given in json that has a meaning for several servers alone. */
extern void gpt_options_check_servers(const GptTrainOptions *options, Jsonb *json);

#endif /* GPT_OPTIONS_CHECK_H */

/*
 * include/serve/batching.h
 *
 * Transparent batching (gpt.batching): a planner hook that puts nodes into plans whose expressions
 * call models, and the node.
 */
#ifndef GPT_BATCHING_H
#define GPT_BATCHING_H

#include "serve/call.h"

/*
 * Called by _PG_init: installs the hooks of planner and executor and registers the node. batched:
 * the kinds of calls to batch, NULL after the last; it must live for ever.
 */
extern void gpt_batching_init(const GptCallKind *const *batched);

#endif /* GPT_BATCHING_H */

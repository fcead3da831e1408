/*
 * include/serve/batching.h
 *
 * Transparent batching (gpt.batching): a planner hook that puts a node over the plan whose select
 * list calls models, and the node.
 */
#ifndef GPT_BATCHING_H
#define GPT_BATCHING_H

#include "serve/call.h"
#include "nodes/extensible.h"

/*
 * Called by _PG_init: installs the planner hook and registers the node. batched: the kinds of calls
 * to batch, NULL after the last; it must live for ever.
 */
extern void gpt_batching_init(const GptCallKind *const *batched);

/* The kinds of calls that are batched, by number from 0; NULL after the last. */
extern const GptCallKind *gpt_batching_kind(int number);

/*
 * The node. Its scan tuples are the results of the calls, then the columns of the plan below.
 * custom_scan_tlist has the calls, with Vars of OUTER_VAR as arguments, then such Vars;
 * custom_private the numbers of the calls' kinds; custom_exprs the count and the offset of a LIMIT
 * that stands directly above (NULL: none), or nothing.
 */
extern const CustomScanMethods gpt_batching_scan;

#endif /* GPT_BATCHING_H */

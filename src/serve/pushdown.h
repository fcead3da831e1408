/*
 * src/serve/pushdown.h
 *
 * Calls of fixed versions go where the rows are: into the queries of postgres_fdw.
 */
#ifndef GPT_PUSHDOWN_H
#define GPT_PUSHDOWN_H

#include "nodes/plannodes.h"

/*
 * Changes the scans of foreign tables in a finished plan whose lists compute functions of a fixed
 * version ('m@3'::gpt_model_version): the other server computes them. Called before nodes are put
 * over scans. A server takes part if its option "extensions" names gpt.
 */
extern void gpt_pushdown(PlannedStmt *statement);

/*
 * src/serve/pushdown_aggregate.c: moves calls in arguments of the node's aggregates into the lists
 * of the scans below it, where one of these is a scan of another server and none is in the way.
 */
extern void gpt_pushdown_aggregate(Agg *plan, const PlannedStmt *statement);

/* Whether gpt_pushdown changes the scan with this call added to its list. */
extern bool gpt_pushdown_takes(const ForeignScan *scan, const PlannedStmt *statement, Node *call);

#endif /* GPT_PUSHDOWN_H */

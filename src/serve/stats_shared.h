/*
 * src/serve/stats_shared.h
 *
 * The counts of the server in shared memory (src/serve/stats_shared.c), for src/serve/stats.c.
 */
#ifndef GPT_STATS_SHARED_H
#define GPT_STATS_SHARED_H

#include "serve/stats.h"

/* Installs the hooks that make the shared memory. */
extern void gpt_stats_share(void);

/*
 * Adds the counts of a version. *slot: where it was the last time, or anything; set. Raises no
 * error. The functions of this file are called where gpt_stats_are_shared() only.
 */
extern void gpt_stats_shared_add(int *slot, const GptStatsKey *key, const int64 *counts,
								 TimestampTz now);

/*
 * What a parallel worker has counted goes to its leader, for EXPLAIN: _give adds all counts of the
 * worker's only transaction, _add_workers what all workers of this session ever gave.
 */
extern void gpt_stats_shared_give(const int64 *counts);
extern void gpt_stats_shared_add_workers(int64 *counts);

/* As gpt_stats_rows and gpt_stats_reset. */
extern GptStatsRow *gpt_stats_shared_rows(int *n, TimestampTz *since);
extern void gpt_stats_shared_reset(TimestampTz now);

#endif /* GPT_STATS_SHARED_H */

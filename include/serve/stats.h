/*
 * include/serve/stats.h
 *
 * What calls of models cost, by version. A session counts in its own memory; where the library is
 * preloaded, it adds that to the counts of the server at the end of each transaction, and about
 * once a second during a longer one. Without preload its own counts are all there is.
 *
 * There is room for GPT_STATS_VERSIONS versions. When it is full, the one that was called least
 * recently makes room, so that versions of dropped models and databases go.
 */
#ifndef GPT_STATS_H
#define GPT_STATS_H

#include "store/catalog.h"
#include "portability/instr_time.h"
#include "utils/timestamp.h"

#define GPT_STATS_VERSIONS 1024

/* What is counted, in the order of the columns of gpt_stat_models; times in nanoseconds. */
typedef enum GptStat
{
	GPT_STAT_CALLS,
	GPT_STAT_ROWS, /* texts that got an answer, NULL among them */
	GPT_STAT_ERRORS, /* calls, and elements of arrays, that ended in an error */
	GPT_STAT_TOKENS_IN,
	GPT_STAT_TOKENS_OUT,
	GPT_STAT_TOKENS_COMPUTED,
	GPT_STAT_BATCHES, /* texts that were given to the model together */
	GPT_STAT_TIME,
	GPT_STAT_FIRST_TOKENS, /* texts that got a first token ... */
	GPT_STAT_FIRST_TOKEN_TIME, /* ... and how long they waited for it */
	GPT_STAT_PREFIX_HITS,
	GPT_STAT_PREFIX_MISSES,
	GPT_STAT_PREFIX_TOKENS,
	GPT_STAT_PROPOSED, /* tokens, in speculative decoding ... */
	GPT_STAT_ACCEPTED, /* ... which texts got */
	GPT_STAT_IMAGE_HITS, /* models that a session loaded by an image that was there */
	GPT_STAT_IMAGE_MISSES,
	GPT_STATS
} GptStat;

/*
 * A version: its object, which is another one's after the model was dropped, hence the run's id.
 * A rename keeps both. weights 0: the database.
 */
typedef struct GptStatsKey
{
	Oid database;
	Oid weights;
	pg_uuid_t run_id;
} GptStatsKey;

/* The counts of a version. */
typedef struct GptStatsRow
{
	GptStatsKey key;
	int64 counts[GPT_STATS];
	TimestampTz since; /* nothing that was counted from then on is missing */
	TimestampTz used_at;
} GptStatsRow;

/* Called by _PG_init: asks for shared memory where the library is preloaded. */
extern void gpt_stats_init(void);

extern void gpt_stats_key(GptStatsKey *key, const GptVersion *version);

/*
 * Adds to the counts of a version, and to those of the session. A key of zeros is that of a model
 * without a version, which is not counted.
 */
extern void gpt_stats_add(const GptStatsKey *key, const int64 *counts);
extern void gpt_stats_count(const GptStatsKey *key, GptStat stat, int64 n);

/*
 * Between _begin and _end an error that is raised counts as one of the version's, and n_calls are
 * added, too. They cannot be nested.
 */
extern void gpt_stats_begin(const GptStatsKey *key, int n_calls);
extern void gpt_stats_end(void);

/* Hands the counts over to the server now if they have waited for a second; now: the time. */
extern void gpt_stats_flush_if_due(const instr_time *now);

/*
 * All that this session has counted since it began, with preload also its parallel workers up to
 * the ends of their transactions: counts[GPT_STATS], for differences.
 */
extern void gpt_stats_of_session(int64 *counts);

/* Whether counts are the server's; else they are the session's own. */
extern bool gpt_stats_are_shared(void);

/*
 * The versions of the current database that have counts, palloc'd. *since: the `since` of a version
 * that has none.
 */
extern GptStatsRow *gpt_stats_rows(int *n, TimestampTz *since);

/* Forgets the counts of the current database. */
extern void gpt_stats_reset(void);

#endif /* GPT_STATS_H */

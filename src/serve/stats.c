/*
 * src/serve/stats.c
 *
 * Counts of calls go in, by version; they wait in the memory of the session until they go to the
 * server's (src/serve/stats_shared.c), or stay here without preload.
 *
 * Errors are counted by the callbacks of the end of a (sub)transaction, so calls need no PG_TRY.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "serve/stats.h"
#include "serve/stats_shared.h"

#define FIRST_ENTRIES 8
#define FLUSH_MICROSECONDS 1000000

/* A version in the session. */
typedef struct Entry
{
	GptStatsRow row; /* with preload: what the server does not have yet */
	int slot; /* of the server */
	bool is_dirty; /* since the last flush */
	uint64 used; /* number of the last use */
} Entry;

static Entry *entries = NULL; /* [capacity] in TopMemoryContext */
static int n_entries = 0;
static int capacity = 0;
static int last = 0; /* the entry that was used last */
static bool is_dirty = false; /* any of them */
static uint64 n_uses = 0;
static TimestampTz reset_at = 0; /* without preload; 0: never */
static int running = -1; /* the entry of the call that runs */
static int running_calls = 0; /* that an error adds */
static uint64 flushed_at = 0; /* by gpt_stats_flush_if_due, in microseconds */
static int64 session_counts[GPT_STATS];

static TimestampTz began_at(void);
static Entry *entry_of(const GptStatsKey *key);
static int new_entry(const GptStatsKey *key);
static void fail_running(void);
static void flush(TimestampTz now);
static void at_transaction_end(XactEvent event, void *argument);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction,
								  SubTransactionId parent, void *argument);

void
gpt_stats_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		gpt_stats_share();
}

void
gpt_stats_key(GptStatsKey *key, const GptVersion *version)
{
	key->database = MyDatabaseId;
	key->weights = version->weights;
	key->run_id = version->run_id;
}

void
gpt_stats_add(const GptStatsKey *key, const int64 *counts)
{
	Entry *entry;

	if (!OidIsValid(key->weights))
		return;
	entry = entry_of(key);
	for (int i = 0; i < GPT_STATS; i++)
	{
		entry->row.counts[i] += counts[i];
		session_counts[i] += counts[i];
	}
}

void
gpt_stats_count(const GptStatsKey *key, GptStat stat, int64 n)
{
	if (!OidIsValid(key->weights))
		return;
	entry_of(key)->row.counts[stat] += n;
	session_counts[stat] += n;
}

void
gpt_stats_begin(const GptStatsKey *key, int n_calls)
{
	/* The error of the call before was caught without the end of a subtransaction. */
	fail_running();
	if (!OidIsValid(key->weights))
		return;
	running = (int) (entry_of(key) - entries);
	running_calls = n_calls;
}

void
gpt_stats_end(void)
{
	running = -1;
}

void
gpt_stats_flush_if_due(const instr_time *now)
{
	uint64 microseconds = INSTR_TIME_GET_MICROSEC(*now);

	if (microseconds - flushed_at < FLUSH_MICROSECONDS)
		return;
	flushed_at = microseconds;
	flush(GetCurrentTimestamp());
}

void
gpt_stats_of_session(int64 *counts)
{
	memcpy(counts, session_counts, sizeof(session_counts));
	if (gpt_stats_are_shared())
		gpt_stats_shared_add_workers(counts);
}

GptStatsRow *
gpt_stats_rows(int *n, TimestampTz *since)
{
	GptStatsRow *rows;

	flush(GetCurrentTimestamp());
	if (gpt_stats_are_shared())
		return gpt_stats_shared_rows(n, since);
	rows = palloc((n_entries + 1) * sizeof(GptStatsRow));
	for (int i = 0; i < n_entries; i++)
		rows[i] = entries[i].row;
	*n = n_entries;
	*since = began_at();
	return rows;
}

/* When the counts of the session began. */
static TimestampTz
began_at(void)
{
	return reset_at != 0 ? reset_at : MyStartTimestamp;
}

void
gpt_stats_reset(void)
{
	flush(GetCurrentTimestamp());
	if (gpt_stats_are_shared())
		gpt_stats_shared_reset(GetCurrentTimestamp());
	else
	{
		n_entries = 0;
		running = -1;
		reset_at = GetCurrentTimestamp();
	}
}

/* The entry of the version, which has counts to hand over from here on. */
static Entry *
entry_of(const GptStatsKey *key)
{
	Entry *entry;

	for (int i = 0; i < n_entries && memcmp(&entries[last].row.key, key, sizeof(*key)) != 0; i++)
		last = i;
	if (last >= n_entries || memcmp(&entries[last].row.key, key, sizeof(*key)) != 0)
		last = new_entry(key);
	entry = &entries[last];
	entry->is_dirty = is_dirty = true;
	entry->used = ++n_uses;
	return entry;
}

/* The number of an entry for a new version: the least recently used one where there is no room. */
static int
new_entry(const GptStatsKey *key)
{
	TimestampTz since = began_at();
	int number = n_entries;

	if (capacity == 0)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		entries = MemoryContextAlloc(TopMemoryContext, FIRST_ENTRIES * sizeof(Entry));
		capacity = FIRST_ENTRIES;
	}
	if (n_entries == capacity && capacity < GPT_STATS_VERSIONS)
	{
		entries = repalloc(entries, 2 * capacity * sizeof(Entry));
		capacity *= 2;
	}
	if (n_entries == GPT_STATS_VERSIONS)
	{
		since = GetCurrentTimestamp();
		flush(since);
		number = 0;
		for (int i = 1; i < n_entries; i++)
			if (entries[i].used < entries[number].used)
				number = i;
	}
	else
		n_entries++;
	memset(&entries[number], 0, sizeof(Entry));
	entries[number].row.key = *key;
	entries[number].row.since = since;
	return number;
}

/* Counts the error of the call that runs, if one does. */
static void
fail_running(void)
{
	GptStatsRow *row;

	if (running < 0)
		return;
	row = &entries[running].row;
	row->counts[GPT_STAT_ERRORS]++;
	row->counts[GPT_STAT_CALLS] += running_calls;
	/* A run of the call may have ended, and its counts gone to the server, before. */
	entries[running].is_dirty = is_dirty = true;
	session_counts[GPT_STAT_ERRORS]++;
	session_counts[GPT_STAT_CALLS] += running_calls;
	running = -1;
}

/* With preload, moves all counts to the server. Raises no error. */
static void
flush(TimestampTz now)
{
	bool are_shared = gpt_stats_are_shared();

	for (int i = 0; is_dirty && i < n_entries; i++)
	{
		Entry *entry = &entries[i];

		if (!entry->is_dirty)
			continue;
		entry->is_dirty = false;
		entry->row.used_at = now;
		if (!are_shared)
			continue;
		gpt_stats_shared_add(&entry->slot, &entry->row.key, entry->row.counts, now);
		memset(entry->row.counts, 0, sizeof(entry->row.counts));
	}
	is_dirty = false;
}

static void
at_transaction_end(XactEvent event, void *argument)
{
	bool is_abort = event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT;

	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	if (is_abort)
		fail_running();
	if (!is_dirty)
		return;
	flush(GetCurrentTransactionStopTimestamp());
	if (IsParallelWorker() && gpt_stats_are_shared())
		gpt_stats_shared_give(session_counts);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
					  void *argument)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		fail_running();
}

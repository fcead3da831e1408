/*
 * src/jobs/maintain_round.c
 *
 * A maintained column with work goes in; some of its rows have their values then, or errors.
 *
 * A batch that fails is cut in two again and again until the row is found that fails, so that the
 * others get their values together. An error that may be one of all rows (a model that does not
 * exist, a privilege that is missing) counts against no row as long as no other one of the batch
 * succeeds: then the whole column waits for a while.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/stop.h"
#include "core/transaction.h"
#include "jobs/maintain_batch.h"
#include "jobs/maintain_round.h"

#define MAX_STARTS 5
#define MAX_TRIES 10 /* of all rows */
#define MAX_SUSPECTS 3
#define FIRST_RETRY_MS 1000
#define LONGEST_RETRY_MS 300000
#define LOCK_WAIT_MS 500
#define BUSY_MS 1000 /* until the next try after a lock that was not free */
#define FIRST_ROWS 16
#define SHORT_MS 300
#define LONG_MS 1000
#define MAX_DEPTH 32 /* of halves of a batch */

/* What this process knows about a column: how many rows of a batch take about a second. */
typedef struct Pace
{
	int64 number;
	int32 generation;
	int rows[3]; /* of each kind of batch */
	TimestampTz not_before; /* of the next batch: a lock on the table was not free */
} Pace;

#define MOST_PACES 64

static Pace paces[MOST_PACES];
static int64 started = 0;

/* The progress of a batch. */
typedef struct Progress
{
	GptBatch *batch;
	int from;
	int to; /* while they are read: how many at most */
	int failed_item; /* to record, with its error */
	const char *error;
	int n_written; /* batches that were committed */
	int n_suspects; /* items that failed before any did not, with an error that may be of all */
	int suspects[MAX_SUSPECTS];
	char *suspect_errors[MAX_SUSPECTS];
	ErrorData *general; /* the last error of that kind */
	bool busy; /* another session is in the way */
} Progress;

static bool run_batch(GptMaintenance *maintenance, Pace *pace, GptBatchKind kind);
static void process(Progress *progress);

int64
gpt_maintain_started(void)
{
	return started;
}

/* ---- Transactions that may fail ----------------------------------------- */

static bool
is_any(const ErrorData *error)
{
	return !gpt_stop_is_cancelled();
}

/* Does the work in a transaction; the error that it ended with, or NULL. */
static ErrorData *
attempt(GptCommit commit, GptWork work, void *argument)
{
	ErrorData *error = gpt_transaction_attempt(commit, 0, work, argument, is_any);

	gpt_mark_set_writing(0);
	return error;
}

/* Another session is in the way: it holds a lock, or a deadlock ended the transaction. */
static bool
is_busy(const ErrorData *error)
{
	return gpt_stop_lock_timed_out() || error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK;
}

/* Errors that may well be those of all rows. */
static bool
is_general(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_FEATURE_NOT_SUPPORTED:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return false;
	}
}

static char *
error_text(const ErrorData *error)
{
	if (error->detail == NULL)
		return pstrdup(error->message != NULL ? error->message : "error without message");
	return psprintf("%s\nDETAIL: %s", error->message, error->detail);
}

/* ---- The round ---------------------------------------------------------- */

static void
fail(void *argument)
{
	const Progress *progress = argument;
	const GptMaintenance *maintenance = progress->batch->maintenance;
	double wait = FIRST_RETRY_MS;

	for (int i = 0; i < maintenance->tries && wait < LONGEST_RETRY_MS; i++)
		wait *= 2;
	gpt_maintenance_fail(maintenance->number, progress->error,
						 maintenance->tries + 1 >= MAX_TRIES
							 ? 0
							 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   (int64) Min(wait, LONGEST_RETRY_MS)));
}

/* An error of all rows: recorded in a transaction of its own. */
static void
fail_all(GptMaintenance *maintenance, const ErrorData *error)
{
	GptBatch batch = {.maintenance = maintenance};
	Progress progress = {.batch = &batch, .error = error_text(error)};
	ErrorData *again;

	ereport(LOG, (errmsg("column \"%s\" of table %u is not maintained by gpt now: %s",
						 maintenance->column, maintenance->relation, error->message)));
	again = attempt(GPT_COMMIT_LOCAL, fail, &progress);
	if (again != NULL)
		ReThrowError(again);
}

static Pace *
pace_of(const GptMaintenance *maintenance)
{
	Pace *pace = &paces[maintenance->number % MOST_PACES];

	if (pace->number != maintenance->number || pace->generation != maintenance->generation)
	{
		pace->number = maintenance->number;
		pace->generation = maintenance->generation;
		pace->not_before = 0;
		for (int i = 0; i < lengthof(pace->rows); i++)
			pace->rows[i] = FIRST_ROWS;
	}
	return pace;
}

typedef struct Beginning
{
	int64 number;
	MemoryContext context;
	GptMaintenance *maintenance; /* NULL: there is nothing to do */
	bool is_first; /* of this process, which creates triggers of new partitions */
} Beginning;

/* Reads the row; counts the start of a worker before any work, as jobs do. */
static void
begin(void *argument)
{
	Beginning *it = argument;
	GptMaintenance *maintenance;
	MemoryContext old_context = MemoryContextSwitchTo(it->context);

	gpt_stop_arm_lock_timeout(LOCK_WAIT_MS);
	it->maintenance = NULL;
	maintenance = gpt_maintenance_read(it->number);
	if (maintenance == NULL || !gpt_maintenance_is_local(maintenance) || maintenance->failed)
		return;
	if (gpt_maintained_is_gone(maintenance))
	{
		gpt_maintenance_delete(maintenance->number);
		return;
	}
	if (it->is_first && gpt_maintenance_count_start(maintenance->number) > MAX_STARTS)
	{
		gpt_maintenance_fail(maintenance->number,
							 psprintf("its worker ended unexpectedly %d times", MAX_STARTS), 0);
		return;
	}
	if (it->is_first)
		gpt_maintained_adopt_partitions(maintenance);
	it->maintenance = maintenance;
	MemoryContextSwitchTo(old_context);
}

/* Whether this process has not worked for the column yet. */
static bool
is_new(int64 number)
{
	return paces[number % MOST_PACES].number != number;
}

static bool
is_too_early(int64 number)
{
	return !is_new(number) && paces[number % MOST_PACES].not_before > GetCurrentTimestamp();
}

/* Batches of a column whose row was read. False: another session was in the way. */
static bool
run_batches(const GptMaintenanceWork *work, GptMaintenance *maintenance)
{
	Pace *pace = pace_of(maintenance);
	bool more = false;

	pace->not_before = 0; /* its time has come; from here on: this round met a lock */
	if (work->fresh)
		more = run_batch(maintenance, pace, GPT_BATCH_FRESH);
	else if (work->due)
		more = run_batch(maintenance, pace, GPT_BATCH_DUE);
	if (!more && work->fills && pace->not_before == 0)
		(void) run_batch(maintenance, pace, GPT_BATCH_FILL);
	return pace->not_before == 0;
}

bool
gpt_maintain_round(const GptMaintenanceWork *work)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt maintenance", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Beginning beginning = {
		.number = work->number, .context = context, .is_first = is_new(work->number)};
	ErrorData *error = NULL;
	bool did = false;

	if (!is_too_early(work->number))
	{
		error =
			attempt(beginning.is_first ? GPT_COMMIT_LOCAL : GPT_COMMIT_ASYNC, begin, &beginning);
		if (error != NULL && !is_busy(error))
			ReThrowError(error);
		if (error == NULL && beginning.maintenance != NULL)
		{
			if (beginning.is_first)
				started = work->number;
			did = run_batches(work, beginning.maintenance);
		}
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return did;
}

/* ---- A batch ------------------------------------------------------------ */

static void
read_some(void *argument)
{
	Progress *progress = argument;

	gpt_batch_read(progress->batch, progress->to);
}

/* Rows of the next batch, by the time that this one took. */
static void
set_pace(int *rows, int n, TimestampTz began, int64 most)
{
	long taken = TimestampDifferenceMilliseconds(began, GetCurrentTimestamp());

	if (taken > LONG_MS)
		*rows = Max(1, *rows / 2);
	else if (taken < SHORT_MS && n >= *rows)
		*rows = (int) Min(2 * (int64) *rows, most);
	*rows = (int) Min(*rows, most);
}

/* Returns whether as many rows were there as it could take, so that more may be. */
static bool
run_batch(GptMaintenance *maintenance, Pace *pace, GptBatchKind kind)
{
	TimestampTz began = GetCurrentTimestamp();
	GptBatch batch = {.context = CurrentMemoryContext,
					  .maintenance = maintenance,
					  .options = gpt_options_parse(maintenance->options, GPT_FUNCTION_MAINTAIN),
					  .kind = kind};
	int most = (int) Min(pace->rows[kind], batch.options->batch_rows);
	Progress progress = {.batch = &batch, .to = most};
	ErrorData *error = attempt(GPT_COMMIT_ASYNC, read_some, &progress);
	int n;

	if (error != NULL && is_busy(error))
		progress.busy = true;
	else if (error != NULL)
		fail_all(maintenance, error);
	else if (batch.n > 0 || kind == GPT_BATCH_FILL)
		process(&progress);
	if (progress.n_written > 0)
		started = 0;
	pace->not_before = 0;
	if (progress.busy)
		pace->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUSY_MS);
	n = kind == GPT_BATCH_FILL ? batch.n_read : batch.n;
	set_pace(&pace->rows[kind], n, began, batch.options->batch_rows);
	return error == NULL && n >= most;
}

static void
fail_one(void *argument)
{
	const Progress *progress = argument;

	gpt_batch_fail_item(progress->batch, progress->failed_item, progress->error);
}

static void
record_failure(Progress *progress, int item, const char *error)
{
	ErrorData *again;

	progress->failed_item = item;
	progress->error = error;
	again = attempt(GPT_COMMIT_LOCAL, fail_one, progress);
	if (again != NULL)
		ReThrowError(again);
}

/*
 * Suspects are recorded with the first items that succeed: they come before these, and the position
 * of a filling passes both.
 */
static void
write_some(void *argument)
{
	Progress *progress = argument;
	GptBatch *batch = progress->batch;

	if (batch->n > 0)
		gpt_batch_write(batch, progress->from, progress->to);
	else
		gpt_batch_record(batch, 0, 0);
	for (int i = 0; i < progress->n_suspects; i++)
		gpt_batch_fail_item(batch, progress->suspects[i], progress->suspect_errors[i]);
	if (progress->n_suspects > 0)
		gpt_batch_record(batch, progress->to, 0);
}

/* One item failed. False: the batch ends. */
static bool
settle_failure(Progress *progress, int item, ErrorData *error)
{
	const GptBatch *batch = progress->batch;
	bool alone = batch->n == 1 && batch->maintenance->tries >= MAX_SUSPECTS;

	if (!is_general(error) || progress->n_written > 0 || alone)
	{
		for (int i = 0; i < progress->n_suspects; i++)
			record_failure(progress, progress->suspects[i], progress->suspect_errors[i]);
		progress->n_suspects = 0;
		record_failure(progress, item, error_text(error));
		progress->n_written++;
		return true;
	}
	progress->general = error;
	progress->suspects[progress->n_suspects] = item;
	progress->suspect_errors[progress->n_suspects++] = error_text(error);
	return progress->n_suspects < MAX_SUSPECTS;
}

/* Computes all items, in ranges; those that fail are cut in two. */
static void
process(Progress *progress)
{
	GptBatch *batch = progress->batch;
	int ends[MAX_DEPTH]; /* of the ranges that wait, the next one last */
	int n_ends = 0;
	int from = 0;

	ends[n_ends++] = batch->n;
	while (n_ends > 0)
	{
		ErrorData *error;
		int to = ends[n_ends - 1];

		progress->from = from;
		progress->to = to;
		error = attempt(GPT_COMMIT_LOCAL, write_some, progress);
		gpt_stop_check();
		if (error == NULL)
		{
			progress->n_written++;
			progress->n_suspects = 0;
		}
		else if (is_busy(error))
		{
			progress->busy = true;
			return;
		}
		else if (to - from > 1 && n_ends < MAX_DEPTH)
		{
			ends[n_ends++] = from + (to - from) / 2;
			continue;
		}
		else if (to == from)
			ReThrowError(error);
		else if (!settle_failure(progress, from, error))
			break;
		from = to;
		n_ends--;
	}
	if (progress->n_suspects > 0)
		fail_all(batch->maintenance, progress->general);
}

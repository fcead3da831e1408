/*
 * include/store/mark.h
 *
 * Marks: rows of maintained columns that wait for their value.
 *
 * Each change of a row adds a mark, and never touches one that exists: sessions that change rows
 * neither wait for each other nor for the worker. The worker takes all marks of a row that its
 * snapshot sees together, and removes these when it commits the value; a change since then has
 * added another.
 *
 *   phase     the row
 *   WAITING   was changed
 *   RETRY     is tried again at retry_at: its try failed, or another session had it locked
 *   FAILED    has no tries left, until it changes
 *   DONE      has its value, and the filling, which has not reached it yet, passes it over
 */
#ifndef GPT_MARK_H
#define GPT_MARK_H

#include "catalog/indexing.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

typedef enum GptMarkPhase
{
	GPT_MARK_WAITING,
	GPT_MARK_RETRY,
	GPT_MARK_FAILED,
	GPT_MARK_DONE,
} GptMarkPhase;

/* ---- Adding (any session, without privileges on the table) ---------------- */

typedef struct GptMarker
{
	Relation table;
	CatalogIndexState indexes;
	Oid sequence;
	TimestampTz now;
} GptMarker;

/* _add marks a row that waits; the marks become visible with the transaction. */
extern void gpt_marker_open(GptMarker *marker);
extern void gpt_marker_add(GptMarker *marker, int64 maintenance, const char *key);
extern void gpt_marker_close(GptMarker *marker);

/*
 * The maintenance whose column this process writes now; 0: none. Its own triggers pass over that
 * column.
 */
extern void gpt_mark_set_writing(int64 maintenance);
extern int64 gpt_mark_writing(void);

/* ---- For the worker ------------------------------------------------------- */

/* A row that is marked, and its marks that the snapshot sees. */
typedef struct GptMarked
{
	char *key;
	int64 newest; /* mark */
	int tries; /* of the newest */
	int n;
	int64 *marks;
} GptMarked;

/*
 * Under the active snapshot: the rows with the oldest marks that wait, or, if phase is RETRY, those
 * whose time has come; at most `most`, palloc'd. Returns their number.
 */
extern int gpt_marks_take(GptMarked **rows, int64 maintenance, GptMarkPhase phase, int most);

/* Under the active snapshot: which of the rows have a mark of any phase. */
extern void gpt_marks_find(bool *found, int64 maintenance, char *const *keys, int n);

/* Removes marks of rows that have their value; keep: they become DONE, if the filling is behind. */
extern void gpt_marks_finish(const int64 *marks, int n, bool keep);

/* These wait for some seconds. */
extern void gpt_marks_postpone(const int64 *marks, int n, int milliseconds);

/*
 * A row of the filling that cannot be written now, or whose try failed (error not NULL), gets a
 * mark; one that has marks keeps the newest alone. retry_at 0: no more tries.
 */
extern void gpt_mark_insert_retry(int64 maintenance, const char *key, const char *error,
								  TimestampTz retry_at);
extern void gpt_mark_fail(const GptMarked *row, const char *error, TimestampTz retry_at);

#endif /* GPT_MARK_H */

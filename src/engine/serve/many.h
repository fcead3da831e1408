/*
 * src/engine/serve/many.h
 *
 * The inside of LmMany. Requests wait as items, the longest first; each request in the model has a
 * slot with a sequence of pages. many.c has the steps, many_items.c the work before a text enters
 * the model (tokens, lengths), many_prefix.c the beginnings that texts share, many_beginning.c what
 * a caller keeps of them, many_beams.c beam searches, many_speculation.c proposals, many_rows.c the
 * work on logits, many_room.c the memory.
 */
#ifndef LM_MANY_PRIVATE_H
#define LM_MANY_PRIVATE_H

#include "serve/beams.h"
#include "serve/pages.h"
#include "serve/reading.h"

/* tokens that go through the model at once, of many texts; bounds logits to 128 x V */
#define LM_MANY_ROWS 128

/* A request that is not done: its tokens, and its output so far. */
typedef struct LmItem
{
	LmTokens tokens;
	size_t n_skipped;
	size_t n_prefix; /* lm_request_prefix */
	char *output; /* GENERATE */
	size_t output_size;
	size_t output_capacity;
	int n_shareable; /* leading positions whose logits and outputs nobody wants */
	int n_pages; /* that it can need at most */
	int request; /* its index */
	bool alive; /* begins as the prefix that is looked for */
	LmBeams *beams; /* in the model, with beams */
	LmTokenScore *each; /* [tokens.count - n_skipped] or NULL */
	LmTokenScore *drawn; /* [n_drawn] GENERATE, with `each` */
	size_t n_drawn;
	size_t drawn_capacity;
} LmItem;

/*
 * A text in the model. A generation has `generation`, the other tasks have `reading`. A beam search
 * has a slot for each of its seats; the generation is the search's and NULL while none goes on.
 */
typedef struct LmSlot
{
	int request; /* -1: free */
	int n_reserved; /* pages */
	int32_t *past; /* [context] the tokens at the sequence's positions */
	LmReading reading;
	LmGeneration *generation;
	bool is_lent; /* the generation is the request's, or the search's */
	int seat; /* of a beam search */
	double *sums; /* [lm_reading_most_sums] */

	/* what goes through the model now: ids[position .. n), wanted from first_wanted on */
	const int32_t *ids;
	int n;
	int prefix; /* of the sequence */
	int first_wanted;

	/*
	 * of a generation: the last ids are proposals, which may be wrong; all of them are wanted, and
	 * the id before them
	 */
	int n_ahead;
	bool has_proposed; /* what there is to propose for these ids */

	/* in the present step */
	int n_rows;
	int first_row; /* among the wanted rows of the step */
	int n_wanted;
} LmSlot;

/*
 * A row of a step whose output is wanted, and the result of the work on it by a thread of the pool.
 */
typedef struct LmManyRow
{
	int slot;
	int position; /* of its input in the slot's window */
	int32_t target; /* SCORE */
	double logprob; /* SCORE */
	int32_t id; /* GENERATE */
	LmTokenScore score; /* GENERATE, with `each` */
	bool good; /* GENERATE: else error */
	LmError error;
} LmManyRow;

/* The texts in the model and the requests that wait. */
struct LmMany
{
	LmSession *session;
	int n_sequences;
	int n_rows; /* tokens that go through the model at once */
	int n_outputs; /* rows of logits of a step */
	/*
	 * The session's own: of one sequence, which stays between requests, so that one that begins
	 * with the tokens of the last one finds their keys and values computed.
	 */
	bool is_alone;
	LmPages *pages;
	void *memory; /* what follows, to the workspace */
	LmSequence *sequences; /* [n_sequences + 1] those of the slots, then the prefix's */
	LmSlot *slots; /* [n_sequences] */
	int32_t *prefix; /* [context] the beginning of most requests ... */
	int n_prefix; /* ... whole pages, or all of a sequence's prefix; 0: nothing */
	bool prefix_is_whole;
	bool prefix_is_found; /* in this run; else it is that of an earlier one, perhaps of another
							 model */
	int n_beginning; /* ids of prefix that lm_many_beginning gave in this run */
	int32_t *prefix_past; /* [context] the tokens at its sequence's positions */
	LmInput *inputs; /* [n_rows] */
	LmManyRow *rows; /* [n_rows] */
	LmCandidate *candidates; /* [threads, V]; alone: [V] */
	float *raw; /* the same, while requests want scores of drawn tokens; else NULL */
	void *workspace;
	float *output; /* [n_outputs, V] logits, or [n_rows, C] outputs, of wanted rows */
	/* offsets in memory of the last three arrays, which hold nothing from step to step */
	size_t scratch_begin;
	size_t scratch_end;

	LmRequest *requests;
	LmItem *items; /* [n] */
	int *order; /* [n] items, the longest first */
	int n;
	int n_encoded;
	int n_entered; /* of order */
	int n_done;
	int n_reserved; /* pages of all slots */
	int n_inputs; /* in the present step */
	int n_wanted;
	LmManyCounts counts;
};

/*
 * many_room.c: the LmMany that a session has of its own, with ALONE_ROWS rows and the pages of one
 * context. LM_ERR_LIMIT, LM_ERR_MEMORY.
 */
bool lm_alone_memory(size_t *bytes, const LmConfig *checked, int n_threads, LmError *error);
LmMany *lm_alone_create(LmSession *session, LmError *error);

/* many_items.c: allocates one item for each request (LM_ERR_MEMORY), and frees them. */
void lm_items_free(LmMany *many);
bool lm_items_create(LmMany *many, LmError *error);
/*
 * Encodes some further requests; a request in error is done. Sets order and prefix once all are
 * encoded. LM_ERR_STOPPED.
 */
bool lm_items_encode(LmMany *many, LmError *error);
/* Ends a request with an error. */
void lm_many_fail(LmMany *many, int request, const LmError *error);

/* A request's own session, or that of the LmMany. */
static inline LmSession *
lm_request_session(const LmMany *many, const LmRequest *request)
{
	return request->session ? request->session : many->session;
}

/* The texts that a request has in the model. */
static inline int
lm_request_width(const LmRequest *request)
{
	bool searches = request->task == LM_TASK_GENERATE && !request->generation;

	return searches && request->sampling.beams > 1 ? request->sampling.beams : 1;
}

/* Whether a generation puts the session's token in front of the prompt. */
static inline bool
lm_item_has_front(const LmMany *many, const LmRequest *request)
{
	return lm_request_session(many, request)->front >= 0 && !request->sampling.marked;
}

/*
 * many_prefix.c: _find looks for the beginning that most requests share, _feed runs some more of
 * it, before any request enters. _keep leaves a slot as much of its sequence as its ids agree with,
 * or gives it the pages of the shared beginning where they hold more.
 */
void lm_prefix_find(LmMany *many);
bool lm_prefix_feed(LmMany *many, LmError *error);
void lm_prefix_keep(LmMany *many, LmSlot *slot);
/* The id at a position of the first window of a request. */
int32_t lm_item_id_at(const LmMany *many, const LmItem *item, int position);
/*
 * Keeps as much of a sequence as agrees with ids, but at most the first n - 1, so that the last
 * one's logits are computed. past: the tokens at its positions. Returns how many positions stay.
 */
int lm_sequence_agree(LmSequence *sequence, LmPages *pages, const int32_t *past, const int32_t *ids,
					  int n);

/*
 * many_speculation.c: _propose appends proposals to the ids of texts that go on, before a step
 * (LM_ERR_STOPPED). _judge draws from the rows after it, as far as proposals are right; the
 * generation then takes these tokens (lm_speculation_next). False with the error of the first row.
 */
bool lm_many_propose(LmMany *many, LmError *error);
bool lm_many_judge(LmMany *many, LmSlot *slot, LmError *error);

/*
 * many_rows.c: _compute works on a row of logits, as a piece of lm_engine_run: scores its target,
 * observes it for healing, or draws a token. _draw: with the token's score where the request wants
 * one; false with the row's error. _keep: keeps that score, before the generation takes the token
 * (LM_ERR_MEMORY). lm_rows_read: adds the wanted rows of the step to the slot's reading, in the
 * order of the text; *decided: a bound has ended it (LM_ERR_NUMERIC). lm_rows_create: room for the
 * run's requests (LM_ERR_MEMORY), which lm_items_free releases.
 */
bool lm_rows_create(LmMany *many, LmError *error);
void lm_row_compute(void *work, int piece, int thread);
bool lm_row_draw(LmManyRow *row, LmMany *many, const LmSlot *slot, int thread, float *logits);
bool lm_row_keep(LmMany *many, LmSlot *slot, const LmManyRow *row, LmError *error);
bool lm_rows_read(bool *decided, LmMany *many, LmSlot *slot, LmError *error);

/*
 * many.c, for many_beams.c: _next sets the next ids that go through the
 * model, _append adds text to a request's output (LM_ERR_MEMORY), _take gives a token that was
 * drawn to the slot's generation, and the text that it makes to the request, _leave ends the
 * request, with a result or an error, and frees its slots and their pages.
 */
void lm_slot_next(LmMany *many, LmSlot *slot);
bool lm_slot_append(LmMany *many, int request, LmBytes text, LmError *error);
void lm_slot_leave(LmMany *many, LmSlot *slot, const LmError *error);

/*
 * many_beams.c: beam searches. _room: whether enough slots are free. _enter puts a request into
 * slots, the first of which is the given one, and may end it with an error; false for
 * LM_ERR_STOPPED alone. _advance goes on after all rows of a slot's window have been computed.
 * _finish writes the texts of searches that have ended; false for LM_ERR_STOPPED alone.
 */
bool lm_beams_room(const LmMany *many, int width);
bool lm_beams_enter(LmMany *many, LmSlot *slot, LmItem *item, LmError *error);
void lm_beams_advance(LmMany *many, LmSlot *slot);
bool lm_beams_finish(LmMany *many, LmError *error);

#endif /* LM_MANY_PRIVATE_H */

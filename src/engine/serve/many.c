/*
 * src/engine/serve/many.c
 *
 * Continuous batching (Yu et al. 2022, "Orca", section 3): takes requests through the model, a step
 * at a time. A step is one call of lm_infer with up to n_rows tokens: one of each text that is
 * being continued, and in the rest of the room tokens of the texts that are read.
 *
 * Pages never run out: a text enters when as many are free as it can need at most, not counting
 * pages that the texts in the model may still take.
 */
#include <string.h>

#include "serve/image.h"
#include "serve/infer.h"
#include "serve/many.h"
#include "serve/speculation.h"
#include "text/array.h"

#define BOUNDED_ROWS 8 /* of a text with a bound, in a step */

static bool is_idle(const LmMany *many);
static bool admit(LmMany *many, LmError *error);
static int pages_free(const LmMany *many);
static void drop_prefix(LmMany *many);
static bool enter(LmMany *many, LmSlot *slot, LmItem *item, LmError *error);
static void count_entry(LmMany *many, const LmSlot *slot, const LmItem *item);
static bool allow(LmMany *many, LmError *error);
static void gather(LmMany *many);
static int room_for(const LmMany *many, const LmSlot *slot);
static void add_inputs(LmMany *many, LmSlot *slot, int n);
static bool infer(LmMany *many, LmError *error);
static void advance(LmMany *many, LmSlot *slot);
static void read_rows(LmMany *many, LmSlot *slot);
static void take_token(LmMany *many, LmSlot *slot);
static void take_ahead(LmMany *many, LmSlot *slot);
static bool take_drawn(LmMany *many, LmSlot *slot);
static void take(LmMany *many, LmSlot *slot, int32_t id);
static void free_slot(LmMany *many, LmSlot *slot);
static void end_generation(LmSlot *slot);

void
lm_many_forget(LmMany *many)
{
	for (int i = 0; i < many->n_sequences; i++)
	{
		end_generation(&many->slots[i]);
		many->slots[i].request = -1;
		if (!many->is_alone)
			lm_sequence_truncate(&many->sequences[i], many->pages, 0);
	}
	lm_items_free(many);
	many->requests = NULL;
	many->n = many->n_encoded = many->n_entered = many->n_done = many->n_reserved = 0;
	many->n_beginning = 0;
}

bool
lm_many_start(LmMany *many, LmRequest *requests, int n, LmError *error)
{
	lm_many_forget(many);
	for (int i = 0; i < n; i++)
	{
		const LmModel *model = lm_request_session(many, &requests[i])->model;

		if (lm_task_wants_logits(requests[i].task) != lm_task_wants_logits(requests[0].task))
			return lm_fail(
				error, LM_ERR_ARGUMENT, i,
				"texts to score or continue cannot be mixed with texts to embed or classify");
		if (model->head.panels != many->session->model->head.panels)
			return lm_fail(error, LM_ERR_ARGUMENT, i, "texts of different bases cannot be mixed");
	}
	many->requests = requests;
	many->n = n;
	for (int i = 0; i < n; i++)
	{
		requests[i].done = requests[i].truncated = false;
		requests[i].error = (LmError){.code = LM_OK, .position = -1};
		requests[i].score = (LmScore){0};
		requests[i].bounded = false;
		requests[i].counts = (LmManyCounts){0};
		requests[i].n_read = requests[i].n_tokens = 0;
		requests[i].tokens = NULL;
		requests[i].n_each = requests[i].n_given = 0;
		requests[i].output = (LmBytes){"", 0};
	}
	if (n == 0 || lm_items_create(many, error))
		return true;
	lm_many_forget(many);
	return false;
}

bool
lm_many_step(LmMany *many, bool *done, LmError *error)
{
	bool good = true;

	if (many->n_encoded < many->n)
		good = lm_items_encode(many, error);
	else if (many->n_prefix > 0 && many->n_done < many->n &&
			 many->sequences[many->n_sequences].n_positions < many->n_prefix)
		good = lm_prefix_feed(many, error);
	else
	{
		good = lm_beams_finish(many, error) && admit(many, error) && allow(many, error) &&
			   lm_many_propose(many, error);
		if (good)
			gather(many);
		if (good && many->n_inputs > 0)
			good = infer(many, error);
	}
	*done = good && many->n_done == many->n && many->n_encoded == many->n;
	return good;
}

static bool
is_idle(const LmMany *many)
{
	for (int i = 0; i < many->n_sequences; i++)
		if (many->slots[i].request >= 0)
			return false;
	return true;
}

/*
 * Lets requests in, in order, while slots and pages last. False for LM_ERR_STOPPED alone; the
 * request at hand then waits.
 */
static bool
admit(LmMany *many, LmError *error)
{
	for (int i = 0; i < many->n_sequences && many->n_entered < many->n; i++)
	{
		LmSlot *slot = &many->slots[i];

		/* A request that needs no model leaves its slot at once. */
		while (slot->request < 0 && many->n_entered < many->n)
		{
			LmItem *item = &many->items[many->order[many->n_entered]];

			if (!many->requests[item->request].done)
			{
				if (item->n_pages > pages_free(many) && is_idle(many))
					drop_prefix(many);
				if (item->n_pages > pages_free(many) ||
					!lm_beams_room(many, lm_request_width(&many->requests[item->request])))
					return true;
				if (!enter(many, slot, item, error))
					return false;
			}
			many->n_entered++;
		}
	}
	return true;
}

/* The pages that neither the prefix holds nor a text may still take. */
static int
pages_free(const LmMany *many)
{
	return many->pages->n_pages - many->sequences[many->n_sequences].n_pages - many->n_reserved;
}

static void
drop_prefix(LmMany *many)
{
	lm_sequence_truncate(&many->sequences[many->n_sequences], many->pages, 0);
	many->n_prefix = 0;
}

/* Puts a request into a slot and reserves its pages. False for LM_ERR_STOPPED alone. */
static bool
enter(LmMany *many, LmSlot *slot, LmItem *item, LmError *error)
{
	LmRequest *request = &many->requests[item->request];
	LmSession *session = lm_request_session(many, request);
	LmError own;

	slot->request = item->request;
	slot->n_reserved = item->n_pages;
	many->n_reserved += item->n_pages;
	if (lm_request_width(request) > 1)
	{
		bool entered = lm_beams_enter(many, slot, item, error);

		count_entry(many, slot, item);
		return entered;
	}
	if (request->task == LM_TASK_GENERATE)
	{
		slot->is_lent = request->generation != NULL;
		slot->generation = request->generation;
		if (!slot->is_lent)
			slot->generation = lm_generation_create(session, &item->tokens, item->n_prefix,
													&request->sampling, &request->truncated, &own);
		if (!slot->generation && own.code == LM_ERR_STOPPED)
		{
			*error = own;
			many->n_reserved -= slot->n_reserved;
			slot->request = -1;
			return false;
		}
		if (!slot->generation)
		{
			lm_slot_leave(many, slot, &own);
			return true;
		}
		slot->n_ahead = 0;
		if (slot->is_lent && take_drawn(many, slot))
			return true;
	}
	else
		lm_reading_begin(&slot->reading, session, request, &item->tokens, item->n_skipped,
						 item->n_prefix, slot->sums);
	lm_slot_next(many, slot);
	count_entry(many, slot, item);
	return true;
}

/* Counts a text that has entered, but for one that goes on or has left again. */
static void
count_entry(LmMany *many, const LmSlot *slot, const LmItem *item)
{
	LmRequest *request = &many->requests[item->request];
	int kept = many->sequences[slot - many->slots].n_positions;
	int n_front = lm_item_has_front(many, request) ? 1 : 0;
	bool is_hit = kept > n_front;

	if (slot->request != item->request)
		return;
	if (request->generation && lm_generation_tokens(request->generation) > 0)
		return;
	if (request->generation)
		request->n_read = slot->n - n_front;
	request->counts.hits = is_hit;
	request->counts.misses = !is_hit;
	request->counts.reused = is_hit ? kept : 0;
	many->counts.hits += is_hit;
	many->counts.misses += !is_hit;
	many->counts.reused += is_hit ? kept : 0;
}

/* A request without further ids is done. */
void
lm_slot_next(LmMany *many, LmSlot *slot)
{
	LmRequest *request = &many->requests[slot->request];
	LmError error;

	slot->n_ahead = 0;
	slot->has_proposed = false;
	if (slot->generation)
	{
		if (lm_generation_finished(slot->generation))
		{
			lm_slot_leave(many, slot, NULL);
			return;
		}
		slot->ids = lm_generation_window(slot->generation, &slot->n);
		slot->prefix = lm_generation_prefix(slot->generation);
		slot->first_wanted = slot->n - 1 - lm_generation_depth(slot->generation);
	}
	else if (lm_reading_window(&slot->reading))
	{
		slot->ids = slot->reading.ids + slot->reading.start;
		slot->n = slot->reading.n_window;
		slot->prefix = slot->reading.prefix;
		slot->first_wanted = slot->reading.first_wanted;
	}
	else
	{
		lm_slot_leave(many, slot,
					  lm_reading_finish(&slot->reading, request, &error) ? NULL : &error);
		return;
	}
	lm_prefix_keep(many, slot);
}

/*
 * Finds the tokens that constraints allow next, before the step whose threads draw them: automata
 * belong to one thread. False for LM_ERR_STOPPED alone.
 */
static bool
allow(LmMany *many, LmError *error)
{
	for (int i = 0; i < many->n_sequences; i++)
	{
		LmSlot *slot = &many->slots[i];
		LmError own;

		if (slot->request < 0 || !slot->generation || many->items[slot->request].beams ||
			lm_generation_prepare(slot->generation, &own))
			continue;
		if (own.code == LM_ERR_STOPPED)
		{
			*error = own;
			return false;
		}
		lm_slot_leave(many, slot, &own);
	}
	return true;
}

/*
 * Gathers the inputs of a step: first one of each text that is being continued, with its proposals,
 * then as many of the other texts as fit.
 */
static void
gather(LmMany *many)
{
	many->n_inputs = many->n_wanted = 0;
	for (int i = 0; i < many->n_sequences; i++)
	{
		LmSlot *slot = &many->slots[i];

		slot->n_rows = slot->n_wanted = 0;
		if (slot->request >= 0 && slot->n - many->sequences[i].n_positions == 1 + slot->n_ahead)
			add_inputs(many, slot, 1 + slot->n_ahead);
	}
	for (int i = 0; i < many->n_sequences && many->n_inputs < many->n_rows; i++)
	{
		LmSlot *slot = &many->slots[i];

		if (slot->request >= 0 && slot->n_rows == 0)
			add_inputs(many, slot, room_for(many, slot));
	}
}

/*
 * How many further inputs of a slot the step has room for, and room for their outputs. A prefix
 * waits for a step that has room for all of it.
 */
static int
room_for(const LmMany *many, const LmSlot *slot)
{
	int at = many->sequences[slot - many->slots].n_positions, n = slot->n - at,
		unwanted = slot->first_wanted > at ? slot->first_wanted - at : 0,
		outputs = many->n_outputs - many->n_wanted, room = many->n_rows - many->n_inputs;

	if (!lm_task_wants_logits(many->requests[slot->request].task))
		outputs = many->n_rows - many->n_wanted;
	/* A text that may end early goes in small pieces, so that it does. */
	if (many->requests[slot->request].bound.kind != LM_BOUND_NONE && outputs > BOUNDED_ROWS)
		outputs = BOUNDED_ROWS;
	n = n < unwanted + outputs ? n : unwanted + outputs;
	n = n < room ? n : room;
	return at < slot->prefix && n < slot->prefix ? 0 : n;
}

/* Adds the slot's next n inputs to the step, with a row for each whose output is wanted. */
static void
add_inputs(LmMany *many, LmSlot *slot, int n)
{
	int sequence = (int) (slot - many->slots), at = many->sequences[sequence].n_positions;

	slot->n_rows = n;
	slot->first_row = many->n_wanted;
	for (int i = at; i < at + n; i++)
	{
		bool wanted = i >= slot->first_wanted;

		many->inputs[many->n_inputs++] = (LmInput){slot->ids[i], sequence, i, wanted};
		if (!wanted)
			continue;
		many->rows[many->n_wanted].slot = sequence;
		many->rows[many->n_wanted].position = i;
		many->rows[many->n_wanted++].target =
			slot->generation || slot->reading.task != LM_TASK_SCORE
				? -1
				: lm_reading_target(&slot->reading, i);
		slot->n_wanted++;
	}
}

/* Runs the gathered inputs, works on the rows of logits on all threads, and advances the slots. */
static bool
infer(LmMany *many, LmError *error)
{
	LmSession *session = many->session;
	bool logits = lm_task_wants_logits(many->requests[0].task);

	if (!(logits ? lm_infer : lm_infer_hidden)(
			many->output, session->engine, session->model, many->pages, many->sequences,
			many->n_sequences, many->inputs, many->n_inputs, many->workspace, error))
		return false;
	many->counts.tokens += many->n_inputs;
	/* The model has run: the rest of the step is short and must not be stopped midway. */
	lm_engine_hold(session->engine, true);
	if (logits)
		lm_engine_run(session->engine, lm_row_compute, many, many->n_wanted);
	lm_engine_hold(session->engine, false);
	for (int i = 0; i < many->n_sequences; i++)
		if (many->slots[i].request >= 0 && many->slots[i].n_rows > 0)
		{
			many->requests[many->slots[i].request].counts.tokens += many->slots[i].n_rows;
			advance(many, &many->slots[i]);
		}
	return true;
}

/* Applies the rows of the step to a slot. */
static void
advance(LmMany *many, LmSlot *slot)
{
	int at = many->sequences[slot - many->slots].n_positions;

	memcpy(slot->past + at - slot->n_rows, slot->ids + at - slot->n_rows,
		   (size_t) slot->n_rows * sizeof *slot->past);
	if (many->items[slot->request].beams)
	{
		if (at == slot->n)
			lm_beams_advance(many, slot);
		return;
	}
	if (slot->generation && at == slot->n && slot->n_ahead > 0)
		take_ahead(many, slot);
	else if (slot->generation && at == slot->n)
		take_token(many, slot);
	else if (!slot->generation && slot->n_wanted > 0)
		read_rows(many, slot);
	if (slot->request >= 0 && at == slot->n)
		lm_slot_next(many, slot);
}

/* A text whose bound is passed is done. */
static void
read_rows(LmMany *many, LmSlot *slot)
{
	bool decided;
	LmError error;

	if (!lm_rows_read(&decided, many, slot, &error))
		lm_slot_leave(many, slot, &error);
	else if (decided)
		lm_slot_leave(many, slot, NULL);
}

static void
count_begun(LmMany *many, LmRequest *request)
{
	many->counts.begun++;
	request->counts.begun++;
}

/* Gives the drawn token to the slot's generation. */
static void
take_token(LmMany *many, LmSlot *slot)
{
	int last = slot->first_row + slot->n_wanted - 1;
	LmManyRow *row = &many->rows[last];
	float *logits = many->output + (size_t) last * (size_t) many->session->config.vocabulary;

	/* By now the threads have observed all rows of a prompt that is healed. */
	if (lm_generation_depth(slot->generation) > 0)
		row->good = lm_row_draw(row, many, slot, 0, logits);
	if (row->good && lm_row_keep(many, slot, row, &row->error))
		take(many, slot, row->id);
	else
		lm_slot_leave(many, slot, &row->error);
}

/* Takes the tokens of the rows as far as proposals were right. */
static void
take_ahead(LmMany *many, LmSlot *slot)
{
	LmError error;

	if (lm_many_judge(many, slot, &error))
		(void) take_drawn(many, slot);
	else
		lm_slot_leave(many, slot, &error);
}

/* Takes the tokens that were drawn ahead; a lent generation takes one. Whether there was any. */
static bool
take_drawn(LmMany *many, LmSlot *slot)
{
	bool took = false;
	int32_t id;

	while (slot->request >= 0 &&
		   lm_speculation_next(&id, lm_generation_speculation(slot->generation)))
	{
		take(many, slot, id);
		took = true;
	}
	return took;
}

/* Gives a token to the slot's generation, and the text that it makes to the request. */
static void
take(LmMany *many, LmSlot *slot, int32_t id)
{
	bool is_first = lm_generation_tokens(slot->generation) == 0, done;
	LmBytes text;
	LmError error;

	lm_generation_take(slot->generation, id, &text, &done);
	if (is_first && lm_generation_tokens(slot->generation) > 0)
		count_begun(many, &many->requests[slot->request]);
	if (lm_generation_failure(slot->generation))
	{
		error = *lm_generation_failure(slot->generation);
		lm_slot_leave(many, slot, &error);
		return;
	}
	if (slot->is_lent)
	{
		many->requests[slot->request].output = text;
		lm_slot_leave(many, slot, NULL);
		return;
	}
	if (!lm_slot_append(many, slot->request, text, &error))
		lm_slot_leave(many, slot, &error);
}

bool
lm_slot_append(LmMany *many, int request, LmBytes text, LmError *error)
{
	LmItem *item = &many->items[request];

	if (text.size == 0)
		return true;
	if (!lm_array_reserve(lm_engine_host(many->session->engine), &item->output,
						  &item->output_capacity, item->output_size + text.size, 1, error))
		return false;
	memcpy(item->output + item->output_size, text.data, text.size);
	item->output_size += text.size;
	return true;
}

void
lm_slot_leave(LmMany *many, LmSlot *slot, const LmError *error)
{
	LmRequest *request = &many->requests[slot->request];
	LmItem *item = &many->items[slot->request];

	if (error)
		lm_many_fail(many, slot->request, error);
	else
	{
		request->done = true;
		many->n_done++;
		if (item->beams)
			count_begun(many, request);
	}
	if (slot->generation || item->beams)
	{
		request->n_tokens =
			item->beams ? lm_beams_tokens(item->beams) : lm_generation_tokens(slot->generation);
		request->output =
			item->output_size > 0 ? (LmBytes){item->output, item->output_size} : request->output;
	}
	if (item->each && !error)
	{
		request->tokens = item->each;
		request->n_each = item->tokens.count - item->n_skipped;
	}
	if (item->drawn && !error)
	{
		request->tokens = item->drawn;
		request->n_each = item->n_drawn;
	}
	lm_tokens_free(lm_engine_host(many->session->engine), &item->tokens);
	for (int i = 0; i < many->n_sequences; i++)
		if (many->slots[i].request == item->request)
			free_slot(many, &many->slots[i]);
	lm_beams_free(item->beams);
	item->beams = NULL;
}

static void
free_slot(LmMany *many, LmSlot *slot)
{
	end_generation(slot);
	many->n_reserved -= slot->n_reserved;
	slot->request = -1;
	if (!many->is_alone)
		lm_sequence_truncate(&many->sequences[slot - many->slots], many->pages, 0);
}

/* A generation that a request lends goes on later. */
static void
end_generation(LmSlot *slot)
{
	if (!slot->is_lent)
		lm_generation_free(slot->generation);
	slot->generation = NULL;
	slot->is_lent = false;
}

const LmManyCounts *
lm_many_counts(const LmMany *many)
{
	return &many->counts;
}

/*
 * src/engine/serve/many_beams.c
 *
 * Beam searches among the texts in the model: a search has a slot for each of its seats. All of
 * them share the pages of the prompt; a text that is continued in two ways shares its pages too,
 * until one of the two writes to the last of them.
 */
#include <string.h>

#include "serve/many.h"

#define GIVEN_TOGETHER 4096 /* tokens of a result between two questions whether to stop */

static LmSlot *slot_of(const LmMany *many, int request, int seat);
static void choose(LmMany *many, LmSlot *slot);
static void move(LmMany *many, int request, LmBeamMove move);
static void seat_all(LmMany *many, int request);
static bool write_text(LmMany *many, LmSlot *slot, LmError *error);

bool
lm_beams_request_memory(size_t *bytes, const LmConfig *config, const LmSampling *sampling,
						LmError *error)
{
	*bytes = 0;
	return sampling->beams < 2 || lm_beams_memory(bytes, config, sampling) ||
		   lm_fail(error, LM_ERR_LIMIT, -1,
				   "%d beams would need more memory than the address space has", sampling->beams);
}

bool
lm_beams_room(const LmMany *many, int width)
{
	int n_free = 0;

	for (int i = 0; i < many->n_sequences; i++)
		n_free += many->slots[i].request < 0;
	return n_free >= width;
}

bool
lm_beams_enter(LmMany *many, LmSlot *slot, LmItem *item, LmError *error)
{
	LmRequest *request = &many->requests[item->request];
	int seat = 1;
	LmError own;

	item->beams = lm_beams_create(lm_request_session(many, request), &item->tokens, item->n_prefix,
								  &request->sampling, &request->truncated, &own);
	if (!item->beams && own.code == LM_ERR_STOPPED)
	{
		*error = own;
		many->n_reserved -= slot->n_reserved;
		slot->request = -1;
		return false;
	}
	if (!item->beams)
	{
		lm_slot_leave(many, slot, &own);
		return true;
	}
	slot->seat = 0;
	for (int i = 0; seat < request->sampling.beams; i++)
		if (many->slots[i].request < 0)
		{
			many->slots[i].request = item->request;
			many->slots[i].n_reserved = 0;
			many->slots[i].seat = seat++;
		}
	seat_all(many, item->request);
	return true;
}

/* Each slot gets the text on its seat, and the next ids of it that go through the model. */
static void
seat_all(LmMany *many, int request)
{
	const LmBeams *beams = many->items[request].beams;

	for (int i = 0; i < many->n_sequences; i++)
	{
		LmSlot *slot = &many->slots[i];

		if (slot->request != request)
			continue;
		slot->is_lent = true;
		slot->generation = lm_beams_generation(beams, slot->seat);
		if (slot->generation)
			lm_slot_next(many, slot);
		else
		{
			lm_sequence_truncate(&many->sequences[i], many->pages, 0);
			slot->n = slot->first_wanted = 0;
		}
	}
}

void
lm_beams_advance(LmMany *many, LmSlot *slot)
{
	LmBeams *beams = many->items[slot->request].beams;
	LmManyRow *row = &many->rows[slot->first_row + slot->n_wanted - 1];

	if (!row->good)
		lm_slot_leave(many, slot, &row->error);
	else if (lm_beams_observed(beams, slot->seat))
		choose(many, slot);
}

/* Once all texts of the search have their rows. */
static void
choose(LmMany *many, LmSlot *slot)
{
	LmBeamMove moves[LM_MAX_BEAMS];
	int request = slot->request, n;
	LmError error;

	if (!lm_beams_choose(many->items[request].beams, moves, &n, &error))
	{
		lm_slot_leave(many, slot, &error);
		return;
	}
	for (int i = 0; i < n; i++)
		move(many, request, moves[i]);
	seat_all(many, request);
}

/* One slot gets the past of another one. */
static void
move(LmMany *many, int request, LmBeamMove move)
{
	LmSlot *to = slot_of(many, request, move.to), *from = slot_of(many, request, move.from);
	const LmSequence *sequence = &many->sequences[from - many->slots];

	lm_sequence_fork(&many->sequences[to - many->slots], sequence, many->pages);
	memcpy(to->past, from->past, (size_t) sequence->n_positions * sizeof *to->past);
}

static LmSlot *
slot_of(const LmMany *many, int request, int seat)
{
	LmSlot *slot = many->slots;

	while (slot->request != request || slot->seat != seat)
		slot++;
	return slot;
}

bool
lm_beams_finish(LmMany *many, LmError *error)
{
	for (int i = 0; i < many->n_sequences; i++)
	{
		LmSlot *slot = &many->slots[i];

		if (slot->request >= 0 && many->items[slot->request].beams &&
			lm_beams_ended(many->items[slot->request].beams) && !write_text(many, slot, error))
			return false;
	}
	return true;
}

/* Writes the best text and ends the request. */
static bool
write_text(LmMany *many, LmSlot *slot, LmError *error)
{
	const LmHost *host = lm_engine_host(many->session->engine);
	LmBeams *beams = many->items[slot->request].beams;
	bool done = false;

	for (int n = 0; !done; n++)
	{
		LmBytes text;
		LmError own;

		if (n % GIVEN_TOGETHER == 0 && host->should_stop && host->should_stop(host->context))
			return lm_fail(error, LM_ERR_STOPPED, -1, "inference was stopped");
		if (!lm_beams_give(beams, &text, &done, &own) ||
			!lm_slot_append(many, slot->request, text, &own))
		{
			lm_slot_leave(many, slot, &own);
			return true;
		}
	}
	lm_slot_leave(many, slot, NULL);
	return true;
}

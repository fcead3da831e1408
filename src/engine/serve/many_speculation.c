/*
 * src/engine/serve/many_speculation.c
 *
 * Speculative decoding of the texts in the model: proposals lengthen the window of a text before a
 * step, and the rows of the step say which of them the text takes.
 */
#include "serve/many.h"
#include "serve/speculation.h"

/*
 * Rows of a step that continue texts, at most, for proposals to be among them. From 9 texts on a
 * pass is busy with the texts alone: 32 rows of 124 million weights take 6 times as long as one.
 */
#define ROWS (LM_SPECULATION_MOST + 1)

static bool goes_on(const LmMany *many, const LmSlot *slot);
static int most_for(const LmMany *many, const LmSlot *slot, int n_going);
static bool propose(LmMany *many, LmSlot *slot, int most, LmError *error);

bool
lm_many_propose(LmMany *many, LmError *error)
{
	int n_going = 0;

	for (int i = 0; i < many->n_sequences; i++)
		n_going += goes_on(many, &many->slots[i]);
	for (int i = 0; i < many->n_sequences; i++)
	{
		LmSlot *slot = &many->slots[i];

		if (!goes_on(many, slot) || slot->has_proposed || !slot->generation ||
			!lm_generation_speculation(slot->generation))
			continue;
		if (!propose(many, slot, most_for(many, slot, n_going), error))
			return false;
	}
	return true;
}

/* Whether a text has one token left that the model has not read. */
static bool
goes_on(const LmMany *many, const LmSlot *slot)
{
	return slot->request >= 0 &&
		   slot->n - slot->n_ahead - many->sequences[slot - many->slots].n_positions == 1;
}

/*
 * A search has no proposals, nor has a prompt that is healed, or a text whose tokens get scores. A
 * draft reads one text at a time. The token after the last proposal is the last one that the text
 * may have.
 */
static int
most_for(const LmMany *many, const LmSlot *slot, int n_going)
{
	int most = ROWS / n_going - 1, room = many->session->config.context - slot->n,
		left = lm_generation_left(slot->generation) - 1;

	if (many->items[slot->request].beams || many->requests[slot->request].each ||
		lm_generation_depth(slot->generation) > 0 ||
		(lm_generation_speculation(slot->generation)->draft && !many->is_alone))
		return 0;
	most = most < room ? most : room;
	return most < left ? most : left;
}

static bool
propose(LmMany *many, LmSlot *slot, int most, LmError *error)
{
	LmSpeculation *speculation = lm_generation_speculation(slot->generation);

	if (!lm_speculation_propose(speculation, slot->generation, most, many->candidates, many->output,
								error))
		return false;
	slot->has_proposed = true;
	slot->n_ahead = speculation->n_proposals;
	if (slot->n_ahead > 0)
		slot->ids = lm_generation_window(speculation->ahead, &slot->n);
	return true;
}

bool
lm_many_judge(LmMany *many, LmSlot *slot, LmError *error)
{
	size_t V = (size_t) many->session->config.vocabulary;
	LmManyCounts *counts;
	int n_right;

	if (!lm_speculation_judge(&n_right, lm_generation_speculation(slot->generation),
							  slot->generation, many->candidates,
							  many->output + (size_t) slot->first_row * V, error))
		return false;
	counts = &many->requests[slot->request].counts;
	counts->proposed += slot->n_ahead;
	counts->accepted += n_right;
	many->counts.proposed += slot->n_ahead;
	many->counts.accepted += n_right;
	return true;
}

/*
 * src/engine/serve/many_prefix.c
 *
 * The beginning that most texts share, and what a slot's sequence has already computed of its text.
 * Of a decoder whole pages are shared, and all of it where all texts are the same. Where a sequence
 * has a prefix (LmArchitecture), its keys and values rest on all of the prefix, so it is shared as
 * a whole or not at all. A page that is shared in part is copied when a text goes on.
 */
#include <string.h>

#include "serve/infer.h"
#include "serve/many.h"

static bool share_whole(LmMany *many, LmSlot *slot);
static void find_pages(LmMany *many, int *n_prefix, const LmModel **model);
static void find_rest(LmMany *many, int *n_prefix, const LmModel **model);
static void find_whole(LmMany *many, int *n_prefix, const LmModel **model);
static bool same_whole(const LmMany *many, const LmItem *a, const LmItem *b);
static const LmItem *most_common(const LmMany *many, int at, int *count);
static bool is_candidate(const LmItem *item, int at);

bool
lm_prefix_feed(LmMany *many, LmError *error)
{
	LmSession *session = many->session;
	LmSequence *sequence = &many->sequences[many->n_sequences];
	int at = sequence->n_positions;
	int n = many->n_prefix - at < many->n_rows ? many->n_prefix - at : many->n_rows;

	sequence->prefix = many->prefix_is_whole ? many->n_prefix : 0;
	for (int i = 0; i < n; i++)
		many->inputs[i] = (LmInput){many->prefix[at + i], many->n_sequences, at + i, false};
	if (!lm_infer(many->output, session->engine, session->model, many->pages, many->sequences,
				  many->n_sequences + 1, many->inputs, n, many->workspace, error))
		return false;
	memcpy(many->prefix_past + at, many->prefix + at, (size_t) n * sizeof *many->prefix);
	many->counts.tokens += n;
	return true;
}

void
lm_prefix_keep(LmMany *many, LmSlot *slot)
{
	LmSequence *sequence = &many->sequences[slot - many->slots];
	const LmSequence *prefix = &many->sequences[many->n_sequences];
	const LmModel *model = lm_request_session(many, &many->requests[slot->request])->model;
	int common = 0, kept;

	if (sequence->prefix != slot->prefix || sequence->model != model)
		lm_sequence_truncate(sequence, many->pages, 0);
	sequence->model = model;
	kept = lm_sequence_agree(sequence, many->pages, slot->past, slot->ids, slot->first_wanted + 1);
	if (kept < slot->prefix)
		lm_sequence_truncate(sequence, many->pages, 0);
	sequence->prefix = slot->prefix;
	if (slot->prefix > 0)
	{
		if (kept < slot->prefix && prefix->model == model && share_whole(many, slot))
			memcpy(slot->past, slot->ids, (size_t) slot->prefix * sizeof *slot->past);
		return;
	}
	while (prefix->model == model && prefix->prefix == 0 && common < slot->first_wanted &&
		   common < prefix->n_positions && many->prefix_past[common] == slot->ids[common])
		common++;
	/* All of the prefix is forked, with a part of a page. */
	if ((common == prefix->n_positions ? common : common / LM_PAGE * LM_PAGE) <= kept)
		return;
	if (common == prefix->n_positions)
		lm_sequence_fork(sequence, prefix, many->pages);
	else
		lm_sequence_share(sequence, prefix, many->pages, common);
	kept = sequence->n_positions;
	memcpy(slot->past, slot->ids, (size_t) kept * sizeof *slot->past);
}

/* Gives the slot the shared prefix where it is the slot's. */
static bool
share_whole(LmMany *many, LmSlot *slot)
{
	const LmSequence *prefix = &many->sequences[many->n_sequences];

	if (prefix->prefix != slot->prefix || prefix->n_positions != slot->prefix ||
		memcmp(many->prefix_past, slot->ids, (size_t) slot->prefix * sizeof *slot->ids) != 0)
		return false;
	lm_sequence_fork(&many->sequences[slot - many->slots], prefix, many->pages);
	return true;
}

int
lm_sequence_agree(LmSequence *sequence, LmPages *pages, const int32_t *past, const int32_t *ids,
				  int n)
{
	int kept = 0;

	while (kept < n - 1 && kept < sequence->n_positions && past[kept] == ids[kept])
		kept++;
	lm_sequence_truncate(sequence, pages, kept);
	return kept;
}

int32_t
lm_item_id_at(const LmMany *many, const LmItem *item, int position)
{
	const LmRequest *request = &many->requests[item->request];
	bool front = request->task == LM_TASK_GENERATE && lm_item_has_front(many, request);

	if (front && position == 0)
		return lm_request_session(many, request)->front;
	return item->tokens.ids[position - (front ? 1 : 0)];
}

static bool
is_candidate(const LmItem *item, int at)
{
	return item->alive && item->n_shareable >= at + LM_PAGE;
}

/* Keys and values are those of an adapter. */
static const LmModel *
model_of(const LmMany *many, const LmItem *item)
{
	return lm_request_session(many, &many->requests[item->request])->model;
}

static bool
agree(const LmMany *many, const LmItem *a, const LmItem *b, int at)
{
	if (model_of(many, a) != model_of(many, b))
		return false;
	for (int i = at; i < at + LM_PAGE; i++)
		if (lm_item_id_at(many, a, i) != lm_item_id_at(many, b, i))
			return false;
	return true;
}

/*
 * Finds the beginning of more than half of all requests, at least two. That of an earlier run is
 * kept as far as it agrees; where these requests share none, it stays for the next run.
 */
void
lm_prefix_find(LmMany *many)
{
	LmSequence *sequence = &many->sequences[many->n_sequences];
	const LmModel *model = NULL;
	int n_prefix = 0;
	bool is_whole = false;

	for (int i = 0; i < many->n; i++)
	{
		many->items[i].alive = !many->requests[i].done;
		is_whole = is_whole || (many->items[i].alive && many->items[i].n_prefix > 0);
	}
	if (is_whole)
		find_whole(many, &n_prefix, &model);
	else
	{
		find_pages(many, &n_prefix, &model);
		find_rest(many, &n_prefix, &model);
	}
	many->prefix_is_found = n_prefix > 0;
	if (n_prefix == 0)
		return;
	many->n_prefix = n_prefix;
	many->prefix_is_whole = is_whole;
	if (sequence->model != model)
		lm_sequence_truncate(sequence, many->pages, 0);
	sequence->model = model;
	if (lm_sequence_agree(sequence, many->pages, many->prefix_past, many->prefix, n_prefix + 1) <
			n_prefix &&
		sequence->prefix > 0)
		lm_sequence_truncate(sequence, many->pages, 0);
	if (sequence->prefix != (is_whole ? n_prefix : 0))
		lm_sequence_truncate(sequence, many->pages, 0);
}

/* The full pages with which they begin, and their model. */
static void
find_pages(LmMany *many, int *n_prefix, const LmModel **model)
{
	for (;;)
	{
		int count;
		const LmItem *item = most_common(many, *n_prefix, &count);

		if (!item || count < 2 || 2 * count <= many->n)
			return;
		*model = model_of(many, item);
		for (int i = *n_prefix; i < *n_prefix + LM_PAGE; i++)
			many->prefix[i] = lm_item_id_at(many, item, i);
		for (int i = 0; i < many->n; i++)
			many->items[i].alive = is_candidate(&many->items[i], *n_prefix) &&
								   agree(many, &many->items[i], item, *n_prefix);
		*n_prefix += LM_PAGE;
	}
}

/* Where all texts are the same, as the samples of one prompt, they share also a page's part. */
static void
find_rest(LmMany *many, int *n_prefix, const LmModel **model)
{
	const LmItem *first = &many->items[0];

	if (many->n < 2 || many->is_alone)
		return;
	for (int i = 0; i < many->n; i++)
	{
		const LmItem *item = &many->items[i];

		if (many->requests[i].done || item->n_shareable != first->n_shareable ||
			item->n_shareable <= *n_prefix || !same_whole(many, first, item))
			return;
	}
	*model = model_of(many, first);
	*n_prefix = first->n_shareable;
	for (int i = 0; i < *n_prefix; i++)
		many->prefix[i] = lm_item_id_at(many, first, i);
}

/* The prefix of their sequences, by the same vote. */
static void
find_whole(LmMany *many, int *n_prefix, const LmModel **model)
{
	const LmItem *found = NULL;
	int lead = 0, count = 0;

	for (int i = 0; i < many->n; i++)
	{
		const LmItem *item = &many->items[i];

		if (!item->alive || item->n_shareable == 0 || item->n_prefix == 0)
			continue;
		if (lead == 0)
			found = item;
		lead += same_whole(many, found, item) ? 1 : -1;
	}
	for (int i = 0; found && i < many->n; i++)
		count += many->items[i].alive && same_whole(many, found, &many->items[i]);
	if (count < 2 || 2 * count <= many->n)
		return;
	*model = model_of(many, found);
	*n_prefix = found->n_shareable;
	for (int i = 0; i < *n_prefix; i++)
		many->prefix[i] = lm_item_id_at(many, found, i);
}

static bool
same_whole(const LmMany *many, const LmItem *a, const LmItem *b)
{
	if (a->n_prefix != b->n_prefix || a->n_shareable != b->n_shareable ||
		model_of(many, a) != model_of(many, b))
		return false;
	for (int i = 0; i < a->n_shareable; i++)
		if (lm_item_id_at(many, a, i) != lm_item_id_at(many, b, i))
			return false;
	return true;
}

/*
 * An item with the majority's page at a position (Boyer and Moore 1991, "MJRTY"), if there is a
 * majority.
 */
static const LmItem *
most_common(const LmMany *many, int at, int *count)
{
	const LmItem *found = NULL;
	int lead = 0;

	for (int i = 0; i < many->n; i++)
	{
		const LmItem *item = &many->items[i];

		if (!is_candidate(item, at))
			continue;
		if (lead == 0)
			found = item;
		lead += found == item || agree(many, found, item, at) ? 1 : -1;
	}
	*count = 0;
	for (int i = 0; found && i < many->n; i++)
		*count += is_candidate(&many->items[i], at) && agree(many, found, &many->items[i], at);
	return found;
}

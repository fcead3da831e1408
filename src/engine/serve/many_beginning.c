/*
 * src/engine/serve/many_beginning.c
 *
 * The keys and values with which the texts of a run begin, for a caller that keeps them elsewhere.
 *
 * The beginning is that of one text alone, as far as nobody wants its logits, or the one that most
 * of several texts share. Its positions are those of one sequence: the only one, or the prefix's.
 */
#include <string.h>

#include "serve/many.h"

static int beginning_of_generation(LmMany *many, const LmGeneration *generation);
static LmSequence *sequence_of(LmMany *many);
static int32_t *past_of(LmMany *many);
static const LmModel *model_of(LmMany *many);

int
lm_many_beginning(const int32_t **ids, LmMany *many)
{
	const LmItem *item;
	int n;

	*ids = many->prefix;
	if (many->n == 0 || many->n_encoded < many->n || many->n_entered > 0 || many->n_done == many->n)
		return 0;
	if (!many->is_alone && (!many->prefix_is_found || many->prefix_is_whole))
		return 0;
	if (!many->is_alone)
		return many->n_beginning = many->n_prefix / LM_PAGE * LM_PAGE;
	item = &many->items[many->order[0]];
	if (many->requests[item->request].generation)
		return beginning_of_generation(many, many->requests[item->request].generation);
	/* Keys and values of a prefix rest on all of it, and others than the same text have no use. */
	if (many->requests[item->request].done || item->n_prefix > 0 ||
		!lm_task_wants_logits(many->requests[item->request].task))
		return 0;
	n = item->n_shareable / LM_PAGE * LM_PAGE;
	for (int i = 0; i < n; i++)
		many->prefix[i] = lm_item_id_at(many, item, i);
	return many->n_beginning = n;
}

/* Of one that has no token yet. */
static int
beginning_of_generation(LmMany *many, const LmGeneration *generation)
{
	int n;
	const int32_t *window = lm_generation_window(generation, &n);

	if (lm_generation_tokens(generation) > 0 || lm_generation_prefix(generation) > 0)
		return 0;
	n = (n - 1 - lm_generation_depth(generation)) / LM_PAGE * LM_PAGE;
	n = n > 0 ? n : 0;
	memcpy(many->prefix, window, (size_t) n * sizeof *window);
	return many->n_beginning = n;
}

static LmSequence *
sequence_of(LmMany *many)
{
	return &many->sequences[many->is_alone ? 0 : many->n_sequences];
}

static int32_t *
past_of(LmMany *many)
{
	return many->is_alone ? many->slots[0].past : many->prefix_past;
}

/* The beginning that several texts share has a model, since it was found. */
static const LmModel *
model_of(LmMany *many)
{
	return many->is_alone ? lm_request_session(many, &many->requests[many->order[0]])->model
						  : sequence_of(many)->model;
}

int
lm_many_known_pages(LmMany *many)
{
	const LmSequence *sequence = sequence_of(many);
	const int32_t *past = past_of(many);
	int known = 0;

	if (many->n_beginning == 0 || sequence->model != model_of(many) || sequence->prefix > 0)
		return 0;
	while (known < many->n_beginning && known < sequence->n_positions &&
		   past[known] == many->prefix[known])
		known++;
	return known / LM_PAGE;
}

size_t
lm_many_page_size(const LmMany *many)
{
	return many->pages->page_floats * sizeof(float);
}

void *
lm_many_page(LmMany *many, int page)
{
	return lm_page_keys(many->pages, sequence_of(many)->pages[page], 0);
}

bool
lm_many_add_pages(LmMany *many, int n_pages)
{
	LmSequence *sequence = sequence_of(many);
	int known = lm_many_known_pages(many) * LM_PAGE;

	lm_sequence_truncate(sequence, many->pages, known);
	sequence->model = model_of(many);
	sequence->prefix = 0;
	while (sequence->n_positions < n_pages * LM_PAGE)
		if (!lm_sequence_extend(sequence, many->pages))
		{
			lm_many_cut_pages(many, known / LM_PAGE);
			return false;
		}
	memcpy(past_of(many), many->prefix, (size_t) n_pages * LM_PAGE * sizeof *many->prefix);
	return true;
}

void
lm_many_cut_pages(LmMany *many, int n_pages)
{
	lm_sequence_truncate(sequence_of(many), many->pages, n_pages * LM_PAGE);
}

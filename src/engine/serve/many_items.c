/*
 * src/engine/serve/many_items.c
 *
 * Requests before they enter the model: their tokens, and the length that they can reach.
 */
#include <stdlib.h>
#include <string.h>

#include "serve/many.h"
#include "text/array.h"
#include "text/utf8.h"

#define ENCODED_TOGETHER 65536 /* bytes of text in a step */
#define SCORES_BETWEEN_STOPS 65536

static bool encode(LmMany *many, int request, LmError *error);
static void measure(LmMany *many, LmItem *item);
static int pages_of_beams(const LmItem *item, int beams, bool fits);
static int depth_of(const LmMany *many, const LmItem *item);
static void sort_items(LmMany *many);
static int compare_items(const void *a, const void *b);

bool
lm_items_create(LmMany *many, LmError *error)
{
	const LmHost *host = lm_engine_host(many->session->engine);

	many->items = lm_array_allocate(host, (size_t) many->n, sizeof *many->items, error);
	many->order =
		many->items ? lm_array_allocate(host, (size_t) many->n, sizeof *many->order, error) : NULL;
	return many->order != NULL && lm_rows_create(many, error);
}

void
lm_items_free(LmMany *many)
{
	const LmHost *host = lm_engine_host(many->session->engine);

	for (int i = 0; many->items && i < many->n; i++)
	{
		lm_tokens_free(host, &many->items[i].tokens);
		lm_array_free(host, many->items[i].output);
		lm_beams_free(many->items[i].beams);
		lm_free(host, many->items[i].each);
		lm_array_free(host, many->items[i].drawn);
	}
	lm_free(host, many->items);
	lm_free(host, many->order);
	lm_free(host, many->raw);
	many->raw = NULL;
	many->items = NULL;
	many->order = NULL;
}

void
lm_many_fail(LmMany *many, int request, const LmError *error)
{
	many->requests[request].error = *error;
	many->requests[request].done = true;
	many->n_done++;
}

bool
lm_items_encode(LmMany *many, LmError *error)
{
	size_t size = 0;

	while (many->n_encoded < many->n && size < ENCODED_TOGETHER)
	{
		int request = many->n_encoded;

		size += 1 + many->requests[request].prompt.size + many->requests[request].text.size;
		if (!encode(many, request, error))
			return false;
		many->n_encoded++;
	}
	if (many->n_encoded == many->n)
	{
		sort_items(many);
		if (!many->is_alone)
			lm_prefix_find(many);
	}
	return true;
}

/* Whether a beam search has room at all. */
static bool
check_width(const LmMany *many, const LmRequest *request, LmError *error)
{
	int width = lm_request_width(request);

	return width <= many->n_sequences ||
		   lm_fail(error, LM_ERR_LIMIT, -1, "%d beams do not fit: there is room for %d texts",
				   width, many->n_sequences);
}

static bool
check_pages(const LmMany *many, const LmItem *item, LmError *error)
{
	return item->n_pages <= many->pages->n_pages ||
		   lm_fail(
			   error, LM_ERR_LIMIT, -1, "%d beams need %d pages of keys and values, there are %d",
			   many->requests[item->request].sampling.beams, item->n_pages, many->pages->n_pages);
}

static size_t
prefix_of(const LmMany *many, const LmItem *item)
{
	const LmRequest *request = &many->requests[item->request];

	return lm_request_prefix(lm_request_session(many, request), request,
							 request->task == LM_TASK_GENERATE ? item->tokens.count
															   : item->n_skipped);
}

/* Tokens of prompt and text, without the one in front. */
static int64_t
n_read(const LmMany *many, const LmItem *item)
{
	const LmRequest *request = &many->requests[item->request];
	bool has_front =
		request->task != LM_TASK_GENERATE && lm_item_has_front(many, request) && item->tokens.count;

	return (int64_t) item->tokens.count - has_front;
}

/* The scores of the text's tokens, none of which has one yet. */
static bool
make_scores(const LmMany *many, LmItem *item, LmError *error)
{
	const LmHost *host = lm_engine_host(many->session->engine);
	size_t n = item->tokens.count - item->n_skipped;
	size_t size;

	lm_free(host, item->each);
	item->each = NULL;
	if (!many->requests[item->request].each || n == 0 ||
		many->requests[item->request].task == LM_TASK_GENERATE)
		return true;
	/* unset: the pages of a long text are touched in steps, between which the host may stop it */
	if (!lm_size_multiply(&size, n, sizeof *item->each) ||
		(item->each = lm_allocate_unset(host, size)) == NULL)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: scores of %zu tokens", n);
		return false;
	}
	for (size_t i = 0; i < n; i++)
	{
		if (i % SCORES_BETWEEN_STOPS == 0 && !lm_text_go_on(host, error))
			return false;
		item->each[i] = (LmTokenScore){.id = item->tokens.ids[item->n_skipped + i]};
	}
	return true;
}

/* False for LM_ERR_STOPPED alone; every other error is the request's. */
static bool
encode(LmMany *many, int request, LmError *error)
{
	LmItem *item = &many->items[request];
	LmError own;

	item->request = request;
	item->tokens.count = 0;
	if (many->requests[request].generation)
	{
		item->n_pages = (many->session->config.context + LM_PAGE - 1) / LM_PAGE;
		return true;
	}
	if (check_width(many, &many->requests[request], &own) &&
		lm_request_encode(&item->tokens, &item->n_skipped,
						  lm_request_session(many, &many->requests[request]),
						  &many->requests[request], &own))
	{
		item->n_prefix = prefix_of(many, item);
		many->requests[request].n_read = n_read(many, item);
		measure(many, item);
		if (check_pages(many, item, &own) && make_scores(many, item, &own))
			return true;
	}
	if (own.code == LM_ERR_STOPPED)
	{
		*error = own;
		return false;
	}
	lm_tokens_free(lm_engine_host(many->session->engine), &item->tokens);
	lm_many_fail(many, request, &own);
	return true;
}

/* Sets the pages that an item can need at most and the positions that it may share. */
static void
measure(LmMany *many, LmItem *item)
{
	const LmRequest *request = &many->requests[item->request];
	size_t context = (size_t) many->session->config.context, positions = item->tokens.count;
	/* The first window of a longer prompt is not read at all. */
	size_t shareable = item->n_skipped <= context ? item->n_skipped : 0;

	if (request->task == LM_TASK_GENERATE)
	{
		positions +=
			1 + (size_t) (request->sampling.max_tokens > 0 ? request->sampling.max_tokens : 0);
		/*
		 * The window begins with the token in front and the prompt. Logits are wanted of the
		 * prompt's last token, and of the tokens before it that healing looks at.
		 */
		shareable = item->tokens.count + (lm_item_has_front(many, request) ? 1 : 0);
		shareable = item->tokens.count >= context ? 0 : shareable - (size_t) depth_of(many, item);
	}
	shareable -= shareable > 0 ? 1 : 0;
	/* Keys and values of a prefix rest on all of it. */
	if (item->n_prefix > 0)
		shareable = item->n_prefix <= shareable ? item->n_prefix : 0;
	positions = positions < context ? positions : context;
	item->n_shareable = (int) (shareable < positions ? shareable : positions);
	item->n_pages = (int) ((positions + LM_PAGE - 1) / LM_PAGE);
	if (lm_request_width(request) > 1)
		item->n_pages = pages_of_beams(item, request->sampling.beams, positions < context);
}

/*
 * The texts of a search share the full pages of the prompt, unless the context becomes full: then
 * each of them is read again.
 */
static int
pages_of_beams(const LmItem *item, int beams, bool fits)
{
	int shared = fits ? item->n_shareable / LM_PAGE : 0;

	return shared + beams * (item->n_pages - shared);
}

/* As lm_generation_depth of the prompt. */
static int
depth_of(const LmMany *many, const LmItem *item)
{
	const LmRequest *request = &many->requests[item->request];
	LmHealing healing = {0};

	if (request->sampling.heal)
		lm_healing_plan(&healing, lm_request_session(many, request), item->tokens.ids,
						item->tokens.count, lm_item_has_front(many, request) ? 0 : 1);
	return healing.depth;
}

/*
 * Sorts the longest first: the last texts in the model are then short, and none is alone for long.
 */
static void
sort_items(LmMany *many)
{
	const LmItem **sorted = NULL;

	if (many->n > 1)
		sorted =
			lm_allocate(lm_engine_host(many->session->engine), (size_t) many->n * sizeof *sorted);
	for (int i = 0; i < many->n; i++)
		many->order[i] = i;
	/* Without memory the order stays the caller's, which is as right. */
	if (!sorted)
		return;
	for (int i = 0; i < many->n; i++)
		sorted[i] = &many->items[i];
	qsort(sorted, (size_t) many->n, sizeof *sorted, compare_items);
	for (int i = 0; i < many->n; i++)
		many->order[i] = sorted[i]->request;
	lm_free(lm_engine_host(many->session->engine), sorted);
}

static int
compare_items(const void *a, const void *b)
{
	const LmItem *first = *(const LmItem *const *) a, *second = *(const LmItem *const *) b;

	if (first->tokens.count != second->tokens.count)
		return first->tokens.count > second->tokens.count ? -1 : 1;
	return first->request < second->request ? -1 : 1;
}

/*
 * src/engine/serve/pages.c
 *
 * Memory of keys and values in pages of LM_PAGE positions, counted by the sequences that hold them
 * (Kwon et al. 2023, section 4). A page that must be written and is shared is copied first.
 */
#include <string.h>

#include "base/arena.h"
#include "serve/pages.h"

static void lay_out(LmPages *pages, LmArena *arena, const LmConfig *config, int n_pages);
static int take_page(LmPages *pages);
static void give_back(LmPages *pages, int page);

/* Places the tables and the pages; large pages begin on a huge page of the system. */
static void
lay_out(LmPages *pages, LmArena *arena, const LmConfig *config, int n_pages)
{
	size_t n = (size_t) n_pages;

	pages->n_pages = n_pages;
	pages->part_floats = (size_t) LM_PAGE * (size_t) lm_config_kv_channels(config);
	pages->page_floats = 2 * (size_t) config->layers * pages->part_floats;
	lm_arena_take(arena, 1, sizeof(LmPages));
	pages->free = lm_arena_take(arena, n, sizeof(int));
	pages->references = lm_arena_take(arena, n, sizeof(int));
	pages->data = lm_arena_floats(arena, n, pages->page_floats);
	/* The first ones, which every sequence needs, are then in a huge page. */
	if (arena->used >= LM_LEAST_HUGE)
	{
		lm_arena_take(arena, LM_HUGE_PAGE, 1);
		if (arena->base)
			pages->data += -(uintptr_t) pages->data % LM_HUGE_PAGE / sizeof(float);
	}
}

size_t
lm_pages_size(const LmConfig *config, int n_pages)
{
	LmPages counted;
	LmArena arena = {0};

	if (n_pages < 1)
		return 0;
	lay_out(&counted, &arena, config, n_pages);
	return arena.overflow ? 0 : arena.used;
}

LmPages *
lm_pages_create(const LmHost *host, const LmModel *model, int n_pages, LmError *error)
{
	const LmConfig *config = lm_model_config(model);
	size_t size = lm_pages_size(config, n_pages);
	LmArena arena = {0};
	LmPages *pages;

	if (size == 0)
	{
		lm_fail(error, LM_ERR_LIMIT, -1, "%d pages of keys and values are not possible", n_pages);
		return NULL;
	}
	/*
	 * Writing a key touches a cache line for each float, and each token reads all keys. With system
	 * pages of 4 KB the page walks take a third of the time of 32 sequences.
	 */
	pages = lm_allocate_huge(host, size);
	if (!pages)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: keys and values need %zu MB", size >> 20);
		return NULL;
	}
	/*
	 * Keys and values are written before they are read, so memory that no sequence reaches is never
	 * touched.
	 */
	memset(pages, 0, sizeof *pages);
	arena.base = (char *) pages;
	lay_out(pages, &arena, config, n_pages);
	pages->host = *host;
	pages->n_free = 0;
	memset(pages->references, 0, (size_t) n_pages * sizeof(int));
	for (int i = 0; i < n_pages; i++)
	{
		pages->free[pages->n_free++] = n_pages - 1 - i;
		pages->references[i] = 0;
	}
	return pages;
}

void
lm_pages_free(LmPages *pages)
{
	LmHost host;

	if (!pages)
		return;
	host = pages->host;
	lm_free(&host, pages);
}

static int
take_page(LmPages *pages)
{
	int page;

	if (pages->n_free == 0)
		return -1;
	page = pages->free[--pages->n_free];
	pages->references[page] = 1;
	return page;
}

static void
give_back(LmPages *pages, int page)
{
	if (--pages->references[page] == 0)
		pages->free[pages->n_free++] = page;
}

bool
lm_sequence_create(LmSequence *sequence, const LmHost *host, const LmModel *model, LmError *error)
{
	size_t n = ((size_t) lm_model_config(model)->context + LM_PAGE - 1) / LM_PAGE;

	memset(sequence, 0, sizeof *sequence);
	sequence->pages = lm_allocate(host, n * sizeof(int));
	return sequence->pages || lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a sequence");
}

void
lm_sequence_free(LmSequence *sequence, LmPages *pages, const LmHost *host)
{
	if (sequence->pages)
		lm_sequence_truncate(sequence, pages, 0);
	lm_free(host, sequence->pages);
	memset(sequence, 0, sizeof *sequence);
}

void
lm_sequence_truncate(LmSequence *sequence, LmPages *pages, int n_positions)
{
	int n_pages = (n_positions + LM_PAGE - 1) / LM_PAGE;

	if (n_positions >= sequence->n_positions)
		return;
	while (sequence->n_pages > n_pages)
		give_back(pages, sequence->pages[--sequence->n_pages]);
	sequence->n_positions = n_positions;
}

int
lm_sequence_share(LmSequence *sequence, const LmSequence *other, LmPages *pages, int n_positions)
{
	int n_pages = (n_positions < other->n_positions ? n_positions : other->n_positions) / LM_PAGE;

	lm_sequence_truncate(sequence, pages, 0);
	for (int i = 0; i < n_pages; i++)
	{
		sequence->pages[i] = other->pages[i];
		pages->references[other->pages[i]]++;
	}
	sequence->model = other->model;
	sequence->n_pages = n_pages;
	sequence->n_positions = n_pages * LM_PAGE;
	return sequence->n_positions;
}

void
lm_sequence_fork(LmSequence *sequence, const LmSequence *other, LmPages *pages)
{
	lm_sequence_truncate(sequence, pages, 0);
	for (int i = 0; i < other->n_pages; i++)
	{
		sequence->pages[i] = other->pages[i];
		pages->references[other->pages[i]]++;
	}
	sequence->prefix = other->prefix;
	sequence->model = other->model;
	sequence->n_pages = other->n_pages;
	sequence->n_positions = other->n_positions;
}

bool
lm_sequence_extend(LmSequence *sequence, LmPages *pages)
{
	int last = sequence->n_pages - 1;
	int page;

	if (sequence->n_positions == sequence->n_pages * LM_PAGE)
	{
		page = take_page(pages);
		if (page < 0)
			return false;
		sequence->pages[sequence->n_pages++] = page;
	}
	else if (pages->references[sequence->pages[last]] > 1)
	{
		/* The page became partly ours by a truncation, or by a fork. */
		page = take_page(pages);
		if (page < 0)
			return false;
		memcpy(lm_page_keys(pages, page, 0), lm_page_keys(pages, sequence->pages[last], 0),
			   pages->page_floats * sizeof(float));
		give_back(pages, sequence->pages[last]);
		sequence->pages[last] = page;
	}
	sequence->n_positions++;
	return true;
}

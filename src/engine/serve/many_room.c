/*
 * src/engine/serve/many_room.c
 *
 * The memory of LmMany, from its numbers of texts, pages and rows. A session has an LmMany of its
 * own, for one text at a time, whose sequence stays from request to request.
 */
#include <string.h>

#include "serve/infer.h"
#include "serve/many.h"

/* Bytes that lm_allocate adds to a block: slack for alignment and the host's pointer. */
#define BLOCK_OVERHEAD (64 + sizeof(void *))
#define ALONE_ROWS 64 /* as LM_MANY_ROWS, of a session's own */

static LmMany numbers_of(const LmConfig *config, int n_sequences);
static bool memory(size_t *bytes, const LmConfig *checked, int n_threads, const LmMany *numbers,
				   int n_pages, LmError *error);
static void lay_out(LmMany *many, LmArena *arena, const LmConfig *config, int n_threads);
static int pages_of_context(const LmConfig *config);
static LmMany *create(const LmMany *numbers, int n_pages, LmError *error);
static bool allocate(LmMany *many, int n_pages, LmError *error);

bool
lm_many_memory(size_t *bytes, const LmConfig *config, int n_threads, int n_sequences, int n_pages,
			   LmError *error)
{
	LmConfig checked = *config;
	LmMany numbers;

	if (!lm_config_check(&checked, error))
		return false;
	if (n_sequences < 1 || n_sequences > LM_MANY_SEQUENCES)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "%d texts at once are not within 1 .. %d",
					   n_sequences, LM_MANY_SEQUENCES);
	if (n_pages < pages_of_context(&checked))
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "%d pages of keys and values are fewer than one context has: %d", n_pages,
					   pages_of_context(&checked));
	numbers = numbers_of(&checked, n_sequences);
	return memory(bytes, &checked, n_threads, &numbers, n_pages, error);
}

bool
lm_alone_memory(size_t *bytes, const LmConfig *checked, int n_threads, LmError *error)
{
	LmMany numbers = numbers_of(checked, 0);

	return memory(bytes, checked, n_threads, &numbers, pages_of_context(checked), error);
}

/*
 * How many texts and rows; 0 texts: those of a session's own. A prefix goes through the model at
 * once, beside the next tokens of the other texts.
 */
static LmMany
numbers_of(const LmConfig *config, int n_sequences)
{
	bool is_alone = n_sequences == 0;
	int rows = is_alone ? ALONE_ROWS : LM_MANY_ROWS, n = is_alone ? 1 : n_sequences;
	LmMany numbers = {.n_sequences = n, .n_rows = rows, .n_outputs = rows, .is_alone = is_alone};

	if (config->architecture != LM_DECODER && config->context + n > rows)
		numbers.n_rows = config->context + n;
	return numbers;
}

/* Bytes of the block, the pages, the sequences and the generations of a run. */
static bool
memory(size_t *bytes, const LmConfig *checked, int n_threads, const LmMany *numbers, int n_pages,
	   LmError *error)
{
	LmMany counted = *numbers;
	LmArena arena = {0};
	size_t pages = lm_pages_size(checked, n_pages), rest;

	lay_out(&counted, &arena, checked, n_threads);
	rest = sizeof(LmMany) + (size_t) (counted.n_sequences + 1) *
								((size_t) pages_of_context(checked) * sizeof(int) + BLOCK_OVERHEAD);
	rest += 3 * BLOCK_OVERHEAD;
	if (!counted.is_alone)
		rest += (size_t) counted.n_sequences * lm_generation_size(checked);
	if (arena.overflow || pages == 0 ||
		lm_infer_workspace_for(checked, counted.n_rows, counted.n_rows, n_threads) == 0 ||
		!lm_size_add(bytes, arena.used, pages) || !lm_size_add(bytes, *bytes, rest))
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "texts together would need more memory than the address space has");
	return true;
}

/* Places all arrays; n_sequences, n_rows and is_alone are set. */
static void
lay_out(LmMany *many, LmArena *arena, const LmConfig *config, int n_threads)
{
	size_t V = (size_t) config->vocabulary, C = (size_t) config->channels,
		   T = (size_t) config->context, n = (size_t) many->n_sequences,
		   rows = (size_t) many->n_rows, outputs = (size_t) many->n_outputs * V;
	int32_t *pasts;
	double *sums;

	many->sequences = lm_arena_take(arena, n + 1, sizeof(LmSequence));
	many->slots = lm_arena_take(arena, n, sizeof(LmSlot));
	many->prefix = lm_arena_take(arena, T, sizeof(int32_t));
	many->prefix_past = lm_arena_take(arena, T, sizeof(int32_t));
	pasts = lm_arena_take(arena, n * T, sizeof(int32_t));
	sums = lm_arena_take(arena, n * lm_reading_most_sums(config), sizeof(double));
	many->inputs = lm_arena_take(arena, rows, sizeof(LmInput));
	many->rows = lm_arena_take(arena, rows, sizeof(LmManyRow));
	many->scratch_begin = arena->used;
	/* A step draws from at most one row of a single text. */
	many->candidates =
		lm_arena_take(arena, (many->is_alone ? 1 : (size_t) n_threads) * V, sizeof(LmCandidate));
	many->workspace = lm_arena_take(
		arena, lm_infer_workspace_for(config, many->n_rows, many->n_rows, n_threads), 1);
	many->output = lm_arena_floats(arena, 1, outputs > rows * C ? outputs : rows * C);
	many->scratch_end = arena->used;
	for (int i = 0; arena->base && i < many->n_sequences; i++)
	{
		many->slots[i] = (LmSlot){.request = -1};
		many->slots[i].past = pasts + (size_t) i * T;
		many->slots[i].sums = sums + (size_t) i * lm_reading_most_sums(config);
	}
}

static int
pages_of_context(const LmConfig *config)
{
	return (config->context + LM_PAGE - 1) / LM_PAGE;
}

LmMany *
lm_many_create(LmSession *session, int n_sequences, int n_pages, LmError *error)
{
	LmMany numbers = numbers_of(&session->config, n_sequences);
	size_t bytes;

	if (!lm_many_memory(&bytes, &session->config, lm_engine_threads(session->engine), n_sequences,
						n_pages, error))
		return NULL;
	numbers.session = session;
	return create(&numbers, n_pages, error);
}

LmMany *
lm_alone_create(LmSession *session, LmError *error)
{
	LmMany numbers = numbers_of(&session->config, 0);

	numbers.session = session;
	return create(&numbers, pages_of_context(&session->config), error);
}

/* Allocates an LmMany with the numbers that are set in `numbers`. */
static LmMany *
create(const LmMany *numbers, int n_pages, LmError *error)
{
	LmMany *many = lm_allocate(lm_engine_host(numbers->session->engine), sizeof *many);

	if (!many)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for texts");
		return NULL;
	}
	*many = *numbers;
	if (allocate(many, n_pages, error))
		return many;
	lm_many_free(many);
	return NULL;
}

/* Allocates what `memory` counts, but for the generations. */
static bool
allocate(LmMany *many, int n_pages, LmError *error)
{
	const LmSession *session = many->session;
	const LmHost *host = lm_engine_host(session->engine);
	int n_threads = lm_engine_threads(session->engine);
	LmArena arena = {0};
	size_t bytes;

	if (!memory(&bytes, &session->config, n_threads, many, n_pages, error))
		return false;
	lay_out(many, &arena, &session->config, n_threads);
	/*
	 * Not cleared, because short texts touch a small part of it. Long ones touch all: n_rows rows
	 * of logits.
	 */
	many->memory = lm_allocate_huge(host, arena.used);
	if (!many->memory)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: texts need %zu MB", bytes >> 20);
	arena = (LmArena){.base = many->memory};
	lay_out(many, &arena, &session->config, n_threads);
	memset(many->sequences, 0, (size_t) (many->n_sequences + 1) * sizeof(LmSequence));
	many->pages = lm_pages_create(host, session->model, n_pages, error);
	for (int i = 0; i <= many->n_sequences; i++)
		if (!many->pages || !lm_sequence_create(&many->sequences[i], host, session->model, error))
			return false;
	return true;
}

void
lm_many_free(LmMany *many)
{
	const LmHost *host;

	if (!many)
		return;
	host = lm_engine_host(many->session->engine);
	if (many->memory)
		lm_many_forget(many);
	for (int i = 0; many->memory && i <= many->n_sequences; i++)
		lm_sequence_free(&many->sequences[i], many->pages, host);
	lm_pages_free(many->pages);
	lm_free(host, many->memory);
	lm_free(host, many);
}

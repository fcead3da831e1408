/*
 * src/engine/serve/session.c
 *
 * Memory of a session, and tokens into the model. The sequence stays between calls: a call that
 * begins with the same tokens as the last one finds their keys and values computed.
 */
#include <string.h>

#include "serve/infer.h"
#include "serve/session.h"

/* lm_allocate's own bytes on a block: slack for alignment and the host's pointer. */
#define BLOCK_OVERHEAD (64 + sizeof(void *))

static void lay_out(LmSession *session, LmArena *arena, const LmConfig *config, int n_threads);
static int n_pages(const LmConfig *config);
static bool allocate(LmSession *session, LmError *error);
static bool feed(LmSession *session, const int32_t *ids, int n, int first_wanted, bool hidden,
				 LmError *error);
static LmTokenClass class_of(const LmSession *session, int32_t id);

bool
lm_session_memory(size_t *bytes, const LmConfig *config, int n_threads, LmError *error)
{
	LmConfig checked = *config;
	LmSession counted;
	LmArena arena = {0};
	size_t pages, rest;

	if (!lm_config_check(&checked, error))
		return false;
	lay_out(&counted, &arena, &checked, n_threads);
	pages = lm_pages_size(&checked, n_pages(&checked));
	rest = sizeof(LmSession) + (size_t) n_pages(&checked) * sizeof(int) + 4 * BLOCK_OVERHEAD;
	if (arena.overflow || pages == 0 ||
		lm_infer_workspace_for(&checked, LM_SESSION_ROWS, LM_SESSION_ROWS, n_threads) == 0 ||
		!lm_size_add(bytes, arena.used, pages) || !lm_size_add(bytes, *bytes, rest))
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "a session would need more memory than the address space has");
	return true;
}

static void
lay_out(LmSession *session, LmArena *arena, const LmConfig *config, int n_threads)
{
	size_t V = (size_t) config->vocabulary;

	session->past = lm_arena_take(arena, (size_t) config->context, sizeof(int32_t));
	session->inputs = lm_arena_take(arena, LM_SESSION_ROWS, sizeof(LmInput));
	session->classes = lm_arena_take(arena, V, 1);
	session->sums =
		lm_arena_take(arena, (size_t) config->channels + LM_BAG_CHANNELS, sizeof(double));
	session->scratch_begin = arena->used;
	session->hidden = lm_arena_floats(arena, LM_SESSION_ROWS, (size_t) config->channels);
	session->candidates = lm_arena_take(arena, V, sizeof(LmCandidate));
	session->workspace = lm_arena_take(
		arena, lm_infer_workspace_for(config, LM_SESSION_ROWS, LM_SESSION_ROWS, n_threads), 1);
	session->logits = lm_arena_floats(arena, LM_SESSION_ROWS, V);
	session->scratch_end = arena->used;
}

static int
n_pages(const LmConfig *config)
{
	return (config->context + LM_PAGE - 1) / LM_PAGE;
}

LmSession *
lm_session_create(LmEngine *engine, const LmModel *model, LmTokenizer *tokenizer, LmError *error)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);
	const LmConfig *config = lm_model_config(model);
	LmSession *session;

	if (spec->n_tokens > config->vocabulary)
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1,
				"the tokenizer has %d tokens, the model's vocabulary %d", spec->n_tokens,
				config->vocabulary);
		return NULL;
	}
	session = lm_allocate(lm_engine_host(engine), sizeof *session);
	if (!session)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a session");
		return NULL;
	}
	session->engine = engine;
	session->model = model;
	session->tokenizer = tokenizer;
	session->config = *config;
	session->front = spec->beginning >= 0 ? spec->beginning : spec->end_of_text;
	if (!allocate(session, error))
	{
		lm_session_free(session);
		return NULL;
	}
	return session;
}

static bool
allocate(LmSession *session, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	int n_threads = lm_engine_threads(session->engine);
	LmArena arena = {0};
	size_t bytes;

	if (!lm_session_memory(&bytes, &session->config, n_threads, error))
		return false;
	lay_out(session, &arena, &session->config, n_threads);
	/*
	 * Not cleared: a session that scores short texts touches a small part of it. A long one touches
	 * all, 64 rows of logits.
	 */
	session->memory = lm_allocate_huge(host, arena.used);
	if (!session->memory)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: a session needs %zu MB",
					   bytes >> 20);
	arena = (LmArena){.base = session->memory};
	lay_out(session, &arena, &session->config, n_threads);
	session->pages = lm_pages_create(host, session->model, n_pages(&session->config), error);
	return session->pages && lm_sequence_create(&session->sequence, host, session->model, error);
}

void
lm_session_free(LmSession *session)
{
	const LmHost *host;

	if (!session)
		return;
	host = lm_engine_host(session->engine);
	lm_sequence_free(&session->sequence, session->pages, host);
	lm_pages_free(session->pages);
	lm_free(host, session->memory);
	lm_free(host, session);
}

void *
lm_session_scratch(const LmSession *session, size_t *size)
{
	*size = session->scratch_end - session->scratch_begin;
	return (char *) session->memory + session->scratch_begin;
}

void
lm_session_classify(LmSession *session)
{
	if (session->is_classified)
		return;
	for (int32_t id = 0; id < session->config.vocabulary; id++)
		session->classes[id] = (uint8_t) class_of(session, id);
	session->is_classified = true;
}

static LmTokenClass
class_of(const LmSession *session, int32_t id)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(session->tokenizer);
	LmBytes bytes = lm_tokenizer_bytes(session->tokenizer, id);
	LmUtf8State state = {0};

	if (id >= spec->n_tokens)
		return LM_TOKEN_NEVER;
	if (id == spec->end_of_text)
		return LM_TOKEN_ENDS;
	if ((spec->special && spec->special[id]) || id == spec->unknown || bytes.size == 0 ||
		memchr(bytes.data, 0, bytes.size))
		return LM_TOKEN_NEVER;
	return lm_utf8_steps(&state, bytes.data, bytes.size) ? LM_TOKEN_BEGINS : LM_TOKEN_CONTINUES;
}

int
lm_past_keep(LmSequence *sequence, LmPages *pages, const int32_t *past, const int32_t *ids, int n)
{
	int kept = 0;

	while (kept < n - 1 && kept < sequence->n_positions && past[kept] == ids[kept])
		kept++;
	lm_sequence_truncate(sequence, pages, kept);
	return kept;
}

int
lm_session_keep(LmSession *session, const int32_t *ids, int n)
{
	return lm_past_keep(&session->sequence, session->pages, session->past, ids, n);
}

bool
lm_session_feed(LmSession *session, const int32_t *ids, int n, int first_wanted, LmError *error)
{
	return feed(session, ids, n, first_wanted, false, error);
}

bool
lm_session_feed_hidden(LmSession *session, const int32_t *ids, int n, int first_wanted,
					   LmError *error)
{
	return feed(session, ids, n, first_wanted, true, error);
}

static bool
feed(LmSession *session, const int32_t *ids, int n, int first_wanted, bool hidden, LmError *error)
{
	int position = session->sequence.n_positions;
	bool good;

	for (int i = 0; i < n; i++)
		session->inputs[i] = (LmInput){ids[i], 0, position + i, i >= first_wanted};
	if (hidden)
		good =
			lm_infer_hidden(session->hidden, session->engine, session->model, session->pages,
							&session->sequence, 1, session->inputs, n, session->workspace, error);
	else
		good = lm_infer(session->logits, session->engine, session->model, session->pages,
						&session->sequence, 1, session->inputs, n, session->workspace, error);
	if (!good)
		return false;
	memcpy(session->past + position, ids, (size_t) n * sizeof *ids);
	return true;
}

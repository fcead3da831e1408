/*
 * src/engine/serve/session.c
 *
 * A model and its tokenizer go in, a session comes out. Room for one text at a time comes with the
 * first text: the sessions of many adapters, whose texts go through the model together, have none.
 */
#include "serve/linear_part.h"
#include "serve/many.h"

/* Bytes that lm_allocate adds to a block: slack for alignment and the host's pointer. */
#define BLOCK_OVERHEAD (64 + sizeof(void *))

bool
lm_session_memory(size_t *bytes, const LmConfig *config, LmError *error)
{
	LmConfig checked = *config;

	if (!lm_config_check(&checked, error))
		return false;
	*bytes = sizeof(LmSession) + (size_t) checked.vocabulary + 2 * BLOCK_OVERHEAD;
	return true;
}

bool
lm_session_many_memory(size_t *bytes, const LmConfig *config, int n_threads, LmError *error)
{
	LmConfig checked = *config;

	return lm_config_check(&checked, error) && lm_alone_memory(bytes, &checked, n_threads, error);
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
	session->classes = lm_allocate_unset(lm_engine_host(engine), (size_t) config->vocabulary);
	if (!session->classes)
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a session");
	else if (config->features > 0)
		session->linear = lm_linear_part_create(session, error);
	if (!session->classes || (config->features > 0 && !session->linear))
	{
		lm_session_free(session);
		return NULL;
	}
	return session;
}

void
lm_session_free(LmSession *session)
{
	const LmHost *host;

	if (!session)
		return;
	host = lm_engine_host(session->engine);
	lm_many_free(session->alone);
	lm_linear_part_free(session->linear, host);
	lm_free(host, session->classes);
	lm_free(host, session);
}

void
lm_session_set_ends(LmSession *session, const int32_t *ends, int n_ends)
{
	session->ends = ends;
	session->n_ends = n_ends;
}

void
lm_session_set_prompt(LmSession *session, const LmPromptTemplate *written)
{
	session->prompt = *written;
}

void
lm_session_set_prompted(LmSession *session, bool prompted)
{
	session->prompted = prompted;
}

void
lm_session_set_search(LmSession *session, const LmSearch *search)
{
	session->search = search;
}

LmMany *
lm_session_many(LmSession *session, LmError *error)
{
	if (!session->alone)
		session->alone = lm_alone_create(session, error);
	return session->alone;
}

bool
lm_session_has_many(const LmSession *session)
{
	return session->alone != NULL;
}

void
lm_session_drop_many(LmSession *session)
{
	lm_many_free(session->alone);
	session->alone = NULL;
}

void *
lm_session_scratch(const LmSession *session, size_t *size)
{
	const LmMany *alone = session->alone;

	*size = alone ? alone->scratch_end - alone->scratch_begin : 0;
	if (!alone)
		return NULL;
	return (char *) alone->memory + alone->scratch_begin;
}

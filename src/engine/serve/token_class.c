/*
 * src/engine/serve/token_class.c
 *
 * The tokens of a tokenizer go in, their places in generated text come out.
 */
#include <string.h>

#include "serve/session.h"

static LmTokenClass class_of(const LmSession *session, int32_t id);

void
lm_session_classify(LmSession *session)
{
	if (session->is_classified)
		return;
	for (int32_t id = 0; id < session->config.vocabulary; id++)
		session->classes[id] = (uint8_t) class_of(session, id);
	for (int i = 0; i < session->n_ends; i++)
	{
		if (session->ends[i] >= 0 && session->ends[i] < session->config.vocabulary)
			session->classes[session->ends[i]] = LM_TOKEN_ENDS;
	}
	session->is_classified = true;
}

/* The class of a token by its bytes and the tokenizer's special tokens. */
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

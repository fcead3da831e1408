/*
 * src/engine/serve/embed.c
 *
 * A text in, the pooled output of the model's last block out, or what a classifier's head makes of
 * it.
 */
#include "serve/reading.h"

bool
lm_embed(float *embedding, int64_t *n_tokens, LmSession *session, LmBytes text, LmPooling pooling,
		 LmError *error)
{
	LmRequest request = {.task = LM_TASK_EMBED,
						 .prompt = {"", 0},
						 .text = text,
						 .pooling = pooling,
						 .vector = embedding};
	bool good = lm_session_read(session, &request, error);

	*n_tokens = request.n_tokens;
	return good;
}

bool
lm_classify(float *probabilities, int64_t *n_tokens, LmSession *session, LmBytes text,
			LmError *error)
{
	LmRequest request = {
		.task = LM_TASK_CLASSIFY, .prompt = {"", 0}, .text = text, .vector = probabilities};
	bool good = lm_session_read(session, &request, error);

	*n_tokens = request.n_tokens;
	return good;
}

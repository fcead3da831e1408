/*
 * src/engine/serve/score.c
 *
 * A text in, its log-likelihood out.
 */
#include "serve/reading.h"

bool
lm_score(LmScore *score, LmSession *session, const char *text, size_t size, LmError *error)
{
	return lm_score_completion(score, session, (LmBytes){"", 0}, (LmBytes){text, size}, error);
}

bool
lm_score_completion(LmScore *score, LmSession *session, LmBytes prompt, LmBytes text, LmError *error)
{
	LmRequest request = {.task = LM_TASK_SCORE, .prompt = prompt, .text = text};
	bool good = lm_session_read(session, &request, error);

	*score = request.score;
	return good;
}

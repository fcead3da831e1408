/*
 * src/engine/serve/score.c
 *
 * A text in, its log-likelihood out.
 */
#include "serve/reading.h"

bool
lm_score(LmScore *score, LmSession *session, const char *text, size_t size, LmError *error)
{
	return lm_score_completion(score, session, (LmBytes){"", 0}, (LmBytes){text, size}, false,
							   error);
}

bool
lm_score_completion(LmScore *score, LmSession *session, LmBytes prompt, LmBytes text,
					bool include_end, LmError *error)
{
	LmRequest request = {
		.task = LM_TASK_SCORE, .prompt = prompt, .text = text, .include_end = include_end};
	bool good = lm_session_read(session, &request, error);

	*score = request.score;
	return good;
}

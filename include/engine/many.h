/*
 * include/engine/many.h
 *
 * Many texts at once (continuous batching, prefix reuse): lm_score_completion, lm_embed,
 * lm_classify and lm_generation_* for as many texts together as fit, so that weights are read once
 * for all of them. A text that is finished makes room for the next; a beginning that most prompts
 * share is computed once. Results are bit for bit those of the single calls, whatever the other
 * texts.
 */
#ifndef LM_MANY_H
#define LM_MANY_H

#include "engine/serve.h"

#define LM_MANY_SEQUENCES 64 /* texts in the model at once, at most */

typedef enum LmTask
{
	LM_TASK_SCORE,
	LM_TASK_GENERATE,
	LM_TASK_EMBED,
	LM_TASK_CLASSIFY,
} LmTask;

/* One text and what is wanted of it. Texts and stops must live until it is done. */
typedef struct LmRequest
{
	LmTask task;
	/* GENERATE: is continued; SCORE: stands in front and is not scored; EMBED, CLASSIFY: empty */
	LmBytes prompt;
	LmBytes text; /* the others; GENERATE: empty */
	bool include_end; /* SCORE: the end of the text counts as its last token */
	LmSampling sampling; /* GENERATE */
	LmPooling pooling; /* EMBED */
	float *vector; /* EMBED: [channels], CLASSIFY: [labels]; the caller's */

	bool done;
	LmError error; /* LM_OK, or what the single call fails with; no other request suffers */
	LmScore score;
	int64_t n_tokens; /* EMBED, CLASSIFY: as of lm_embed; GENERATE: produced */
	LmBytes output; /* GENERATE: the continuation; lives until the next _start or _free */
	bool truncated; /* GENERATE */
} LmRequest;

typedef struct LmMany LmMany;

/*
 * Bytes that lm_many_create allocates and that a run needs beside texts, their tokens (LmTokens),
 * stops and what is generated. LM_ERR_ARGUMENT for a number of sequences outside 1 ..
 * LM_MANY_SEQUENCES or fewer pages than one context has.
 */
bool lm_many_memory(size_t *bytes, const LmConfig *config, int n_threads, int n_sequences,
					int n_pages, LmError *error);

/*
 * n_pages of LM_PAGE positions are shared by all texts in the model; a text is let in when the
 * pages are free that it can need at most. The session must outlive it and may be used between
 * steps. Errors of lm_many_memory, LM_ERR_MEMORY.
 */
LmMany *lm_many_create(LmSession *session, int n_sequences, int n_pages, LmError *error);
void lm_many_free(LmMany *many);

/*
 * Begins with n requests, which must live until the last of them is done; what was begun before is
 * forgotten. Either all want logits (SCORE, GENERATE) or all want outputs (EMBED, CLASSIFY), else
 * LM_ERR_ARGUMENT. LM_ERR_MEMORY.
 */
bool lm_many_start(LmMany *many, LmRequest *requests, int n, LmError *error);

/*
 * One step: some texts are encoded, or some tokens of the texts in the model go through it. *done:
 * every request is. LM_ERR_STOPPED: nothing is lost, the call may be repeated.
 */
bool lm_many_step(LmMany *many, bool *done, LmError *error);

int64_t lm_many_tokens(const LmMany *many); /* that went through the model since _create */

#endif /* LM_MANY_H */

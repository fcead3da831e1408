/*
 * src/engine/serve/reading.h
 *
 * A text that is read, not continued: sliding windows, and the sums over their rows. The caller,
 * who feeds the model, does
 *
 *   lm_reading_begin(&r, ...); while (lm_reading_window(&r)) { for each row from r.first_wanted
 *   on: lm_reading_add_* } lm_reading_finish(&r, &request, &error);
 */
#ifndef LM_READING_H
#define LM_READING_H

#include "engine/many.h"
#include "engine/params.h"
#include "serve/session.h"

/* A text that is being read. The caller owns all arrays. */
typedef struct LmReading
{
	const LmSession *session;
	LmTask task;
	LmPooling pooling;
	const int32_t *ids; /* of the whole text, with the token in front; the caller's */
	size_t n;
	size_t n_inputs; /* those that go through the model: for a score all but the last */
	size_t n_skipped; /* whose outputs nobody wants */
	size_t n_done; /* after the window */
	size_t n_prefix; /* inputs of the text that are its prefix */

	/* the present window: inputs ids[start .. start + n_window), wanted from first_wanted on */
	size_t start;
	int n_window;
	int first_wanted;
	int prefix; /* of it */

	LmScore score;
	LmBound bound;
	double *sums; /* [lm_reading_sums], the caller's */
	size_t n_first; /* ids of the first text of a pair */
	int64_t n_pooled;
} LmReading;

/* True for tasks that need logits, false for those that need hidden states. */
static inline bool
lm_task_wants_logits(LmTask task)
{
	return task == LM_TASK_SCORE || task == LM_TASK_GENERATE;
}

/*
 * Appends the tokens of a prompt that is to be continued: a marked text (engine/marked_text.h), or
 * one that the session's template writes.
 */
bool lm_continued_encode(LmSession *session, LmTokens *tokens, LmBytes prompt, bool marked,
						 LmError *error);

/*
 * Appends the tokens of a request to empty tokens: the token in front, prompt, text and, where it
 * counts, its end; for a generation those of the prompt alone. The first *n_skipped of them are
 * context only, or those of the first text of a pair. LM_ERR_ARGUMENT where nothing can be read, or
 * the model cannot do the task; errors of lm_tokenizer_encode.
 */
bool lm_request_encode(LmTokens *tokens, size_t *n_skipped, LmSession *session,
					   const LmRequest *request, LmError *error);

/*
 * How many of the first inputs of a request, the token in front among them, are its prefix: all
 * before the one that predicts the first token after the prompt. A text that is classified, or
 * embedded by a model that has learnt prompts, is its prefix as a whole (SIZE_MAX). 0 in a decoder.
 * n_prompt: as lm_request_encode counts n_skipped, for a generation all tokens.
 */
size_t lm_request_prefix(const LmSession *session, const LmRequest *request, size_t n_prompt);

/* The length of LmReading.sums: hidden states, or the features of a head. */
static inline size_t
lm_reading_sums(const LmConfig *config)
{
	return (size_t) (config->labels > 0 ? lm_label_features(config) : config->channels);
}

/* The same of any adapter of a base. */
static inline size_t
lm_reading_most_sums(const LmConfig *config)
{
	LmConfig widest = *config;

	widest.labels = LM_MAX_LABELS;
	widest.pair = true;
	return lm_reading_sums(&widest);
}

/* Begins before the first window. tokens and sums [lm_reading_sums] must live until the end. */
void lm_reading_begin(LmReading *reading, const LmSession *session, const LmRequest *request,
					  const LmTokens *tokens, size_t n_skipped, size_t n_prefix, double *sums);
bool lm_reading_window(LmReading *reading); /* the next one; false after the last */
/* The token that input `row` of the window must predict. */
int32_t lm_reading_target(const LmReading *reading, int row);
/* Adds the log probability of a target to the score. LM_ERR_NUMERIC where it is not finite. */
bool lm_reading_add_logprob(LmReading *reading, double logprob, LmError *error);
/* Whether the bound is certainly passed, whatever follows. */
bool lm_reading_is_decided(const LmReading *reading);
void lm_reading_add_hidden(LmReading *reading, const float *hidden); /* pools a row [C] */
/* Writes the results to the request. LM_ERR_NUMERIC, LM_ERR_STOPPED. */
bool lm_reading_finish(const LmReading *reading, LmRequest *request, LmError *error);

/* log p of a token, of one row of logits. */
double lm_logprob_of(const float *logits, int32_t target, int vocabulary);

/*
 * Sets all but the id of the score of a token with that log probability. What is left of the row of
 * logits is of no use.
 */
void lm_token_score(LmTokenScore *score, double logprob, float *logits, int vocabulary);

#endif /* LM_READING_H */

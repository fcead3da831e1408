/*
 * src/engine/serve/session.h
 *
 * A session inside: a model with its tokenizer, the past of one sequence, and memory for one call.
 */
#ifndef LM_SESSION_H
#define LM_SESSION_H

#include "engine/serve.h"
#include "base/arena.h"
#include "serve/healing.h"
#include "serve/utf8_state.h"

/* tokens that go through the model at once; bounds logits to 64 x V */
#define LM_SESSION_ROWS 64

/* What a token may be used for in generated text. */
typedef enum LmTokenClass
{
	LM_TOKEN_NEVER, /* special, holds U+0000, or no bytes at all */
	LM_TOKEN_BEGINS, /* may follow whole characters */
	LM_TOKEN_CONTINUES, /* only ever after the beginning of a character */
	LM_TOKEN_ENDS, /* ends the text */
} LmTokenClass;

typedef struct LmCandidate
{
	float logit;
	int32_t id;
} LmCandidate;

struct LmSession
{
	LmEngine *engine;
	const LmModel *model;
	LmTokenizer *tokenizer;
	LmConfig config;
	int32_t front; /* stands in front of a text; -1: none */

	LmPages *pages;
	LmSequence sequence;
	void *memory; /* what follows */
	int32_t *past; /* [context] the tokens at the sequence's positions */
	LmInput *inputs; /* [LM_SESSION_ROWS] */
	float *logits; /* [LM_SESSION_ROWS, V] */
	float *hidden; /* [LM_SESSION_ROWS, C] */
	LmCandidate *candidates; /* [V] */
	uint8_t *classes; /* [V] LmTokenClass, once something is generated */
	bool is_classified;
	double *sums; /* [C + LM_BAG_CHANNELS] of a text that is pooled */
	void *workspace;
	/*
	 * of what no call leaves to the next: hidden, candidates, workspace, logits; offsets in memory
	 */
	size_t scratch_begin;
	size_t scratch_end;
};

/*
 * Keeps as much of a sequence as agrees with ids, but at most the first n - 1, so that the last
 * one's logits are computed. past: the tokens at its positions. Returns how many positions stay.
 */
int lm_past_keep(LmSequence *sequence, LmPages *pages, const int32_t *past, const int32_t *ids,
				 int n);

/* The same for the session's sequence. */
int lm_session_keep(LmSession *session, const int32_t *ids, int n);

/* Runs up to LM_SESSION_ROWS ids after the sequence; logits of those from first_wanted on. */
bool lm_session_feed(LmSession *session, const int32_t *ids, int n, int first_wanted,
					 LmError *error);

/* The same with the last block's normalised output in session->hidden. */
bool lm_session_feed_hidden(LmSession *session, const int32_t *ids, int n, int first_wanted,
							LmError *error);

/*
 * Fills classes, unless it has been done: a millisecond for 50,000 tokens, which scoring does
 * without.
 */
void lm_session_classify(LmSession *session);

/* What the next token is drawn for. */
typedef struct LmDraw
{
	const LmSession *session;
	const LmSampling *sampling;
	const uint8_t *seen; /* [V] occurs in prompt or output */
	LmUtf8State state; /* where the text stands inside a character */
	int position; /* of the token in the output */
	/* all observed; NULL: the prompt is as good as any, or has been continued */
	const LmHealing *healing;
} LmDraw;

/*
 * Draws a token from one row of logits, which it changes. candidates: [V], scratch. *id is -1 when
 * no token may follow. Where the prompt is healed, it may be V + the number of a candidate.
 * LM_ERR_NUMERIC for logits that are not numbers. Several threads may draw at once.
 */
bool lm_sample(int32_t *id, LmCandidate *candidates, float *logits, const LmDraw *wanted,
			   LmError *error);

#endif /* LM_SESSION_H */

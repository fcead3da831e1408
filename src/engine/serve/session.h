/*
 * src/engine/serve/session.h
 *
 * The inside of a session: a model with its tokenizer, the classes of tokens, and room for one text
 * at a time.
 */
#ifndef LM_SESSION_H
#define LM_SESSION_H

#include "engine/serve.h"
#include "base/arena.h"
#include "serve/healing.h"
#include "serve/utf8_state.h"

/* The use of a token in generated text. */
typedef enum LmTokenClass
{
	LM_TOKEN_NEVER, /* special, holds U+0000, or no bytes at all */
	LM_TOKEN_BEGINS, /* may follow whole characters */
	LM_TOKEN_CONTINUES, /* only ever after the beginning of a character */
	LM_TOKEN_ENDS, /* ends the text */
} LmTokenClass;

/* A token that may be drawn. */
typedef struct LmCandidate
{
	float logit;
	int32_t id;
} LmCandidate;

/* A session. It owns classes and alone; the rest is the caller's. */
struct LmSession
{
	LmEngine *engine;
	const LmModel *model;
	LmTokenizer *tokenizer;
	LmConfig config;
	int32_t front; /* the token in front of a text; -1: none */
	const int32_t *ends; /* [n_ends] tokens that end a text beside the tokenizer's */
	int n_ends;
	LmPromptTemplate prompt; /* how prompts are written */

	const LmSearch *search; /* NULL: the model has no statistics */
	bool prompted; /* prompts are prefixes, in architectures that have them */

	uint8_t *classes; /* [V] LmTokenClass, once something is generated */
	bool is_classified;
	struct LmMany *alone; /* NULL before its first use */
	struct LmLinearPart *linear; /* of a classifier that has one; else NULL */
};

/* Whether prompts go through the model as prefixes (LmArchitecture). */
static inline bool
lm_session_has_prefixes(const LmSession *session)
{
	return session->prompted && session->config.architecture != LM_DECODER;
}

/*
 * Fills classes, unless they are filled already. It takes a millisecond for 50,000 tokens, which
 * sessions that only score save.
 */
void lm_session_classify(LmSession *session);

/* Whether a generation counts the tokens of its output. */
static inline bool
lm_sampling_counts(const LmSampling *sampling)
{
	return sampling->presence_penalty != 0 || sampling->frequency_penalty != 0;
}

/* The circumstances of a draw. */
typedef struct LmDraw
{
	const LmSession *session;
	const LmSampling *sampling;
	const uint8_t *seen; /* [V] occurs in prompt or output */
	const uint32_t *counts; /* [V] how often the output has it; NULL: no penalty asks */
	const struct LmBanned *banned; /* NULL: none */
	const uint32_t *matched; /* of lm_banned_follow */
	LmUtf8State state; /* where the text stands inside a character */
	int position; /* of the token in the output */
	/* all observed; NULL: the prompt is as good as any, or has been continued */
	const LmHealing *healing;
	const struct LmFollower *follower; /* NULL: there is no constraint; else it is ready */
} LmDraw;

/*
 * Draws a token from one row of logits, which it changes. candidates: [V], scratch. *id is -1 when
 * no token may follow. Where the prompt is healed, it may be V + the number of a candidate.
 * LM_ERR_NUMERIC for logits that are not numbers. Several threads may draw at once.
 */
bool lm_sample(int32_t *id, LmCandidate *candidates, float *logits, const LmDraw *wanted,
			   LmError *error);

#endif /* LM_SESSION_H */

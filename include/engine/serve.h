/*
 * include/engine/serve.h
 *
 * A session, and the words of what is asked of it (engine/many.h): how text is generated, scored
 * and pooled.
 */
#ifndef LM_SERVE_H
#define LM_SERVE_H

#include "engine/model.h"
#include "engine/tokenizer.h"

/* A model with its tokenizer, and room for one text at a time that is reused from call to call. */
typedef struct LmSession LmSession;

/*
 * Bytes that lm_session_create allocates: what generating and scoring need beside the tokens of the
 * text itself (LmTokens). Checked by the caller against its limit.
 */
bool lm_session_memory(size_t *bytes, const LmConfig *config, int n_threads, LmError *error);
/*
 * Engine, model and tokenizer must outlive it. LM_ERR_ARGUMENT when the tokenizer has more tokens
 * than the model; LM_ERR_LIMIT, LM_ERR_MEMORY.
 */
LmSession *lm_session_create(LmEngine *engine, const LmModel *model, LmTokenizer *tokenizer,
							 LmError *error);
void lm_session_free(LmSession *session);
/*
 * Memory of the session, *size bytes, whose contents matter only while a generation is under way:
 * between calls the caller may give its pages back to the system.
 */
void *lm_session_scratch(const LmSession *session, size_t *size);

/* How tokens are drawn, and where the text ends. */
typedef struct LmSampling
{
	int max_tokens;
	double temperature; /* 0: greedy (lowest id wins a tie) */
	int top_k; /* 0: all */
	double top_p; /* 1: all */
	double min_p; /* 0: all */
	double repetition_penalty; /* 1: none (Keskar et al. 2019, section 4.1) */
	uint64_t seed;
	int n_stops;
	const LmBytes *stops;
	bool heal; /* the prompt may end within a token */
} LmSampling;

/*
 * Generation. Order: repetition penalty over prompt and output -> temperature -> top_k -> top_p ->
 * min_p -> renormalise. The random number is a function of (seed, output position). Masked: special
 * tokens (the end apart), U+0000, bytes that cannot continue the character begun. The token that
 * stands in front of a scored text stands in front of the prompt too, as part of the context. When
 * the context is full its later half is read again as new context. The text ends at an end token,
 * at the stop string that is complete first (which is left out), at max_tokens, or where no token
 * may follow; a character begun and not ended is left out.
 *
 * With heal, the first token may also stand in the place of the prompt's last ones, whose bytes it
 * begins with; the part that the prompt has is not given out. How many they are is drawn first, in
 * the same order without the penalty, so that at temperature 1 it is the distribution of what
 * follows the prompt's bytes, not its tokens, as far as those have boundaries in common
 * (src/engine/serve/healing.h). A session may have several generations: each finds its past again,
 * or computes it anew.
 */
typedef struct LmGeneration LmGeneration;

/*
 * A generation that is continued piece by piece (LmRequest.generation). Copies sampling; stops need
 * not live on. *truncated is set when the prompt is longer than context
 * - 1 tokens: its last context - 1 are then the context, with nothing in front. LM_ERR_ARGUMENT for
 * a value of sampling out of range, or an empty prompt where the tokenizer has neither beginning
 * nor end; errors of lm_tokenizer_encode.
 */
LmGeneration *lm_generation_start(LmSession *session, const char *prompt, size_t size,
								  const LmSampling *sampling, bool *truncated, LmError *error);
/* The text has ended: nothing is left to ask for. */
bool lm_generation_finished(const LmGeneration *generation);
/* Tokens produced so far, without the end token. */
int lm_generation_tokens(const LmGeneration *generation);
/* The token of the last piece; -1 where the text ended without one. */
int32_t lm_generation_token(const LmGeneration *generation);
/* Frees the generation, not its session; NULL is fine. */
void lm_generation_free(LmGeneration *generation);

/* The log-likelihood of a text. */
typedef struct LmScore
{
	int64_t n_tokens; /* scored */
	double logprob; /* sum in nats, float64 */
	double min_logprob; /* of the most surprising token */
} LmScore;

/* Whose hidden states an embedding is. */
typedef enum LmPooling
{
	LM_POOL_MEAN, /* of the text's tokens */
	LM_POOL_LAST, /* the last token's */
} LmPooling;

const char *lm_pooling_name(int pooling); /* "mean", "last"; NULL after the last */

#endif /* LM_SERVE_H */

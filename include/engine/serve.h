/*
 * include/engine/serve.h
 *
 * A session, and the options and results of generating, scoring and pooling, which requests
 * (engine/many.h) use.
 */
#ifndef LM_SERVE_H
#define LM_SERVE_H

#include "engine/model.h"
#include "engine/search.h"
#include "engine/prompt.h"
#include "engine/tokenizer.h"

/*
 * A model with its tokenizer and, from the first text on, room for one text at a time that is
 * reused from call to call (lm_session_many of engine/many.h).
 */
typedef struct LmSession LmSession;

/*
 * Bytes that lm_session_create allocates. The caller checks them against its limit.
 * LM_ERR_ARGUMENT.
 */
bool lm_session_memory(size_t *bytes, const LmConfig *config, LmError *error);
/*
 * Engine, model and tokenizer must outlive the session. NULL with LM_ERR_ARGUMENT when the
 * tokenizer has more tokens than the model, LM_ERR_LIMIT or LM_ERR_MEMORY.
 */
LmSession *lm_session_create(LmEngine *engine, const LmModel *model, LmTokenizer *tokenizer,
							 LmError *error);
void lm_session_free(LmSession *session);
/*
 * Tokens that end a generated text beside the tokenizer's end token, such as the end of a turn. The
 * array must outlive the session. Called before the first generation; ids out of range are ignored.
 */
void lm_session_set_ends(LmSession *session, const int32_t *ends, int n_ends);
/*
 * How prompts are written that are not marked texts; as they are unless set. Its texts must outlive
 * the session.
 */
void lm_session_set_prompt(LmSession *session, const LmPromptTemplate *written);
/*
 * Whether the model has learnt completions of prompts. Its prompts are then prefixes, where the
 * architecture has them (LmArchitecture): all but the last token of what stands in front of the
 * completion. Otherwise, as without this call, it reads a prompt as the beginning of a text. Called
 * before the first request.
 */
void lm_session_set_prompted(LmSession *session, bool prompted);
/*
 * Memory of the session, *size bytes, whose contents matter only while a generation is under way:
 * between calls the caller may give its pages back to the system. NULL and 0 where it has none.
 */
void *lm_session_scratch(const LmSession *session, size_t *size);

#define LM_MAX_BEAMS 64 /* as many texts are in the model at once (engine/many.h) */

/* Statistics for LM_POOL_RARITY and LM_POOL_TRAINED, which must outlive the session; NULL: none. */
void lm_session_set_search(LmSession *session, const LmSearch *search);

/* What is added to the logit of a token. */
typedef struct LmBias
{
	int32_t id;
	float bias;
} LmBias;

/* src/engine/serve/banned.c: bytes that banned texts take beside their list, at most. */
size_t lm_banned_size(const LmBytes *texts, int n, const LmConfig *config);

/* Texts that a generation may write, with what is known of them (engine/constraint.h). */
typedef struct LmConstraint LmConstraint;

/* How tokens are drawn, and where the text ends. */
typedef struct LmSampling
{
	int max_tokens;
	double temperature; /* 0: greedy (lowest id wins a tie) */
	int top_k; /* 0: all */
	double top_p; /* 1: all */
	double min_p; /* 0: all */
	double repetition_penalty; /* 1: none (Keskar et al. 2019, section 4.1) */
	/*
	 * What a token's logit loses once the output has the token, and for each time that it has it
	 * (OpenAI's presence_penalty and frequency_penalty); 0: nothing
	 */
	double presence_penalty;
	double frequency_penalty;
	int n_biases;
	const LmBias *biases; /* in the order of their tokens, each once */
	int n_banned;
	const LmBytes *banned; /* texts that the output never has */
	uint64_t seed;
	int n_stops;
	const LmBytes *stops;
	bool heal; /* the prompt may end within a token */
	/*
	 * NULL: any text. Else the text is one that it allows; it must outlive the request, and is used
	 * by one thread at a time. Neither stops nor beams can be with it, nor is anything proposed.
	 */
	LmConstraint *constraint;
	/*
	 * From 2 on a beam search with so many beams (src/engine/serve/beams.h), which draws nothing:
	 * temperature, top_k, top_p, min_p and seed are not used. A request's; lm_generation_start has
	 * no use for it.
	 */
	int beams;
	/*
	 * Speculative decoding (src/engine/serve/speculation.h), which changes no text: a session of a
	 * smaller model with the same tokenizer proposes tokens, which must outlive the generation and
	 * has its room for one text (lm_session_many); or
	 * with `lookup` they are what followed the last tokens before. A search has no use for it.
	 */
	LmSession *draft;
	bool lookup;
	double length_penalty; /* of the search: 0, as the probability is; larger: longer texts */
	/*
	 * prompt and text of the request are marked texts (engine/marked_text.h), with the tokens in
	 * front that they name
	 */
	bool marked;
} LmSampling;

/*
 * Generation. Order: repetition penalty over prompt and output -> presence and frequency penalty
 * over the output -> biases -> masks -> temperature -> top_k -> top_p -> min_p -> renormalise. The
 * random number is a function of (seed, output position). Masked: special tokens but for the end,
 * U+0000, bytes that cannot continue the character begun, and those that would complete a banned
 * text, so that the output has none of these texts, however tokens are cut. The prompt has
 * the same token in front as a scored text, as part of the context. When the context is full, its
 * later half is read again as new context. The text ends at an end token, at the first complete
 * stop string (which is left out), at max_tokens, or where no token may follow; an incomplete
 * character at the end is left out.
 *
 * With heal, the first token may also replace the last tokens of the prompt, if it begins with
 * their bytes; the bytes that the prompt has are not given out again. The number of replaced tokens
 * is drawn first, in the same order without the penalty. At temperature 1 the text then has the
 * distribution of texts after the prompt's bytes, not after its tokens
 * (src/engine/serve/healing.h). A session may have several generations: each finds its keys and
 * values again, or computes them a second time.
 */
typedef struct LmGeneration LmGeneration;

/*
 * A generation that is continued piece by piece (LmRequest.generation). Copies sampling with its
 * stops. A prompt longer than context - 1 tokens sets *truncated: its last context - 1 tokens are
 * then the context, with nothing in front. LM_ERR_ARGUMENT for a value of sampling out of range, or
 * for an empty prompt where the tokenizer has neither a BOS nor an end token; errors of
 * lm_tokenizer_encode.
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
	double min_logprob; /* of the least likely token */
} LmScore;

/* Whose hidden states an embedding is. */
typedef enum LmPooling
{
	LM_POOL_MEAN, /* of the text's tokens */
	LM_POOL_LAST, /* the last token's */
	LM_POOL_RARITY, /* none's: the vector of engine/search.h */
	LM_POOL_TRAINED, /* what contrastive training has made of mean and runs of letters */
	LM_POOL_AUTO, /* trained, else by rarity, else the mean: the first that the model has */
} LmPooling;

const char *lm_pooling_name(int pooling); /* "mean", "last" ...; NULL after the last */

/* Numbers of an embedding, at most. */
int lm_embedding_most(const LmConfig *config);

#endif /* LM_SERVE_H */

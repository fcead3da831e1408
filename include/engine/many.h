/*
 * include/engine/many.h
 *
 * Scores, continues, embeds and classifies texts by continuous batching: as many texts together as
 * fit, so that weights are read once for all of them. A text that is finished makes room for the
 * next. A prefix that most prompts share is computed once (prefix reuse). The result of a text has
 * the same bits whatever other texts are beside it, or alone.
 */
#ifndef LM_MANY_H
#define LM_MANY_H

#include "engine/serve.h"

#define LM_MANY_SEQUENCES LM_MAX_BEAMS /* texts in the model at once, at most */

/*
 * The tasks of a request.
 *
 * SCORE: the log-likelihood of a text. The tokenizer's BOS token, or else its end token, stands in
 * front of the text; without either, the first token is not scored. Every token of the text is
 * scored once, the end is not. A text longer than the context goes in sliding windows with stride
 * context / 2, so that each token has at least context / 2 tokens before it where the text has
 * them. A prompt is encoded separately and not scored; the windows run over both together. With
 * include_end the end token after the text is scored too: a text that stops too early is then
 * unlikely, and an empty text has one token. A tokenizer without an end token adds nothing. A text
 * without tokens gives n_tokens 0. LM_ERR_NUMERIC for logits that are not finite.
 *
 * GENERATE: the continuation of the prompt (LmGeneration); or the next piece of one that has begun:
 * whole characters only, possibly empty while a character or a stop string is undecided. With
 * sampling.beams from 2 on it is the best text of a beam search, which counts as so many texts in
 * the model; LM_ERR_LIMIT where there is no room for them.
 *
 * EMBED: the hidden states after the last norm, [channels], pooled over the text's tokens. The
 * model sees each token as for SCORE: after the BOS token, in the same windows. Sums in float64 in
 * the order of the text. LM_POOL_RARITY instead is the vector of engine/search.h, of length 1,
 * without a pass of the model. n_tokens is the number of the text's tokens; with 0 of them vector
 * is 0. LM_ERR_NUMERIC; LM_ERR_ARGUMENT where the model has no such pooling.
 *
 * CLASSIFY: probabilities [labels], which sum to 1, or with multi_label each one's own; of a model
 * of numbers the number, standardised. The token
 * in front counts as one of the text's, as in training; a longer text than the context goes in
 * windows as for EMBED. A text without tokens is classified by the token in front alone.
 * LM_ERR_ARGUMENT where the model is not a classifier, or there is nothing to read; LM_ERR_NUMERIC.
 *
 * Every task has the errors of lm_tokenizer_encode.
 */
typedef enum LmTask
{
	LM_TASK_SCORE,
	LM_TASK_GENERATE,
	LM_TASK_EMBED,
	LM_TASK_CLASSIFY,
} LmTask;

/*
 * When the score of a text need not be finished: as soon as it is certain that the whole text's
 * value is below the limit. No token raises any of them: log probabilities are at most 0, but for
 * the rounding of softmax, for which LM_BOUND_SLACK a token is added to what has been read.
 */
typedef enum LmBoundKind
{
	LM_BOUND_NONE,
	LM_BOUND_SUM, /* of log probabilities */
	LM_BOUND_MEAN, /* the sum over the number of all tokens that are scored */
	LM_BOUND_LEAST, /* the log probability of the least likely token */
} LmBoundKind;

#define LM_BOUND_SLACK 1e-4

typedef struct LmBound
{
	LmBoundKind kind;
	double limit;
} LmBound;

/* What a model expected where a token of a text stands, in nats; of all tokens, unmasked. */
typedef struct LmTokenScore
{
	double logprob; /* of the token */
	float entropy; /* of the distribution */
	int32_t id; /* of the token */
	int32_t rank; /* 1 + how many tokens are likelier; of equal ones the lower id is. 0: no score */
	int32_t expected; /* the token of rank 1 */
} LmTokenScore;

/* What went through an LmMany since _create; or of one request since _start. */
typedef struct LmManyCounts
{
	int64_t tokens; /* that the model computed; a shared beginning is no request's */
	int64_t begun; /* generations that have their first token; of a beam search: its result */
	/*
	 * texts that found keys and values of their beginning, more than those of the token in front,
	 * and those that did not
	 */
	int64_t hits;
	int64_t misses;
	int64_t reused; /* tokens of these beginnings, which the model did not compute again */
	int64_t proposed; /* tokens, in speculative decoding ... */
	int64_t accepted; /* ... which the text got */
} LmManyCounts;

/* One text and the result that is wanted. Texts and stops must live until it is done. */
typedef struct LmRequest
{
	LmTask task;
	/*
	 * NULL, the session of the LmMany; or another one, whose model is over the same image, with
	 * another adapter or none. Requests of different adapters go through the model together.
	 */
	LmSession *session;
	/*
	 * GENERATE: the text to continue; SCORE: context, not scored, data NULL: the text has no
	 * prompt; EMBED, CLASSIFY: empty. The session's template writes it (lm_session_set_prompt).
	 */
	LmBytes prompt;
	LmBytes text; /* the others; GENERATE: empty */
	/*
	 * SCORE, CLASSIFY: the tokens of prompt and text, without the one in front, where the caller
	 * has them; NULL: it has not. The first n_context are the prompt's, or those of the first text
	 * of a pair, after which its end follows. Prompt and text are not read then, but their sizes
	 * together are at least n_ids. include_end adds nothing.
	 */
	const int32_t *ids;
	size_t n_ids;
	size_t n_context;
	bool include_end; /* SCORE: the end of the text counts as its last token */
	bool bare; /* SCORE: by the network alone, without the n-grams beside it */
	/*
	 * SCORE: every token of the text gets a score of its own; GENERATE: every token that is drawn,
	 * without beams, a draft, lookup and generation
	 */
	bool each;
	LmBound bound; /* SCORE, without `each` */
	LmSampling sampling; /* GENERATE */
	/*
	 * GENERATE: NULL, or the caller's generation, which has begun and not finished: the request
	 * gets its next piece, and prompt and sampling are not read
	 */
	LmGeneration *generation;
	LmPooling pooling; /* EMBED */
	bool logits; /* CLASSIFY: logits in the place of probabilities; a number stays as it is */
	/* EMBED: [lm_embedding_most], CLASSIFY: [labels]; the caller's */
	float *vector;
	int n_vector; /* EMBED: how many of them the result has */

	bool done;
	LmError error; /* LM_OK, or why this text has no result; no other request suffers */
	LmScore score;
	/*
	 * SCORE: the bound has ended it. The score's sums are those of the tokens that were read, and
	 * as certainly below the limit as the whole text's; n_tokens counts all that would be scored.
	 */
	bool bounded;
	/*
	 * With `each`: the tokens of the text, in memory of the engine's host. SCORE: their sum in
	 * their order is score.logprob, bit for bit. GENERATE: all that were drawn, with those of a
	 * stop string and the one that ends the text; a first token that replaces tokens of the prompt
	 * has a log probability, no rank (0) and no entropy. They live until the next _start, _forget
	 * or _free.
	 */
	const LmTokenScore *tokens;
	size_t n_each;
	size_t n_given; /* bytes of the first drawn token that the output does not have */
	int64_t n_read; /* tokens of prompt and text; of a generation that goes on: 0 */
	int64_t n_tokens; /* EMBED, CLASSIFY: of the text; GENERATE: produced */
	/*
	 * GENERATE: the continuation, which lives until the next _start, _forget or _free; or the
	 * piece, which lives until the next one
	 */
	LmBytes output;
	bool truncated; /* GENERATE */
	LmManyCounts counts; /* of this request alone */
} LmRequest;

/* The texts in the model and the requests that wait. */
typedef struct LmMany LmMany;

/*
 * Bytes that lm_many_create allocates and that a run needs beside texts, their tokens (LmTokens),
 * stops and the generated texts. LM_ERR_ARGUMENT for n_sequences outside 1 .. LM_MANY_SEQUENCES or
 * fewer pages than one context needs.
 */
bool lm_many_memory(size_t *bytes, const LmConfig *config, int n_threads, int n_sequences,
					int n_pages, LmError *error);

/*
 * Bytes that a request with beams takes beside these, but for its stops; 0 without. LM_ERR_LIMIT.
 */
bool lm_beams_request_memory(size_t *bytes, const LmConfig *config, const LmSampling *sampling,
							 LmError *error);

/* Bytes that a request with a draft or lookup takes beside these, but for its stops. */
size_t lm_speculation_memory(const LmConfig *config);

/*
 * All texts in the model share n_pages of LM_PAGE positions; a text enters when the pages are free
 * that it can need at most. The session, and those of requests, must outlive it and may be used
 * between steps. Errors of
 * lm_many_memory, LM_ERR_MEMORY.
 */
LmMany *lm_many_create(LmSession *session, int n_sequences, int n_pages, LmError *error);
void lm_many_free(LmMany *many);

/*
 * The LmMany of a session itself, which serves one text at a time and is freed with the session, or
 * by _drop. It computes the next text only from where that differs from the last one. The first
 * call makes it: NULL with LM_ERR_LIMIT or LM_ERR_MEMORY. _memory: bytes that it takes, the memory
 * of generating and scoring one text but for its tokens (LmTokens); LM_ERR_LIMIT, LM_ERR_ARGUMENT.
 */
LmMany *lm_session_many(LmSession *session, LmError *error);
bool lm_session_has_many(const LmSession *session);
void lm_session_drop_many(LmSession *session);
bool lm_session_many_memory(size_t *bytes, const LmConfig *config, int n_threads, LmError *error);

/*
 * Begins with n requests, which must live until the last of them is done; an earlier run is
 * dropped. Either all want logits (SCORE, GENERATE) or all want outputs (EMBED, CLASSIFY), and all
 * sessions have one image, else LM_ERR_ARGUMENT. LM_ERR_MEMORY.
 */
bool lm_many_start(LmMany *many, LmRequest *requests, int n, LmError *error);

/*
 * One step: encodes some texts, or runs some tokens of the texts in the model. *done: every request
 * is done. LM_ERR_STOPPED: nothing is lost, the call may be repeated.
 */
bool lm_many_step(LmMany *many, bool *done, LmError *error);

/*
 * Drops requests that are not done, and all outputs; keys and values that may serve later requests
 * stay.
 */
void lm_many_forget(LmMany *many);

/*
 * The beginning of a run's texts, for a caller that keeps keys and values elsewhere: of one text
 * alone what nobody wants logits of, of several what most of them share; not of prefixes
 * (LmArchitecture), and not of texts to embed or classify. _beginning: *ids, which live until the
 * next run, and their number, a multiple of LM_PAGE. It is known
 * between the step that encodes the last request and the one after it; else, and where there is
 * none, 0.
 *
 * _known_pages: how many pages of keys and values of these ids are there, up to the end of the run
 * and after it. _page: those of one of them, all layers, _page_size bytes. _add_pages, before the
 * next step: there are n_pages now, whose contents from the known ones on the caller must fill
 * before it does anything else, or take back by _cut_pages; false where there is no room. Contents
 * depend on the model, the ids, the type of the image and the kernels (lm_simd_name,
 * lm_linear_infer_name) alone.
 */
int lm_many_beginning(const int32_t **ids, LmMany *many);
int lm_many_known_pages(LmMany *many);
size_t lm_many_page_size(const LmMany *many);
void *lm_many_page(LmMany *many, int page);
bool lm_many_add_pages(LmMany *many, int n_pages);
void lm_many_cut_pages(LmMany *many, int n_pages);

/* Since _create. */
const LmManyCounts *lm_many_counts(const LmMany *many);

#endif /* LM_MANY_H */

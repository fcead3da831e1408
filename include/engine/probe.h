/*
 * include/engine/probe.h
 *
 * A probe: the network of a model in float32, for looking inside. Inference keeps nothing of its
 * way; a probe keeps the activations of every block, and goes back from an output to its inputs.
 * Its weights are those of the model's image as inference reads them, whatever their type, with
 * those of an adapter folded in.
 */
#ifndef LM_PROBE_H
#define LM_PROBE_H

#include "engine/serve.h"

typedef struct LmProbe LmProbe;

/* Whether a model of the configuration can have a probe: not beside an encoder. LM_ERR_ARGUMENT. */
bool lm_probe_check(const LmConfig *config, LmError *error);

/*
 * Bytes of a probe for passes of up to capacity tokens. LM_ERR_ARGUMENT, LM_ERR_LIMIT on overflow.
 */
bool lm_probe_memory(size_t *bytes, const LmConfig *config, int capacity, int n_threads,
					 LmError *error);

/*
 * A probe of the session's model, in memory of host; the session, its engine and the model must
 * outlive it. _fill reads the weights, and goes on after LM_ERR_STOPPED where it ended; a probe
 * works once it has returned true. NULL with errors of _memory, LM_ERR_MEMORY. _free: NULL is fine.
 */
LmProbe *lm_probe_create(const LmHost *host, const LmSession *session, int capacity,
						 LmError *error);
bool lm_probe_fill(LmProbe *probe, LmError *error);
void lm_probe_free(LmProbe *probe);

/* Tokens of a pass, at most; and the tokens of all passes so far. */
int lm_probe_capacity(const LmProbe *probe);
int64_t lm_probe_computed(const LmProbe *probe);

/*
 * The tokens of a text as the model reads it alone, the one in front among them, and how many of
 * them are its prefix. LM_ERR_LIMIT where they are more than the context; errors of
 * lm_tokenizer_encode.
 */
bool lm_probe_encode(LmTokens *tokens, int *n_prefix, LmSession *session, LmBytes text,
					 LmError *error);

/*
 * Reads n ids, at most the capacity, of which the first n_prefix are the prefix. The functions
 * below are about the text that was read last. LM_ERR_STOPPED, LM_ERR_ARGUMENT.
 */
bool lm_probe_read(LmProbe *probe, const int32_t *ids, int n, int n_prefix, LmError *error);

/*
 * Attention in a layer from 0: the probabilities [n] with which row `query` sees the rows of the
 * text, of one head, or (head below 0) the mean of all heads. _layer comes before it, once for a
 * layer. LM_ERR_ARGUMENT, LM_ERR_STOPPED.
 */
bool lm_probe_layer(LmProbe *probe, int layer, LmError *error);
void lm_probe_attention(float *probabilities, const LmProbe *probe, int query, int head);

/* What a row predicts. */
typedef struct LmGuess
{
	int32_t id; /* the most likely token; the lowest one of equals */
	double logprob;
	double next_logprob; /* of the id given for the row; 0 for one below 0 */
	int64_t next_rank; /* from 1: more likely tokens before it; 0 for one below 0 */
} LmGuess;

/*
 * The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens"): the residual stream
 * after `layer` blocks, through the final norm and the head, for rows first .. first + n - 1.
 * 0 layers: the embeddings. next [n]: the ids that follow the rows, or -1. logits: scratch
 * [n, vocabulary]. LM_ERR_ARGUMENT, LM_ERR_STOPPED, LM_ERR_NUMERIC.
 */
bool lm_probe_guess(LmGuess *guesses, float *logits, LmProbe *probe, int layer, int first, int n,
					const int32_t *next, LmError *error);

#endif /* LM_PROBE_H */

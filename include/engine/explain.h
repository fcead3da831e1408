/*
 * include/engine/explain.h
 *
 * What pushed a model's answer: integrated gradients (Sundararajan et al. 2017, "Axiomatic
 * attribution for deep networks", https://arxiv.org/abs/1703.01365).
 *
 * The score F that is explained:
 *
 *   a label          log-odds: ln(p / (1 - p)) of the label against all others; of a model of
 *                    several labels a text the label's own
 *   a number         the number
 *   the next tokens  ln p of the target after the prompt, by the network alone
 *
 * F is a function of everything that a text puts into the model: the embeddings of its tokens, the
 * mean of its bag's rows, the values of its features, what two texts share. The path goes straight
 * from the baseline, in which every token has the embedding of the one in front of texts (without
 * one, the mean of all embeddings) and all the rest is 0, to the text. Special tokens and positions
 * are the same on all of it. The weight of an input is its difference from the baseline times the
 * mean of F's derivative by it along the path, so that all weights sum to F(text) - F(baseline).
 * Where F is linear in an input, as a number or one of two labels is in a feature, that is exact.
 *
 * The mean is taken by Gauss-Legendre quadrature in intervals of the path. F is known at both ends
 * of each, so that each shows by how much its part of the sum is wrong; the worst is halved until
 * all together are below LM_EXPLAIN_GAP of the difference.
 */
#ifndef LM_EXPLAIN_H
#define LM_EXPLAIN_H

#include "engine/many.h"
#include "engine/probe.h"

#define LM_EXPLAIN_GAP 0.004
#define LM_EXPLAIN_INTERVALS 64 /* at most */

/* One explanation on its way. */
typedef struct LmExplain LmExplain;

/*
 * request: CLASSIFY, or SCORE with a prompt, whose text is the target. label: of a classifier the
 * one that is explained; below 0 the most probable. The session and the texts must outlive it; its
 * memory is the host's. NULL with errors of lm_tokenizer_encode, LM_ERR_STOPPED (call again);
 * LM_ERR_ARGUMENT where nothing can be explained, LM_ERR_LIMIT for a target beyond the context.
 */
LmExplain *lm_explain_create(const LmHost *host, LmSession *session, const LmRequest *request,
							 int label, LmError *error);
void lm_explain_free(LmExplain *explain); /* NULL is fine */

/* Tokens of its largest pass, for lm_probe_create; and bytes that it takes while it runs. */
int lm_explain_window(const LmExplain *explain);
size_t lm_explain_memory(const LmExplain *explain);

/*
 * The next passes; *done once the weights are there. After LM_ERR_STOPPED it goes on with the same
 * call. The probe is of the same session, filled, with a capacity of at least the window.
 * LM_ERR_NUMERIC, LM_ERR_MEMORY, errors of lm_features_add.
 */
bool lm_explain_step(LmExplain *explain, LmProbe *probe, bool *done, LmError *error);

/* What came out of it. */
typedef struct LmExplanation
{
	int label; /* of a classifier */
	double score; /* of the text */
	double baseline;
	double sum; /* of all weights: score - baseline, but for an error of the quadrature */
	int n_points; /* of the path, at which the network was computed */
	size_t n_tokens; /* of the text and its prompt, without the one in front */
	size_t n_dropped; /* tokens of the prompt's beginning that do not fit the context */
} LmExplanation;

LmExplanation lm_explain_result(const LmExplain *explain);

/* How a text is cut into rows. */
typedef enum LmExplainUnit
{
	LM_EXPLAIN_WORDS, /* as LM_SEGMENT_WORD, without white space */
	LM_EXPLAIN_TOKENS, /* of whole characters, each with the token that ends it */
} LmExplainUnit;

/* A word or token, and its weight. */
typedef struct LmExplainRow
{
	size_t start; /* bytes start .. end - 1 of the text as the model reads it */
	size_t end;
	double weight;
} LmExplainRow;

/*
 * The rows of text number 0 or, of a pair, 1, in their order; *text is that text as the model reads
 * it: the bytes of its tokens, valid UTF-8. White space has the weight of the word after it, or of
 * the last word. Both live as long as the explanation. LM_ERR_MEMORY, LM_ERR_LIBRARY,
 * LM_ERR_STOPPED (call again).
 */
bool lm_explain_rows(const LmExplainRow **rows, size_t *n, LmBytes *text, LmExplain *explain,
					 int number, LmExplainUnit unit, LmError *error);

/* A word of a text, and the white space before it. */
typedef struct LmWordSpan
{
	size_t lead; /* where that white space begins */
	size_t start;
	size_t end;
} LmWordSpan;

/*
 * Appends the words of valid UTF-8, punctuation among them, to a growing array of the host's, which
 * the caller frees with lm_word_spans_free. Errors as above; *n is then as before.
 */
bool lm_word_spans(LmWordSpan **spans, size_t *n, size_t *capacity, const LmHost *host,
				   LmBytes text, LmError *error);
void lm_word_spans_free(LmWordSpan *spans, const LmHost *host);

#endif /* LM_EXPLAIN_H */

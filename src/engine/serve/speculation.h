/*
 * src/engine/serve/speculation.h
 *
 * Speculative decoding (Leviathan et al. 2023, "Fast inference from transformers via speculative
 * decoding", https://arxiv.org/abs/2211.17192): tokens are proposed cheaply, and the model judges
 * all of them in one pass, which takes little more time than a pass of one token.
 *
 *   window of the generation | proposals                    all rows from the window's last one on
 *   a b c d                  | e f x                        are wanted: what follows d, e, f, x
 *
 * Proposals come from a smaller model (src/engine/serve/draft.h), or are what followed the last
 * tokens earlier in prompt and text (Saxena 2023, "Prompt lookup decoding",
 * https://github.com/apoorvumang/prompt-lookup-decoding).
 *
 * The rule of acceptance is not that of Leviathan et al., section 2.3, which keeps the distribution
 * of texts, but one that keeps each text. From each row the token is drawn as without proposals, by
 * the random number of its position; a proposal is accepted where it is the token that was drawn.
 * So the text of a seed is the same whatever is proposed, alone, in pieces or among other texts,
 * where nothing may be proposed at all. Of a proposal without chance (a greedy one, or one that was
 * looked up) the rule of the paper accepts p(proposal), and so does this one. A draft that samples
 * draws by the random number of the position too: a coupling of both distributions by the inverse
 * of their distribution functions. It accepts less than the paper's rule, which is the best that
 * there is: 0.77 for 0.89 where the draft's logits differ by 0.3 and the likeliest token has most
 * of the probability, 0.38 for 0.88 where it has a tenth (simulated).
 *
 * How many tokens are proposed follows from the share of the last proposals that were accepted, and
 * from the cost of a proposal (lm_speculation_wanted). It never changes the text.
 */
#ifndef LM_SPECULATION_H
#define LM_SPECULATION_H

#include "serve/generation.h"

/* Tokens that are proposed at once, at most. Beyond it the pass costs as much as it may save. */
#define LM_SPECULATION_MOST 15

/* How often proposals of a kind were right of late. */
typedef struct LmTrust
{
	double right;
	double offered; /* right, and the first wrong one of each pass */
	int pause; /* tokens until the next attempt, where none is worth its cost ... */
	int next_pause; /* ... and the next time */
} LmTrust;

/* Of proposals that were looked up, kinds differ by the number of tokens that agree before them. */
#define LM_SPECULATION_KINDS 4

/* What runs ahead of one generation, which owns it. */
typedef struct LmSpeculation
{
	LmSession *draft; /* NULL: tokens are looked up */
	double cost; /* of a proposal by the draft, in passes of the model */
	int draft_start; /* of the draft's context in the window ... */
	int n_window; /* ... of so many tokens */
	LmGeneration *ahead; /* the generation's twin, with proposals */
	bool is_proposing; /* proposals are being made */
	int wanted; /* of them */
	int kind;
	int32_t proposals[LM_SPECULATION_MOST];
	int n_proposals;
	LmTrust trust[LM_SPECULATION_KINDS];
	/* tokens that were drawn ahead, which the generation has not taken */
	int32_t drawn[LM_SPECULATION_MOST + 1];
	int n_drawn;
	int n_taken;
} LmSpeculation;

/*
 * For a generation that has just begun; draft NULL: lookup. LM_ERR_MEMORY; LM_ERR_ARGUMENT for a
 * draft that is the session's own, another tokenizer's or no decoder. _free: NULL is fine.
 */
LmSpeculation *lm_speculation_create(const LmGeneration *generation, LmSession *session,
									 LmSession *draft, LmError *error);
void lm_speculation_free(LmSpeculation *speculation, const LmHost *host);

/*
 * Makes proposals, at most `most` (0: none) and as many as are worth it, possibly none. The window
 * with them is that of speculation->ahead, until _judge. candidates, logits: [V], scratch.
 * LM_ERR_STOPPED: the call may be repeated.
 */
bool lm_speculation_propose(LmSpeculation *speculation, const LmGeneration *generation, int most,
							LmCandidate *candidates, float *logits, LmError *error);

/*
 * Draws from the rows [n_proposals + 1, V] after the window's last token and the proposals, as far
 * as proposals are right. The tokens are in drawn; returns how many proposals were right. False
 * with the error of the first row alone: later rows come again.
 */
bool lm_speculation_judge(int *n_right, LmSpeculation *speculation, const LmGeneration *generation,
						  LmCandidate *candidates, float *logits, LmError *error);

/* Takes the next token that was drawn ahead; false where there is none. */
bool lm_speculation_next(int32_t *id, LmSpeculation *speculation);

/*
 * The number of proposals, 0 .. most, that gains most where a share `right` of them is right and
 * each costs `cost` passes, beside its row in the model's pass.
 */
int lm_speculation_wanted(double right, double cost, int most);

/*
 * Looks for the longest run of tokens before the end of ids that occurred before, the last place of
 * several. Returns its length, at most LM_LOOKUP_LONGEST, and in *next the place after it; 0: none
 * of LM_LOOKUP_SHORTEST.
 */
#define LM_LOOKUP_LONGEST 16
#define LM_LOOKUP_SHORTEST 2
int lm_lookup(int *next, const int32_t *ids, int n);

#endif /* LM_SPECULATION_H */

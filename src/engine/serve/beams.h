/*
 * src/engine/serve/beams.h
 *
 * Beam search without the model. Texts are continued side by side, each on a seat. The caller
 * computes a row of logits for each seat that goes on, and then lets the search choose:
 *
 *   for each seat that goes on:  ... logits after lm_beams_generation(b, seat)'s window ...
 *                                lm_beams_observe(b, seat, logits, &error);
 *   lm_beams_choose(b, moves, &n_moves, &error);   ... the keys and values follow the moves ...
 *
 * All texts on seats have the same number of tokens. From the choices of all of them the most
 * probable ones stay, as many as there are beams. A text that ends leaves its seat; it counts where
 * its end is among the `beams` most probable choices of its step. A text y has the score
 *
 *   log P(y) / ((5 + |y|) / 6)^length_penalty      (Wu et al. 2016, equation 14, without coverage)
 *
 * |y| is the number of its tokens, the end token among them. Probabilities are those of
 * gpt_logprob: of the full distribution, before tokens are masked, after the repetition penalty. A
 * prompt that is healed adds the choices of its boundaries, each with the probability that a draw
 * at temperature 1 would give it.
 *
 * The search ends when as many texts have ended as there are beams, when no text on a seat can
 * reach the best score any more (log P falls, and |y| grows to max_tokens at most), or when no text
 * is left. The text with the best score wins, the first of equals. Nothing is drawn: the result
 * depends on the logits alone.
 */
#ifndef LM_BEAMS_H
#define LM_BEAMS_H

#include "serve/generation.h"

/* A token that may be next. */
typedef struct LmBeamChoice
{
	double logprob; /* given the text before it */
	int32_t id; /* as lm_sample gives it */
} LmBeamChoice;

/* Seat `to` continues what `from` has; seats that are moved to are those of no earlier text. */
typedef struct LmBeamMove
{
	int to;
	int from;
} LmBeamMove;

typedef struct LmBeams LmBeams;

/*
 * Bytes of a search with these beams and max_tokens, but for its stops; false on overflow.
 */
bool lm_beams_memory(size_t *bytes, const LmConfig *config, const LmSampling *sampling);

/* As lm_generation_create, for sampling->beams. At first seat 0 goes on alone. */
LmBeams *lm_beams_create(LmSession *session, const LmTokens *prompt, size_t n_prefix,
						 const LmSampling *sampling, bool *truncated, LmError *error);
void lm_beams_free(LmBeams *beams); /* NULL is fine */

/* The text on a seat; NULL where none goes on. It lives as long as the search. */
LmGeneration *lm_beams_generation(const LmBeams *beams, int seat);

/*
 * Takes the row of logits [V] after the window of a seat that goes on, and changes it. Several
 * threads may do so for several seats. LM_ERR_NUMERIC.
 */
bool lm_beams_observe(LmBeams *beams, int seat, float *logits, LmError *error);
/*
 * Notes that the row of a seat is there, on one thread; whether that is so for every seat that goes
 * on.
 */
bool lm_beams_observed(LmBeams *beams, int seat);

/*
 * Chooses the next tokens of all texts. moves: [beams], which come before any window changes;
 * each seat that is moved to had no text that goes on. LM_ERR_NUMERIC, LM_ERR_MEMORY.
 */
bool lm_beams_choose(LmBeams *beams, LmBeamMove *moves, int *n_moves, LmError *error);

/* Whether the search has ended; then the tokens of the best text come one by one. */
bool lm_beams_ended(const LmBeams *beams);

/*
 * The next piece of the best text, as lm_generation_take gives it; *done with the last one.
 * LM_ERR_MEMORY.
 */
bool lm_beams_give(LmBeams *beams, LmBytes *text, bool *done, LmError *error);
int lm_beams_tokens(const LmBeams *beams); /* that it has given */

/* beam_choices.c */

/*
 * The `most` most probable tokens of a row of logits [V], which it changes, sorted: lower ids first
 * among equals. LM_ERR_NUMERIC for logits that are not numbers.
 */
bool lm_beam_choices(LmBeamChoice *choices, int *n, int most, float *logits, const LmDraw *wanted,
					 LmError *error);
/*
 * The same among these and the choices of the boundaries of a prompt that is healed, all of which
 * have been observed.
 */
bool lm_beam_heal(LmBeamChoice *choices, int *n, int most, const LmDraw *wanted, LmError *error);

#endif /* LM_BEAMS_H */

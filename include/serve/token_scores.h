/*
 * include/serve/token_scores.h
 *
 * A text in, the scores of its tokens out, in one pass of the model; and where each token stands in
 * the text.
 */
#ifndef GPT_TOKEN_SCORES_H
#define GPT_TOKEN_SCORES_H

#include "serve/cache.h"

/* The tokens of a text, palloc'd. */
typedef struct GptTokenScores
{
	/*
	 * The text that the model reads, valid UTF-8: cleaned as the model's rows were, and in NFC
	 * where the tokenizer makes that. Where the tokenizer changes a text otherwise it is what the
	 * tokens spell.
	 */
	LmBytes text;
	const LmTokenizer *tokenizer;
	size_t n;
	LmTokenScore scores[FLEXIBLE_ARRAY_MEMBER]; /* [n] */
} GptTokenScores;

/*
 * prompt: data NULL for none; else the text is scored after it, as by gpt_logprob without the end.
 * The sum of the log probabilities, in the order of the tokens, has the bits of gpt_score and
 * gpt_logprob. Interrupts are served; raises errors of the call, and one if the scores exceed
 * gpt.max_memory. The text lies in the argument or in the current memory context.
 */
extern GptTokenScores *gpt_token_scores(const GptServed *served, LmBytes prompt, LmBytes input);
/* The same, but NULL with the error of the call. */
extern GptTokenScores *gpt_token_scores_or_null(LmError *error, const GptServed *served,
												LmBytes prompt, LmBytes input);

/* A walk over the tokens of a text, on the caller's stack. */
typedef struct GptTokenWalk
{
	const GptTokenScores *tokens;
	size_t i; /* number of the token, from 0 */
	/* its bytes in the text; none of a token that stands for nothing in it */
	size_t start;
	size_t end;
	/*
	 * the whole characters that end in it: the bytes from the end of those before to here. All of
	 * them together are the text.
	 */
	size_t text_start;
	size_t text_end;
	size_t n_seen;
} GptTokenWalk;

extern void gpt_token_walk_begin(GptTokenWalk *walk, const GptTokenScores *tokens);
extern bool gpt_token_walk_next(GptTokenWalk *walk); /* false after the last */

#endif /* GPT_TOKEN_SCORES_H */

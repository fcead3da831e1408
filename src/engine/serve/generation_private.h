/*
 * src/engine/serve/generation_private.h
 *
 * The inside of a generation. generate.c makes text of tokens, generation_twin.c copies.
 */
#ifndef LM_GENERATION_PRIVATE_H
#define LM_GENERATION_PRIVATE_H

#include "serve/banned.h"
#include "serve/constraint.h"
#include "serve/generation.h"

struct LmGeneration
{
	LmSession *session;
	LmSampling sampling; /* with stops of its own */
	int32_t *window; /* [context] the tokens that the next one is predicted from */
	int n_window;
	int n_prefix; /* of the window */
	int n_tokens; /* produced */
	int32_t last; /* the last of them, -1 where the text ended without one */
	uint8_t *seen; /* [V] occurs in prompt or output */
	uint32_t *counts; /* [V] in the output; NULL where no penalty asks for it */
	LmUtf8State state; /* at the end of the text */
	LmHealing healing; /* of a depth until the first token */
	LmFollower follower; /* of the constraint, if there is one */
	LmError failure; /* why the text could not follow it; LM_OK */
	bool strips; /* the text has no prompt, and loses the space in front of it */
	bool finished;
	uint32_t *matched; /* [n_stops] bytes of each that the text ends with */
	uint32_t **failures; /* [n_stops] of lm_stop_prepare */
	LmBanned *banned; /* NULL: no text is; of the generation that twins come from */
	uint32_t *banned_matched; /* [lm_banned_count] */
	bool is_twin;
	char *text;
	size_t size;
	size_t given;
	size_t block_size; /* of the memory of all this, which begins here */
	struct LmSpeculation *speculation; /* NULL: nothing runs ahead */
};

/*
 * generation_constraint.c: moves over the bytes of a token, if there is a constraint. Where nothing
 * can follow any more, the text has ended.
 */
void lm_generation_follow(LmGeneration *generation, LmBytes bytes);

#endif /* LM_GENERATION_PRIVATE_H */

/*
 * src/engine/serve/banned.h
 *
 * Texts that a generated text never has, wherever its tokens begin and end.
 *
 * A token may not follow where its bytes would complete a banned text. So the text may begin one,
 * and then takes another way: the choice looks one token ahead and no further, and what is left of
 * the distribution is used as it is. Bytes are compared, so upper and lower case differ.
 */
#ifndef LM_BANNED_H
#define LM_BANNED_H

#include "serve/session.h"

/* The banned texts of a generation and of its twins; it does not change. */
typedef struct LmBanned LmBanned;

/*
 * Copies the texts, none of which is empty. LM_ERR_MEMORY, LM_ERR_STOPPED. The session's tokenizer
 * must outlive it.
 */
LmBanned *lm_banned_create(const LmSession *session, const LmBytes *texts, int n, LmError *error);
void lm_banned_free(LmBanned *banned, const LmHost *host); /* NULL is fine */

/* The texts that count: those that begin with another one do not. At most n. */
int lm_banned_count(const LmBanned *banned);

/*
 * matched [lm_banned_count]: how many bytes of each text the generated text ends with; 0 at first,
 * then by _follow with the bytes that it gets.
 */
void lm_banned_follow(uint32_t *matched, const LmBanned *banned, LmBytes bytes);

/* Whether bytes have a banned text in them. */
bool lm_banned_contains(const LmBanned *banned, LmBytes bytes);

/*
 * Logits [V] of tokens that would complete a banned text become minus infinity. Returns how many of
 * them were not before.
 */
int lm_banned_mask(float *logits, const LmBanned *banned, const uint32_t *matched);

#endif /* LM_BANNED_H */

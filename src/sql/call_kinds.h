/*
 * src/sql/call_kinds.h
 *
 * The functions whose calls are computed many at a time, each defined beside its function.
 */
#ifndef GPT_CALL_KINDS_H
#define GPT_CALL_KINDS_H

#include "serve/call.h"

/* The kinds of calls, each defined in the file of its SQL function. */
extern const GptCallKind gpt_score_call;
extern const GptCallKind gpt_logprob_call;
extern const GptCallKind gpt_generate_call;
extern const GptCallKind gpt_classify_call;
extern const GptCallKind gpt_embed_call;

#endif /* GPT_CALL_KINDS_H */

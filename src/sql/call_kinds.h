/*
 * src/sql/call_kinds.h
 *
 * The functions whose calls are computed many at a time, each defined beside its function.
 */
#ifndef GPT_CALL_KINDS_H
#define GPT_CALL_KINDS_H

#include "serve/call.h"

/* Vaswani et al. 2017, "Attention is all you need", section 6.1 */
#define GPT_LENGTH_PENALTY 0.6

/* The kinds of calls, each defined in the file of its SQL function. */
extern const GptCallKind gpt_score_call;
extern const GptCallKind gpt_logprob_call;
extern const GptCallKind gpt_generate_call;
extern const GptCallKind gpt_chat_call;
extern const GptCallKind gpt_generate_as_call;
extern const GptCallKind gpt_extract_call;
extern const GptCallKind gpt_judge_call; /* float[labels], of the server's type internal */
extern const GptCallKind gpt_classify_call;
extern const GptCallKind gpt_predict_call;
extern const GptCallKind gpt_embed_call;

/*
 * src/sql/judged_texts.c: _texts makes the call for a text, or for two (then first.data is not
 * NULL). _read reads the arguments after the model, one text or two; _prepare fails for a model
 * that judges another number of texts.
 */
extern void gpt_judge_texts(GptCall *call, LmBytes first, LmBytes second);
extern bool gpt_judged_read(GptCall *call, FunctionCallInfo fcinfo);
extern bool gpt_judged_prepare(GptCall *call, const GptServed *served, LmError *error);

/* src/sql/sql_similarity.c: makes the call of gpt_embed for a text, with its defaults. */
extern void gpt_embed_of_text(GptCall *call, LmBytes text);

#endif /* GPT_CALL_KINDS_H */

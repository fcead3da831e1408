/*
 * include/serve/model_probe.h
 *
 * A model that a place of call looks into (engine/probe.h): its weights in float32 stay from row to
 * row of a statement.
 */
#ifndef GPT_MODEL_PROBE_H
#define GPT_MODEL_PROBE_H

#include "engine/probe.h"
#include "fmgr.h"
#include "serve/cache.h"

/* What a place of call keeps, in fn_extra, until its statement ends. */
typedef struct GptProbe GptProbe;

/*
 * Resolves the reference and checks the privilege, as gpt_cache_acquire at each call. An error for
 * a model with an encoder, which `use` cannot look into; use NULL: none.
 */
extern GptProbe *gpt_probe_acquire(FmgrInfo *function, const char *reference, GptServedKind kind,
								   const char *use);

/* The model, in use in the memory context of the call; its session. */
extern const GptServed *gpt_probe_served(const GptProbe *probe);
extern LmSession *gpt_probe_session(const GptProbe *probe);

/*
 * The filled probe for passes of n_tokens tokens; held: bytes that the caller takes besides. An
 * error if they need more than gpt.max_memory.
 */
extern LmProbe *gpt_probe_get(GptProbe *probe, int n_tokens, uint64 held);

/*
 * Counts a text of so many tokens that the probe has explained, with its passes since _get, in the
 * statistics of the model. An error between the two counts there, too.
 */
extern void gpt_probe_count(GptProbe *probe, int64 n_tokens);

/* True at the first call for the statement: a notice is due. */
extern bool gpt_probe_first_notice(GptProbe *probe);

/*
 * The tokens of a text, palloc'd, as lm_probe_encode has them; cleaned as the model's rows were.
 */
extern LmTokens gpt_probe_encode(int *n_prefix, GptProbe *probe, LmBytes text);

#endif /* GPT_MODEL_PROBE_H */

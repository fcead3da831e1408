/*
 * include/serve/cache.h
 *
 * The cache of a session: it keeps models ready for use between calls, by the content of their
 * weights, and tokenizers, by theirs. Every call resolves names and checks privileges; a key is a
 * content hash, so no entry is ever stale.
 */
#ifndef GPT_CACHE_H
#define GPT_CACHE_H

#include "engine/many.h"
#include "store/catalog.h"

/* A model that is ready for use, and stays so as long as this does. */
typedef struct GptServed
{
	LmTokenizer *tokenizer;
	const LmConfig *config;
	const char *const *labels; /* [config->labels] names of a classifier's labels */
	/*
	 * its prompts may end within a token (LmSampling.heal): not those whose completions it learnt,
	 * which end as they did then
	 */
	bool heals;
} GptServed;

typedef enum GptServedKind
{
	GPT_SERVED_ANY,
	GPT_SERVED_LANGUAGE_MODEL, /* an error for a classifier ... */
	GPT_SERVED_CLASSIFIER, /* ... and for what is none */
} GptServedKind;

/*
 * Resolves the reference under the active snapshot, checks the privilege, and loads what is not
 * there yet; errors as gpt_catalog_version and gpt_weights_read, and when it needs more than
 * gpt.max_memory. The model stays until the current memory context is reset, or until _release; the
 * least recently used models go when others need their memory.
 */
extern const GptServed *gpt_cache_acquire(const char *reference, GptServedKind kind);
extern void gpt_cache_release(const GptServed *served);

/*
 * The session of the engine that runs now; another one where the engine was started again in
 * between (gpt.threads).
 */
extern LmSession *gpt_cache_session(const GptServed *served);

/*
 * An LmMany that answers requests to the model: for one request the session's own; for many one
 * with as much room as gpt.max_memory leaves beside the bytes that the caller has. It stays until
 * all uses of the model have ended, or a further call needs more room; what it has computed of a
 * common beginning serves the next call until then.
 */
extern LmMany *gpt_cache_many(const GptServed *served, const LmRequest *requests, int n,
							  uint64 held);

/*
 * The tokenizer with that hash, valid until the next call of a function of this file. Checks no
 * privilege.
 */
extern LmTokenizer *gpt_cache_tokenizer(const uint8 *sha256);

#endif /* GPT_CACHE_H */

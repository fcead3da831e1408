/*
 * include/serve/cache.h
 *
 * The cache of a session: it keeps models ready for use between calls, by the content of their
 * weights, and tokenizers, by theirs. Every call resolves names and checks privileges; a key is a
 * content hash, so no entry is ever stale.
 */
#ifndef GPT_CACHE_H
#define GPT_CACHE_H

#include "core/clean_options.h"
#include "engine/many.h"
#include "serve/row_errors.h"
#include "serve/stats.h"
#include "store/catalog.h"

/*
 * A model that is ready for use; gpt_cache_release, or the reset of the memory context, ends its
 * use.
 */
typedef struct GptServed
{
	const char *model; /* the reference by which the caller acquired it */
	LmTokenizer *tokenizer;
	const LmConfig *config;
	const char *const *labels; /* [config->labels] names of a classifier's labels */
	/*
	 * prompts may end within a token (LmSampling.heal); false for a model that was trained on
	 * completions, whose prompts end as in training, and where a template ends them
	 */
	bool heals;
	bool prompted; /* it was trained on completions of prompts, or on conversations */
	LmPromptTemplate prompt; /* how its prompts are written */
	const char *prompt_end; /* how those of its training ended; NULL: it is not known */
	GptCleaner *cleaner; /* of texts that the model reads, as its rows were; NULL: none */
	const char *extras; /* of the version (store/model_extras.h), or NULL */
	const LmSearch *search; /* statistics of rarity; NULL: it has none */
} GptServed;

/* The kind of model that a caller needs. */
typedef enum GptServedKind
{
	GPT_SERVED_ANY,
	GPT_SERVED_LANGUAGE_MODEL, /* an error for a model with another head, as the others */
	GPT_SERVED_CLASSIFIER,
	GPT_SERVED_NUMBER, /* regression */
} GptServedKind;

/*
 * Resolves the reference under the active snapshot, checks the privilege, and loads the model if
 * needed; errors as gpt_catalog_version and gpt_weights_read, and if it needs more than
 * gpt.max_memory. The model stays until the current memory context is reset, or until _release;
 * later, the least recently used models are freed when others need their memory.
 */
extern const GptServed *gpt_cache_acquire(const char *reference, GptServedKind kind);
/*
 * Whether the model is there, may be used and is of the kind; else why not, as _acquire would say,
 * but without advice that is looked for in other rows.
 */
extern bool gpt_cache_may_acquire(GptFailure *failure, const char *reference, GptServedKind kind);
extern void gpt_cache_release(const GptServed *served);

/*
 * For statistics: the version whose use this is. _count_call counts a call of a function, the first
 * time for each use.
 */
extern const GptStatsKey *gpt_cache_stats(const GptServed *served);
extern void gpt_cache_count_call(const GptServed *served);

/*
 * The session in the engine that runs now. It is another one after the engine was started again
 * (gpt.threads).
 */
extern LmSession *gpt_cache_session(const GptServed *served);

/*
 * The same of a model that proposes tokens to another one: its room for one text stays as long as
 * this use.
 */
extern LmSession *gpt_cache_draft(const GptServed *served);

/*
 * The same for one of several models: _FAILS where _acquire would raise an error because the model
 * does not exist, may not be used by the current role, or is of another kind; _WAITS where models
 * in use leave too little room to load it.
 */
typedef enum GptAcquired
{
	GPT_ACQUIRED,
	GPT_ACQUIRE_FAILS,
	GPT_ACQUIRE_WAITS,
} GptAcquired;

extern GptAcquired gpt_cache_try_acquire(const GptServed **served, const char *reference,
										 GptServedKind kind);

/* The same for models that can serve requests together: a base and its adapters. */
extern const void *gpt_cache_family(const GptServed *served);

/*
 * src/serve/cache_many.c: an LmMany for n requests to models [n] of one family (with n = 0, to the
 * first one). One request uses that of the session; several use one with as much room as
 * gpt.max_memory leaves beside `held`, the bytes that the caller has allocated. It stays until all
 * uses of the family have ended, or a further call needs more room; until then the next call reuses
 * the keys and values of a common prefix.
 */
extern LmMany *gpt_cache_many(const GptServed *const *served, const LmRequest *requests, int n,
							  uint64 held);

/*
 * src/serve/unpublished.c: a model that a job has trained and not published yet. Texts and prompts
 * of requests are tokens (LmRequest.ids): the entry knows no template and cleans nothing.
 */
typedef struct GptUnpublished
{
	const char *name; /* in messages */
	const LmParamTable *table;
	const float *block; /* [table->total] */
	const char *labels; /* [config.labels] names, one after another, or NULL */
	LmTokenizer *tokenizer;
	const GptVersion *base; /* the full version that an adapter rests on, or NULL */
	bool prompted;
	uint64 held; /* bytes that the training holds */
} GptUnpublished;

/*
 * Makes the model ready for use, in memory of this process, until _unpublished_end. What is given
 * must live as long; needs an active snapshot for a base. Raises an error if the model and `held`
 * together exceed gpt.max_memory.
 */
extern const GptServed *gpt_cache_unpublished(const GptUnpublished *model);
extern void gpt_cache_unpublished_end(const GptServed *served);

/*
 * src/serve/cache_many.c: makes room for so many further bytes of the caller beside the model, or
 * raises an error.
 */
extern void gpt_cache_make_room(const GptServed *served, uint64 size);

/*
 * The tokenizer with that hash, valid until the next call of a function of this file. Checks no
 * privilege.
 */
extern LmTokenizer *gpt_cache_tokenizer(const uint8 *sha256);

#endif /* GPT_CACHE_H */

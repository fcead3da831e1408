/*
 * src/serve/cache_parts.h
 *
 * Between the files of the cache: models are loaded and used (src/serve/cache.c), kept
 * (src/serve/cached_models.c), get room for requests (src/serve/cache_many.c), and have tokenizers
 * (src/serve/cache_tokenizer.c).
 */
#ifndef GPT_CACHE_PARTS_H
#define GPT_CACHE_PARTS_H

#include "serve/cache.h"
#include "serve/image_file.h"
#include "lib/ilist.h"
#include "utils/palloc.h"

/* A tokenizer in the cache. */
typedef struct GptCachedTokenizer
{
	dlist_node node; /* most recently used first */
	MemoryContext context;
	MemoryContextCallback release;
	uint8 sha256[GPT_SHA256_SIZE];
	LmTokenizer *tokenizer;
	GptImage image;
	int n_users; /* cached models that use it */
} GptCachedTokenizer;

/*
 * The tokenizer with that hash. It stays as long as n_users is above 0; otherwise until the next
 * one is loaded.
 */
extern GptCachedTokenizer *gpt_cached_tokenizer(const uint8 *sha256);

/* A model in the cache. */
typedef struct GptCachedModel
{
	dlist_node node; /* most recently used first */
	MemoryContext context;
	GptServed served; /* what its users get */
	LmSession *session;
	uint8 sha256[GPT_SHA256_SIZE];
	uint8 base_sha256[GPT_SHA256_SIZE]; /* of an adapter, else zeros */
	GptCachedTokenizer *tokenizer;
	LmConfig config;
	int32 *ends; /* [n_ends] tokens that end a generated text, beside the tokenizer's */
	int n_ends;
	LmModel *model;
	struct GptCachedModel *base; /* of an adapter, else NULL */
	int n_adapters; /* entries whose base this is */
	GptImageType image_type;
	GptImage image; /* of a model that is no adapter */
	void *matrices; /* of an adapter, in the layout of lm_adapter_build */
	uint64 image_size; /* in the session's own memory */
	uint64 session_size;
	uint64 alone_size; /* of the session's own LmMany, if it has one */
	uint64 generation; /* of the engine that the session belongs to */
	LmMany *many; /* for several requests, of a base for those of its adapters too; NULL: none */
	uint64 many_size;
	int many_sequences;
	int many_pages;
	int n_pins; /* uses that have not ended */
	int n_drafts; /* those of them that need its session's LmMany beside that of another model */
	int n_family_pins; /* the same of it and its adapters; of an adapter 0 */
	bool is_used; /* since the last transaction ended */
} GptCachedModel;

/*
 * The entry with the version's weights, type, tokenizer and, for an adapter, base; NULL if there is
 * none.
 */
extern GptCachedModel *gpt_cached_find(const GptVersion *version);

/*
 * src/serve/cache.c: _load reads a version into a new entry, _use_of begins a use of an entry, with
 * an open session, and _entry_of is that of a use. reference: the model in messages.
 */
extern GptCachedModel *gpt_cached_load(const GptVersion *version);
extern const GptServed *gpt_cached_use_of(GptCachedModel *entry, const GptStatsKey *stats,
										  const char *reference);
extern GptCachedModel *gpt_cached_entry_of(const GptServed *served);
/* Its session keeps the room for a text until the use ends. */
extern void gpt_cached_use_as_draft(const GptServed *served);

/*
 * src/serve/cache.c: a session of the engine of now, with as many threads as gpt.threads says now.
 */
extern void gpt_cached_open_session(GptCachedModel *entry);

/* Frees an entry without uses. */
extern void gpt_cached_drop(GptCachedModel *entry);

/* _add enters a complete entry; _use makes an entry the most recently used one. */
extern void gpt_cached_add(GptCachedModel *entry);
extern void gpt_cached_use(GptCachedModel *entry);

/*
 * _root: the entry of the base, or the entry itself. _has_session: whether its session belongs to
 * the engine that runs now. _drop_many frees its LmMany, _drop_alone that of its session.
 */
static inline GptCachedModel *
gpt_cached_root(GptCachedModel *entry)
{
	return entry->base != NULL ? entry->base : entry;
}
extern bool gpt_cached_has_session(const GptCachedModel *entry);
extern void gpt_cached_drop_many(GptCachedModel *entry);
extern void gpt_cached_drop_alone(GptCachedModel *entry);

/*
 * Frees unused entries whose images new sessions would not map: their models were removed or
 * replaced, or others needed the room.
 */
extern void gpt_cached_drop_removed(void);

/*
 * Bytes of `keep`, with the LmMany of its session, and of the other models that must stay;
 * _many_size and _alone_size: bytes of the LmMany of an entry, and of that of its session.
 */
extern uint64 gpt_cached_needed_size(const GptCachedModel *keep);
extern uint64 gpt_cached_many_size(const GptCachedModel *entry);
extern uint64 gpt_cached_alone_size(const GptCachedModel *entry);

/*
 * Frees the LmMany of other models, then those of their sessions, then the least recently used
 * models, until size more bytes fit into gpt.max_memory. Models in use, `keep`, and the bases of
 * adapters that stay are not freed; if the rest is too little, an error says how much memory is
 * needed.
 */
extern void gpt_cached_make_room(uint64 size, const GptCachedModel *keep);

/*
 * src/serve/cache_fit.c: raises an error if an image of so many bytes, of a version that sessions
 * do not share, does not fit into gpt.max_memory; its hint names what would.
 */
struct GptVersion;
extern void gpt_cache_check_image(const struct GptVersion *version, size_t size);

/*
 * A context below the current one, so that an error frees it; gpt_cache_keep moves it below the
 * context of the cache.
 */
extern MemoryContext gpt_cache_make_context(const char *name);
extern void gpt_cache_keep(MemoryContext context);

/* Memory aligned for images, of any size, not cleared; NULL if there is not enough. */
extern void *gpt_cache_allocate(MemoryContext context, size_t size);

/* src/serve/cache_kind.c: whether a model is of the kind that the caller needs; _check raises. */
extern bool gpt_cached_is_of_kind(const GptVersion *version, GptServedKind kind);
extern void gpt_cached_check_kind(const GptVersion *version, GptServedKind kind);

#endif /* GPT_CACHE_PARTS_H */

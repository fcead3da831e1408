/*
 * src/serve/cache_parts.h
 *
 * Between the files of the cache: models are loaded and used (src/serve/cache.c), kept
 * (src/serve/cached_models.c), and have tokenizers (src/serve/cache_tokenizer.c).
 */
#ifndef GPT_CACHE_PARTS_H
#define GPT_CACHE_PARTS_H

#include "serve/cache.h"
#include "serve/image_file.h"
#include "lib/ilist.h"
#include "utils/palloc.h"

typedef struct GptCachedTokenizer
{
	dlist_node node; /* most recently used first */
	MemoryContext context;
	MemoryContextCallback release;
	uint8 sha256[GPT_SHA256_SIZE];
	LmTokenizer *tokenizer;
	GptImage image;
	int n_users; /* models */
} GptCachedTokenizer;

/*
 * The tokenizer with that hash, which stays as long as n_users is above 0; otherwise until the next
 * one is loaded.
 */
extern GptCachedTokenizer *gpt_cached_tokenizer(const uint8 *sha256);

typedef struct GptCachedModel
{
	dlist_node node; /* most recently used first */
	MemoryContext context;
	GptServed served; /* as each use of it has it */
	LmSession *session;
	uint8 sha256[GPT_SHA256_SIZE];
	uint8 base_sha256[GPT_SHA256_SIZE]; /* of an adapter, else zeros */
	GptCachedTokenizer *tokenizer;
	LmConfig config;
	LmModel *model;
	struct GptCachedModel *base; /* of an adapter, else NULL */
	int n_adapters; /* entries whose base this is */
	GptImageType image_type;
	GptImage image; /* of a model that is no adapter */
	void *matrices; /* of an adapter, in the layout of lm_adapter_build */
	uint64 image_size; /* in the session's own memory */
	uint64 session_size;
	uint64 generation; /* of the engine that the session belongs to */
	LmMany *many; /* of the session; NULL: none */
	uint64 many_size;
	int many_sequences;
	int many_pages;
	int n_pins;
	bool is_used; /* since the last transaction ended */
} GptCachedModel;

/*
 * The entry with the version's weights, type and tokenizer; NULL: none. The same weights with
 * another tokenizer would be another model, as would the same adapter of another base.
 */
extern GptCachedModel *gpt_cached_find(const GptVersion *version);
/* Keeps a complete entry; its use makes it the most recently used one. */
extern void gpt_cached_add(GptCachedModel *entry);
extern void gpt_cached_use(GptCachedModel *entry);

/* Whether its session is one of the engine that runs now. */
extern bool gpt_cached_has_session(const GptCachedModel *entry);
extern void gpt_cached_drop_many(GptCachedModel *entry);
/*
 * Lets go of images that new sessions do not map any more: their models were removed or replaced,
 * or others needed the room.
 */
extern void gpt_cached_drop_removed(void);

/* Bytes of the models that have to stay beside keep, with it. */
extern uint64 gpt_cached_needed_size(const GptCachedModel *keep);
extern uint64 gpt_cached_many_size(const GptCachedModel *entry);
/*
 * Frees the LmMany of other models, then the least recently used models, until size more bytes fit
 * into gpt.max_memory. Models in use stay, and so does keep, with the bases of adapters that do;
 * when that leaves too little, the error says how much cannot be avoided.
 */
extern void gpt_cached_make_room(uint64 size, const GptCachedModel *keep);

/*
 * A context below the caller's, so that an error takes it away until gpt_cache_keep moves it below
 * the cache's.
 */
extern MemoryContext gpt_cache_make_context(const char *name);
extern void gpt_cache_keep(MemoryContext context);

/* Aligned for images, not cleared, of any size; NULL without the memory. */
extern void *gpt_cache_allocate(MemoryContext context, size_t size);

#endif /* GPT_CACHE_PARTS_H */

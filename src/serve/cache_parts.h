/*
 * src/serve/cache_parts.h
 *
 * Between the files of the cache: models (src/serve/cache.c) and the tokenizers that they use
 * (src/serve/cache_tokenizer.c).
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

/*
 * A context below the caller's, so that an error takes it away until gpt_cache_keep moves it below
 * the cache's.
 */
extern MemoryContext gpt_cache_make_context(const char *name);
extern void gpt_cache_keep(MemoryContext context);

/* Aligned for images, not cleared, of any size; NULL without the memory. */
extern void *gpt_cache_allocate(MemoryContext context, size_t size);

#endif /* GPT_CACHE_PARTS_H */

/*
 * src/serve/cache_tokenizer.c
 *
 * Large objects to tokenizers in the memory of a session: their tables are an image that other
 * sessions share, or memory of this one.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/bridge.h"
#include "serve/cache_parts.h"

#define MAX_TOKENIZERS 16 /* kept without a model */

static dlist_head tokenizers = DLIST_STATIC_INIT(tokenizers);

static GptCachedTokenizer *find_tokenizer(const uint8 *sha256);
static GptCachedTokenizer *load_tokenizer(const uint8 *sha256);
static void *build_tokenizer(size_t *size, const void *sha256, MemoryContext context);
static void trim_tokenizers(void);
static void release_tokenizer(void *arg);

LmTokenizer *
gpt_cache_tokenizer(const uint8 *sha256)
{
	return gpt_cached_tokenizer(sha256)->tokenizer;
}

GptCachedTokenizer *
gpt_cached_tokenizer(const uint8 *sha256)
{
	GptCachedTokenizer *entry = find_tokenizer(sha256);

	if (entry == NULL)
		entry = load_tokenizer(sha256);
	dlist_move_head(&tokenizers, &entry->node);
	return entry;
}

static GptCachedTokenizer *
find_tokenizer(const uint8 *sha256)
{
	dlist_iter iter;

	dlist_foreach(iter, &tokenizers)
	{
		GptCachedTokenizer *entry = dlist_container(GptCachedTokenizer, node, iter.cur);

		if (memcmp(entry->sha256, sha256, GPT_SHA256_SIZE) == 0)
			return entry;
	}
	return NULL;
}

/* Maps or builds the image of the tokenizer; an error before gpt_cache_keep frees all of it. */
static GptCachedTokenizer *
load_tokenizer(const uint8 *sha256)
{
	GptImageRequest request = {.sha256 = sha256,
							   .type = GPT_IMAGE_TOKENIZER,
							   .what = "a tokenizer",
							   .build = build_tokenizer,
							   .of = sha256};
	MemoryContext context = gpt_cache_make_context("gpt tokenizer");
	GptCachedTokenizer *entry = MemoryContextAllocZero(context, sizeof(GptCachedTokenizer));
	LmError error;

	entry->context = context;
	memcpy(entry->sha256, sha256, GPT_SHA256_SIZE);
	gpt_image_get(&entry->image, &request, context);
	entry->tokenizer =
		lm_tokenizer_open(gpt_bridge_host(context), entry->image.bytes, entry->image.size, &error);
	if (entry->tokenizer == NULL)
		gpt_bridge_raise(&error);
	entry->release.func = release_tokenizer;
	entry->release.arg = entry;
	MemoryContextRegisterResetCallback(context, &entry->release);
	gpt_cache_keep(context);
	trim_tokenizers();
	dlist_push_head(&tokenizers, &entry->node);
	return entry;
}

/* Object -> description -> tables -> image. */
static void *
build_tokenizer(size_t *size, const void *sha256, MemoryContext context)
{
	MemoryContext scratch = gpt_cache_make_context("gpt loading");
	MemoryContext old_context = MemoryContextSwitchTo(scratch);
	LmTokenizerSpec *spec = gpt_catalog_read_tokenizer(sha256);
	LmTokenizer *tokenizer;
	LmError error;
	void *image;

	MemoryContextSwitchTo(old_context);
	while ((tokenizer = lm_tokenizer_create(gpt_bridge_host(scratch), spec, &error)) == NULL)
		gpt_bridge_retry(&error);
	while (!lm_tokenizer_sort(tokenizer, &error))
		gpt_bridge_retry(&error);
	*size = lm_tokenizer_image_size(tokenizer);
	image = gpt_cache_allocate(context, *size);
	if (image != NULL)
		lm_tokenizer_image_build(image, tokenizer);
	lm_tokenizer_free(tokenizer);
	if (image == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A tokenizer needs %zu MB.", *size >> 20)));
	MemoryContextDelete(scratch);
	return image;
}

/* Frees the least recently used tokenizers without a model, so that one more has room. */
static void
trim_tokenizers(void)
{
	dlist_mutable_iter iter;
	int n = 0;

	dlist_foreach_modify(iter, &tokenizers)
	{
		GptCachedTokenizer *entry = dlist_container(GptCachedTokenizer, node, iter.cur);

		if (entry->n_users > 0 || ++n < MAX_TOKENIZERS)
			continue;
		dlist_delete(&entry->node);
		MemoryContextDelete(entry->context);
	}
}

/* ICU allocates outside of memory contexts. */
static void
release_tokenizer(void *arg)
{
	lm_tokenizer_free(((GptCachedTokenizer *) arg)->tokenizer);
}

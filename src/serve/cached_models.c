/*
 * src/serve/cached_models.c
 *
 * The list of the models that a session has in memory, their share of gpt.max_memory, and the
 * choice of those that go when others need room.
 *
 * An entry is a memory context with everything that belongs to it. While it is loaded it hangs
 * below the context of the call, so that an error takes it away; then it moves below the cache.
 * The memory of an LmSession belongs to the engine instead and is gone when the engine is started
 * again (another number of threads): the generation shows that, and the cache makes a new session.
 *
 * The image of an entry is a mapping that other sessions share, or memory below the entry's context
 * (src/serve/image_file.c); either goes with the context, and only the latter counts against
 * gpt.max_memory.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "access/xact.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/cache_parts.h"

#define IMAGE_ALIGNMENT 64
#define SCRATCH_KEPT (1024 * 1024) /* of a session between transactions */

static MemoryContext cache_context = NULL;
static dlist_head models = DLIST_STATIC_INIT(models);

static void give_back_scratch(XactEvent event, void *arg);
static bool is_needed(const GptCachedModel *entry, const GptCachedModel *keep);
static uint64 entry_size(const GptCachedModel *entry);

/* Whether two texts, or two NULLs, are the same. */
static bool
is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

GptCachedModel *
gpt_cached_find(const GptVersion *version)
{
	dlist_iter iter;

	dlist_foreach(iter, &models)
	{
		GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);

		if (memcmp(entry->sha256, version->sha256, GPT_SHA256_SIZE) == 0 &&
			entry->image_type == version->image_type &&
			entry->served.prompted == version->prompted &&
			is_same_text(entry->served.extras, version->extras) &&
			memcmp(entry->base_sha256, version->base_sha256, GPT_SHA256_SIZE) == 0 &&
			memcmp(entry->tokenizer->sha256, version->tokenizer, GPT_SHA256_SIZE) == 0)
			return entry;
	}
	return NULL;
}

void
gpt_cached_add(GptCachedModel *entry)
{
	gpt_cache_keep(entry->context);
	dlist_push_head(&models, &entry->node);
}

void
gpt_cached_use(GptCachedModel *entry)
{
	dlist_move_head(&models, &entry->node);
}

bool
gpt_cached_has_session(const GptCachedModel *entry)
{
	return entry->session != NULL && entry->generation == gpt_bridge_generation();
}

uint64
gpt_cached_needed_size(const GptCachedModel *keep)
{
	uint64 size = 0;
	dlist_iter iter;

	dlist_foreach(iter, &models)
	{
		const GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);

		if (is_needed(entry, keep))
			size += entry_size(entry);
		if (entry->n_drafts > 0 && entry != keep)
			size += gpt_cached_alone_size(entry);
	}
	if (keep != NULL)
		size += gpt_cached_alone_size(keep);
	return size;
}

/*
 * An idle session keeps no pages of logits: 64 rows of a vocabulary of 50,257 are 13 MB. They come
 * back when they are written to.
 */
static void
give_back_scratch(XactEvent event, void *arg)
{
	size_t page = (size_t) sysconf(_SC_PAGESIZE);
	dlist_iter iter;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	dlist_foreach(iter, &models)
	{
		GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);
		char *begin, *end;
		size_t size;

		if (!entry->is_used || !gpt_cached_has_session(entry) ||
			!lm_session_has_many(entry->session))
			continue;
		entry->is_used = false;
		begin = lm_session_scratch(entry->session, &size);
		end = (char *) TYPEALIGN_DOWN(page, begin + size);
		begin = (char *) TYPEALIGN(page, begin);
		if (size > SCRATCH_KEPT && end > begin)
			(void) madvise(begin, (size_t) (end - begin), MADV_DONTNEED);
	}
}

void
gpt_cached_drop_many(GptCachedModel *entry)
{
	if (entry->many != NULL && entry->generation == gpt_bridge_generation())
		lm_many_free(entry->many);
	entry->many = NULL;
}

void
gpt_cached_drop_alone(GptCachedModel *entry)
{
	if (gpt_cached_has_session(entry))
		lm_session_drop_many(entry->session);
}

void
gpt_cached_drop(GptCachedModel *entry)
{
	/* A beginning that the base's LmMany keeps may be this adapter's. */
	gpt_cached_drop_many(gpt_cached_root(entry));
	if (gpt_cached_has_session(entry))
		lm_session_free(entry->session);
	dlist_delete(&entry->node);
	entry->tokenizer->n_users--;
	if (entry->base != NULL)
		entry->base->n_adapters--;
	MemoryContextDelete(entry->context);
}

void
gpt_cached_drop_removed(void)
{
	/* Adapters are freed first, so that their bases can follow. */
	for (int pass = 0; pass < 2; pass++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &models)
		{
			GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);
			const GptImage *image = entry->base != NULL ? &entry->base->image : &entry->image;

			if (entry->n_pins == 0 && entry->n_adapters == 0 && !gpt_image_is_current(image))
				gpt_cached_drop(entry);
		}
	}
}

/* Each run of many texts ends before anything else is asked of this cache. */
void
gpt_cached_make_room(uint64 size, const GptCachedModel *keep)
{
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 total = size;
	dlist_iter iter;

	dlist_foreach(iter, &models)
	{
		const GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);

		total += entry_size(entry) + gpt_cached_many_size(entry) + gpt_cached_alone_size(entry);
	}
	gpt_bridge_check_memory(size + gpt_cached_needed_size(keep));
	dlist_foreach(iter, &models)
	{
		GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);

		if (total > limit && entry != keep)
		{
			total -= gpt_cached_many_size(entry);
			gpt_cached_drop_many(entry);
		}
	}
	dlist_reverse_foreach(iter, &models)
	{
		GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);

		if (total > limit && entry != keep && entry->n_drafts == 0)
		{
			total -= gpt_cached_alone_size(entry);
			gpt_cached_drop_alone(entry);
		}
	}
	while (total > limit)
	{
		GptCachedModel *oldest = NULL;

		dlist_foreach(iter, &models)
		{
			GptCachedModel *entry = dlist_container(GptCachedModel, node, iter.cur);

			if (entry->n_pins == 0 && entry->n_adapters == 0 && entry != keep)
				oldest = entry;
		}
		if (oldest == NULL)
			return;
		total -= entry_size(oldest) + gpt_cached_alone_size(oldest);
		gpt_cached_drop(oldest);
	}
}

/* A pinned model, keep, or the base of an adapter that is one of these. */
static bool
is_needed(const GptCachedModel *entry, const GptCachedModel *keep)
{
	return entry->n_pins > 0 || entry->n_family_pins > 0 || entry == keep ||
		   (keep != NULL && keep->base == entry);
}

static uint64
entry_size(const GptCachedModel *entry)
{
	return entry->image_size + (gpt_cached_has_session(entry) ? entry->session_size : 0);
}

uint64
gpt_cached_many_size(const GptCachedModel *entry)
{
	return entry->many != NULL && entry->generation == gpt_bridge_generation() ? entry->many_size
																			   : 0;
}

uint64
gpt_cached_alone_size(const GptCachedModel *entry)
{
	return gpt_cached_has_session(entry) && lm_session_has_many(entry->session) ? entry->alone_size
																				: 0;
}

/*
 * Below the caller's context until it is complete; the cache's own context is there before it can
 * be.
 */
MemoryContext
gpt_cache_make_context(const char *name)
{
	MemoryContext context;

	if (cache_context == NULL)
	{
		RegisterXactCallback(give_back_scratch, NULL);
		cache_context = AllocSetContextCreate(TopMemoryContext, "gpt cache", ALLOCSET_SMALL_SIZES);
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSetIdentifier(context, name);
	return context;
}

void
gpt_cache_keep(MemoryContext context)
{
	MemoryContextSetParent(context, cache_context);
}

/*
 * Aligned, and not cleared: that would be long without an interrupt, and every byte that is read is
 * written before.
 */
void *
gpt_cache_allocate(MemoryContext context, size_t size)
{
	void *memory = NULL;

	if (size < MaxAllocHugeSize - IMAGE_ALIGNMENT)
		memory = MemoryContextAllocExtended(context, size + IMAGE_ALIGNMENT,
											MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	return memory == NULL ? NULL : (void *) TYPEALIGN(IMAGE_ALIGNMENT, memory);
}

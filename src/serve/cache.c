/*
 * src/serve/cache.c
 *
 * Large objects to models and tokenizers in the memory of a session.
 *
 * An entry is a memory context with everything that belongs to it. While it is loaded it hangs
 * below the context of the call, so that an error takes it away; then it moves below the cache.
 * What an LmSession allocates belongs to the engine instead and is gone when the engine is started
 * again (another number of threads): the generation tells, and the session is made anew.
 *
 * The entry of an adapter has only its own matrices, and points to the entry of its base, which
 * stays as long as an adapter of it does: so any number of adapters share one image.
 *
 * The image of an entry is a mapping that other sessions share, or memory below the entry's context
 * (src/serve/image_file.c); either goes with the context, and only the latter counts against
 * gpt.max_memory.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/cache.h"
#include "serve/cache_parts.h"
#include "serve/image_file.h"
#include "store/blob.h"
#include "store/weights.h"

#define IMAGE_ALIGNMENT 64
/* of keys and values: beyond what depends on their number otherwise */
#define MANY_PAGES 65536
#define SCRATCH_KEPT (1024 * 1024) /* of a session between transactions */

typedef struct ModelEntry
{
	GptServed served; /* first: gpt_cache_release gets this */
	dlist_node node;
	MemoryContext context;
	uint8 sha256[GPT_SHA256_SIZE];
	uint8 base_sha256[GPT_SHA256_SIZE]; /* of an adapter, else zeros */
	GptCachedTokenizer *tokenizer;
	LmConfig config;
	LmModel *model;
	struct ModelEntry *base; /* of an adapter, else NULL */
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
} ModelEntry;

static MemoryContext cache_context = NULL;
static dlist_head models = DLIST_STATIC_INIT(models);

static ModelEntry *find_model(const GptVersion *version);
static ModelEntry *load_model(const GptVersion *version);
static void load_full(ModelEntry *entry, const GptVersion *version);
static void load_adapter(ModelEntry *entry, const GptVersion *version);
static void *build(size_t size, const GptVersion *version, const ModelEntry *base,
				   MemoryContext context);
static void *build_image(size_t *size, const void *version, MemoryContext context);
static const char *const *copy_labels(const GptVersion *version, MemoryContext context);
static void open_session(ModelEntry *entry);
static void drop_session(ModelEntry *entry);
static void give_back_scratch(XactEvent event, void *arg);
static void drop_many(ModelEntry *entry);
static void plan_many(int *n_sequences, int *n_pages, const ModelEntry *entry,
					  const LmRequest *requests, int n, uint64 held);
static int pages_of(const LmRequest *request, const LmConfig *config);
static uint64 many_memory(const ModelEntry *entry, int n_sequences, int n_pages);
static uint64 needed_size(const ModelEntry *keep);
static void drop_model(ModelEntry *entry);
static void drop_removed(void);
static void make_room(uint64 size, const ModelEntry *keep);
static bool is_needed(const ModelEntry *entry, const ModelEntry *keep);
static uint64 entry_size(const ModelEntry *entry);
static uint64 many_size(const ModelEntry *entry);

static void
check_kind(const GptVersion *version, GptServedKind kind)
{
	bool is_classifier = version->config.labels > 0;

	if (is_classifier && kind == GPT_SERVED_LANGUAGE_MODEL)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" is a classifier", version->model),
						errdetail("It was trained to classify texts, not to continue them."),
						errhint("Use gpt_classify or gpt_embed.")));
	if (!is_classifier && kind == GPT_SERVED_CLASSIFIER)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" is not a classifier", version->model),
						errhint("Train one with gpt_train or gpt_finetune on a query with a column "
								"\"label\"; gpt_choose takes any language model.")));
}

const GptServed *
gpt_cache_acquire(const char *reference, GptServedKind kind)
{
	GptVersion *version = gpt_catalog_version(reference, false);
	ModelEntry *entry;

	gpt_catalog_check_use(version);
	check_kind(version, kind);
	entry = find_model(version);
	if (entry == NULL)
		entry = load_model(version);
	dlist_move_head(&models, &entry->node);
	gpt_image_touch(entry->base != NULL ? &entry->base->image : &entry->image);
	open_session(entry);
	entry->is_used = true;
	entry->n_pins++;
	return &entry->served;
}

void
gpt_cache_renew(const GptServed *served)
{
	open_session((ModelEntry *) served);
}

void
gpt_cache_release(const GptServed *served)
{
	ModelEntry *entry = (ModelEntry *) served;

	if (--entry->n_pins == 0)
		drop_many(entry);
}

LmMany *
gpt_cache_many(const GptServed *served, const LmRequest *requests, int n, uint64 held)
{
	ModelEntry *entry = (ModelEntry *) served;
	int n_sequences;
	int n_pages;
	LmError error;

	plan_many(&n_sequences, &n_pages, entry, requests, n, held);
	if (entry->many != NULL && entry->many_sequences >= n_sequences &&
		entry->many_pages >= n_pages &&
		held + needed_size(entry) + many_size(entry) <= (uint64) gpt_settings_max_memory())
		return entry->many;
	drop_many(entry);
	make_room(held + many_memory(entry, n_sequences, n_pages), entry);
	entry->many = lm_many_create(entry->served.session, n_sequences, n_pages, &error);
	if (entry->many == NULL)
		gpt_bridge_raise(&error);
	entry->many_size = many_memory(entry, n_sequences, n_pages);
	entry->many_sequences = n_sequences;
	entry->many_pages = n_pages;
	return entry->many;
}

/* As many texts at once, and as many pages, as they can need and as there is memory for. */
static void
plan_many(int *n_sequences, int *n_pages, const ModelEntry *entry, const LmRequest *requests, int n,
		  uint64 held)
{
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 fixed = needed_size(entry) + held;
	int least = (entry->config.context + LM_PAGE - 1) / LM_PAGE;
	int64 most = 2 * least; /* a prefix's, and room for one more of the longest */
	int longest = 1;
	uint64 one;

	for (int i = 0; i < n; i++)
		longest = Max(longest, pages_of(&requests[i], &entry->config));
	*n_sequences = Max(1, Min(n, LM_MANY_SEQUENCES));
	most += (int64) *n_sequences * longest;
	while (*n_sequences > 1 && fixed + many_memory(entry, *n_sequences, least) > limit)
		*n_sequences /= 2;
	gpt_bridge_check_memory(fixed + many_memory(entry, *n_sequences, least));
	one = many_memory(entry, *n_sequences, MANY_PAGES + 1) -
		  many_memory(entry, *n_sequences, MANY_PAGES);
	most = Min(most, (int64) (least + (limit - fixed - many_memory(entry, *n_sequences, least)) /
										  Max(one, 1)));
	while (most > least && fixed + many_memory(entry, *n_sequences, (int) most) > limit)
		most--;
	*n_pages = (int) most;
}

/* A token has at least a byte of text; but for NFC, whose texts may have more. */
static int
pages_of(const LmRequest *request, const LmConfig *config)
{
	uint64 positions = 1 + (uint64) request->prompt.size + request->text.size;

	if (request->task == LM_TASK_GENERATE)
		positions += request->sampling.max_tokens;
	return (int) ((Min(positions, (uint64) config->context) + LM_PAGE - 1) / LM_PAGE);
}

static uint64
many_memory(const ModelEntry *entry, int n_sequences, int n_pages)
{
	LmError error;
	size_t size;

	if (!lm_many_memory(&size, &entry->config, lm_engine_threads(gpt_bridge_engine(gpt_threads)),
						n_sequences, n_pages, &error))
		gpt_bridge_raise(&error);
	return size;
}

/* Of the models that have to stay. */
static uint64
needed_size(const ModelEntry *keep)
{
	uint64 size = 0;
	dlist_iter iter;

	dlist_foreach(iter, &models)
	{
		const ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);

		if (is_needed(entry, keep))
			size += entry_size(entry);
	}
	return size;
}

/*
 * The same weights with another tokenizer would be another model, as would the same adapter of
 * another base.
 */
static ModelEntry *
find_model(const GptVersion *version)
{
	dlist_iter iter;

	dlist_foreach(iter, &models)
	{
		ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);

		if (memcmp(entry->sha256, version->sha256, GPT_SHA256_SIZE) == 0 &&
			entry->image_type == version->image_type && entry->served.heals == !version->prompted &&
			memcmp(entry->base_sha256, version->base_sha256, GPT_SHA256_SIZE) == 0 &&
			memcmp(entry->tokenizer->sha256, version->tokenizer, GPT_SHA256_SIZE) == 0)
			return entry;
	}
	return NULL;
}

static ModelEntry *
load_model(const GptVersion *version)
{
	GptCachedTokenizer *tokenizer;
	MemoryContext context;
	ModelEntry *entry;

	drop_removed();
	context = gpt_cache_make_context("gpt model");
	entry = MemoryContextAllocZero(context, sizeof(ModelEntry));
	entry->context = context;
	entry->config = version->config;
	entry->image_type = version->image_type;
	memcpy(entry->sha256, version->sha256, GPT_SHA256_SIZE);
	memcpy(entry->base_sha256, version->base_sha256, GPT_SHA256_SIZE);
	entry->served.labels = copy_labels(version, context);
	entry->served.heals = !version->prompted;
	if (version->base != NULL)
		load_adapter(entry, version);
	else
		load_full(entry, version);

	/* After the base, which may have another one; nothing makes it go from here on. */
	tokenizer = gpt_cached_tokenizer(version->tokenizer);

	/* Nothing fails from here on. */
	entry->tokenizer = tokenizer;
	tokenizer->n_users++;
	if (entry->base != NULL)
		entry->base->n_adapters++;
	entry->served.tokenizer = tokenizer->tokenizer;
	entry->served.config = &entry->config;
	gpt_cache_keep(context);
	dlist_push_head(&models, &entry->node);
	return entry;
}

static void
load_full(ModelEntry *entry, const GptVersion *version)
{
	GptImageRequest request = {.sha256 = version->sha256,
							   .type = version->image_type,
							   .build = build_image,
							   .of = version};
	LmError error;

	request.size = gpt_image_type_size(&version->config, version->image_type);
	request.what = psprintf("model \"%s\"", version->model);
	gpt_image_get(&entry->image, &request, entry->context);
	entry->image_size = entry->image.shared ? 0 : entry->image.size;
	entry->model = lm_model_open(gpt_bridge_host(entry->context), entry->image.bytes,
								 entry->image.size, &error);
	if (entry->model == NULL)
		gpt_bridge_raise(&error);
}

/* The image of the base has the type that the adapter's model asks for. */
static void
load_adapter(ModelEntry *entry, const GptVersion *version)
{
	GptVersion full = *gpt_catalog_base(version);
	ModelEntry *base;
	LmError error;
	size_t size;

	full.image_type = version->image_type;
	base = find_model(&full);
	if (base == NULL)
		base = load_model(&full);
	dlist_move_head(&models, &base->node);
	if (!lm_adapter_size(&size, &version->config, &error))
		gpt_bridge_raise(&error);
	entry->image_size = size;
	entry->matrices = build(size, version, base, entry->context);
	entry->model =
		lm_model_open_adapter(gpt_bridge_host(entry->context), base->image.bytes, base->image.size,
							  entry->matrices, size, &version->config, &error);
	if (entry->model == NULL)
		gpt_bridge_raise(&error);
	entry->base = base;
}

static const char *const *
copy_labels(const GptVersion *version, MemoryContext context)
{
	char **labels = MemoryContextAlloc(context, (version->config.labels + 1) * sizeof(char *));

	for (int i = 0; i < version->config.labels; i++)
		labels[i] = MemoryContextStrdup(context, version->labels[i]);
	return (const char *const *) labels;
}

/*
 * Object -> parameter block -> image, or the block of an adapter of a base; the first goes, the
 * image lives in the context.
 */
static void *
build(size_t size, const GptVersion *version, const ModelEntry *base, MemoryContext context)
{
	MemoryContext scratch = gpt_cache_make_context("gpt loading");
	const LmHost *host = gpt_bridge_host(scratch);
	LmParamTable *table;
	LmError error;
	float *block;
	void *image;

	table = lm_param_table_create(host, &version->config, &error);
	if (table == NULL)
		gpt_bridge_raise(&error);
	make_room((uint64) size + (uint64) table->total * sizeof(float), base);
	block = gpt_cache_allocate(scratch, table->total * sizeof(float));
	image = gpt_cache_allocate(context, size);
	if (block == NULL || image == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("The weights of model \"%s\" need %zu MB.", version->model,
								  size >> 20)));
	gpt_weights_read(block, table, version);
	if (base == NULL)
		gpt_image_type_build(image, block, table, version->image_type, host);
	while (base != NULL && !lm_adapter_build(image, block, table, host, &error))
		gpt_bridge_retry(&error);
	MemoryContextDelete(scratch);
	return image;
}

static void *
build_image(size_t *size, const void *of, MemoryContext context)
{
	return build(*size, of, NULL, context);
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

/* A session of the engine of now, with as many threads as gpt.threads says now. */
static void
open_session(ModelEntry *entry)
{
	LmEngine *engine = gpt_bridge_engine(gpt_threads);
	LmError error;
	size_t size;

	if (entry->served.session != NULL && entry->generation == gpt_bridge_generation())
		return;
	/* Its memory in the engine went with it. */
	entry->served.session = NULL;
	entry->many = NULL;
	entry->session_size = 0;
	if (!lm_session_memory(&size, &entry->config, lm_engine_threads(engine), &error))
		gpt_bridge_raise(&error);
	make_room(size, entry);
	entry->served.session =
		lm_session_create(engine, entry->model, entry->served.tokenizer, &error);
	if (entry->served.session == NULL)
		gpt_bridge_raise(&error);
	entry->generation = gpt_bridge_generation();
	entry->session_size = size;
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
		ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);
		char *begin, *end;
		size_t size;

		if (!entry->is_used || entry->served.session == NULL ||
			entry->generation != gpt_bridge_generation())
			continue;
		entry->is_used = false;
		begin = lm_session_scratch(entry->served.session, &size);
		end = (char *) TYPEALIGN_DOWN(page, begin + size);
		begin = (char *) TYPEALIGN(page, begin);
		if (size > SCRATCH_KEPT && end > begin)
			(void) madvise(begin, (size_t) (end - begin), MADV_DONTNEED);
	}
}

static void
drop_many(ModelEntry *entry)
{
	if (entry->many != NULL && entry->generation == gpt_bridge_generation())
		lm_many_free(entry->many);
	entry->many = NULL;
}

static void
drop_session(ModelEntry *entry)
{
	drop_many(entry);
	if (entry->served.session != NULL && entry->generation == gpt_bridge_generation())
		lm_session_free(entry->served.session);
	entry->served.session = NULL;
}

static void
drop_model(ModelEntry *entry)
{
	drop_session(entry);
	dlist_delete(&entry->node);
	entry->tokenizer->n_users--;
	if (entry->base != NULL)
		entry->base->n_adapters--;
	MemoryContextDelete(entry->context);
}

/*
 * Lets go of images that new sessions do not map any more: their models were removed or replaced,
 * or others needed the room.
 */
static void
drop_removed(void)
{
	/* Adapters first: their bases can go when none is left. */
	for (int pass = 0; pass < 2; pass++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &models)
		{
			ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);
			const GptImage *image = entry->base != NULL ? &entry->base->image : &entry->image;

			if (entry->n_pins == 0 && entry->n_adapters == 0 && !gpt_image_is_current(image))
				drop_model(entry);
		}
	}
}

/*
 * Frees what many texts at once were computed with, then the least recently used models, until size
 * more bytes fit into gpt.max_memory. Models in use stay, and so does keep, with the bases of
 * adapters that do; when that leaves too little, the error says how much cannot be avoided.
 * (Each run of many texts ends before anything else is asked of this cache.)
 */
static void
make_room(uint64 size, const ModelEntry *keep)
{
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 total = size;
	dlist_iter iter;

	dlist_foreach(iter, &models)
	{
		const ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);

		total += entry_size(entry) + many_size(entry);
	}
	gpt_bridge_check_memory(size + needed_size(keep));
	dlist_foreach(iter, &models)
	{
		ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);

		if (total > limit && entry != keep)
		{
			total -= many_size(entry);
			drop_many(entry);
		}
	}
	while (total > limit)
	{
		ModelEntry *oldest = NULL;

		dlist_foreach(iter, &models)
		{
			ModelEntry *entry = dlist_container(ModelEntry, node, iter.cur);

			if (entry->n_pins == 0 && entry->n_adapters == 0 && entry != keep)
				oldest = entry;
		}
		if (oldest == NULL)
			return;
		total -= entry_size(oldest);
		drop_model(oldest);
	}
}

/* A pinned model, keep, or the base of an adapter that is one of these. */
static bool
is_needed(const ModelEntry *entry, const ModelEntry *keep)
{
	dlist_iter iter;

	if (entry->n_pins > 0 || entry == keep)
		return true;
	dlist_foreach(iter, &models)
	{
		const ModelEntry *adapter = dlist_container(ModelEntry, node, iter.cur);

		if (adapter->base == entry && (adapter->n_pins > 0 || adapter == keep))
			return true;
	}
	return false;
}

static uint64
entry_size(const ModelEntry *entry)
{
	bool has_session =
		entry->served.session != NULL && entry->generation == gpt_bridge_generation();

	return entry->image_size + (has_session ? entry->session_size : 0);
}

static uint64
many_size(const ModelEntry *entry)
{
	return entry->many != NULL && entry->generation == gpt_bridge_generation() ? entry->many_size
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

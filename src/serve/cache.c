/*
 * src/serve/cache.c
 *
 * Large objects to models and tokenizers in the memory of a session.
 *
 * The entry of an adapter has only its own matrices, and points to the entry of its base, which
 * stays as long as an adapter of it does: so any number of adapters share one image.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/cache.h"
#include "serve/cache_parts.h"
#include "serve/image_file.h"
#include "store/blob.h"
#include "store/model_extras.h"
#include "store/restore.h"
#include "store/weights.h"

/* A use of an entry: what gpt_cache_acquire returns, in a context of its own. */
typedef struct Use
{
	GptServed served; /* first: gpt_cache_release gets this */
	GptCachedModel *entry;
	GptStatsKey stats;
	bool is_counted; /* its call */
	bool is_draft;
	MemoryContext context;
	MemoryContextCallback end;
} Use;

static GptCachedModel *entry_of(GptStatsKey *stats, const char *reference, GptServedKind kind);
static GptCachedModel *entry_of_version(const GptVersion *version);
static bool has_room(const GptVersion *version);
static void end_use(void *arg);
static void load_full(GptCachedModel *entry, const GptVersion *version);
static void load_adapter(GptCachedModel *entry, const GptVersion *version);
static void *build_image(size_t *size, const void *of, MemoryContext context);
static void fill_image(void *image, const void *of);
static LmParamTable *table_of(const GptVersion *version, size_t size);
static void *build_adapter(size_t size, const GptVersion *version, const GptCachedModel *base,
						   MemoryContext context);
static void *allocate(MemoryContext context, size_t size, const GptVersion *version);
static const char *const *copy_labels(const GptVersion *version, MemoryContext context);

const GptServed *
gpt_cache_acquire(const char *reference, GptServedKind kind)
{
	GptStatsKey stats;
	GptCachedModel *entry = entry_of(&stats, reference, kind);

	return gpt_cached_use_of(entry, &stats, reference);
}

const GptServed *
gpt_cached_use_of(GptCachedModel *entry, const GptStatsKey *stats, const char *reference)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt model in use", ALLOCSET_SMALL_SIZES);
	Use *use = MemoryContextAllocZero(context, sizeof(Use));

	gpt_cached_open_session(entry);
	use->served = entry->served;
	use->served.model = MemoryContextStrdup(context, reference);
	use->stats = *stats;
	use->entry = entry;
	use->context = context;
	use->end.func = end_use;
	use->end.arg = use;
	entry->is_used = true;
	entry->n_pins++;
	gpt_cached_root(entry)->n_family_pins++;
	MemoryContextRegisterResetCallback(context, &use->end);
	return &use->served;
}

/* The most recently used entry is the model's from here on. */
static GptCachedModel *
entry_of(GptStatsKey *stats, const char *reference, GptServedKind kind)
{
	bool is_newer = gpt_restore_enter(reference);
	GptVersion *version = gpt_catalog_version(reference, false);
	GptCachedModel *entry;

	gpt_catalog_check_use(version);
	gpt_stats_key(stats, version);
	gpt_stats_begin(stats, 1);
	gpt_cached_check_kind(version, kind);
	entry = entry_of_version(version);
	if (is_newer)
		PopActiveSnapshot();
	return entry;
}

/* Ends what gpt_stats_begin began. */
static GptCachedModel *
entry_of_version(const GptVersion *version)
{
	GptCachedModel *entry = gpt_cached_find(version);

	if (entry == NULL)
		entry = gpt_cached_load(version);
	gpt_cached_use(entry);
	gpt_image_touch(entry->base != NULL ? &entry->base->image : &entry->image);
	gpt_cached_open_session(entry);
	gpt_stats_end();
	return entry;
}

GptAcquired
gpt_cache_try_acquire(const GptServed **served, const char *reference, GptServedKind kind)
{
	GptVersion *version = gpt_catalog_version(reference, true);
	GptStatsKey stats;

	if (version == NULL || version->altered || !gpt_blob_can_use(version->weights) ||
		!gpt_cached_is_of_kind(version, kind))
		return GPT_ACQUIRE_FAILS;
	if (gpt_cached_find(version) == NULL && !has_room(version))
		return GPT_ACQUIRE_WAITS;
	gpt_stats_key(&stats, version);
	gpt_stats_begin(&stats, 0);
	*served = gpt_cached_use_of(entry_of_version(version), &stats, reference);
	return GPT_ACQUIRED;
}

/*
 * Whether a version can be loaded beside the models in use, which leave half of gpt.max_memory to
 * the texts that go through them. How much a full model needs is not known before it is loaded.
 */
static bool
has_room(const GptVersion *version)
{
	uint64 needed = gpt_cached_needed_size(NULL);
	GptVersion base;
	LmError error;
	size_t size;

	if (needed == 0)
		return true;
	if (version->base == NULL)
		return false;
	base = *gpt_catalog_base(version);
	base.image_type = version->image_type;
	if (gpt_cached_find(&base) == NULL ||
		!lm_adapter_size(&size, &version->config, lm_weight_type(version->image_type), &error))
		return false;
	/* The parameters in the object's order, at most twice as large, and as they are used. */
	return needed + 3 * size <= (uint64) gpt_settings_max_memory() / 2;
}

const void *
gpt_cache_family(const GptServed *served)
{
	return gpt_cached_root(((const Use *) served)->entry);
}

const GptStatsKey *
gpt_cache_stats(const GptServed *served)
{
	return &((const Use *) served)->stats;
}

void
gpt_cache_count_call(const GptServed *served)
{
	Use *use = (Use *) served;

	if (!use->is_counted)
		gpt_stats_count(&use->stats, GPT_STAT_CALLS, 1);
	use->is_counted = true;
}

void
gpt_cache_release(const GptServed *served)
{
	MemoryContextDelete(((const Use *) served)->context);
}

/* Runs at the end of a use: by _release, or when an error resets the context above. */
static void
end_use(void *arg)
{
	GptCachedModel *entry = ((Use *) arg)->entry;
	GptCachedModel *root = gpt_cached_root(entry);
	LmError error;

	if (((Use *) arg)->is_draft)
		entry->n_drafts--;
	if (--root->n_family_pins == 0)
		gpt_cached_drop_many(root);
	if (--entry->n_pins == 0 && gpt_cached_alone_size(entry) > 0)
		lm_many_forget(lm_session_many(entry->session, &error));
}

void
gpt_cached_use_as_draft(const GptServed *served)
{
	Use *use = (Use *) served;

	if (!use->is_draft)
		use->entry->n_drafts++;
	use->is_draft = true;
}

GptCachedModel *
gpt_cached_entry_of(const GptServed *served)
{
	return ((const Use *) served)->entry;
}

LmSession *
gpt_cache_session(const GptServed *served)
{
	GptCachedModel *entry = ((const Use *) served)->entry;

	gpt_cached_open_session(entry);
	return entry->session;
}

/* Copies the extras of the version into the entry. */
static void
take_extras(GptCachedModel *entry, const char *extras)
{
	MemoryContext caller;
	int32 *ends;
	char *end;

	if (extras == NULL)
		return;
	entry->n_ends = gpt_extras_ends(&ends, extras);
	entry->ends = MemoryContextAlloc(entry->context, (entry->n_ends + 1) * sizeof(int32));
	if (entry->n_ends > 0)
		memcpy(entry->ends, ends, entry->n_ends * sizeof(int32));
	entry->served.extras = MemoryContextStrdup(entry->context, extras);
	caller = MemoryContextSwitchTo(entry->context);
	entry->served.cleaner = gpt_cleaner_create(gpt_extras_clean(extras));
	(void) gpt_extras_prompt(&entry->served.prompt, &end, extras);
	entry->served.prompt_end = end;
	MemoryContextSwitchTo(caller);
}

/* Reads the statistics of the version into the entry. */
static void
take_search(GptCachedModel *entry, const GptVersion *version)
{
	LmSearch *search;
	size_t size;
	char *bytes = gpt_catalog_search(&size, version);

	if (bytes == NULL)
		return;
	search = MemoryContextAlloc(entry->context, sizeof(LmSearch) + size);
	if (!lm_search_open(search, memcpy(search + 1, bytes, size), size, version->config.vocabulary,
						version->config.channels))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("statistics of model \"%s\" version %d are altered or truncated",
							   version->model, version->version)));
	entry->served.search = search;
	pfree(bytes);
}

/* Loads a model into a context of its own; an error before gpt_cached_add frees all of it. */
GptCachedModel *
gpt_cached_load(const GptVersion *version)
{
	GptCachedTokenizer *tokenizer;
	MemoryContext context;
	GptCachedModel *entry;

	gpt_cached_drop_removed();
	context = gpt_cache_make_context("gpt model");
	entry = MemoryContextAllocZero(context, sizeof(GptCachedModel));
	entry->context = context;
	entry->config = version->config;
	entry->image_type = version->image_type;
	memcpy(entry->sha256, version->sha256, GPT_SHA256_SIZE);
	memcpy(entry->base_sha256, version->base_sha256, GPT_SHA256_SIZE);
	entry->served.labels = copy_labels(version, context);
	entry->served.prompted = version->prompted;
	take_extras(entry, version->extras);
	take_search(entry, version);
	entry->served.heals = !version->prompted && entry->served.prompt_end == NULL &&
						  !lm_prompt_is_written(&entry->served.prompt);
	if (version->base != NULL)
		load_adapter(entry, version);
	else
		load_full(entry, version);

	/*
	 * Loaded after the base, which may have another tokenizer; nothing can remove it from here on.
	 */
	tokenizer = gpt_cached_tokenizer(version->tokenizer);

	/* Nothing fails from here on. */
	entry->tokenizer = tokenizer;
	tokenizer->n_users++;
	if (entry->base != NULL)
		entry->base->n_adapters++;
	entry->served.tokenizer = tokenizer->tokenizer;
	entry->served.config = &entry->config;
	gpt_cached_add(entry);
	return entry;
}

/* Maps or builds the image of a full version and opens the model in it. */
static void
load_full(GptCachedModel *entry, const GptVersion *version)
{
	GptImageRequest request = {.sha256 = version->sha256,
							   .type = version->image_type,
							   .build = build_image,
							   .fill = fill_image,
							   .of = version};
	GptStatsKey stats;
	LmError error;

	request.size = gpt_image_type_size(&version->config, version->image_type);
	request.what = psprintf("model \"%s\"", version->model);
	gpt_image_get(&entry->image, &request, entry->context);
	gpt_stats_key(&stats, version);
	gpt_stats_count(&stats, entry->image.found ? GPT_STAT_IMAGE_HITS : GPT_STAT_IMAGE_MISSES, 1);
	entry->image_size = entry->image.shared ? 0 : entry->image.size;
	entry->model = lm_model_open(gpt_bridge_host(entry->context), entry->image.bytes,
								 entry->image.size, &error);
	if (entry->model == NULL)
		gpt_bridge_raise(&error);
}

/* The image of the base has the type that the adapter's model asks for. */
static void
load_adapter(GptCachedModel *entry, const GptVersion *version)
{
	GptVersion full = *gpt_catalog_base(version);
	GptCachedModel *base;
	LmError error;
	size_t size;

	full.image_type = version->image_type;
	base = gpt_cached_find(&full);
	if (base == NULL)
		base = gpt_cached_load(&full);
	gpt_cached_use(base);
	if (!lm_adapter_size(&size, &version->config, lm_weight_type(version->image_type), &error))
		gpt_bridge_raise(&error);
	entry->image_size = size;
	entry->matrices = build_adapter(size, version, base, entry->context);
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

/* Object -> image, which lives in the context. */
static void *
build_image(size_t *size, const void *of, MemoryContext context)
{
	const GptVersion *version = of;
	const LmParamTable *table;
	void *image;

	gpt_cache_check_image(version, *size);
	table = table_of(version, *size);
	image = allocate(context, *size, version);
	gpt_image_type_fill(image, table, version, version->image_type);
	return image;
}

/* Object -> image in a file, which takes none of the session's memory. */
static void
fill_image(void *image, const void *of)
{
	const GptVersion *version = of;

	gpt_image_type_fill(image, table_of(version, 0), version, version->image_type);
}

/* Makes room for so many bytes, and for reading the version, whose table it returns. */
static LmParamTable *
table_of(const GptVersion *version, size_t size)
{
	LmParamTable *table = gpt_weights_table(&version->config);

	gpt_cached_make_room((uint64) size + gpt_weights_memory(table), NULL);
	return table;
}

/*
 * Object -> parameter block -> block of an adapter of a base; the first goes, the second lives in
 * the context.
 */
static void *
build_adapter(size_t size, const GptVersion *version, const GptCachedModel *base,
			  MemoryContext context)
{
	MemoryContext scratch = gpt_cache_make_context("gpt loading");
	const LmHost *host = gpt_bridge_host(scratch);
	LmParamTable *table;
	LmError error;
	float *block;
	void *adapter;

	table = lm_param_table_create(host, &version->config, &error);
	if (table == NULL)
		gpt_bridge_raise(&error);
	gpt_cached_make_room((uint64) size + (uint64) table->total * sizeof(float), base);
	block = allocate(scratch, table->total * sizeof(float), version);
	adapter = allocate(context, size, version);
	gpt_weights_read(block, table, version);
	while (
		!lm_adapter_build(adapter, block, table, lm_weight_type(version->image_type), host, &error))
		gpt_bridge_retry(&error);
	MemoryContextDelete(scratch);
	return adapter;
}

static void *
allocate(MemoryContext context, size_t size, const GptVersion *version)
{
	void *memory = gpt_cache_allocate(context, size);

	if (memory == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("The weights of model \"%s\" need %zu MB.", version->model,
								  size >> 20)));
	return memory;
}

/* A session of the engine of now, with as many threads as gpt.threads says now. */
void
gpt_cached_open_session(GptCachedModel *entry)
{
	LmEngine *engine = gpt_bridge_engine(gpt_threads);
	LmError error;
	size_t size;

	if (gpt_cached_has_session(entry))
		return;
	/* Its memory in the engine went with it. */
	entry->session = NULL;
	entry->many = NULL;
	entry->session_size = 0;
	if (!lm_session_memory(&size, &entry->config, &error))
		gpt_bridge_raise(&error);
	gpt_cached_make_room(size, entry);
	entry->session = lm_session_create(engine, entry->model, entry->served.tokenizer, &error);
	if (entry->session == NULL)
		gpt_bridge_raise(&error);
	lm_session_set_ends(entry->session, entry->ends, entry->n_ends);
	lm_session_set_search(entry->session, entry->served.search);
	lm_session_set_prompt(entry->session, &entry->served.prompt);
	lm_session_set_prompted(entry->session, !entry->served.heals);
	entry->generation = gpt_bridge_generation();
	entry->session_size = size;
}

/*
 * src/serve/unpublished.c
 *
 * The weights of a training go in, before they are a version; a model that answers calls comes out.
 *
 * It is an entry of the cache as others are, with an image in the memory of the process and the
 * training's own tokenizer. Its hash is zero, which is that of no content: nobody else finds it.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/cache_parts.h"
#include "store/weights.h"

static void take_labels(GptCachedModel *entry, const char *names);
static void build_full(GptCachedModel *entry, const GptUnpublished *model);
static void build_adapter(GptCachedModel *entry, const GptUnpublished *model);
static void *allocate(GptCachedModel *entry, size_t size, uint64 held);

const GptServed *
gpt_cache_unpublished(const GptUnpublished *model)
{
	GptStatsKey uncounted = {0};
	MemoryContext context = gpt_cache_make_context("gpt unpublished model");
	GptCachedModel *entry = MemoryContextAllocZero(context, sizeof(GptCachedModel));

	entry->context = context;
	entry->config = model->table->config;
	entry->image_type = lm_weight_type_find("float32")->number;
	take_labels(entry, model->labels);
	entry->served.prompted = model->prompted;
	entry->served.heals = !model->prompted;
	if (model->base != NULL)
		build_adapter(entry, model);
	else
		build_full(entry, model);
	entry->tokenizer = MemoryContextAllocZero(context, sizeof(GptCachedTokenizer));
	entry->tokenizer->tokenizer = model->tokenizer;
	entry->tokenizer->n_users = 1;
	if (entry->base != NULL)
		entry->base->n_adapters++;
	entry->served.tokenizer = model->tokenizer;
	entry->served.config = &entry->config;
	gpt_cached_add(entry);
	return gpt_cached_use_of(entry, &uncounted, model->name);
}

void
gpt_cache_unpublished_end(const GptServed *served)
{
	GptCachedModel *entry = gpt_cached_entry_of(served);

	gpt_cache_release(served);
	gpt_cached_drop(entry);
}

static void
take_labels(GptCachedModel *entry, const char *names)
{
	const char **labels =
		MemoryContextAlloc(entry->context, (entry->config.labels + 1) * sizeof(char *));

	for (int i = 0; i < entry->config.labels; i++)
	{
		labels[i] = names;
		names += strlen(names) + 1;
	}
	entry->served.labels = labels;
}

static void
build_full(GptCachedModel *entry, const GptUnpublished *model)
{
	const LmHost *host = gpt_bridge_host(entry->context);
	const LmWeightType *type = lm_weight_type(entry->image_type);
	LmError error;
	size_t size;
	void *image;

	if (!lm_image_size(&size, &entry->config, type, &error))
		gpt_bridge_raise(&error);
	image = allocate(entry, size, model->held);
	while (!lm_image_build(image, model->block, model->table, type, host, &error))
		gpt_bridge_retry(&error);
	entry->image.bytes = image;
	entry->image.size = size;
	entry->model = lm_model_open(host, image, size, &error);
	if (entry->model == NULL)
		gpt_bridge_raise(&error);
}

static void
build_adapter(GptCachedModel *entry, const GptUnpublished *model)
{
	const LmHost *host = gpt_bridge_host(entry->context);
	GptVersion full = *model->base;
	GptCachedModel *base;
	LmError error;
	size_t size;

	full.image_type = entry->image_type;
	base = gpt_cached_find(&full);
	if (base == NULL)
		base = gpt_cached_load(&full);
	gpt_cached_use(base);
	if (!lm_adapter_size(&size, &entry->config, lm_weight_type(entry->image_type), &error))
		gpt_bridge_raise(&error);
	entry->matrices = allocate(entry, size, model->held);
	while (!lm_adapter_build(entry->matrices, model->block, model->table,
							 lm_weight_type(entry->image_type), host, &error))
		gpt_bridge_retry(&error);
	entry->model = lm_model_open_adapter(host, base->image.bytes, base->image.size, entry->matrices,
										 size, &entry->config, &error);
	if (entry->model == NULL)
		gpt_bridge_raise(&error);
	entry->base = base;
}

/* Aligned memory of the entry, which counts against gpt.max_memory beside the training's. */
static void *
allocate(GptCachedModel *entry, size_t size, uint64 held)
{
	void *memory;

	gpt_bridge_check_memory(held + size);
	memory = gpt_cache_allocate(entry->context, size);
	if (memory == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				 errdetail("The weights that were trained need %zu MB once more.", size >> 20)));
	entry->image_size = size;
	return memory;
}

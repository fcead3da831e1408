/*
 * src/serve/cache_fit.c
 *
 * A model that does not fit into gpt.max_memory goes in; an error comes out that names settings and
 * types of images with which it would, each computed as its memory is.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "serve/cache_parts.h"
#include "store/catalog.h"
#include "store/image_type.h"
#include "store/weights.h"

#define MEGABYTE (1024 * 1024)

/* The largest image of another type that fits beside what else is needed; false if none does. */
static bool
largest_fitting(GptImageType *type, const GptVersion *version, uint64 room)
{
	size_t largest = 0;

	for (GptImageType i = 0; i < lm_weight_type_count(); i++)
	{
		size_t size = i == version->image_type ? 0 : gpt_image_type_size(&version->config, i);

		if (size <= largest || size > room)
			continue;
		largest = size;
		*type = i;
	}
	return largest > 0;
}

void
gpt_cache_check_image(const GptVersion *version, size_t size)
{
	uint64 limit = (uint64) gpt_settings_max_memory();
	uint64 beside = gpt_weights_memory(gpt_weights_table(&version->config));
	GptImageType type;
	StringInfoData hint;

	beside += gpt_cached_needed_size(NULL);
	if (size + beside <= limit)
		return;
	initStringInfo(&hint);
	if (beside < limit && largest_fitting(&type, version, limit - beside))
		appendStringInfo(&hint, "It would fit after gpt_set_image_type(%s, '%s'). ",
						 quote_literal_cstr(version->model), gpt_image_type_name(type));
	if ((int64) size > gpt_settings_max_image_size())
		appendStringInfo(&hint,
						 "With a gpt.max_image_size of more than %zu MB, sessions share it, and it "
						 "takes no memory of theirs.",
						 size / MEGABYTE + 1);
	gpt_bridge_check_memory_with(size + beside, hint.len > 0 ? hint.data : NULL);
}

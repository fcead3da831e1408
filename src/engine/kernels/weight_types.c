/*
 * src/engine/kernels/weight_types.c
 *
 * The rows of weight_types.h as LmWeightType, and the packing of all types.
 */
#include <string.h>

#define LM_PACKING
#include "kernels/weight_types.h"

#define TYPE(id, word, unit_inputs, group_inputs, bytes, bound) \
	[LM_WEIGHTS_##id] = {                                       \
		.name = #word,                                          \
		.number = LM_WEIGHTS_##id,                              \
		.unit = unit_inputs,                                    \
		.group = group_inputs,                                  \
		.unit_size = LM_PANEL * bytes,                          \
		.bits = 8.0 * bytes / unit_inputs,                      \
		.error = bound,                                         \
		.pack = pack_##word,                                    \
		.weight = weight_##word,                                \
		.add = add_##word,                                      \
	},

static const LmWeightType types[] = {LM_WEIGHT_TYPES(TYPE)};

int
lm_weight_type_count(void)
{
	return LM_WEIGHT_TYPE_COUNT;
}

const LmWeightType *
lm_weight_type(int number)
{
	return number >= 0 && number < LM_WEIGHT_TYPE_COUNT ? &types[number] : NULL;
}

const char *
lm_weight_type_name(int number)
{
	const LmWeightType *type = lm_weight_type(number);

	return type ? type->name : NULL;
}

const LmWeightType *
lm_weight_type_find(const char *name)
{
	for (int i = 0; i < LM_WEIGHT_TYPE_COUNT; i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}

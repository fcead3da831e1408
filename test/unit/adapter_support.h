/*
 * test/unit/adapter_support.h
 *
 * A random adapter beside the image of a random model.
 */
#ifndef TEST_ADAPTER_SUPPORT_H
#define TEST_ADAPTER_SUPPORT_H

#include "serve_support.h"

static inline void
shake(float *block, const LmParamTable *table, uint64_t seed)
{
	uint64_t state = seed;

	for (int i = 0; i < table->n_params; i++)
		for (size_t j = 0; j < table->params[i].count; j++)
			block[table->params[i].offset + j] +=
				((int) (test_random(&state) % 2001) - 1000) * 1e-4f;
}

typedef struct Beside
{
	LmParamTable *table;
	float *block;
	void *memory;
	size_t size;
	LmModel *model;
} Beside;

static inline Beside
adapter_beside(const TestModel *base, const LmConfig *config, uint64_t seed)
{
	Beside beside = {.table = NULL};
	LmEngine *engine = start_engine(&base->host, 1);
	LmError error;

	beside.table = lm_param_table_create(&base->host, config, &error);
	beside.block = malloc(beside.table->total * sizeof(float));
	lm_params_init(engine, beside.block, beside.table, seed);
	lm_engine_stop(engine);
	shake(beside.block, beside.table, seed);
	lm_adapter_size(&beside.size, config, base->type, &error);
	beside.memory = aligned_alloc(64, beside.size);
	memset(beside.memory, 0xA5, beside.size);
	if (!lm_adapter_build(beside.memory, beside.block, beside.table, base->type, &base->host,
						  &error) ||
		!(beside.model = lm_model_open_adapter(&base->host, base->image, base->size, beside.memory,
											   beside.size, config, &error)))
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return beside;
}

static inline void
beside_free(Beside *beside, const LmHost *host)
{
	lm_model_close(beside->model);
	free(beside->memory);
	free(beside->block);
	lm_param_table_free(host, beside->table);
}

#endif /* TEST_ADAPTER_SUPPORT_H */

/*
 * bench/shapes.h
 *
 * The models that the benchmarks train, and small helpers that they share.
 */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine/optimizer.h"

typedef struct Shape
{
	const char *name;
	int layers, heads, channels, context, batch, vocabulary;
} Shape;

static const Shape shapes[] = {
	{"XS", 4, 4, 128, 128, 32, 1024},
	{"S", 6, 6, 384, 256, 16, 256},
	{"M", 12, 12, 768, 256, 4, 50257},
};

static inline const Shape *
shape_named(const char *name)
{
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
		if (strcmp(shapes[i].name, name) == 0)
			return &shapes[i];
	fprintf(stderr, "no model \"%s\": XS, S or M\n", name);
	exit(2);
}

/*
 * FAMILY in the environment: modern, the switches of that family, or relu2, the same with the
 * squared ReLU of its first version; with as many parameters.
 */
static inline LmConfig
shape_config(const Shape *shape)
{
	LmConfig config = lm_config_default();
	const char *family = getenv("FAMILY");

	config.layers = shape->layers;
	config.heads = shape->heads;
	config.channels = shape->channels;
	config.context = shape->context;
	config.vocabulary = shape->vocabulary;
	if (family && strcmp(family, "gpt2") != 0)
	{
		config.norm = LM_RMSNORM;
		config.position = LM_ROPE;
		config.qk_norm = true;
		config.mlp = strcmp(family, "relu2") == 0 ? LM_RELU2 : LM_SWIGLU;
		config.bias = false;
		config.zero_init = true;
	}
	if (config.mlp == LM_SWIGLU)
		config.mlp_channels = (config.channels * 8 / 3 + 31) / 32 * 32; /* as train_shape.c */
	return config;
}

/*
 * Products with weights and attention, forward and backward, of one token: 6 (12 L C^2 + V C) + 12
 * L C T (attention counted whole, as a kernel without causal skipping would compute it).
 */
static inline double
shape_flop(const Shape *s)
{
	double C = s->channels;

	return 6 * (12 * s->layers * C * C + s->vocabulary * C) + 12 * s->layers * C * s->context;
}

static inline void *
bench_reallocate(void *context, void *pointer, size_t size)
{
	if (size == 0)
	{
		free(pointer);
		return NULL;
	}
	return realloc(pointer, size);
}

static inline int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Ends the program with the error when pass is false. */
static inline void
must(bool pass, const LmError *error)
{
	if (pass)
		return;
	fprintf(stderr, "%s\n", error->message);
	exit(1);
}

#endif /* BENCH_SHAPES_H */

/*
 * test/unit/test_attention.c
 *
 * Attention against its naive twin in float64, its gradients against central differences, and its
 * bits against the number of threads.
 */
#include "kernels.h"

typedef struct Case
{
	const char *name;
	int n_rows;
	int H;
	int C;
	int lengths[8]; /* of the documents, 0 ends; the last one is the rest */
	float rate;
} Case;

typedef struct Arrays
{
	const Case *shape;
	LmEngine *engine;
	float *qkv, *out, *lse, *dout, *dqkv;
	int32_t *starts, *positions, *examples;
	LmDropout dropout;
	void *scratch;
} Arrays;

static Arrays
make_arrays(const Case *shape, LmEngine *engine)
{
	Arrays arrays = {.shape = shape, .engine = engine};
	size_t n = (size_t) shape->n_rows;
	int start = 0, document = 0;

	arrays.qkv = random_floats(n * 3 * (size_t) shape->C, 1, 1);
	arrays.dout = random_floats(n * (size_t) shape->C, 1, 2);
	arrays.out = zero_array(n * (size_t) shape->C);
	arrays.lse = zero_array(n * (size_t) shape->H);
	arrays.dqkv = random_floats(n * 3 * (size_t) shape->C, 1, 3);
	arrays.starts = calloc(n, sizeof(int32_t));
	arrays.positions = calloc(n, sizeof(int32_t));
	arrays.examples = calloc(n, sizeof(int32_t));
	for (int i = 0; i < shape->n_rows; i++)
	{
		if (shape->lengths[document] > 0 && i - start == shape->lengths[document])
		{
			start = i;
			document++;
		}
		arrays.starts[i] = start;
		arrays.positions[i] = i - start;
		arrays.examples[i] = document + 5;
	}
	arrays.dropout = (LmDropout){shape->rate, lm_key(3, LM_RANDOM_ATTENTION_DROPOUT, 1, 1),
								 arrays.examples, arrays.positions};
	arrays.scratch = test_scratch(lm_attention_scratch(engine, shape->n_rows));
	return arrays;
}

static void
free_arrays(Arrays *arrays)
{
	free(arrays->qkv);
	free(arrays->out);
	free(arrays->lse);
	free(arrays->dout);
	free(arrays->dqkv);
	free(arrays->starts);
	free(arrays->positions);
	free(arrays->examples);
	free(arrays->scratch);
}

static LmAttentionShape
shape_of(const Case *shape)
{
	int size = shape->C / shape->H;

	return (LmAttentionShape){.heads = shape->H,
							  .kv_heads = shape->H,
							  .head_size = size,
							  .scale = 1 / sqrtf((float) size)};
}

static void
forward(Arrays *arrays)
{
	LmAttentionShape shape = shape_of(arrays->shape);

	lm_attention_forward(arrays->engine, arrays->out, arrays->lse, arrays->qkv, arrays->starts,
						 &arrays->dropout, arrays->shape->n_rows, &shape, arrays->scratch);
}

static void
backward(Arrays *arrays)
{
	LmAttentionShape shape = shape_of(arrays->shape);

	lm_attention_backward(arrays->engine, arrays->dqkv, arrays->dout, arrays->out, arrays->lse,
						  arrays->qkv, arrays->starts, &arrays->dropout, arrays->shape->n_rows,
						  &shape, arrays->scratch);
}

static double
dot(const float *x, const float *y, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) x[i] * y[i];
	return sum;
}

/* p [n_keys] of one query and head, and the log of the sum of exponentials */
static double
naive_probabilities(double *p, const Arrays *arrays, int row, int head)
{
	int C = arrays->shape->C, size = C / arrays->shape->H, start = arrays->starts[row];
	const float *q = arrays->qkv + (size_t) row * 3 * C + head * size;
	double max = -INFINITY, sum = 0;

	for (int key = start; key <= row; key++)
	{
		p[key - start] =
			dot(q, arrays->qkv + (size_t) key * 3 * C + C + head * size, size) / sqrt(size);
		max = fmax(max, p[key - start]);
	}
	for (int key = start; key <= row; key++)
		sum += exp(p[key - start] - max);
	for (int key = start; key <= row; key++)
		p[key - start] = exp(p[key - start] - max) / sum;
	return max + log(sum);
}

static void
naive_forward(float *out, float *lse, const Arrays *arrays)
{
	int C = arrays->shape->C, H = arrays->shape->H, size = C / H;
	double *p = malloc((size_t) arrays->shape->n_rows * sizeof *p);

	for (int row = 0; row < arrays->shape->n_rows; row++)
		for (int head = 0; head < H; head++)
		{
			int start = arrays->starts[row];

			lse[row * H + head] = (float) naive_probabilities(p, arrays, row, head);
			for (int i = 0; i < size; i++)
			{
				double sum = 0;

				for (int key = start; key <= row; key++)
					sum += p[key - start] *
						   naive_mask(&arrays->dropout, row, key - start, (uint32_t) head) *
						   arrays->qkv[(size_t) key * 3 * C + 2 * C + head * size + i];
				out[(size_t) row * C + head * size + i] = (float) sum;
			}
		}
	free(p);
}

static void
naive_backward(float *dqkv, const Arrays *arrays)
{
	int C = arrays->shape->C, H = arrays->shape->H, size = C / H, n_rows = arrays->shape->n_rows;
	double *p = malloc((size_t) n_rows * sizeof *p),
		   *sums = calloc((size_t) n_rows * 3 * (size_t) C, sizeof *sums);

	for (int row = 0; row < n_rows; row++)
		for (int head = 0; head < H; head++)
		{
			const float *dout = arrays->dout + (size_t) row * C + head * size;
			double delta = dot(dout, arrays->out + (size_t) row * C + head * size, size);
			int start = arrays->starts[row];

			naive_probabilities(p, arrays, row, head);
			for (int key = start; key <= row; key++)
			{
				size_t q = (size_t) row * 3 * C + head * size,
					   k = (size_t) key * 3 * C + C + head * size;
				double mask = naive_mask(&arrays->dropout, row, key - start, (uint32_t) head);
				double ds = p[key - start] * (mask * dot(dout, arrays->qkv + k + C, size) - delta) /
							sqrt(size);

				for (int i = 0; i < size; i++)
				{
					sums[q + i] += ds * arrays->qkv[k + i];
					sums[k + i] += ds * arrays->qkv[q + i];
					sums[k + C + i] += p[key - start] * mask * dout[i];
				}
			}
		}
	for (size_t i = 0; i < (size_t) n_rows * 3 * C; i++)
		dqkv[i] = (float) sums[i];
	free(p);
	free(sums);
}

static double
objective(void *context)
{
	Arrays *arrays = context;

	forward(arrays);
	return weighted_sum(arrays->out, arrays->dout,
						(size_t) arrays->shape->n_rows * arrays->shape->C);
}

static void
test_case(const Case *shape, LmEngine *engine)
{
	Arrays arrays = make_arrays(shape, engine);
	size_t count = (size_t) shape->n_rows * shape->C;
	float *out = zero_array(count), *lse = zero_array((size_t) shape->n_rows * shape->H),
		  *dqkv = zero_array(3 * count);
	char name[200];

	forward(&arrays);
	naive_forward(out, lse, &arrays);
	snprintf(name, sizeof name, "%s: outputs agree with the naive twin", shape->name);
	is_close(arrays.out, out, count, 1e-5, name);
	snprintf(name, sizeof name, "%s: sums of exponentials agree with the naive twin", shape->name);
	is_close(arrays.lse, lse, (size_t) shape->n_rows * shape->H, 1e-5, name);
	backward(&arrays);
	naive_backward(dqkv, &arrays);
	snprintf(name, sizeof name, "%s: gradients agree with the naive twin", shape->name);
	is_close(arrays.dqkv, dqkv, 3 * count, 5e-5, name);
	if (shape->n_rows <= 100)
	{
		float *gradient = copy_floats(arrays.dqkv, 3 * count);

		snprintf(name, sizeof name, "%s: gradients agree with central differences", shape->name);
		gradient_holds(objective, &arrays, arrays.qkv, gradient, 3 * count, 1e-2f, 2e-3, name);
		free(gradient);
	}
	free(out);
	free(lse);
	free(dqkv);
	free_arrays(&arrays);
}

static void
test_threads(const Case *shape)
{
	size_t count = (size_t) shape->n_rows * shape->C;
	float *out = NULL, *dqkv = NULL;

	for (int n_threads = 1; n_threads <= 8; n_threads *= 2)
	{
		LmEngine *engine = test_engine(n_threads, NULL);
		Arrays arrays = make_arrays(shape, engine);

		forward(&arrays);
		backward(&arrays);
		if (out)
			ok(same_bits(out, arrays.out, count) && same_bits(dqkv, arrays.dqkv, 3 * count),
			   "%d threads give the same bits as one: %s", n_threads, shape->name);
		else
		{
			out = copy_floats(arrays.out, count);
			dqkv = copy_floats(arrays.dqkv, 3 * count);
		}
		free_arrays(&arrays);
		lm_engine_stop(engine);
	}
	free(out);
	free(dqkv);
}

int
main(void)
{
	static const Case cases[] = {
		{"short documents", 50, 2, 32, {1, 2, 13, 17, 3}, 0},
		{"short documents with dropout", 50, 2, 32, {1, 2, 13, 17, 3}, 0.3f},
		{"odd head size", 70, 3, 21, {65}, 0},
		{"head size 1", 9, 4, 4, {4}, 0},
		{"one document of several blocks of keys", 1100, 1, 16, {0}, 0},
		{"several blocks of keys with dropout", 1100, 2, 16, {30, 1050}, 0.1f},
		{"documents of 128", 300, 2, 128, {128, 128}, 0},
	};
	LmEngine *engine = test_engine(2, NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		test_case(&cases[i], engine);
	lm_engine_stop(engine);
	test_threads(&cases[1]);
	test_threads(&cases[5]);
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}

/*
 * test/unit/test_attention_rows.c
 *
 * Attention over pages against its naive twin in float64; rows and heads together against each
 * alone, in each instruction set.
 */
#include "kernels.h"

enum
{
	KEYS = 77,
	PAGES = 3
};

typedef struct Arrays
{
	const LmAttentionShape *shape;
	size_t A; /* channels of queries */
	size_t K; /* channels of keys */
	float *q; /* [KEYS, A] */
	float *k; /* [KEYS, K] */
	float *v;
	float *pages[2][PAGES];
	float *wanted; /* [KEYS, A] of the twin */
	float *alone; /* [KEYS, A] each row and each head alone */
	float *out;
	float *scratch;
} Arrays;

/* One row of one head, in float64. */
static void
naive_row(float *out, const Arrays *arrays, int row, int head)
{
	const LmAttentionShape *shape = arrays->shape;
	size_t size = (size_t) shape->head_size,
		   place = (size_t) (head / (shape->heads / shape->kv_heads)) * size;
	const float *q = arrays->q + (size_t) row * arrays->A + (size_t) head * size;
	int first = shape->window > 0 && row + 1 > shape->window ? row + 1 - shape->window : 0;
	double weights[KEYS], sum = 0;

	for (int key = first; key <= row; key++)
	{
		double score = 0;

		for (size_t c = 0; c < size; c++)
			score += (double) q[c] * arrays->k[(size_t) key * arrays->K + place + c];
		score *= shape->scale;
		if (shape->softcap > 0)
			score = shape->softcap * tanh(score / shape->softcap);
		sum += weights[key] = exp(score);
	}
	for (size_t c = 0; c < size; c++)
	{
		double value = 0;

		for (int key = first; key <= row; key++)
			value += weights[key] / sum * arrays->v[(size_t) key * arrays->K + place + c];
		out[c] = (float) value;
	}
}

static Arrays
make_arrays(const LmAttentionShape *shape)
{
	Arrays arrays = {.shape = shape};
	size_t A = (size_t) shape->heads * (size_t) shape->head_size,
		   K = (size_t) shape->kv_heads * (size_t) shape->head_size;

	arrays.A = A;
	arrays.K = K;
	arrays.q = random_floats(KEYS * A, 1, 1);
	arrays.k = random_floats(KEYS * K, 1, 2);
	arrays.v = random_floats(KEYS * K, 1, 3);
	for (int i = 0; i < 2 * PAGES; i++)
	{
		arrays.pages[i / PAGES][i % PAGES] = malloc(LM_PAGE * K * sizeof(float));
		for (size_t j = 0; j < LM_PAGE * K; j++)
			arrays.pages[i / PAGES][i % PAGES][j] = NAN; /* what no row sees */
	}
	for (size_t i = 0; i < KEYS; i++)
		for (size_t c = 0; c < K; c++)
		{
			arrays.pages[0][i / LM_PAGE][c * LM_PAGE + i % LM_PAGE] = arrays.k[i * K + c];
			arrays.pages[1][i / LM_PAGE][i % LM_PAGE * K + c] = arrays.v[i * K + c];
		}
	arrays.wanted = zero_array(KEYS * A);
	arrays.alone = zero_array(KEYS * A);
	arrays.out = zero_array(KEYS * A);
	for (int row = 0; row < KEYS; row++)
		for (int head = 0; head < shape->heads; head++)
			naive_row(arrays.wanted + (size_t) row * A + (size_t) (head * shape->head_size),
					  &arrays, row, head);
	arrays.scratch =
		test_scratch(lm_attention_rows_scratch(KEYS, shape->head_size) * sizeof(float));
	return arrays;
}

static void
free_arrays(Arrays *arrays)
{
	for (int i = 0; i < 2 * PAGES; i++)
		free(arrays->pages[i / PAGES][i % PAGES]);
	free(arrays->q);
	free(arrays->k);
	free(arrays->v);
	free(arrays->wanted);
	free(arrays->alone);
	free(arrays->out);
	free(arrays->scratch);
}

/* The rows first .. first + n - 1. Pages in front of the window are not there. */
static LmAttentionRows
rows_of(const Arrays *arrays, const float **pages, float *out, int first, int n)
{
	const LmAttentionShape *shape = arrays->shape;
	int past = shape->window > 0 && first + 1 > shape->window ? first + 1 - shape->window : 0;

	for (int i = 0; i < 2 * PAGES; i++)
		pages[i] = i % PAGES < past / LM_PAGE ? NULL : arrays->pages[i / PAGES][i % PAGES];
	return (LmAttentionRows){
		.out = out + (size_t) first * arrays->A,
		.ld_out = (int) arrays->A,
		.q = arrays->q + (size_t) first * arrays->A,
		.ld_q = (int) arrays->A,
		.n_rows = n,
		.n_keys = first + 1,
		.key_pages = pages,
		.value_pages = pages + PAGES,
		.shape = *shape,
		.scratch = arrays->scratch,
	};
}

/* Blocks of rows with all the heads that share keys, against each row and head alone. */
static void
test_simd(const Arrays *arrays, const LmSimd *simd)
{
	const LmAttentionShape *shape = arrays->shape;
	const float *pages[2 * PAGES];
	int shared = shape->heads / shape->kv_heads;
	bool same = true;

	for (int row = 0; row < KEYS; row++)
		for (int head = 0; head < shape->heads; head++)
		{
			LmAttentionRows rows = rows_of(arrays, pages, arrays->alone, row, 1);

			simd->attention_heads(&rows, head, 1);
		}
	is_close(arrays->alone, arrays->wanted, KEYS * arrays->A, 1e-5,
			 "attention over pages is that of the twin");
	for (int block = 1; block <= LM_ATTENTION_ROWS; block++)
		for (int first = 0; first < KEYS; first += block)
		{
			int n = KEYS - first < block ? KEYS - first : block;
			LmAttentionRows rows = rows_of(arrays, pages, arrays->out, first, n);

			for (int head = 0; head < shape->heads; head += shared)
				simd->attention_heads(&rows, head, shared);
			same = same && same_bits(rows.out, arrays->alone + (size_t) first * arrays->A,
									 (size_t) n * arrays->A);
		}
	ok(same,
	   "%s, %d heads of %d, %d of keys, window %d, cap %g: blocks of rows and heads give the bits "
	   "of "
	   "each alone",
	   simd->name, shape->heads, shape->head_size, shape->kv_heads, shape->window, shape->softcap);
}

/* Cuts between heads that share keys. */
static void
test_cuts(const Arrays *arrays)
{
	const LmAttentionShape *shape = arrays->shape;
	const float *pages[2 * PAGES];
	LmAttentionRows rows = rows_of(arrays, pages, arrays->out, KEYS - 5, 5);
	float *whole;

	lm_attention_rows(&rows, 0, shape->heads);
	whole = copy_floats(rows.out, 5 * arrays->A);
	for (int head = 0; head < shape->heads; head += 2)
		lm_attention_rows(&rows, head, head + 2 < shape->heads ? head + 2 : shape->heads);
	ok(same_bits(rows.out, whole, 5 * arrays->A),
	   "heads two by two give the same bits as together");
	free(whole);
}

int
main(void)
{
	static const LmAttentionShape cases[] = {
		{3, 3, 20, 0.22f, 0, 0}, {3, 3, 64, 0.125f, 0, 0},	{3, 3, 1, 1, 0, 0},
		{6, 2, 24, 0.2f, 0, 0},	 {5, 1, 33, 0.3f, 1.5f, 0}, {9, 3, 64, 0.125f, 0, 40},
		{4, 2, 16, 0.25f, 2, 5}, {14, 1, 8, 0.5f, 0, 1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		Arrays arrays = make_arrays(&cases[i]);
		const LmSimd *simds[3];
		int n_simds = test_simds(simds);

		for (int s = 0; s < n_simds; s++)
			test_simd(&arrays, simds[s]);
		test_cuts(&arrays);
		free_arrays(&arrays);
	}
	return done_testing();
}

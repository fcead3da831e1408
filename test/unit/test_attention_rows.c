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

/* One row of one head over keys first .. last, in float64. */
static void
naive_keys(float *out, const Arrays *arrays, int row, int head, int first, int last)
{
	const LmAttentionShape *shape = arrays->shape;
	size_t size = (size_t) shape->head_size,
		   place = (size_t) (head / (shape->heads / shape->kv_heads)) * size;
	const float *q = arrays->q + (size_t) row * arrays->A + (size_t) head * size;
	double weights[KEYS], sum = 0;

	for (int key = first; key <= last; key++)
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

		for (int key = first; key <= last; key++)
			value += weights[key] / sum * arrays->v[(size_t) key * arrays->K + place + c];
		out[c] = (float) value;
	}
}

/* The keys that a row of a decoder sees. */
static void
naive_row(float *out, const Arrays *arrays, int row, int head)
{
	int window = arrays->shape->window;

	naive_keys(out, arrays, row, head, window > 0 && row + 1 > window ? row + 1 - window : 0, row);
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

/*
 * Rows first .. last - 1 in blocks, and each alone, against the twin: all see keys first_key ..
 * n_keys - 1, or each one key more than the row before.
 */
static bool
sees(const Arrays *arrays, int first, int last, int first_key, int n_keys, bool alike)
{
	size_t A = arrays->A, size = (size_t) arrays->shape->head_size;
	const float *pages[2 * PAGES];
	bool same = true;

	for (int row = first; row < last; row++)
		for (int head = 0; head < arrays->shape->heads; head++)
			naive_keys(arrays->wanted + (size_t) row * A + (size_t) head * size, arrays, row, head,
					   first_key, alike ? n_keys - 1 : n_keys - 1 + row - first);
	for (int block = 1; block <= LM_ATTENTION_ROWS; block += 11)
		for (int row = first; row < last; row += block)
		{
			LmAttentionRows rows = rows_of(arrays, pages, block == 1 ? arrays->alone : arrays->out,
										   row, last - row < block ? last - row : block);

			rows.n_keys = alike ? n_keys : n_keys + row - first;
			rows.alike = alike;
			rows.first_key = first_key;
			for (int page = 0; page < first_key / LM_PAGE; page++)
				pages[page] = pages[PAGES + page] = NULL;
			lm_attention_rows(&rows, 0, arrays->shape->heads);
		}
	for (size_t i = (size_t) first * A; i < (size_t) last * A; i++)
		same = same && fabsf(arrays->out[i] - arrays->wanted[i]) < 1e-5f;
	return same && same_bits(arrays->out + (size_t) first * A, arrays->alone + (size_t) first * A,
							 (size_t) (last - first) * A);
}

/* A prompt of each length: its own rows, the rows after it, and those of another stack. */
static void
test_prefixes(const Arrays *arrays)
{
	bool own = true, after = true, cross = true;

	for (int prefix = 1; prefix < KEYS; prefix += 19)
	{
		own = own && sees(arrays, 0, prefix, 0, prefix, true);
		after = after && sees(arrays, prefix, KEYS, prefix, prefix + 1, false);
		cross = cross && sees(arrays, prefix, KEYS, 0, prefix, true);
	}
	ok(own, "rows of a prefix see all of it");
	ok(after, "rows after it may see none of it");
	ok(cross, "or nothing else");
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
		if (cases[i].window == 0)
			test_prefixes(&arrays);
		free_arrays(&arrays);
	}
	return done_testing();
}

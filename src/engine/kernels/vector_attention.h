/*
 * src/engine/kernels/vector_attention.h
 *
 * The rows of attention between the matrix products: softmax against a block of keys, its gradient,
 * and the whole of it for a few queries against pages of keys and values.
 */
#ifndef LM_VECTOR_ATTENTION_H
#define LM_VECTOR_ATTENTION_H

#include "kernels/vector_elements.h"
#include "kernels/vector_matmul.h"
#include "kernels/vector_rows.h"

/* x [n] = 0. */
static void
zero_floats(float *x, int n)
{
	for (int i = 0; i < n; i += LANES)
		store_up_to(x + i, splat(0), (size_t) (n - i));
}

/* exp(x - max) in place; their sum */
static float
exponentials(float *x, float max, int n)
{
	int whole = n - n % LANES;
	Floats sum = splat(0);

	for (int i = 0; i < whole; i += LANES)
	{
		Floats e = exponential(load(x + i) - max);

		store(x + i, e);
		sum += e;
	}
	if (whole < n)
	{
		Floats e = exponential(load_part_or(x + whole, n - whole, -INFINITY) - max);

		store_part(x + whole, e, n - whole);
		sum += e;
	}
	return sum_lanes(sum);
}

/* One row of the running softmax (Dao et al. 2022, algorithm 1, lines 10 to 12), in place. */
static float
vector_attention_softmax(float *scores, float *max, float *sum, int n_seen, int n)
{
	float new_max, correction;

	if (n_seen <= 0)
	{
		zero_floats(scores, n);
		return 1;
	}
	new_max = fmaxf(*max, largest_element(scores, n_seen));
	correction = *max == new_max ? 1 : expf(*max - new_max);
	*sum = *sum * correction + exponentials(scores, new_max, n_seen);
	*max = new_max;
	zero_floats(scores + n_seen, n - n_seen);
	return correction;
}

/*
 * p = softmax(s), o = (mask p) v, delta = do . o:  ds = p (mask dp - delta) (Dao et al. 2022,
 * algorithm 4)
 */
static void
vector_attention_gradient(float *scores, float *dp, const float *mask, float lse, float delta,
						  int n_seen, int n)
{
	for (int i = 0; i < n_seen; i += LANES)
	{
		size_t rest = (size_t) (n_seen - i);
		Floats p = exponential(load_up_to(scores + i, rest) - lse);
		Floats d = load_up_to(dp + i, rest);
		Floats kept = p;

		if (mask)
		{
			Floats m = load_up_to(mask + i, rest);

			d *= m;
			kept *= m;
		}
		store_up_to(dp + i, p * (d - delta), rest);
		store_up_to(scores + i, kept, rest);
	}
	n_seen = n_seen > 0 ? n_seen : 0;
	zero_floats(scores + n_seen, n - n_seen);
	zero_floats(dp + n_seen, n - n_seen);
}

/* ---- Rows against pages ------------------------------------------------- */

#define PAGE_VECTORS (LM_PAGE / LANES)
#define ROW_SUMS 8 /* chains of a single row */
#define ROW_PAGES (ROW_SUMS / PAGE_VECTORS)
#define ROW_VECTORS 4 /* of a single row's output */

/* y = scale (y or 0 + a b): one chain for each element, whatever stands beside it. */
INLINE void
tile_attend(const TileOutput *out, const float *a, size_t ld_a, const float *b, size_t ld_b, int k,
			int n_rows)
{
	TileSums sums;

#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 2
		for (int j = 0; j < 2; j++)
			sums.at[i][j] = out->beta != 0 ? load_columns(out->y + (size_t) i * out->ld, j * LANES,
														  out->n_columns)
										   : splat(0);
	if (out->n_columns >= TILE_COLUMNS)
		tile_multiply(&sums, a, ld_a, b, ld_b, k, n_rows);
	else
		tile_multiply_part(&sums, a, ld_a, b, ld_b, k, n_rows, out->n_columns);
#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 2
		for (int j = 0; j < 2; j++)
			store_columns(out->y + (size_t) i * out->ld, sums.at[i][j] * out->scale, j * LANES,
						  out->n_columns);
}

#define DEFINE_TILE_ATTEND(height)                                                              \
	static __attribute__((noinline)) void tile_attend_##height(                                 \
		const TileOutput *out, const float *a, size_t ld_a, const float *b, size_t ld_b, int k) \
	{                                                                                           \
		tile_attend(out, a, ld_a, b, ld_b, k, height);                                          \
	}
FOR_EACH_TILE(DEFINE_TILE_ATTEND)

/* tile_attend for a tile of i + 1 rows is tile_attends[i]. */
typedef void (*TileAttend)(const TileOutput *out, const float *a, size_t ld_a, const float *b,
						   size_t ld_b, int k);

#define NAME_TILE_ATTEND(height) tile_attend_##height,
/* One for each height. */
static const TileAttend tile_attends[] = {FOR_EACH_TILE(NAME_TILE_ATTEND)};

/* scores [n_rows, ld] = scale q k' of whole pages; lanes beyond the keys are of no meaning. */
static void
score_pages(float *scores, size_t ld, const LmAttentionRows *rows, const float *q, int head,
			int n_pages)
{
	TileOutput out = {
		.ld = ld, .n_columns = TILE_COLUMNS, .scale = 1 / sqrtf((float) rows->head_size)};

	for (int page = 0; page < n_pages; page++)
		for (int j = 0; j < LM_PAGE; j += TILE_COLUMNS)
		{
			out.y = scores + page * LM_PAGE + j;
			tile_attends[rows->n_rows - 1](&out, q, (size_t) rows->n_rows,
										   rows->key_pages[page] +
											   (size_t) (head * rows->head_size) * LM_PAGE + j,
										   LM_PAGE, rows->head_size);
		}
}

/*
 * The same for one row, several pages at once: each score is a chain that waits for itself at every
 * step, so that there have to be many beside it.
 */
static void
score_row(float *scores, const LmAttentionRows *rows, int head, int n_pages)
{
	const float *q = rows->q + head * rows->head_size;
	float scale = 1 / sqrtf((float) rows->head_size);

	for (int first = 0; first < n_pages; first += ROW_PAGES)
	{
		const float *pages[ROW_PAGES];
		Floats sums[ROW_SUMS];

#pragma GCC unroll 4
		for (int i = 0; i < ROW_PAGES; i++)
			pages[i] = rows->key_pages[smaller_of(first + i, n_pages - 1)] +
					   (size_t) (head * rows->head_size) * LM_PAGE;
#pragma GCC unroll 8
		for (int i = 0; i < ROW_SUMS; i++)
			sums[i] = splat(0);
		for (int c = 0; c < rows->head_size; c++)
#pragma GCC unroll 8
			for (int i = 0; i < ROW_SUMS; i++)
				sums[i] = multiply_add(
					splat(q[c]),
					load(pages[i / PAGE_VECTORS] + c * LM_PAGE + i % PAGE_VECTORS * LANES),
					sums[i]);
#pragma GCC unroll 8
		for (int i = 0; i < ROW_SUMS; i++)
			if (first + i / PAGE_VECTORS < n_pages)
				store(scores + first * LM_PAGE + i * LANES, sums[i] * scale);
	}
}

/*
 * y [n_columns] (+)= p v over keys [first, last) of one row; v begins at that column of a page's
 * row.
 */
INLINE void
add_row_values(float *y, const LmAttentionRows *rows, const float *p, int first, int last,
			   int column, int n_columns)
{
	Floats sums[ROW_VECTORS];

#pragma GCC unroll 4
	for (int j = 0; j < ROW_VECTORS; j++)
		sums[j] = first > 0 ? load_columns(y, j * LANES, n_columns) : splat(0);
	for (int key = first; key < last; key++)
	{
		const float *v =
			rows->value_pages[key / LM_PAGE] + (size_t) (key % LM_PAGE) * (size_t) rows->C + column;

#pragma GCC unroll 4
		for (int j = 0; j < ROW_VECTORS; j++)
			sums[j] = multiply_add(splat(p[key]), load_columns(v, j * LANES, n_columns), sums[j]);
	}
#pragma GCC unroll 4
	for (int j = 0; j < ROW_VECTORS; j++)
		store_columns(y, sums[j], j * LANES, n_columns);
}

/* out of one row (+)= p v over keys [first, last), some vectors of columns at a time. */
static void
row_values(float *y, const LmAttentionRows *rows, const float *p, int first, int last, int head)
{
	int offset = head * rows->head_size, size = rows->head_size;

	if (last <= first)
		return;
	for (int j = 0; j < size; j += ROW_VECTORS * LANES)
		if (size - j >= ROW_VECTORS * LANES)
			add_row_values(y + j, rows, p, first, last, offset + j, ROW_VECTORS * LANES);
		else
			add_row_values(y + j, rows, p, first, last, offset + j, size - j);
}

/* out [n_rows, head_size] = p v over the keys that all rows see, p [key][n_rows] */
static void
add_values(const LmAttentionRows *rows, const float *p, int head)
{
	TileOutput out = {.ld = (size_t) rows->C, .scale = 1};

	for (int key = 0; key < rows->n_keys; key += LM_PAGE)
	{
		const float *page = rows->value_pages[key / LM_PAGE] + head * rows->head_size;
		int n_keys = smaller_of(LM_PAGE, rows->n_keys - key);

		out.beta = key > 0;
		for (int j = 0; j < rows->head_size; j += TILE_COLUMNS)
		{
			out.y = rows->out + head * rows->head_size + j;
			out.n_columns = smaller_of(TILE_COLUMNS, rows->head_size - j);
			tile_attends[rows->n_rows - 1](&out, p + (size_t) key * (size_t) rows->n_rows,
										   (size_t) rows->n_rows, page + j, (size_t) rows->C,
										   n_keys);
		}
	}
}

/*
 * One head: scores of all keys, their exponentials, p v, and at the end the division by the sums.
 */
static void
vector_attention_head(const LmAttentionRows *rows, int head)
{
	int n_rows = rows->n_rows, offset = head * rows->head_size;
	int n_pages = (rows->n_keys + n_rows - 1 + LM_PAGE - 1) / LM_PAGE;
	size_t ld = (size_t) n_pages * LM_PAGE;
	float *turned = rows->scratch, *scores = turned + rows->head_size * n_rows + 64,
		  *p = scores + ld * (size_t) n_rows + 64;
	Matrix part = {rows->q + offset, (size_t) rows->ld_q, 1};
	float factors[TILE_ROWS];

	if (n_rows == 1)
		score_row(scores, rows, head, n_pages);
	else
	{
		pack_rows(turned, &part, n_rows, rows->head_size);
		score_pages(scores, ld, rows, turned, head, n_pages);
	}
	for (int i = 0; i < n_rows; i++)
	{
		float *row = scores + (size_t) i * ld;

		factors[i] =
			1 / exponentials(row, largest_element(row, rows->n_keys + i), rows->n_keys + i);
	}
	/* First the keys that every row sees, then those that only later rows see. */
	part = (Matrix){scores, ld, 1};
	if (n_rows == 1)
		row_values(rows->out + offset, rows, scores, 0, rows->n_keys, head);
	else
	{
		pack_rows(p, &part, n_rows, rows->n_keys);
		add_values(rows, p, head);
	}
	for (int i = 0; i < n_rows; i++)
	{
		float *y = rows->out + (size_t) i * (size_t) rows->C + offset;

		row_values(y, rows, scores + (size_t) i * ld, rows->n_keys, rows->n_keys + i, head);
		vector_scale(y, factors[i], (size_t) rows->head_size);
	}
}

#endif /* LM_VECTOR_ATTENTION_H */

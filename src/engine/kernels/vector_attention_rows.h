/*
 * src/engine/kernels/vector_attention_rows.h
 *
 * Attention of a few queries against pages of keys and values, for inference.
 *
 * A line is one query of one head. Lines that read the same head of keys and values lie in one tile
 * of sums: neighbouring positions, and the heads that share those keys (Ainslie et al. 2023,
 * "GQA"). Each score is one chain over the head's elements and each output one chain over the keys
 * that the line sees, in order, so that the bits of a line do not depend on the lines beside it.
 */
#ifndef LM_VECTOR_ATTENTION_ROWS_H
#define LM_VECTOR_ATTENTION_ROWS_H

#include "kernels/vector_attention.h"
#include "kernels/vector_matmul.h"

#define PAGE_VECTORS (LM_PAGE / LANES)
#define ROW_SUMS 8 /* chains of a single line */
#define ROW_PAGES (ROW_SUMS / PAGE_VECTORS)
#define ROW_VECTORS 4 /* of a single line's output */

/* The lines of one tile, and the keys that they see. */
typedef struct Lines
{
	const LmAttentionRows *rows;
	int n;
	const float *q[TILE_ROWS];
	float *out[TILE_ROWS];
	int first[TILE_ROWS]; /* keys that a line sees: from first up to before last; both ascend */
	int last[TILE_ROWS];
	int first_page;
	int n_pages;
	size_t offset; /* of the head in a row of values, and times LM_PAGE in a page of keys */
	size_t K; /* channels of a page */
} Lines;

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

/* scores [lines, ld] = scale q k' of whole pages; lanes beyond the keys are of no meaning. */
static void
score_pages(float *scores, size_t ld, const Lines *lines, const float *q)
{
	const LmAttentionRows *rows = lines->rows;
	TileOutput out = {.ld = ld, .n_columns = TILE_COLUMNS, .scale = rows->shape.scale};

	for (int page = 0; page < lines->n_pages; page++)
		for (int j = 0; j < LM_PAGE; j += TILE_COLUMNS)
		{
			out.y = scores + page * LM_PAGE + j;
			tile_attends[lines->n - 1](&out, q, (size_t) lines->n,
									   rows->key_pages[lines->first_page + page] +
										   lines->offset * LM_PAGE + j,
									   LM_PAGE, rows->shape.head_size);
		}
}

/*
 * The same for one line, several pages at once: each score is a chain that waits for itself at
 * every step, so that there have to be many beside it.
 */
static void
score_line(float *scores, const Lines *lines)
{
	const LmAttentionRows *rows = lines->rows;
	const float *q = lines->q[0];

	for (int first = 0; first < lines->n_pages; first += ROW_PAGES)
	{
		const float *pages[ROW_PAGES];
		Floats sums[ROW_SUMS];

#pragma GCC unroll 4
		for (int i = 0; i < ROW_PAGES; i++)
			pages[i] =
				rows->key_pages[lines->first_page + smaller_of(first + i, lines->n_pages - 1)] +
				lines->offset * LM_PAGE;
#pragma GCC unroll 8
		for (int i = 0; i < ROW_SUMS; i++)
			sums[i] = splat(0);
		for (int c = 0; c < rows->shape.head_size; c++)
#pragma GCC unroll 8
			for (int i = 0; i < ROW_SUMS; i++)
				sums[i] = multiply_add(
					splat(q[c]),
					load(pages[i / PAGE_VECTORS] + c * LM_PAGE + i % PAGE_VECTORS * LANES),
					sums[i]);
#pragma GCC unroll 8
		for (int i = 0; i < ROW_SUMS; i++)
			if (first + i / PAGE_VECTORS < lines->n_pages)
				store(scores + first * LM_PAGE + i * LANES, sums[i] * rows->shape.scale);
	}
}

/*
 * y [n_columns] += p v over keys [first, last) of one line, from a column of the head's values; p
 * begins with the first page.
 */
INLINE void
add_line_values(float *y, const Lines *lines, const float *p, int first, int last, int column,
				int n_columns)
{
	int base = lines->first_page * LM_PAGE;
	Floats sums[ROW_VECTORS];

#pragma GCC unroll 4
	for (int j = 0; j < ROW_VECTORS; j++)
		sums[j] = load_columns(y, j * LANES, n_columns);
	for (int key = first; key < last; key++)
	{
		const float *v = lines->rows->value_pages[key / LM_PAGE] +
						 (size_t) (key % LM_PAGE) * lines->K + lines->offset + column;

#pragma GCC unroll 4
		for (int j = 0; j < ROW_VECTORS; j++)
			sums[j] =
				multiply_add(splat(p[key - base]), load_columns(v, j * LANES, n_columns), sums[j]);
	}
#pragma GCC unroll 4
	for (int j = 0; j < ROW_VECTORS; j++)
		store_columns(y, sums[j], j * LANES, n_columns);
}

/* y [head_size] += p v over keys [first, last) of one line, some vectors of columns at a time. */
static void
line_values(float *y, const Lines *lines, const float *p, int first, int last)
{
	int size = lines->rows->shape.head_size;

	if (last <= first)
		return;
	for (int j = 0; j < size; j += ROW_VECTORS * LANES)
		if (size - j >= ROW_VECTORS * LANES)
			add_line_values(y + j, lines, p, first, last, j, ROW_VECTORS * LANES);
		else
			add_line_values(y + j, lines, p, first, last, j, size - j);
}

/* y [lines, head_size] += p v over keys [first, last), which all lines see; p [key - first][n] */
static void
add_values(float *y, const Lines *lines, const float *p, int first, int last)
{
	const LmAttentionRows *rows = lines->rows;
	TileOutput out = {.ld = (size_t) rows->shape.head_size, .scale = 1, .beta = 1};

	for (int key = first, next; key < last; key = next)
	{
		const float *page =
			rows->value_pages[key / LM_PAGE] + (size_t) (key % LM_PAGE) * lines->K + lines->offset;

		next = smaller_of(last, (key / LM_PAGE + 1) * LM_PAGE);
		for (int j = 0; j < rows->shape.head_size; j += TILE_COLUMNS)
		{
			out.y = y + j;
			out.n_columns = smaller_of(TILE_COLUMNS, rows->shape.head_size - j);
			tile_attends[lines->n - 1](&out, p + (size_t) (key - first) * (size_t) lines->n,
									   (size_t) lines->n, page + j, lines->K, next - key);
		}
	}
}

/* Lines `begin` and further of the heads first_head .. first_head + n_heads - 1, heads fastest. */
static void
find_lines(Lines *lines, int first_head, int n_heads, int begin)
{
	const LmAttentionRows *rows = lines->rows;
	int head = first_head / (rows->shape.heads / rows->shape.kv_heads);

	lines->n = smaller_of(TILE_ROWS, rows->n_rows * n_heads - begin);
	lines->K = (size_t) rows->shape.kv_heads * (size_t) rows->shape.head_size;
	lines->offset = (size_t) head * (size_t) rows->shape.head_size;
	for (int i = 0; i < lines->n; i++)
	{
		int row = (begin + i) / n_heads;
		size_t place =
			(size_t) (first_head + (begin + i) % n_heads) * (size_t) rows->shape.head_size;

		lines->q[i] = rows->q + (size_t) row * (size_t) rows->ld_q + place;
		lines->out[i] = rows->out + (size_t) row * (size_t) rows->ld_out + place;
		lines->last[i] = rows->n_keys + (rows->alike ? 0 : row);
		lines->first[i] = rows->shape.window > 0 && lines->last[i] > rows->shape.window
							  ? lines->last[i] - rows->shape.window
							  : 0;
		if (lines->first[i] < rows->first_key)
			lines->first[i] = rows->first_key;
	}
	lines->first_page = lines->first[0] / LM_PAGE;
	lines->n_pages = (lines->last[lines->n - 1] - 1) / LM_PAGE + 1 - lines->first_page;
}

/* Scores of the lines become exponentials; factors [lines] = 1 / their sums. */
static void
line_exponentials(float *factors, float *scores, size_t ld, const Lines *lines)
{
	const LmAttentionRows *rows = lines->rows;

	for (int i = 0; i < lines->n; i++)
	{
		int n = lines->last[i] - lines->first[i];
		float *seen = scores + (size_t) i * ld + lines->first[i] - lines->first_page * LM_PAGE;

		if (rows->shape.softcap > 0)
			vector_softcap(seen, seen, rows->shape.softcap, (size_t) n);
		factors[i] = 1 / exponentials(seen, largest_element(seen, n), n);
	}
}

/*
 * One tile of lines: scores of all keys, their exponentials, p v, and at the end the division by
 * the sums. A line adds first the keys that earlier lines alone see, then those that all see, then
 * those that later lines alone see.
 */
static void
attend_lines(const Lines *lines)
{
	const LmAttentionRows *rows = lines->rows;
	int n = lines->n, size = rows->shape.head_size, base = lines->first_page * LM_PAGE;
	int common = smaller_of(lines->first[n - 1], lines->last[0]), common_end = lines->last[0];
	size_t ld = (size_t) lines->n_pages * LM_PAGE;
	float *turned = rows->scratch, *y = turned + n * size + 64, *scores = y + n * size + 64,
		  *p = scores + ld * (size_t) n + 64;
	Matrix seen_by_all = {scores + common - base, ld, 1};
	float factors[TILE_ROWS];

	if (n == 1)
		score_line(scores, lines);
	else
	{
		for (int i = 0; i < n; i++)
			for (int c = 0; c < size; c++)
				turned[c * n + i] = lines->q[i][c];
		score_pages(scores, ld, lines, turned);
	}
	line_exponentials(factors, scores, ld, lines);
	zero_floats(y, n * size);
	for (int i = 0; i < n; i++)
		line_values(y + i * size, lines, scores + (size_t) i * ld, lines->first[i],
					n == 1 ? common_end : common);
	if (n > 1)
	{
		pack_rows(p, &seen_by_all, n, common_end - common);
		add_values(y, lines, p, common, common_end);
	}
	for (int i = 0; i < n; i++)
	{
		line_values(y + i * size, lines, scores + (size_t) i * ld,
					lines->first[i] > common_end ? lines->first[i] : common_end, lines->last[i]);
		vector_scale_to(lines->out[i], y + i * size, factors[i], (size_t) size);
	}
}

/* The queries of n_heads heads that read one head of keys and values, tile after tile. */
static void
vector_attention_heads(const LmAttentionRows *rows, int first_head, int n_heads)
{
	for (int begin = 0; begin < rows->n_rows * n_heads; begin += TILE_ROWS)
	{
		Lines lines = {.rows = rows};

		find_lines(&lines, first_head, n_heads, begin);
		attend_lines(&lines);
	}
}

#endif /* LM_VECTOR_ATTENTION_ROWS_H */
